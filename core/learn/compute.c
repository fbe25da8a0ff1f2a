/* Threads, a matrix kernel and scratch for training: see compute.h. */
#include "learn/compute.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define RANGE       32768 /* numbers that are worth a thread's waking */
#define RANGES_EACH 4     /* for each thread: a late one leaves few undone */

struct block {
    void  *p;
    size_t bytes;
};

struct compute {
    struct cpu    cpu;
    gemm_kernel   kernel;
    int           threads;
    struct block  shared[COMPUTE_SLOTS];
    struct block *own; /* (threads) */
    atomic_bool   failed;

    pthread_mutex_t lock;
    pthread_cond_t  go, done;
    pthread_t      *helpers; /* (started), threads 1, 2, ... */
    int             started;
    /* Under the lock: */
    bool            quit, open; /* open: helpers may join the phase */
    unsigned        phase;
    int             active; /* helpers in the phase */
    /* Of the phase, set before it opens: */
    compute_item    do_item;
    void           *arg;
    int             items;
    atomic_int      next;
};

struct helper {
    struct compute *c;
    int             thread;
};

static void take_items(struct compute *c, int thread)
{
    for (;;) {
        int i = atomic_fetch_add_explicit(&c->next, 1, memory_order_relaxed);
        if (i >= c->items)
            return;
        c->do_item(c->arg, i, thread);
    }
}

static void *help(void *arg)
{
    struct helper   h = *(struct helper *)arg;
    struct compute *c = h.c;
    free(arg);
    unsigned seen = 0;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->quit && (!c->open || c->phase == seen))
            pthread_cond_wait(&c->go, &c->lock);
        if (c->quit)
            break;
        seen = c->phase;
        c->active++;
        pthread_mutex_unlock(&c->lock);
        take_items(c, h.thread);
        pthread_mutex_lock(&c->lock);
        if (--c->active == 0)
            pthread_cond_signal(&c->done);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static int start_helpers(struct compute *c, struct err *err)
{
    for (int i = 1; i < c->threads; i++) {
        struct helper *h = mem_array(1, sizeof *h);
        if (!h)
            return err_set(err, ERR_NOMEM, "out of memory for a thread");
        *h = (struct helper){c, i};
        if (pthread_create(&c->helpers[c->started], NULL, help, h)) {
            free(h);
            return err_set(err, ERR_FAILED, "cannot start thread %d of %d", i + 1, c->threads);
        }
        c->started++;
    }
    return 0;
}

int compute_new(struct cpu cpu, int threads, struct compute **out, struct err *err)
{
    if (threads < 1)
        return err_set(err, ERR_USAGE, "cannot compute on %d threads", threads);
    struct compute *c = mem_zeroed(1, sizeof *c);
    if (!c)
        return err_set(err, ERR_NOMEM, "out of memory for %d threads", threads);
    if (pthread_mutex_init(&c->lock, NULL) || pthread_cond_init(&c->go, NULL) ||
        pthread_cond_init(&c->done, NULL)) {
        free(c);
        return err_set(err, ERR_FAILED, "cannot start threads: the system has no locks left");
    }
    c->cpu     = cpu;
    c->kernel  = gemm_kernel_for(cpu);
    c->threads = threads;
    c->own     = mem_zeroed((size_t)threads, sizeof *c->own);
    c->helpers = mem_zeroed((size_t)threads, sizeof *c->helpers);
    int rc     = !c->own || !c->helpers
                     ? err_set(err, ERR_NOMEM, "out of memory for %d threads", threads)
                     : start_helpers(c, err);
    if (rc) {
        compute_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

void compute_free(struct compute *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->quit = true;
    pthread_cond_broadcast(&c->go);
    pthread_mutex_unlock(&c->lock);
    for (int i = 0; i < c->started; i++)
        pthread_join(c->helpers[i], NULL);
    pthread_cond_destroy(&c->done);
    pthread_cond_destroy(&c->go);
    pthread_mutex_destroy(&c->lock);
    for (int i = 0; c->own && i < c->threads; i++)
        free(c->own[i].p);
    for (int i = 0; i < COMPUTE_SLOTS; i++)
        free(c->shared[i].p);
    free(c->own);
    free(c->helpers);
    free(c);
}

int compute_threads(const struct compute *c)
{
    return c->threads;
}

gemm_kernel compute_kernel(const struct compute *c)
{
    return c->kernel;
}

struct cpu compute_cpu(const struct compute *c)
{
    return c->cpu;
}

void compute_each(struct compute *c, int items, compute_item do_item, void *arg)
{
    if (c->threads == 1 || items <= 1) {
        for (int i = 0; i < items; i++)
            do_item(arg, i, 0);
        return;
    }
    c->do_item = do_item;
    c->arg     = arg;
    c->items   = items;
    atomic_store_explicit(&c->next, 0, memory_order_relaxed);
    pthread_mutex_lock(&c->lock);
    c->phase++;
    c->open = true;
    pthread_cond_broadcast(&c->go);
    pthread_mutex_unlock(&c->lock);
    take_items(c, 0);
    pthread_mutex_lock(&c->lock);
    c->open = false; /* who has not come by now is not needed */
    while (c->active > 0)
        pthread_cond_wait(&c->done, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

struct ranges {
    compute_range do_range;
    void         *arg;
    size_t        n;
    int           items;
};

static void range_item(void *arg, int item, int thread)
{
    const struct ranges *r = arg;
    (void)thread;
    r->do_range(r->arg, r->n * (size_t)item / (size_t)r->items,
                r->n * ((size_t)item + 1) / (size_t)r->items);
}

void compute_ranges(struct compute *c, size_t n, size_t cost, compute_range do_range, void *arg)
{
    size_t work = n * cost, items = work / RANGE;
    if (items > (size_t)c->threads * RANGES_EACH)
        items = (size_t)c->threads * RANGES_EACH;
    if (items > n)
        items = n;
    if (c->threads == 1 || items <= 1) {
        if (n > 0)
            do_range(arg, 0, n);
        return;
    }
    struct ranges r = {do_range, arg, n, (int)items};
    compute_each(c, r.items, range_item, &r);
}

static void *grow(struct compute *c, struct block *b, size_t bytes)
{
    if (b->p && bytes <= b->bytes)
        return b->p;
    void *p = mem_aligned(bytes, 1);
    if (!p) {
        compute_fail(c);
        return NULL;
    }
    free(b->p);
    b->p     = p;
    b->bytes = bytes;
    return p;
}

void *compute_shared(struct compute *c, int slot, size_t bytes)
{
    return grow(c, &c->shared[slot], bytes);
}

void *compute_own(struct compute *c, int thread, size_t bytes)
{
    return grow(c, &c->own[thread], bytes);
}

void compute_fail(struct compute *c)
{
    atomic_store_explicit(&c->failed, true, memory_order_relaxed);
}

bool compute_failed(const struct compute *c)
{
    return atomic_load_explicit(&c->failed, memory_order_relaxed);
}

int compute_check(const struct compute *c, struct err *err)
{
    return compute_failed(c) ? err_set(err, ERR_NOMEM, "out of memory while training") : 0;
}
