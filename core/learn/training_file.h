/* The checkpoint of a training, of heads or of a re-ranker: all that it needs to go on
 * as if it had not been stopped. One safetensors file, replaced atomically, with a
 * checksum over its contents, and with what the run is: a run goes on only as what it
 * was, and what differs is named.
 *
 * A trainer lists its arrays, which a checkpoint is written from and read into:
 *
 *     training_keep_adamw(&kept, &adamw, NULL);
 *     training_keep(&kept, "step", DTYPE_I32, 1, &step);
 */
#ifndef OSPREY_LEARN_TRAINING_FILE_H
#define OSPREY_LEARN_TRAINING_FILE_H

#include "base/err.h"
#include "base/hash.h"
#include "learn/adamw.h"
#include "model/safetensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRAINING_TRAITS     48
#define TRAINING_TRAIT_TEXT 96

/* What a run is: its options, and digests of its data. */
struct training_trait {
    const char *name; /* for people: "learning rate"; a digest's in the singular: "seed" */
    char        value[TRAINING_TRAIT_TEXT];
    bool        digest; /* the value says nothing to anybody */
};

struct training_traits {
    struct training_trait list[TRAINING_TRAITS];
    size_t                n;
};

/* Each adds one; names must outlive the list. What changes no number that comes out of a
 * run is no trait of it. */
void training_trait_text(struct training_traits *t, const char *name, const char *value);
void training_trait_real(struct training_traits *t, const char *name, double value);
void training_trait_digest(struct training_traits *t, const char *name, const void *data, size_t n);

/* Arrays of a run. */
struct training_kept {
    struct tensor *tensors; /* (n) with names of their own */
    size_t         n, room;
    bool           failed; /* for want of memory */
};

/* data: (n). A double's bits are kept as DTYPE_I64. */
void training_keep(struct training_kept *k, const char *name, enum dtype dtype, size_t n,
                   void *data);
/* Values, moments and averages of all parameters, and steps; best: one more array of
 * each parameter, or NULL. */
void training_keep_adamw(struct training_kept *k, struct adamw *a, float *const *best);
void training_kept_release(struct training_kept *k); /* NULL-safe */

int training_file_write(const char *path, const struct training_traits *traits,
                        const struct training_kept *kept, struct err *err);

struct training_file; /* a checkpoint that is whole, of a run with these traits */

/* ERR_NOTFOUND when there is none; ERR_DAMAGED for one that is not whole, ERR_USAGE for
 * one of another run: traits that are not given are not compared. */
int    training_file_open(const char *path, const struct training_traits *traits,
                          struct training_file **out, struct err *err);
void   training_file_close(struct training_file *f); /* NULL-safe */
/* Bytes of an array, 0 where there is none of that name. */
size_t training_file_bytes(const struct training_file *f, const char *name);
/* Reads into all arrays, whose sizes must be the file's. */
int    training_file_take(const struct training_file *f, const struct training_kept *kept,
                          struct err *err);
/* For what was read and makes no sense; ERR_DAMAGED. */
int    training_file_damaged(const char *path, const char *why, struct err *err);

#endif
