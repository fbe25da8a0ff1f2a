/* What the mathematics of training runs on: threads that share the items of one
 * phase at a time, the matrix kernel of this processor, scratch memory.
 *
 * The threads live as long as the compute; between phases they sleep, and no
 * barrier spins: the caller takes part in each phase and does whatever the others
 * have not begun, so that a thread which the system keeps waiting costs little
 * more than its share. One phase at a time; a compute belongs to one caller.
 *
 * Results never depend on the number of threads: work is split over outputs, never
 * over what is added up.
 *
 * Running out of memory is remembered, as ferror() remembers: the functions that
 * take a compute return nothing, skip their work once it failed, and the caller
 * asks compute_check after each step.
 */
#ifndef OSPREY_LEARN_COMPUTE_H
#define OSPREY_LEARN_COMPUTE_H

#include "base/cpu.h"
#include "base/err.h"
#include "nn/gemm.h"

#include <stdbool.h>
#include <stddef.h>

struct compute;

/* threads >= 1; cpu from cpu_detect(). */
int  compute_new(struct cpu cpu, int threads, struct compute **out, struct err *err);
void compute_free(struct compute *c); /* NULL-safe */

int         compute_threads(const struct compute *c);
gemm_kernel compute_kernel(const struct compute *c);
struct cpu  compute_cpu(const struct compute *c);

/* Runs do_item(arg, i, thread) for i in [0, items), on all threads, thread in
 * [0, threads); returns when all are done. Must not be nested. */
typedef void (*compute_item)(void *arg, int item, int thread);
void compute_each(struct compute *c, int items, compute_item do_item, void *arg);

/* The same over [0, n) in ranges, each of as much work as is worth a thread's waking:
 * cost is the numbers that one of the n touches. */
typedef void (*compute_range)(void *arg, size_t from, size_t to);
void compute_ranges(struct compute *c, size_t n, size_t cost, compute_range do_range, void *arg);

/* Scratch of at least that many bytes, 64-byte aligned, uninitialised; the next
 * call for the same slot may move it. NULL when there is no memory. A thread's own
 * may be asked for inside an item; the shared slots only outside. */
enum { COMPUTE_PACK, COMPUTE_TURN, COMPUTE_TEMP, COMPUTE_SCORES, COMPUTE_SLOTS };
void *compute_shared(struct compute *c, int slot, size_t bytes);
void *compute_own(struct compute *c, int thread, size_t bytes);

/* Remembers a failure; whoever could not get memory of their own may call it. */
void compute_fail(struct compute *c);
bool compute_failed(const struct compute *c);
/* 0, or ERR_NOMEM once anything failed since compute_new. */
int  compute_check(const struct compute *c, struct err *err);

#endif
