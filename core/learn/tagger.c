/* Which labels fit a picture, given their linear functions: see tagger.h. The bytes of a
 * kept tagger: a header, rows, biases, then the labels with a NUL after each; in the
 * machine's own order, little-endian as all that Osprey runs on. */
#include "learn/tagger.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "nn/gemm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SLOPE   2.0
#define MIDDLE  2.5
#define PUSH    0.5
#define FREE    2.5
#define NOTHING (-1e30F)

#define MAGIC      0x4741544fu /* "OTAG" */
#define MOST_BYTES ((size_t)1 << 30)

struct header {
    uint32_t magic, version;
    uint64_t n, dim, top, label_bytes;
    double   threshold;
};

/* ---- Making one ---- */

static int find_parent(const struct tagger *t, size_t label)
{
    const char *bar = strrchr(t->labels[label], TAGGER_SEPARATOR);
    if (!bar)
        return -1;
    size_t len = (size_t)(bar - t->labels[label]);
    for (size_t i = label; i-- > 0;)
        if (strncmp(t->labels[i], t->labels[label], len) == 0 && t->labels[i][len] == '\0')
            return (int)i;
    return -1;
}

static int depth_of(const char *label)
{
    int bars = 0;
    for (; *label; label++)
        bars += *label == TAGGER_SEPARATOR;
    return bars;
}

static int fill(struct tagger *t, const char *const *labels, const struct tagger_rows *r,
                struct err *err)
{
    for (size_t i = 0; i < t->n; i++) {
        bool known = !r->known || r->known[i];
        if (i > 0 && strcmp(labels[i - 1], labels[i]) >= 0)
            return err_set(err, ERR_DAMAGED, "the labels %.100s and %.100s are not in order",
                           labels[i - 1], labels[i]);
        if (!(t->labels[i] = mem_strdup(labels[i])))
            return err_set(err, ERR_NOMEM, "out of memory for %zu labels", t->n);
        t->parent[i] = find_parent(t, i);
        t->depth[i]  = depth_of(labels[i]);
        t->bias[i]   = known ? r->bias[i] : NOTHING;
        if (known)
            memcpy(t->rows + i * t->dim, r->rows + i * t->dim, t->dim * sizeof *t->rows);
    }
    gemm_pack(t->rows, (int)t->n, (int)t->dim, t->packed);
    return 0;
}

int tagger_new(const char *const *labels, const struct tagger_rows *r, double threshold, size_t top,
               struct tagger **out, struct err *err)
{
    if (r->n == 0 || r->n > TAGGER_MOST_LABELS || r->dim == 0 || r->dim > 65536)
        return err_set(err, ERR_LIMIT, "%zu labels: at least 1 and at most %d can be told apart",
                       r->n, TAGGER_MOST_LABELS);
    struct tagger *t = mem_zeroed(1, sizeof *t);
    if (!t)
        return err_set(err, ERR_NOMEM, "out of memory");
    *t        = (struct tagger){.n = r->n, .dim = r->dim, .threshold = threshold, .top = top};
    t->labels = mem_zeroed(t->n, sizeof *t->labels);
    t->parent = mem_array(t->n, sizeof *t->parent);
    t->depth  = mem_array(t->n, sizeof *t->depth);
    t->rows   = mem_zeroed(t->n * t->dim, sizeof *t->rows);
    t->bias   = mem_array(t->n, sizeof *t->bias);
    t->packed = mem_aligned(gemm_packed_size((int)t->n, (int)t->dim), sizeof *t->packed);
    int rc    = t->labels && t->parent && t->depth && t->rows && t->bias && t->packed
                    ? fill(t, labels, r, err)
                    : err_set(err, ERR_NOMEM, "out of memory for %zu labels", t->n);
    if (rc)
        tagger_free(t);
    else
        *out = t;
    return rc;
}

void tagger_free(struct tagger *t)
{
    if (!t)
        return;
    for (size_t i = 0; t->labels && i < t->n; i++)
        free(t->labels[i]);
    free(t->labels);
    free(t->parent);
    free(t->depth);
    free(t->rows);
    free(t->bias);
    free(t->packed);
    free(t);
}

/* ---- Using it ---- */

void tagger_score(const struct tagger *t, const float *x, size_t m, float *v)
{
    const struct gemm g = {.m    = (int)m,
                           .n    = (int)t->n,
                           .k    = (int)t->dim,
                           .a    = x,
                           .lda  = (int)t->dim,
                           .w    = t->packed,
                           .bias = t->bias,
                           .c    = v,
                           .ldc  = (int)t->n,
                           .act  = ACT_NONE};
    gemm_kernel_for(cpu_detect())(&g);
}

static double score_of(double v)
{
    return 1 / (1 + exp(-SLOPE * (v - MIDDLE)));
}

/* The v that a score belongs to. */
static double v_of(double score)
{
    if (score <= 0)
        return (double)NOTHING / 2;
    return score >= 1 ? INFINITY : MIDDLE + log(score / (1 - score)) / SLOPE;
}

struct order {
    const struct tagger *t;
    const float         *v;
};

