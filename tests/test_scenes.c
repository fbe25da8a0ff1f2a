/* Tests of where scenes change: black, small and large changes, and which of many are
 * taken. */
#include "image/scenes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void take(struct scenes *s, int32_t ms, int luma)
{
    uint8_t thumb[SCENES_PIXELS];
    memset(thumb, luma, sizeof thumb);
    scenes_take(s, ms, thumb);
}

static struct scenes *fresh(void)
{
    struct scenes *s = calloc(1, sizeof *s);
    assert_non_null(s);
    return s;
}

static void changes_are_counted_from_the_last_scene(void **state)
{
    struct scenes *s = fresh();
    (void)state;
    take(s, 0, 16); /* black */
    assert_int_equal(s->n, 0);
    take(s, 40, 100);
    take(s, 80, 110); /* not enough, nor is it from frame to frame, */
    take(s, 120, 117);
    assert_int_equal(s->n, 1);
    take(s, 160, 118); /* but from the first on */
    take(s, 160, 200); /* no time has passed */
    take(s, 200, 16);  /* black between */
    take(s, 240, 119);
    take(s, 280, 60);
    assert_int_equal(s->n, 3);
    assert_int_equal(s->ms[0], 40);
    assert_int_equal(s->ms[1], 160);
    assert_int_equal(s->ms[2], 280);
    free(s);
}

static void many_are_spread(void **state)
{
    /* A hectic second, then one scene each ten. */
    static const int32_t wanted[] = {0, 30000, 60000, 90000};
    struct scenes       *s        = fresh();
    (void)state;
    for (int i = 0; i < 10; i++)
        take(s, 100 * i, i % 2 ? 100 : 200);
    for (int i = 1; i < 10; i++)
        take(s, 10000 * i, i % 2 ? 150 : 220);
    assert_int_equal(s->n, 19);
    scenes_spread(s, 19);
    assert_int_equal(s->n, 19);
    scenes_spread(s, 4);
    assert_int_equal(s->n, 4);
    for (int i = 0; i < 4; i++)
        assert_true(abs(s->ms[i] - wanted[i]) <= 20000);
    assert_int_equal(s->ms[0], 0);
    assert_int_equal(s->ms[3], 90000);
    for (int i = 1; i < 4; i++)
        assert_true(s->ms[i] - s->ms[i - 1] >= 20000);
    scenes_spread(s, 1);
    assert_int_equal(s->ms[0], 0);
    free(s);
}

static void there_is_a_ceiling(void **state)
{
    struct scenes *s = fresh();
    (void)state;
    for (int i = 0; i < SCENES_MAX + 10; i++)
        take(s, i, i % 2 ? 100 : 200);
    assert_int_equal(s->n, SCENES_MAX);
    assert_int_equal(s->ms[SCENES_MAX - 1], SCENES_MAX - 1);
    scenes_spread(s, 64);
    assert_int_equal(s->n, 64);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_counted_from_the_last_scene),
        cmocka_unit_test(many_are_spread),
        cmocka_unit_test(there_is_a_ceiling),
    };
    return cmocka_run_group_tests_name("scenes", tests, NULL, NULL);
}
