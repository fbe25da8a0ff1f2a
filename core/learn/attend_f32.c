/* attend_inl.h in single precision. */
#include "learn/real_f32.h"

#include "learn/attend_inl.h"
