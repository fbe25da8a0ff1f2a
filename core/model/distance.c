/* Distances between embeddings, and their scores: see distance.h. */
#include "model/distance.h"

#include <math.h>
#include <string.h>

static const char *const NAMES[DISTANCES] = {"cosine", "euclidean", "manhattan"};

const char *distance_name(enum distance distance)
{
    return NAMES[distance];
}

bool distance_of(const char *name, enum distance *out)
{
    for (int i = 0; i < (int)DISTANCES; i++) {
        if (strcmp(NAMES[i], name) == 0) {
            *out = (enum distance)i;
            return true;
        }
    }
    return false;
}

float distance_score(enum distance distance, float closeness)
{
    float d = -closeness;
    if (distance == DISTANCE_COSINE)
        return closeness;
    if (distance == DISTANCE_EUCLIDEAN) /* |a - b|^2 = 2 - 2 a b; rounding may go below 0 */
        d = closeness < 1 ? sqrtf(2 - 2 * closeness) : 0;
    return 1 / (1 + d);
}
