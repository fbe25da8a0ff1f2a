/* Unit tests of core/learn's layers: gradients by finite differences, single against
 * double precision, and that threads change nothing. */
#include "tests/gradcheck.h"

#include "learn/layers.h"

#include "learn/real_f32.h"

#include "tests/learn_layers_inl.h"

#include "learn/real_f64.h"

#include "tests/learn_layers_inl.h"

#define CASE(name) #name, name##_f64, name##_f32

static const struct gradcheck cases[] = {
    {CASE(linear), {35, 63, 9}, 0}, {CASE(residual), {84, 132, 132}, 0},
    {CASE(sum), {50, 50}, 0},       {CASE(gelu), {301}, 0},
    {CASE(relu), {301}, 0},         {CASE(drop), {301}, 0},
    {CASE(norm), {222, 37, 37}, 0}, {CASE(l2), {222}, 0},
    {CASE(standardise), {222}, 0},  {CASE(softmax), {222}, 0},
    {CASE(softmax_all), {222}, 0},  {CASE(attend), {690}, 0},
    {CASE(mean_pool), {207}, 0},    {CASE(attention_pool), {207, 9}, 0},
    {CASE(gather), {205}, 0},       {CASE(concat), {66, 30, 2}, 0},
};

static void test_gradients(void **state)
{
    (void)state;
    struct compute *c = NULL;
    assert_int_equal(compute_new(cpu_detect(), 2, &c, NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        gradcheck_run(&cases[i], c, 7 + i);
    compute_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
