/* Re-ranking by regions: a second pair of trained heads (model/head.h), which sees a
 * picture part by part.
 *
 * A region is a cell of the image tower's grid together with the cells around it,
 * up to `reach` away: their mean takes the place of the pooled features as the
 * image head's input, while what the head takes beside them stays the whole
 * picture's. Each region becomes a unit vector; a text is one, too, from the text
 * head; and the score is
 *
 *     the mean of the `top` largest dot products of the text with the regions.
 *
 * The maximum over regions is the alignment of DeViSE fragments (Karpathy, Joulin
 * and Fei-Fei, NIPS 2014, section 3.3) for a whole sentence instead of its parts;
 * the mean of a few is less noisy. Nothing is trained on regions: the heads are
 * those of `osprey train heads` from another seed, whose errors differ from those
 * of the heads that searched first. About half of the gain is that.
 *
 * Kept of a picture: its region vectors in the form of rows8.h.
 */
#ifndef OSPREY_RERANK_REGIONS_H
#define OSPREY_RERANK_REGIONS_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

struct regions_config {
    int   grid;  /* cells along a side: 7 */
    int   reach; /* cells on each side of a region's own: 2 */
    int   top;   /* regions that count: 3 */
    float weight;
};

#define REGIONS_MAX_GRID 64

/* config: the object under "reranker", {"type": "regions", "grid": 7, "reach": 2,
 * "top": 3, "weight": 1, "head": {...}}; the last is what "osprey" is in a model's
 * config.json and says what the tensors of the file are (model/head.h). */
int regions_config_parse(const struct jnode *config, struct regions_config *out, struct err *err);
/* Sets the same keys but head; 0 or -1 as the setters of base/json.h. */
int regions_config_write(const struct regions_config *c, struct jnode *node);

/* Means of cells and those around them, as far as there are any. x, out: (grid,
 * grid, n). */
void regions_average(const struct regions_config *c, const float *x, int n, float *out);

/* vectors: (cells, dim). kept: rows8_bytes(cells, dim). False when they are not
 * finite. */
bool  regions_keep(const float *vectors, int cells, int dim, uint8_t *kept);
/* text: (dim). */
float regions_score(const struct regions_config *c, const float *text, int dim,
                    const uint8_t *kept);

#endif
