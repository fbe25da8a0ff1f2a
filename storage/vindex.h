/* The base of the vector index: one file, vectors.faiss, searched but never
 * changed in place.
 *
 * FAISS is included by vindex.c alone, and through its C API. The file is a
 * FAISS index (an IDMap, so ids are image ids) followed by a trailer of ours
 * that says how far it reaches: model, sequence number, stamp, checksum. One
 * file, replaced by rename, so that index and sequence number cannot disagree.
 * An entry that is gone has id -1.
 *
 * Searches of one query run in the calling thread alone: for one query a team
 * of threads costs more than it saves. Building and vindex_search_many use them all.
 */
#ifndef OSPREY_STORAGE_VINDEX_H
#define OSPREY_STORAGE_VINDEX_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vindex_kind {
    VINDEX_FLAT, /* exact */
    VINDEX_HNSW, /* a graph: Malkov & Yashunin 2016 */
    VINDEX_IVF   /* inverted lists */
};
const char *vindex_kind_name(enum vindex_kind kind);

enum vindex_metric {
    VINDEX_PRODUCT,  /* inner product */
    VINDEX_MANHATTAN /* sum of differences; VINDEX_FLAT alone */
};

struct vindex_info {
    enum vindex_kind   kind;
    enum vindex_metric metric;
    int                dim;
    int64_t            seq, stamp;     /* of the catalogue's changes; what it reaches to */
    char               model_hash[65]; /* whose embeddings it holds */
    int64_t            count;          /* entries, gone ones too */
    int64_t            gone;
    int64_t trained; /* how many entries it was made for; those after came as they came */
};

struct vindex;

/* Maps a file for searching; for growing it is read into memory. ERR_NOTFOUND
 * when missing, ERR_DAMAGED when it is no sound index. */
int  vindex_open(const char *path, bool to_grow, struct vindex **out, struct err *err);
void vindex_free(struct vindex *ix); /* NULL-safe */
const struct vindex_info *vindex_info(const struct vindex *ix);
/* Reads the whole file against its checksum; ERR_DAMAGED when it differs. */
int                       vindex_check(const char *path, struct err *err);
/* Reads the file's trailer alone, and against its checksum where the file is so
 * small that vindex_open would do so, too. Errors as from vindex_open. */
int                       vindex_peek(const char *path, struct vindex_info *out, struct err *err);
/* Which file lies at path now, so that a replaced one is noticed; zeroes: none. */
struct vindex_file {
    uint64_t device, inode;
    int64_t  changed; /* nanoseconds */
};
struct vindex_file vindex_file_at(const char *path);
bool               vindex_file_equal(const struct vindex_file *a, const struct vindex_file *b);
struct vindex_file vindex_file_of(const struct vindex *ix); /* that it was opened from */

/* An empty index for about expected entries. Train (IVF: a sample; others need
 * none), add, write. */
int    vindex_new(enum vindex_kind kind, enum vindex_metric metric, int dim, int64_t expected,
                  struct vindex **out, struct err *err);
size_t vindex_training_size(const struct vindex *ix); /* vectors it would like, 0: none */
int    vindex_train(struct vindex *ix, size_t n, const float *x /* (n, dim) */, struct err *err);
int    vindex_add(struct vindex *ix, size_t n, const int64_t *ids, const float *x /* (n, dim) */,
                  struct err *err);
/* Marks entries gone whose id gone() tells so. */
void   vindex_remove(struct vindex *ix, bool (*gone)(void *ctx, int64_t id), void *ctx);
int    vindex_write(struct vindex *ix, const char *path, int64_t seq, int64_t stamp,
                    const char *model_hash, struct err *err);

/* The nearest entries, best first, gone ones left out: *n is at most fetch. positions (may
 * be NULL): where vindex_vectors has what is stored of each. scores: inner products, or Manhattan
 * distances below zero. effort scales how much of an approximate index is looked at (1: the usual).
 */
int vindex_search(struct vindex *ix, const float *query, size_t fetch, int effort, int64_t *ids,
                  int64_t *positions, float *scores, size_t *n, struct err *err);

/* The same for n queries (n, dim) on all cores: ids and scores (n, fetch), best first; those of
 * a query that has fewer end with id -1. effort 0: a glance, for candidates that are
 * judged by something else. */
int vindex_search_many(struct vindex *ix, const float *queries, size_t n, size_t fetch, int effort,
                       int64_t *ids, float *scores, struct err *err);

/* Ids by position, -1 where gone: (info->count). */
const int64_t *vindex_ids(const struct vindex *ix);
/* What is stored at positions from ... from + n - 1, the halves that were added, to the
 * bit: out (n, dim). */
int vindex_vectors(struct vindex *ix, int64_t from, int64_t n, float *out, struct err *err);

#endif
