/* probe_inl.h in single precision. */
#include "learn/real_f32.h"

#include "learn/probe_inl.h"
