/* Which pictures of a library are copies of one another, or nearly so.
 *
 * Three kinds: identical bytes; the same picture (resized, compressed anew, cut a little,
 * turned, brighter, grey: core/image/alike.h); and near ones, of one scene, which the
 * model and the fingerprints find alike. Candidates come from the vector index, and from
 * an index of the fingerprints' coarse shapes in four turns; never all pairs.
 *
 * In a group every picture resembles every other one: chains do not join.
 */
#ifndef OSPREY_STORAGE_DUPLICATES_H
#define OSPREY_STORAGE_DUPLICATES_H

#include "base/err.h"
#include "storage/library.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum duplicate_kind {
    DUPLICATE_IDENTICAL,
    DUPLICATE_SAME,
    DUPLICATE_NEAR,
    DUPLICATE_KINDS,
    DUPLICATE_KEEP = DUPLICATE_KINDS /* no kind: the one to keep */
};
const char *duplicate_kind_name(enum duplicate_kind kind); /* "identical", ..., "keep" */

#define DUPLICATES_SAME 0.96 /* correlation of fingerprints */
#define DUPLICATES_NEAR 0.96 /* match (library_match.h) */

struct duplicates_options {
    bool                         kinds[DUPLICATE_KINDS];
    double                       same; /* least score of each kind, 0 to 1 */
    double                       near;
    const struct library_filter *places; /* (n_places) whose pictures are looked at; 0: all */
    size_t                       n_places;
};

struct duplicates_member {
    int64_t             id;
    enum duplicate_kind kind;  /* beside the one to keep */
    float               score; /* 0 to 1 */
};

struct duplicates_group {
    struct duplicates_member *members; /* (n), the one to keep first, then by score and id */
    size_t                    n;
    char                      why[160]; /* it is the one to keep */
};

struct duplicates {
    struct duplicates_group *groups; /* (n) by the least id */
    size_t                   n;
    size_t                   pictures; /* that were looked at */
    size_t                   blind;    /* contents without a fingerprint */
};

int  duplicates_find(struct library *lib, const struct duplicates_options *options,
                     struct duplicates *out, struct err *err);
void duplicates_release(struct duplicates *d);

#endif
