/* attend_inl.h in double precision. */
#include "learn/real_f64.h"

#include "learn/attend_inl.h"

size_t attend_saved(const struct attend *a)
{
    size_t squares = 0;
    for (int i = 0; i < a->n; i++) {
        size_t n = (size_t)(a->starts[i + 1] - a->starts[i]);
        squares += n * n;
    }
    return squares * (size_t)a->heads;
}
