/* Unit tests of core/learn/lesson: labels learned from clouds of points, a single label
 * told from a background that holds more of it, and what a person said is none of it.
 */
#include "base/splitmix.h"
#include "learn/lesson.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { DIM = 24, CLOUDS = 4, EACH = 25, ALL = CLOUDS * EACH };

/* Points of length 1 around axis `cloud`, told by their seed. */
static void point(float *out, int cloud, uint64_t seed)
{
    uint64_t s   = seed * 7919 + 13;
    double   sum = 0;
    for (int d = 0; d < DIM; d++) {
        out[d] = (float)(((double)(splitmix_next(&s) >> 11) * 0x1p-52 - 1) * 0.3 + (d == cloud));
        sum += (double)out[d] * (double)out[d];
    }
    for (int d = 0; d < DIM; d++)
        out[d] = (float)((double)out[d] / sqrt(sum));
}

/* The library: point i is of cloud i % CLOUDS. */
static struct tagger_background library(void)
{
    float *x = malloc(sizeof(float) * ALL * DIM);
    assert_non_null(x);
    for (int i = 0; i < ALL; i++)
        point(x + (size_t)i * DIM, i % CLOUDS, (uint64_t)i + 1000);
    return (struct tagger_background){.x = x, .n = ALL};
}

/* v of a row for a point of its own. */
static double v_of(const struct lesson *l, size_t label, int cloud, uint64_t seed)
{
    float x[DIM];
    point(x, cloud, seed);
    double v = (double)l->rows.bias[label];
    for (int d = 0; d < DIM; d++)
        v += (double)x[d] * (double)l->rows.rows[label * DIM + (size_t)d];
    return v;
}

static void labels_are_told(void **state)
{
    (void)state;
    struct err               err        = ERR_INIT;
    struct tagger_background background = library();
    struct lesson            lesson;
    float                    x[15 * DIM];
    int                      labels[15];
    for (int i = 0; i < 15; i++) {
        labels[i] = i % 3;
        point(x + (size_t)i * DIM, i % 3, (uint64_t)i);
    }
    const struct lesson_examples e = {
        .x = x, .labels = labels, .n = 15, .dim = DIM, .n_labels = 3, .background = &background};
    assert_int_equal(lesson_learn(&e, 2, &lesson, &err), 0);
    assert_int_equal(lesson.rows.n, 3);
    assert_true(lesson.folds >= 2 && lesson.accuracy > 0.9);
    for (int cloud = 0; cloud < 3; cloud++)
        for (size_t label = 0; label < 3; label++)
            assert_true((v_of(&lesson, label, cloud, 5000) > 1.5) == (label == (size_t)cloud));
    lesson_release(&lesson);
    free((float *)(uintptr_t)background.x);
}

/* Three examples; the background has 25 more of their cloud, which must not count as
 * pictures without the label. */
static void a_label_alone(void **state)
{
    (void)state;
    struct err               err        = ERR_INIT;
    struct tagger_background background = library();
    struct lesson            lesson;
    float                    x[6 * DIM];
    int                      labels[6] = {0, 0, 0, -1, -1, -1};
    for (int i = 0; i < 6; i++)
        point(x + (size_t)i * DIM, i < 3 ? 1 : 2, (uint64_t)i);
    struct lesson_examples e = {
        .x = x, .labels = labels, .n = 3, .dim = DIM, .n_labels = 1, .background = &background};
    for (int turn = 0; turn < 2; turn++) { /* then with what is none of it */
        e.n = turn ? 6 : 3;
        assert_int_equal(lesson_learn(&e, 1, &lesson, &err), 0);
        assert_int_equal(lesson.rows.n, 1);
        int right = 0;
        for (uint64_t seed = 0; seed < 100; seed++) {
            int cloud = (int)(seed % CLOUDS);
            right += (v_of(&lesson, 0, cloud, 7000 + seed) > 1.5) == (cloud == 1);
        }
        assert_true(right >= 95);
        lesson_release(&lesson);
    }
    free((float *)(uintptr_t)background.x);
}

static void nothing_to_be_told_from(void **state)
{
    (void)state;
    struct err                     err   = ERR_INIT;
    const struct tagger_background empty = {.n = 0};
    struct lesson                  lesson;
    float                          x[DIM];
    int                            label = 0;
    point(x, 1, 1);
    const struct lesson_examples e = {
        .x = x, .labels = &label, .n = 1, .dim = DIM, .n_labels = 1, .background = &empty};
    assert_int_equal(lesson_learn(&e, 1, &lesson, &err), ERR_USAGE);
    lesson_release(&lesson);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_told),
        cmocka_unit_test(a_label_alone),
        cmocka_unit_test(nothing_to_be_told_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
