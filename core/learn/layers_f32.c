/* layers_inl.h in single precision. */
#include "learn/real_f32.h"

#include "learn/layers_inl.h"
