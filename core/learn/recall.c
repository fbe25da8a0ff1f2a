/* How often what belongs together is found: see recall.h. */
#include "learn/recall.h"

#include "base/mem.h"

#include <stdlib.h>

#define AT_ONCE 16 /* queries in an item of a phase */

struct ranking {
    const float *scores;
    const int   *groups, *item_groups;
    int          n, items;
    ptrdiff_t    step, item_step; /* from one query, one item, to the next */
    int         *ranks;           /* (n); 0: nothing to be found */
};

/* Some queries side by side: where they are columns, each line of memory is read
 * once for all of them. */
static void rank_some(void *arg, int item, int thread)
{
    struct ranking *r    = arg;
    int             from = item * AT_ONCE, n = r->n - from < AT_ONCE ? r->n - from : AT_ONCE;
    const float    *at = r->scores + from * r->step;
    int             best[AT_ONCE];
    float           score[AT_ONCE] = {0};
    (void)thread;
    for (int q = 0; q < n; q++) {
        best[q]            = -1;
        r->ranks[from + q] = 0;
    }
    for (int i = 0; i < r->items; i++) {
        for (int q = 0; q < n; q++) {
            float s = at[q * r->step + i * r->item_step];
            if (r->item_groups[i] == r->groups[from + q] && (best[q] < 0 || s > score[q])) {
                best[q]  = i;
                score[q] = s;
            }
        }
    }
    for (int i = 0; i < r->items; i++) {
        for (int q = 0; q < n; q++) {
            float s = at[q * r->step + i * r->item_step];
            if (best[q] >= 0)
                r->ranks[from + q] +=
                    i == best[q] || s > score[q] || (s == score[q] && i < best[q]);
        }
    }
}

static void count(struct compute *c, struct ranking *r, struct recall *out)
{
    *out = (struct recall){0};
    compute_each(c, (r->n + AT_ONCE - 1) / AT_ONCE, rank_some, r);
    for (int q = 0; q < r->n; q++) {
        int rank = r->ranks[q];
        out->n += rank > 0;
        out->r1 += rank == 1;
        out->r5 += rank >= 1 && rank <= 5;
        out->r10 += rank >= 1 && rank <= 10;
    }
    double percent = out->n ? 100.0 / out->n : 0;
    out->r1 *= percent;
    out->r5 *= percent;
    out->r10 *= percent;
}

int recall_both(struct compute *c, enum distance distance, const struct loss_sets_f32 *sets,
                float *scores, struct recall *a_among_b, struct recall *b_among_a, struct err *err)
{
    int  most  = sets->na > sets->nb ? sets->na : sets->nb;
    int *ranks = mem_array((size_t)most + 1, sizeof *ranks);
    if (!ranks)
        return err_set(err, ERR_NOMEM, "out of memory for %d queries", most);
    similarity_forward_f32(c, distance, sets, scores);
    int rc = compute_check(c, err);
    if (!rc) {
        struct ranking forth = {.scores      = scores,
                                .groups      = sets->groups_a,
                                .item_groups = sets->groups_b,
                                .n           = sets->na,
                                .items       = sets->nb,
                                .step        = sets->nb,
                                .item_step   = 1,
                                .ranks       = ranks};
        struct ranking back  = {.scores      = scores,
                                .groups      = sets->groups_b,
                                .item_groups = sets->groups_a,
                                .n           = sets->nb,
                                .items       = sets->na,
                                .step        = 1,
                                .item_step   = sets->nb,
                                .ranks       = ranks};
        count(c, &forth, a_among_b);
        count(c, &back, b_among_a);
    }
    free(ranks);
    return rc;
}

double recall_mean(const struct recall *r)
{
    return (r->r1 + r->r5 + r->r10) / 3;
}
