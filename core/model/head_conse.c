/* The zero-shot head "conse": see head.h. Both its parts come from the towers'
 * own weights (tools/models/make_zeroshot_head.py), none from training.
 */
#include "model/head_kind.h"

#include "base/mem.h"
#include "nn/ops.h"

#include <stdlib.h>
#include <string.h>

struct conse {
    struct head        head;
    float              visual_weight;
    struct class_part  classes;
    struct visual_part visual;
};

static void conse_free(struct head *head)
{
    free(head);
}

static int conse_load(const struct head_loader *ld, struct head **out)
{
    double        weight = 0;
    struct conse *h      = mem_zeroed(1, sizeof *h);
    if (!h)
        return err_set(ld->err, ERR_NOMEM, "cannot load a head: out of memory");
    int rc = head_number(ld, "visual_weight", 0, 1, &weight);
    if (!rc)
        rc = class_part_load(ld, &h->classes);
    if (!rc && weight > 0)
        rc = visual_part_load(ld, &h->visual);
    if (rc) {
        conse_free(&h->head);
        return rc;
    }
    h->visual_weight   = (float)weight;
    h->head.dim        = h->classes.hidden + h->visual.dim;
    h->head.parameters = class_part_parameters(&h->classes) + visual_part_parameters(&h->visual);
    *out               = &h->head;
    return 0;
}

static size_t conse_scratch(const struct head *head, int n)
{
    (void)n;
    return (size_t)head->towers.classes * sizeof(float); /* for sorting one row */
}

static void conse_images(const struct head *head, const struct head_seen *seen, int n, int threads,
                         void *scratch, float *out)
{
    const struct conse *h         = (const struct conse *)head;
    int                 dims[]    = {h->classes.hidden, h->visual.dim};
    float               weights[] = {1 - h->visual_weight, h->visual_weight};
    class_part_run(&h->classes, seen->logits, n, threads, scratch, out, head->dim);
    if (h->visual.projection)
        visual_part_run(&h->visual, seen->pooled, n, threads, out + dims[0], head->dim);
    for (int i = 0; i < n; i++)
        parts_join(out + (ptrdiff_t)i * head->dim, dims, weights, 2);
}

static void conse_texts(const struct head *head, const struct head_read *read, int n, int threads,
                        void *scratch, float *out)
{
    const struct conse *h      = (const struct conse *)head;
    int                 hidden = h->classes.hidden;
    (void)threads;
    (void)scratch;
    for (int i = 0; i < n; i++) {
        float *row = out + (ptrdiff_t)i * head->dim;
        memcpy(row, read->pooled + (ptrdiff_t)i * hidden, (size_t)hidden * sizeof *row);
        memset(row + hidden, 0, (size_t)h->visual.dim * sizeof *row);
        ops_l2_normalize(row, hidden);
    }
}

static const struct class_part *conse_classes(const struct head *head)
{
    return &((const struct conse *)head)->classes;
}

const struct head_kind head_conse = {.name    = "conse",
                                     .load    = conse_load,
                                     .free    = conse_free,
                                     .scratch = conse_scratch,
                                     .images  = conse_images,
                                     .texts   = conse_texts,
                                     .classes = conse_classes};
