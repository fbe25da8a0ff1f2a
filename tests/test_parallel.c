/* Unit tests of core/base/parallel: the queue and the budget. */
#include "base/parallel.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

enum { PRODUCERS = 3, CONSUMERS = 4, EACH = 5000 };

struct hall {
    struct queue  *queue;
    struct budget *budget;
    atomic_llong   sum, count, held, most;
    int64_t        values[PRODUCERS * EACH];
    atomic_int     next;
};

static void *produce(void *arg)
{
    struct hall *hall = arg;
    for (int i = 0; i < EACH; i++) {
        int at           = atomic_fetch_add(&hall->next, 1);
        hall->values[at] = at + 1;
        if (!queue_push(hall->queue, &hall->values[at]))
            return arg;
    }
    return NULL;
}

static void *consume(void *arg)
{
    struct hall *hall = arg;
    for (const int64_t *v; (v = queue_pop(hall->queue));) {
        uint64_t  taken = budget_take(hall->budget, (uint64_t)(*v % 13));
        long long held  = atomic_fetch_add(&hall->held, (long long)taken) + (long long)taken;
        long long most  = atomic_load(&hall->most);
        while (held > most && !atomic_compare_exchange_weak(&hall->most, &most, held))
            ;
        atomic_fetch_add(&hall->sum, *v);
        atomic_fetch_add(&hall->count, 1);
        atomic_fetch_sub(&hall->held, (long long)taken);
        budget_give(hall->budget, taken);
    }
    return NULL;
}

static void every_item_arrives_once(void **state)
{
    (void)state;
    static struct hall hall;
    pthread_t          producers[PRODUCERS], consumers[CONSUMERS];
    assert_int_equal(queue_new(7, &hall.queue, NULL), 0);
    assert_int_equal(budget_new(10, &hall.budget, NULL), 0);
    for (int i = 0; i < CONSUMERS; i++)
        assert_int_equal(pthread_create(&consumers[i], NULL, consume, &hall), 0);
    for (int i = 0; i < PRODUCERS; i++)
        assert_int_equal(pthread_create(&producers[i], NULL, produce, &hall), 0);
    for (int i = 0; i < PRODUCERS; i++) {
        void *failed = NULL;
        pthread_join(producers[i], &failed);
        assert_null(failed);
    }
    queue_close(hall.queue);
    for (int i = 0; i < CONSUMERS; i++)
        pthread_join(consumers[i], NULL);
    long long n = PRODUCERS * EACH;
    assert_int_equal(atomic_load(&hall.count), n);
    assert_int_equal(atomic_load(&hall.sum), n * (n + 1) / 2);
    assert_true(atomic_load(&hall.most) <= 10);
    queue_free(hall.queue);
    budget_free(hall.budget);
}

static void a_queue_keeps_its_bound_and_its_order(void **state)
{
    (void)state;
    struct queue *q = NULL;
    int           a = 1, b = 2, c = 3;
    assert_int_equal(queue_new(2, &q, NULL), 0);
    assert_null(queue_try_pop(q));
    assert_null(queue_pop_within(q, 5));
    assert_true(queue_push(q, &a));
    assert_true(queue_try_push(q, &b));
    assert_false(queue_try_push(q, &c));
    assert_ptr_equal(queue_pop(q), &a);
    assert_true(queue_try_push(q, &c));
    queue_close(q);
    assert_false(queue_push(q, &a));
    assert_ptr_equal(queue_pop_within(q, 5), &b);
    assert_ptr_equal(queue_pop(q), &c);
    assert_null(queue_pop(q));
    queue_free(q);
}

static void what_exceeds_the_budget_passes_alone(void **state)
{
    (void)state;
    struct budget *b = NULL;
    assert_int_equal(budget_new(100, &b, NULL), 0);
    assert_int_equal(budget_take(b, 1000), 100);
    budget_give(b, 100);
    assert_int_equal(budget_take(b, 60), 60);
    assert_int_equal(budget_take(b, 40), 40);
    budget_give(b, 60);
    budget_give(b, 40);
    budget_free(b);
    assert_true(parallel_cores() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_arrives_once),
        cmocka_unit_test(a_queue_keeps_its_bound_and_its_order),
        cmocka_unit_test(what_exceeds_the_budget_passes_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
