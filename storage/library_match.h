/* How good a match a score is, from 0 to 1: the same number means the same for every
 * model, query and library, which a score does not.
 *
 * The ruler is the library itself: a background of up to LIBRARY_BACKGROUND embeddings,
 * spread over it, is kept for the model that fills it. A query's own scores over the
 * background tell where the score of a picture that has nothing to do with it lies
 * (mean) and how far such scores scatter (deviation).
 *
 * - Texts, and sums of several terms: z = (score - mean) / scale, beside what the best
 *   of as many pictures reaches when none is right. The scale is the root mean square of
 *   the query's own deviation and the spread: the usual deviation of reference
 *   sentences over the same background. The former alone would call the least odd
 *   picture for an outlandish text a match, since all scores are low together.
 * - One picture: u = (score - mean) / (1 - mean), the share of the way from an
 *   unrelated picture to the very same one.
 *
 * 0.5 says: as likely the picture that was meant as the best of a library that lacks
 * it. From LIBRARY_GOOD_MATCH on results are called good: nine of ten first results
 * that are right reach it with osprey-small, fewer with other models. docs/design.md says where the
 * constants come from.
 */
#ifndef OSPREY_STORAGE_LIBRARY_MATCH_H
#define OSPREY_STORAGE_LIBRARY_MATCH_H

#include "base/err.h"
#include "storage/library.h"

#define LIBRARY_GOOD_MATCH 0.35
#define LIBRARY_BACKGROUND 512 /* embeddings */

enum library_query { LIBRARY_QUERY_TEXT, LIBRARY_QUERY_IMAGE, LIBRARY_QUERY_MIXED };

/* The kind of a query of so many terms, texts and pictures. */
enum library_query library_query_kind(size_t n_texts, size_t n_images);

struct encoder; /* model/encoder.h */

struct library_match {
    bool               known; /* false: too few pictures to compare with, or all alike */
    enum library_query kind;
    enum distance      distance;
    double             mean, deviation; /* of the query's closeness over the background */
    double             scale;           /* what z is measured in */
    double             images;          /* in the library */
};

/* What scores of closeness mean for a query (kind) that so lies to a background of n
 * pictures in a library of `images`: closeness (n), see model/distance.h. spread 0: unknown. */
struct library_match library_match_from(enum library_query kind, enum distance distance,
                                        const float *closeness, size_t n, double spread,
                                        int64_t images);

/* For a query (dim) to the library as it is now. Reads the background once and then
 * when a tenth of the library has changed; never writes. */
int    library_match_begin(struct library *lib, const float *query, enum library_query kind,
                           struct library_match *out, struct err *err);
/* 0 to 1, growing with the score; 0 where it is not known. */
double library_match_of(const struct library_match *match, float score);
/* The least score that reaches a match; -INFINITY where that is not known. */
float  library_match_score(const struct library_match *match, double wanted);

/* The reference sentences, encoded: *out (*n, dim), freed by the caller. */
int library_match_sentences(const struct encoder *enc, float **out, size_t *n, struct err *err);
/* How many they are. */
size_t library_match_n_sentences(void);
/* The median deviation of sentences whose closeness (n_sentences, n) to a background is
 * given. */
int library_match_spread(const float *closeness, size_t n_sentences, size_t n, double *spread,
                         struct err *err);

/* Stores the background anew when a tenth of the library has changed since, with the
 * spread of reference sentences where enc is the model that answers (it may be another,
 * or NULL). Called by the indexer at the end of a run. */
int library_background_maintain(struct library *lib, const struct encoder *enc, struct err *err);

struct library_background {
    int64_t images; /* in the library when it was stored */
    size_t  n;      /* embeddings */
    double  spread; /* 0: unknown */
};
/* What is stored for the active model; ERR_NOTFOUND. */
int library_background_get(struct library *lib, struct library_background *out, struct err *err);

#endif