/* The better one first; of equals the lower one, which says more. */
static int by_rank(const void *a, const void *b, void *ctx)
{
    const struct order      *o = ctx;
    const struct tagger_tag *x = a, *y = b;
    float                    vx = o->v[x->label], vy = o->v[y->label];
    if (vx != vy)
        return vx < vy ? 1 : -1;
    int dx = o->t->depth[x->label], dy = o->t->depth[y->label];
    return dx != dy ? dy - dx : x->label - y->label;
}

/* Whether label lies above one of the n chosen. */
static bool is_above(const struct tagger *t, int label, const struct tagger_tag *chosen, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (int up = t->parent[chosen[i].label]; up >= 0; up = t->parent[up])
            if (up == label)
                return true;
    return false;
}

size_t tagger_choose(const struct tagger *t, float *v, struct tagger_tag *out)
{
    float  best  = NOTHING;
    double least = v_of(t->threshold);
    size_t n = 0, kept = 0, counted = 0;
    for (size_t i = 0; i < t->n; i++)
        best = v[i] > best ? v[i] : best;
    float push = best > (float)FREE ? (float)(PUSH * ((double)best - FREE)) : 0;
    for (size_t i = 0; i < t->n; i++)
        v[i] -= push;
    for (size_t i = t->n; i-- > 0;) /* children come behind */
        if (t->parent[i] >= 0 && v[i] > v[t->parent[i]])
            v[t->parent[i]] = v[i];
    for (size_t i = 0; i < t->n; i++)
        if ((double)v[i] >= least)
            out[n++].label = (int)i;
    qsort_r(out, n, sizeof *out, by_rank, &(struct order){t, v});
    for (size_t i = 0; i < n; i++) {
        bool above = is_above(t, out[i].label, out, kept);
        if (!above && t->top && counted == t->top)
            continue;
        counted += !above;
        out[kept].label = out[i].label;
        out[kept].score = score_of((double)v[out[i].label]);
        kept++;
    }
    return kept;
}

/* ---- Keeping it ---- */

int tagger_pack(const struct tagger *t, uint8_t **bytes, size_t *len, struct err *err)
{
    struct header h = {MAGIC, 1, t->n, t->dim, t->top, 0, t->threshold};
    for (size_t i = 0; i < t->n; i++)
        h.label_bytes += strlen(t->labels[i]) + 1;
    size_t rows = t->n * t->dim * sizeof *t->rows, bias = t->n * sizeof *t->bias;
    *len   = sizeof h + rows + bias + (size_t)h.label_bytes;
    *bytes = mem_array(*len, 1);
    if (!*bytes || *len > MOST_BYTES) {
        free(*bytes);
        return err_set(err, ERR_LIMIT, "%zu labels are too many to be kept", t->n);
    }
    uint8_t *at = *bytes;
    memcpy(at, &h, sizeof h);
    memcpy(at += sizeof h, t->rows, rows);
    memcpy(at += rows, t->bias, bias);
    at += bias;
    for (size_t i = 0; i < t->n; i++) {
        size_t n = strlen(t->labels[i]) + 1;
        memcpy(at, t->labels[i], n);
        at += n;
    }
    return 0;
}

/* Points at the labels in bytes that end with a NUL; false where they are not n. */
static bool split_labels(const char *at, size_t len, const char **labels, size_t n)
{
    const char *end = at + len;
    size_t      i   = 0;
    for (; i < n && at < end; i++) {
        labels[i] = at;
        at += strlen(at) + 1;
    }
    return i == n && at == end;
}

int tagger_unpack(const uint8_t *bytes, size_t len, struct tagger **out, struct err *err)
{
    struct header h;
    size_t        rows = 0, bias = 0, whole = sizeof h;
    bool          sound = len >= sizeof h && len <= MOST_BYTES;
    if (sound)
        memcpy(&h, bytes, sizeof h);
    sound = sound && h.magic == MAGIC && h.version == 1 && h.n > 0 && h.n <= TAGGER_MOST_LABELS &&
            h.dim > 0 && h.dim <= 65536 && h.label_bytes <= len && h.label_bytes > 0 &&
            isfinite(h.threshold); /* any top: more than there are labels is all of them */
    if (sound) {
        rows = (size_t)(h.n * h.dim) * sizeof(float);
        bias = (size_t)h.n * sizeof(float);
        whole += rows + bias + (size_t)h.label_bytes;
    }
    if (!sound || whole != len || bytes[len - 1] != '\0')
        return err_set(err, ERR_DAMAGED, "they are not as they were written");
    const char       **labels = mem_array((size_t)h.n, sizeof *labels);
    struct tagger_rows r      = {.n    = (size_t)h.n,
                                 .dim  = (size_t)h.dim,
                                 .rows = mem_array(rows, 1),
                                 .bias = mem_array(bias, 1)};
    int rc = labels && r.rows && r.bias ? 0 : err_set(err, ERR_NOMEM, "out of memory for labels");
    if (!rc) {
        memcpy(r.rows, bytes + sizeof h, rows);
        memcpy(r.bias, bytes + sizeof h + rows, bias);
        if (!split_labels((const char *)bytes + sizeof h + rows + bias, (size_t)h.label_bytes,
                          labels, r.n))
            rc = err_set(err, ERR_DAMAGED, "their names are cut short");
    }
    if (!rc)
        rc = tagger_new(labels, &r, h.threshold, (size_t)h.top, out, err);
    free(labels);
    free(r.rows);
    free(r.bias);
    return rc;
}
