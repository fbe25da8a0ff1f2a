/* heads_net_inl.h in double precision. */
#include "learn/real_f64.h"

#include "learn/heads_net_inl.h"
