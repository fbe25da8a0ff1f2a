/* How far apart two embeddings are, which a model's config.json says ("osprey":
 * {"distance": ...}): heads are trained for one.
 *
 * Embeddings have length 1 whatever the distance, so the Euclidean one orders as
 * the cosine does. Searching works with closeness, higher is nearer: the inner
 * product, or for Manhattan the distance below zero. What people see is the score.
 */
#ifndef OSPREY_MODEL_DISTANCE_H
#define OSPREY_MODEL_DISTANCE_H

#include <stdbool.h>

enum distance { DISTANCE_COSINE, DISTANCE_EUCLIDEAN, DISTANCE_MANHATTAN, DISTANCES };

/* "cosine", "euclidean", "manhattan" */
const char *distance_name(enum distance distance);
/* False when name is none of them. */
bool        distance_of(const char *name, enum distance *out);

/* The score that belongs to a closeness: the cosine itself, else 1 / (1 + d). */
float distance_score(enum distance distance, float closeness);

#endif
