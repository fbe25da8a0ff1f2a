/* probe_inl.h in double precision. */
#include "learn/real_f64.h"

#include "learn/probe_inl.h"
