/* Which labels fit a picture: one linear function of its embedding for each label,
 * calibrated so that one threshold means the same for all of them. Where the functions
 * come from (words, examples, both) is not known here.
 *
 * A raw score r_l(x) (a text's cosine, a probe's logit) becomes
 *
 *     v_l(x) = ((r_l - a m_l)(x) - mean over labels and references of the same) / scale_l
 *
 * with m_l the mean of the label's scores over the library's background and scale_l made
 * of its deviation there and of the usual one. The mean over the labels takes out what
 * makes a picture near to all texts; a part `a` of the label's own mean what makes a text
 * near to all pictures (all of it would take "dog" from a library of dogs). All of that is
 * linear again. Then the best label of a picture pushes back those far behind it, which
 * are mostly its neighbours: v - PUSH * (best - FREE), where best > FREE. The score is
 * 1 / (1 + exp(-SLOPE (v - MIDDLE))), and a parent's ("animal" of "animal|dog") at least
 * its children's. docs/design.md says what the constants were chosen by.
 */
#ifndef OSPREY_LEARN_TAGGER_H
#define OSPREY_LEARN_TAGGER_H

#include "base/err.h"
#include "text/label.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAGGER_MOST_LABELS 20000
#define TAGGER_THRESHOLD   0.5 /* the usual one */
#define TAGGER_TOP         5   /* likewise */
#define TAGGER_SEPARATOR   LABEL_SEPARATOR

/* ---- Rows: raw linear scores, calibrated in place ---- */

struct tagger_rows {
    size_t n, dim;
    float *rows;  /* (n, dim) */
    float *bias;  /* (n) */
    bool  *known; /* (n) false: this label has no row; NULL: all have */
};

struct tagger_background {
    const float *x; /* (n, dim) embeddings spread over the library */
    size_t       n;
};

/* From raw to v. refs (n_refs, dim): rows of references that count among the labels where
 * their mean is taken and whose deviation is the usual one, or NULL: the labels' own.
 * own: how much of the scale is the label's own deviation, 0 to 1. stretch: v is
 * multiplied by it. Nothing but the mean is taken where the background is too small. */
int tagger_calibrate(struct tagger_rows *r, const float *refs, size_t n_refs,
                     const struct tagger_background *b, double own, double stretch,
                     struct err *err);
/* a += b where both are known, scaled so that v scatters over the background as they do
 * alone; what only b knows is taken over. Both are calibrated, with the same labels. */
int tagger_mix(struct tagger_rows *a, const struct tagger_rows *b,
               const struct tagger_background *background, struct err *err);

/* ---- The tagger ---- */

struct tagger {
    size_t n, dim;
    char **labels; /* (n) sorted bytewise: a parent before its children */
    int   *parent; /* (n) or -1 */
    int   *depth;  /* (n) bars in it */
    float *packed; /* (n, dim) for nn/gemm.h */
    float *rows;   /* (n, dim) */
    float *bias;   /* (n) hugely negative: only its children speak for it */
    double threshold;
    size_t top; /* labels of one picture, not counting what lies above them; 0, or more than
                 * there are: all */
};

struct tagger_tag {
    int    label;
    double score; /* 0 to 1 */
};

/* labels (r->n): sorted, different, each with its parents before it. Copies everything. */
int tagger_new(const char *const *labels, const struct tagger_rows *r, double threshold, size_t top,
               struct tagger **out, struct err *err);
void tagger_free(struct tagger *t); /* NULL-safe */

/* v (m, n) of m pictures, x (m, dim). */
void   tagger_score(const struct tagger *t, const float *x, size_t m, float *v);
/* The labels of one picture that reach the threshold, best first, one above another after
 * it where they score the same: out has room for n. Uses up v (n). */
size_t tagger_choose(const struct tagger *t, float *v, struct tagger_tag *out);

/* One block of bytes and back; *bytes is freed by the caller. ERR_DAMAGED for what none
 * of ours are. */
int tagger_pack(const struct tagger *t, uint8_t **bytes, size_t *len, struct err *err);
int tagger_unpack(const uint8_t *bytes, size_t len, struct tagger **out, struct err *err);

#endif
