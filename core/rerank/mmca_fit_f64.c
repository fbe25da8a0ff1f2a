/* mmca_fit.h in double precision. */
#include "learn/real_f64.h"

#include "rerank/mmca_fit_inl.h"
