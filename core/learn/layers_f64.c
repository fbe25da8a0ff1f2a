/* layers_inl.h in double precision. */
#include "learn/real_f64.h"

#include "learn/layers_inl.h"
