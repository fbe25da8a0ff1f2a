/* heads_net_inl.h in single precision. */
#include "learn/real_f32.h"

#include "learn/heads_net_inl.h"
