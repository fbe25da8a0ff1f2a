/* How fast a model's towers are here (model_bench.h).
 *
 * Pixels are noise and texts are token ids as many as captions of five to nine
 * words have: the time does not depend on what is in them, only on how much there
 * is. Decoding, resizing and tokenizing are not measured, so the folder needs no
 * files for them.
 */
#include "cli/model_bench.h"

#include "cli/output.h"

#include "base/mem.h"
#include "base/parallel.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WARM_UP_S     0.3
#define MEASURE_S     2.0
#define DEFAULT_BATCH 16
#define MAX_BATCH     4096
#define MAX_THREADS   1024
#define SHORTEST_TEXT 7 /* tokens, the marks of beginning and end among them */
#define LONGEST_TEXT  11

/* What one call of a tower takes. */
struct work {
    const struct encoder   *enc;
    struct encoder_scratch *scratch;
    int                     batch;
    uint8_t                *pixels; /* (batch, image_size, image_size, 3) */
    int32_t                *ids;    /* (starts[batch]) */
    int32_t                *starts; /* (batch + 1) */
    float                  *out;    /* (batch, dim) */
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int encode_images(struct work *w, struct err *err)
{
    return encoder_images(w->enc, w->scratch, w->pixels, w->batch, w->out, err);
}

static int encode_texts(struct work *w, struct err *err)
{
    return encoder_tokens(w->enc, w->scratch, w->ids, w->starts, w->batch, w->out, err);
}

/* Items per second, after warming up. */
static int measure(struct work *w, int (*call)(struct work *, struct err *), double *per_s,
                   struct err *err)
{
    double start = now_s(), t = start;
    do {
        int rc = call(w, err);
        if (rc)
            return rc;
    } while (now_s() - start < WARM_UP_S);
    int64_t items = 0;
    start         = now_s();
    do {
        int rc = call(w, err);
        if (rc)
            return rc;
        items += w->batch;
        t = now_s();
    } while (t - start < MEASURE_S);
    *per_s = (double)items / (t - start);
    return 0;
}

/* Texts of SHORTEST_TEXT to LONGEST_TEXT tokens; the last is the greatest, which
 * is where texts end in CLIP's vocabulary. */
static void make_texts(struct work *w, const struct encoder_info *info)
{
    w->starts[0] = 0;
    for (int i = 0; i < w->batch; i++) {
        int at = w->starts[i], n = SHORTEST_TEXT + i % (LONGEST_TEXT - SHORTEST_TEXT + 1);
        if (n > info->max_tokens)
            n = info->max_tokens;
        for (int k = 0; k < n - 1; k++)
            w->ids[at + k] = (int32_t)((at + k) * 7919LL % info->vocabulary);
        w->ids[at + n - 1] = info->vocabulary - 1;
        w->starts[i + 1]   = at + n;
    }
}

static int work_init(struct work *w, const struct encoder *enc, int batch, int threads,
                     struct err *err)
{
    const struct encoder_info *info = encoder_info(enc);
    size_t                     side = (size_t)info->image_size, bytes;
    *w                              = (struct work){.enc = enc, .batch = batch};
    if (!size_mul(side * side * 3, (size_t)batch, &bytes))
        return err_set(err, ERR_LIMIT, "a batch of %d pictures is too large", batch);
    w->pixels = mem_aligned(bytes, 1);
    w->ids    = mem_array((size_t)batch, LONGEST_TEXT * sizeof *w->ids);
    w->starts = mem_array((size_t)batch + 1, sizeof *w->starts);
    w->out    = mem_array((size_t)batch * (size_t)info->dim, sizeof *w->out);
    if (!w->pixels || !w->ids || !w->starts || !w->out)
        return err_set(err, ERR_NOMEM, "out of memory for a batch of %d", batch);
    uint32_t state = 1;
    for (size_t i = 0; i < bytes; i++) {
        state        = state * 1664525u + 1013904223u;
        w->pixels[i] = (uint8_t)(state >> 24);
    }
    make_texts(w, info);
    return encoder_scratch_new(enc, threads, &w->scratch, err);
}

static void work_release(struct work *w)
{
    encoder_scratch_free(w->scratch);
    free(w->pixels);
    free(w->ids);
    free(w->starts);
    free(w->out);
}

static int print(const struct session *s, int batch, int threads, double images_per_s,
                 double texts_per_s, struct err *err)
{
    const struct encoder_info *m      = encoder_info(s->enc);
    double                     gflops = images_per_s * (double)m->image_flops * 1e-9;
    if (!s->common->json) {
        printf("model    %s, %s, %s kernels\nbatch    %d, %d %s\nimages   %.1f per second\n"
               "texts    %.1f per second\n",
               m->name, m->precision, m->cpu, batch, threads, threads == 1 ? "thread" : "threads",
               images_per_s, texts_per_s);
        if (m->image_flops > 0)
            printf("gflops   %.1f (image tower)\n", gflops);
        return 0;
    }
    struct jnode *o      = jnode_object();
    int           failed = !o;
    if (o) {
        failed |= jnode_set_path(o, "model", m->name);
        failed |= jnode_set_int(o, "batch", batch);
        failed |= jnode_set_int(o, "threads", threads);
        failed |= jnode_set_str(o, "precision", m->precision);
        failed |= jnode_set_str(o, "kernels", m->cpu);
        failed |= jnode_set_real(o, "images_per_s", images_per_s);
        failed |= jnode_set_real(o, "texts_per_s", texts_per_s);
        failed |= m->image_flops > 0 ? jnode_set_real(o, "gflops", gflops)
                                     : jnode_set_str(o, "gflops", NULL);
    }
    return out_json(o, failed, err);
}

int model_bench(struct session *s, const struct model_bench *bench, struct err *err)
{
    size_t      batch        = bench->batch ? bench->batch : DEFAULT_BATCH;
    size_t      threads      = bench->threads ? bench->threads : (size_t)parallel_cores();
    double      images_per_s = 0, texts_per_s = 0;
    struct work w = {0};
    if (batch > MAX_BATCH)
        return err_set(err, ERR_USAGE, "--batch is at most %d", MAX_BATCH);
    if (threads > MAX_THREADS)
        return err_set(err, ERR_USAGE, "--threads is at most %d", MAX_THREADS);
    s->towers_only = true;
    int rc         = session_encoder(s, err);
    if (!rc)
        rc = work_init(&w, s->enc, (int)batch, (int)threads, err);
    if (!rc)
        rc = measure(&w, encode_images, &images_per_s, err);
    if (!rc)
        rc = measure(&w, encode_texts, &texts_per_s, err);
    if (!rc)
        rc = print(s, (int)batch, (int)threads, images_per_s, texts_per_s, err);
    work_release(&w);
    return rc;
}
