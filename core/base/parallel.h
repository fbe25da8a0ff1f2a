/* What threads need to pass work along: a bounded queue of pointers, a budget,
 * and how many cores this process may use.
 *
 * Not a thread pool: whoever needs threads starts and joins them. The bounds
 * are what keeps memory flat, however much work there is.
 */
#ifndef OSPREY_BASE_PARALLEL_H
#define OSPREY_BASE_PARALLEL_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Cores that this process may run on (its affinity mask); at least 1. */
int parallel_cores(void);

/* A bounded first-in-first-out queue of pointers, for any number of producers
 * and consumers. */
struct queue;

int  queue_new(size_t capacity, struct queue **out, struct err *err);
void queue_free(
    struct queue *q); /* NULL-safe; nobody may use it any more, items are the caller's */

/* Waits for room. False once the queue was closed: the item is still the caller's. */
bool  queue_push(struct queue *q, void *item);
/* The same without waiting: false also when there is no room now. */
bool  queue_try_push(struct queue *q, void *item);
/* Waits for an item; NULL once the queue is closed and empty. */
void *queue_pop(struct queue *q);
/* The same without waiting: NULL also when nothing is there now. */
void *queue_try_pop(struct queue *q);
/* The same, waiting at most ms milliseconds. */
void *queue_pop_within(struct queue *q, int ms);
/* No more items come in; those inside can still be taken. */
void  queue_close(struct queue *q);

/* A budget that threads share, in whatever unit: bytes in flight, say. */
struct budget;

int      budget_new(uint64_t total, struct budget **out, struct err *err);
void     budget_free(struct budget *b); /* NULL-safe */
/* Waits until amount is free and takes it. What is more than the whole budget
 * takes all of it, so that it passes alone. Returns what was taken, which goes
 * to budget_give. A thread must not take twice without giving in between. */
uint64_t budget_take(struct budget *b, uint64_t amount);
void     budget_give(struct budget *b, uint64_t taken);

#endif
