/* Unit tests of storage/query.c: weighed sums, and their terms through the
 * default model. */
#include "storage/query.h"

#include "base/mem.h"
#include "model/models.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_sum_has_length_one(void **state)
{
    (void)state;
    const float e[]  = {1, 0, 0, 0, 1, 0};
    const float w[]  = {3, -4};
    float       q[3] = {9, 9, 9};
    struct err  err  = ERR_INIT;
    assert_int_equal(query_combine(e, w, 2, 3, q, &err), 0);
    assert_float_equal(q[0], 0.6, 1e-7);
    assert_float_equal(q[1], -0.8, 1e-7);
    assert_float_equal(q[2], 0, 0);
}

static void one_term_is_itself_or_its_opposite(void **state)
{
    (void)state;
    const float e[] = {0.6f, 0.8f};
    float       q[2];
    struct err  err = ERR_INIT;
    assert_int_equal(query_combine(e, (const float[]){2.5f}, 1, 2, q, &err), 0);
    assert_float_equal(q[0], 0.6, 1e-7);
    assert_float_equal(q[1], 0.8, 1e-7);
    assert_int_equal(query_combine(e, (const float[]){-1e-6f}, 1, 2, q, &err), 0);
    assert_float_equal(q[0], -0.6, 1e-7);
}

static void terms_that_cancel_out_are_a_wrong_usage(void **state)
{
    (void)state;
    const float e[]  = {0.6f, 0.8f, 0.6f, 0.8f, 0.6f + 1e-7f, 0.8f};
    float       q[2] = {7, 7};
    struct err  err  = ERR_INIT;
    assert_int_equal(query_combine(e, (const float[]){1, -1}, 2, 2, q, &err), ERR_USAGE);
    assert_non_null(strstr(err.msg, "cancel"));
    assert_float_equal(q[0], 7, 0);
    /* what is left is only rounding */
    assert_int_equal(query_combine(e + 2, (const float[]){5, -5}, 2, 2, q, &err), ERR_USAGE);
    assert_int_equal(query_combine(e, (const float[]){0}, 1, 2, q, &err), ERR_USAGE);
    assert_int_equal(query_combine(e, (const float[]){0, 1}, 2, 2, q, &err), 0);
}

static void what_is_not_a_number_is_refused(void **state)
{
    (void)state;
    const float e[] = {NAN, 0.8f};
    float       q[2];
    struct err  err = ERR_INIT;
    assert_int_equal(query_combine(e, (const float[]){1}, 1, 2, q, &err), ERR_USAGE);
}

/* ---- Through the model ---- */

struct fixture {
    struct encoder         *enc;
    struct encoder_scratch *scratch;
    int                     dim;
};

static int open_model(void **state)
{
    struct fixture *f   = mem_zeroed(1, sizeof *f);
    char           *dir = NULL;
    struct err      err = ERR_INIT;
    *state              = f;
    if (!f)
        return -1;
    if (models_find(MODELS_DEFAULT, &dir, &err) &&
        models_find(TEST_MODELS "/" MODELS_DEFAULT, &dir, &err))
        return print_error("%s\n", err.msg), -1;
    int rc = encoder_open(dir, &f->enc, &err);
    free(dir);
    if (!rc)
        rc = encoder_scratch_new(f->enc, 2, &f->scratch, &err);
    if (rc)
        return print_error("%s\n", err.msg), -1;
    f->dim = encoder_info(f->enc)->dim;
    return 0;
}

static int close_model(void **state)
{
    struct fixture *f = *state;
    encoder_scratch_free(f->scratch);
    encoder_close(f->enc);
    free(f);
    return 0;
}

static void a_query_is_the_sum_of_its_parts(void **state)
{
    struct fixture   *f   = *state;
    struct err        err = ERR_INIT;
    size_t            dim = (size_t)f->dim;
    float            *one = mem_array(4 * dim, sizeof *one), *q = one + 3 * dim;
    const char *const texts[] = {"a dog", "a beach with people"};
    assert_int_equal(encoder_texts(f->enc, f->scratch, texts, 1, one, &err), 0);
    assert_int_equal(encoder_texts(f->enc, f->scratch, texts + 1, 1, one + dim, &err), 0);
    memset(one + 2 * dim, 0, dim * sizeof *one);
    one[2 * dim + 1] = 1; /* a term that is known already */

    const struct query_term terms[] = {{.weight = 2, .text = texts[0]},
                                       {.weight = 0.5f, .embedding = one + 2 * dim},
                                       {.weight = -1, .text = texts[1]}};
    assert_int_equal(query_encode(f->enc, f->scratch, terms, 3, q, &err), 0);
    double norm = 0;
    for (size_t d = 0; d < dim; d++) {
        one[d] = 2 * one[d] - one[dim + d] + 0.5f * one[2 * dim + d];
        norm += (double)one[d] * (double)one[d];
    }
    norm = sqrt(norm);
    for (size_t d = 0; d < dim; d++)
        assert_float_equal(q[d], (float)(one[d] / norm), 1e-5);
    free(one);
}

static void a_bad_picture_is_named(void **state)
{
    struct fixture   *f    = *state;
    struct err        err  = ERR_INIT;
    float            *q    = mem_array((size_t)f->dim, sizeof *q);
    struct query_term term = {
        .weight = 1, .image = (const uint8_t *)"no picture", .image_len = 10, .name = "x/y.jpg"};
    assert_true(query_encode(f->enc, f->scratch, &term, 1, q, &err) < 0);
    assert_non_null(strstr(err.msg, "x/y.jpg"));
    free(q);
}

static void terms_are_counted_and_not_empty(void **state)
{
    struct fixture   *f   = *state;
    struct err        err = ERR_INIT;
    float            *q   = mem_array((size_t)f->dim, sizeof *q);
    struct query_term terms[QUERY_MAX_TERMS + 1];
    assert_int_equal(query_encode(f->enc, f->scratch, terms, 0, q, &err), ERR_USAGE);
    for (size_t i = 0; i <= QUERY_MAX_TERMS; i++)
        terms[i] = (struct query_term){.weight = 1, .text = "a"};
    assert_int_equal(query_encode(f->enc, f->scratch, terms, QUERY_MAX_TERMS + 1, q, &err),
                     ERR_USAGE);
    terms[1].text = NULL;
    assert_int_equal(query_encode(f->enc, f->scratch, terms, 2, q, &err), ERR_USAGE);
    free(q);
}

int main(void)
{
    const struct CMUnitTest sums[] = {
        cmocka_unit_test(a_sum_has_length_one),
        cmocka_unit_test(one_term_is_itself_or_its_opposite),
        cmocka_unit_test(terms_that_cancel_out_are_a_wrong_usage),
        cmocka_unit_test(what_is_not_a_number_is_refused),
    };
    const struct CMUnitTest encoded[] = {
        cmocka_unit_test(a_query_is_the_sum_of_its_parts),
        cmocka_unit_test(a_bad_picture_is_named),
        cmocka_unit_test(terms_are_counted_and_not_empty),
    };
    return cmocka_run_group_tests(sums, NULL, NULL) +
           cmocka_run_group_tests(encoded, open_model, close_model);
}
