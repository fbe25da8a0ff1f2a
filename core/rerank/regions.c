/* Re-ranking by regions: see regions.h; the heads that it needs are regions_family.c's
 * business. */
#include "rerank/regions.h"

#include "base/half.h"
#include "rerank/reranker_config.h"
#include "rerank/rows8.h"

#include <string.h>

int regions_config_parse(const struct jnode *config, struct regions_config *out, struct err *err)
{
    int rc = reranker_config_size(config, "grid", 1, REGIONS_MAX_GRID, &out->grid, err);
    if (!rc)
        rc = reranker_config_size(config, "reach", 0, REGIONS_MAX_GRID, &out->reach, err);
    if (!rc)
        rc = reranker_config_size(config, "top", 1, out->grid * out->grid, &out->top, err);
    return rc ? rc : reranker_config_weight(config, &out->weight, err);
}

int regions_config_write(const struct regions_config *c, struct jnode *node)
{
    return jnode_set_int(node, "grid", c->grid) | jnode_set_int(node, "reach", c->reach) |
           jnode_set_int(node, "top", c->top) | jnode_set_real(node, "weight", (double)c->weight);
}

/* ---- Pictures ---- */

static void average_one(const struct regions_config *c, const float *x, int row, int col, int n,
                        float *out)
{
    int top = row < c->reach ? 0 : row - c->reach, left = col < c->reach ? 0 : col - c->reach;
    int bottom = row + c->reach < c->grid ? row + c->reach : c->grid - 1;
    int right  = col + c->reach < c->grid ? col + c->reach : c->grid - 1;
    memset(out, 0, (size_t)n * sizeof *out);
    for (int r = top; r <= bottom; r++) {
        for (int k = left; k <= right; k++) {
            const float *cell = x + (ptrdiff_t)(r * c->grid + k) * n;
            for (int i = 0; i < n; i++)
                out[i] += cell[i];
        }
    }
    float share = 1 / (float)((bottom - top + 1) * (right - left + 1));
    for (int i = 0; i < n; i++)
        out[i] *= share;
}

void regions_average(const struct regions_config *c, const float *x, int n, float *out)
{
    for (int row = 0; row < c->grid; row++) {
        for (int col = 0; col < c->grid; col++, out += n)
            average_one(c, x, row, col, n, out);
    }
}

bool regions_keep(const float *vectors, int cells, int dim, uint8_t *kept)
{
    int8_t *rows = (int8_t *)(kept + (size_t)cells * sizeof(uint16_t));
    bool    good = true;
    for (int i = 0; i < cells && good; i++) {
        uint16_t step;
        good = rows8_pack(vectors + (ptrdiff_t)i * dim, dim, &step, rows + (ptrdiff_t)i * dim);
        memcpy(kept + (size_t)i * sizeof step, &step, sizeof step);
    }
    return good;
}

/* ---- Scores ---- */

static float dot8(const float *a, const int8_t *b, int n)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++)
        sum += a[i] * (float)b[i];
    return sum;
}

/* Puts x among the largest so far, largest first: `have` of at most `most`. */
static void take(float *largest, int have, int most, float x)
{
    int at = have, last = have < most ? have : most - 1;
    while (at > 0 && x > largest[at - 1])
        at--;
    if (at == most)
        return;
    memmove(largest + at + 1, largest + at, (size_t)(last - at) * sizeof *largest);
    largest[at] = x;
}

float regions_score(const struct regions_config *c, const float *text, int dim, const uint8_t *kept)
{
    int           cells = c->grid * c->grid;
    const int8_t *rows  = (const int8_t *)(kept + (size_t)cells * sizeof(uint16_t));
    float         largest[REGIONS_MAX_GRID * REGIONS_MAX_GRID], sum = 0;
    for (int i = 0; i < cells; i++, rows += dim) {
        uint16_t half;
        float    step;
        memcpy(&half, kept + (size_t)i * sizeof half, sizeof half);
        half_to_float(&step, &half, 1);
        take(largest, i < c->top ? i : c->top, c->top, step * dot8(text, rows, dim));
    }
    for (int i = 0; i < c->top; i++)
        sum += largest[i];
    return sum / (float)c->top;
}
