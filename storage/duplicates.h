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
#include "base/hash.h"
#include "storage/duplicates_keep.h"
#include "storage/go_on.h"
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
    size_t                       most;  /* pictures, else ERR_LIMIT; 0: any number */
    struct go_on                 go_on; /* asked between steps and in them */
};

/* Reads "identical,same"; NULL: all. name: what messages call it. */
int duplicates_read_kinds(const char *name, const char *text, bool kinds[DUPLICATE_KINDS],
                          struct err *err);
/* Whether a least score is above 0 and at most 1. */
int duplicates_check_share(const char *name, double value, struct err *err);

struct duplicates_member {
    int64_t             id;
    enum duplicate_kind kind;  /* beside the one to keep */
    float               score; /* 0 to 1 */
};

struct duplicates_group {
    struct duplicates_member *members; /* (n), the one to keep first, then by score and id */
    size_t                    n;
    enum duplicate_reason     reason;   /* that it is the one to keep */
    char                      why[160]; /* the same in words */
};

struct duplicates {
    struct duplicates_group *groups; /* (n) by the least id */
    size_t                   n;
    size_t                   pictures; /* that were looked at */
    size_t                   blind;    /* contents without a fingerprint: only identical ones are
                                          found of them, as of films and of scans of several
                                          pages, which are not counted here */
};

int  duplicates_find(struct library *lib, const struct duplicates_options *options,
                     struct duplicates *out, struct err *err);
void duplicates_release(struct duplicates *d);

/* A digest of all that it depends on: as long as that is the same, so is what is found. */
int duplicates_basis(struct library *lib, const struct duplicates_options *options,
                     uint8_t out[HASH_BYTES], struct err *err);

/* A member of a group, with its entry in the library. */
struct duplicates_picture {
    struct library_image image;
    char                *path; /* absolute */
    enum duplicate_kind  kind;
    float                score;
};

/* The entries of a group's members that are still there, the one to keep first, at most `most`
 * of them; *n is 0 when that one has gone, or is alone. Freed with duplicates_pictures_free. */
int  duplicates_pictures(struct library *lib, const struct duplicates_group *group, size_t most,
                         struct duplicates_picture **out, size_t *n, struct err *err);
void duplicates_pictures_free(struct duplicates_picture *pictures, size_t n);

#endif
