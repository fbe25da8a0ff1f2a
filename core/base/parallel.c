/* A bounded queue, a budget, the number of cores: see parallel.h. */
#include "base/parallel.h"

#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int parallel_cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    int n = 0;
    if (!sched_getaffinity(0, sizeof set, &set))
        n = CPU_COUNT(&set);
    if (n < 1) /* more cores than a cpu_set_t holds */
        n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n;
}

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t  filled; /* an item came, or the queue was closed */
    pthread_cond_t  room;   /* an item went, or the queue was closed */
    void          **slots;  /* (capacity), a ring */
    size_t          capacity, first, n;
    bool            closed;
};

/* A condition whose waits are measured on the clock that nobody sets. */
static int cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    int                failed = pthread_condattr_init(&attr);
    if (failed)
        return failed;
    failed = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (!failed)
        failed = pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
    return failed;
}

int queue_new(size_t capacity, struct queue **out, struct err *err)
{
    struct queue *q = mem_zeroed(1, sizeof *q);
    if (q)
        q->slots = mem_array(capacity, sizeof *q->slots);
    if (!q || !q->slots) {
        free(q);
        return err_set(err, ERR_NOMEM, "out of memory for a queue of %zu", capacity);
    }
    q->capacity = capacity;
    if (pthread_mutex_init(&q->lock, NULL) || cond_init(&q->filled) || cond_init(&q->room)) {
        free(q->slots);
        free(q);
        return err_set(err, ERR_FAILED, "cannot make a queue: the system has no locks left");
    }
    *out = q;
    return 0;
}

void queue_free(struct queue *q)
{
    if (!q)
        return;
    pthread_cond_destroy(&q->room);
    pthread_cond_destroy(&q->filled);
    pthread_mutex_destroy(&q->lock);
    free(q->slots);
    free(q);
}

static bool push_locked(struct queue *q, void *item)
{
    if (q->closed || q->n == q->capacity)
        return false;
    q->slots[(q->first + q->n++) % q->capacity] = item;
    pthread_cond_signal(&q->filled);
    return true;
}

static void *pop_locked(struct queue *q)
{
    if (q->n == 0)
        return NULL;
    void *item = q->slots[q->first];
    q->first   = (q->first + 1) % q->capacity;
    q->n--;
    pthread_cond_signal(&q->room);
    return item;
}

bool queue_push(struct queue *q, void *item)
{
    pthread_mutex_lock(&q->lock);
    while (q->n == q->capacity && !q->closed)
        pthread_cond_wait(&q->room, &q->lock);
    bool pushed = push_locked(q, item);
    pthread_mutex_unlock(&q->lock);
    return pushed;
}

bool queue_try_push(struct queue *q, void *item)
{
    pthread_mutex_lock(&q->lock);
    bool pushed = push_locked(q, item);
    pthread_mutex_unlock(&q->lock);
    return pushed;
}

void *queue_pop(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    while (q->n == 0 && !q->closed)
        pthread_cond_wait(&q->filled, &q->lock);
    void *item = pop_locked(q);
    pthread_mutex_unlock(&q->lock);
    return item;
}

void *queue_try_pop(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    void *item = pop_locked(q);
    pthread_mutex_unlock(&q->lock);
    return item;
}

void *queue_pop_within(struct queue *q, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&q->lock);
    while (q->n == 0 && !q->closed) {
        if (pthread_cond_timedwait(&q->filled, &q->lock, &until) == ETIMEDOUT)
            break;
    }
    void *item = pop_locked(q);
    pthread_mutex_unlock(&q->lock);
    return item;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->filled);
    pthread_cond_broadcast(&q->room);
    pthread_mutex_unlock(&q->lock);
}

struct budget {
    pthread_mutex_t lock;
    pthread_cond_t  given;
    uint64_t        total, free;
    uint64_t        next_ticket, serving; /* first come, first served: big ones are not starved */
};

int budget_new(uint64_t total, struct budget **out, struct err *err)
{
    struct budget *b = mem_zeroed(1, sizeof *b);
    if (!b)
        return err_set(err, ERR_NOMEM, "out of memory");
    b->total = b->free = total;
    if (pthread_mutex_init(&b->lock, NULL) || cond_init(&b->given)) {
        free(b);
        return err_set(err, ERR_FAILED, "cannot make a budget: the system has no locks left");
    }
    *out = b;
    return 0;
}

void budget_free(struct budget *b)
{
    if (!b)
        return;
    pthread_cond_destroy(&b->given);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

uint64_t budget_take(struct budget *b, uint64_t amount)
{
    pthread_mutex_lock(&b->lock);
    if (amount > b->total)
        amount = b->total;
    uint64_t ticket = b->next_ticket++;
    while (ticket != b->serving || b->free < amount)
        pthread_cond_wait(&b->given, &b->lock);
    b->serving++;
    b->free -= amount;
    pthread_cond_broadcast(&b->given);
    pthread_mutex_unlock(&b->lock);
    return amount;
}

void budget_give(struct budget *b, uint64_t taken)
{
    pthread_mutex_lock(&b->lock);
    b->free += taken;
    pthread_cond_broadcast(&b->given);
    pthread_mutex_unlock(&b->lock);
}
