/* Rows of numbers in 8 bits each, with a step in half precision for each row: the
 * form in which re-rankers keep what they need of a picture. Symmetric rounding to
 * nearest; the largest number of a row becomes 127 steps.
 */
#ifndef OSPREY_RERANK_ROWS8_H
#define OSPREY_RERANK_ROWS8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of some rows: first all steps, then the numbers. */
static inline size_t rows8_bytes(size_t rows, size_t n)
{
    return rows * (sizeof(uint16_t) + n);
}

/* One row. False when it is not finite, or beyond what can be kept. */
bool rows8_pack(const float *x, int n, uint16_t *step, int8_t *out);

#endif
