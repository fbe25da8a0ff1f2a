/* What stands behind head.h: one kind of head a file, and what they have in
 * common. Only head*.c include this.
 */
#ifndef OSPREY_MODEL_HEAD_KIND_H
#define OSPREY_MODEL_HEAD_KIND_H

#include "model/head.h"
#include "nn/gemm.h"
#include "nn/linear.h"

#include <stdbool.h>

/* What a kind loads from; none of it is kept but st's and p's memory. */
struct head_loader {
    const struct safetensors *st;
    const struct jnode       *config; /* "osprey" of config.json */
    struct head_towers        towers;
    struct prepared          *p;
    struct cpu                cpu;
    enum precision            precision;
    struct err               *err;
};

struct class_part;

struct head_kind {
    const char *name; /* config.json's osprey.head */
    int (*load)(const struct head_loader *ld, struct head **out);
    void (*free)(struct head *head);
    size_t (*scratch)(const struct head *head, int n); /* bytes */
    void (*images)(const struct head *head, const struct head_seen *seen, int n, int threads,
                   void *scratch, float *out);
    void (*texts)(const struct head *head, const struct head_read *read, int n, int threads,
                  void *scratch, float *out);
    void (*as_names)(const struct head *head, float *text); /* one row; NULL: nothing to do */
    const struct class_part *(*classes)(const struct head *head); /* without names: has none */
};

/* The beginning of every kind's own struct. */
struct head {
    const struct head_kind *kind;
    struct head_towers      towers;
    int                     dim;
    bool                    takes_stages;
    int64_t                 parameters;
};

extern const struct head_kind head_conse;
extern const struct head_kind head_trained;

/* ---- Reading (head_parts.c) ---- */

/* A number of config from low to high; *value stays where the key is missing. */
int head_number(const struct head_loader *ld, const char *key, double low, double high,
                double *value);
/* A tensor of rank n_dims whose every size that is not 0 is as said, as floats in
 * the file's order, prepared under "head." and its name. */
int head_floats(const struct head_loader *ld, const char *name, int n, const float **out);

/* ---- The parts that all kinds may have (head_parts.c) ---- */

/* The class part: norm(p W), p = softmax(logits / temperature). */
struct class_part {
    int          classes, hidden;
    float        temperature;
    int          top; /* classes that take part; 0: all */
    bool         center;
    const float *names; /* packed (hidden, classes); NULL: there is no such part */
    gemm_kernel  gemm;
};

/* The visual part: norm(V x), x the pooled features. */
struct visual_part {
    int          dim, features;
    const float *projection; /* packed (dim, features); NULL: there is no such part */
    gemm_kernel  gemm;
};

int class_part_load(const struct head_loader *ld, struct class_part *part);
int visual_part_load(const struct head_loader *ld, struct visual_part *part);

int64_t class_part_parameters(const struct class_part *part);
int64_t visual_part_parameters(const struct visual_part *part);

/* logits: (n, classes), overwritten. sorted: (classes). out: n rows of hidden, ldo
 * apart, of length 1. */
void class_part_run(const struct class_part *part, float *logits, int n, int threads, float *sorted,
                    float *out, int ldo);
/* pooled: (n, features). out: n rows of dim, ldo apart, of length 1. */
void visual_part_run(const struct visual_part *part, const float *pooled, int n, int threads,
                     float *out, int ldo);

/* Weighs parts that lie end to end in row, each of length 1 or nothing, by the
 * roots of their weights, and gives the whole the length 1. */
void parts_join(float *row, const int *dims, const float *weights, int n);

#endif
