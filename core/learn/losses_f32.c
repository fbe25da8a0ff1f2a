/* losses_inl.h in single precision. */
#include "learn/real_f32.h"

#include "learn/losses_inl.h"
