/* mmca_fit.h in single precision. */
#include "learn/real_f32.h"

#include "rerank/mmca_fit_inl.h"
