/* Names and usual settings of losses: see losses.h. */
#include "learn/losses.h"

#include <math.h>
#include <string.h>

static const char *const names[LOSS_KINDS] = {
    [LOSS_INFONCE]     = "infonce",
    [LOSS_TRIPLET]     = "triplet",
    [LOSS_SIGLIP]      = "siglip",
    [LOSS_CONTRASTIVE] = "contrastive",
};

const char *loss_name(enum loss_kind kind)
{
    return names[kind];
}

int loss_by_name(const char *name)
{
    for (int i = 0; i < LOSS_KINDS; i++) {
        if (!strcmp(names[i], name))
            return i;
    }
    return -1;
}

/* Two random rows of length 1 are about sqrt(2) apart; in the sum of absolute
 * differences that is 2 sqrt(dim / pi), which the settings for Euclidean distance
 * are stretched by. */
struct loss loss_default(enum loss_kind kind, enum distance distance, int dim, double *log_scale,
                         double *bias)
{
    struct loss l       = {.kind = kind, .distance = distance};
    double      stretch = distance == DISTANCE_MANHATTAN ? sqrt(2.0 * dim / acos(-1.0)) : 1;
    double      scale   = 1;
    *bias               = 0;
    if (kind == LOSS_INFONCE) {
        scale = 1 / 0.07;
    } else if (kind == LOSS_SIGLIP) {
        scale = 10; /* random pairs begin at -10, which most of them should be */
        *bias = distance == DISTANCE_COSINE ? -10 : -10 + 10 * sqrt(2.0);
    } else if (kind == LOSS_TRIPLET) {
        l.margin = 0.2 * stretch;
    } else if (kind == LOSS_CONTRASTIVE) {
        l.margin = (distance == DISTANCE_COSINE ? 0.8 : 1.25) * stretch;
    }
    *log_scale = log(scale / stretch);
    return l;
}
