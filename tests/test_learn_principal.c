/* Unit tests of core/learn/principal: directions of matrices whose directions are known
 * because the test made them from these. */
#include "learn/principal.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "learn/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIM 90

static double dot(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Random directions at right angles. */
static void make_basis(uint64_t seed, int dim, float *basis)
{
    struct random r;
    random_seed(&r, seed);
    for (int i = 0; i < dim; i++) {
        float *row = basis + (ptrdiff_t)i * dim;
        for (int d = 0; d < dim; d++)
            row[d] = (float)random_normal(&r);
        for (int pass = 0; pass < 2; pass++) {
            for (int k = 0; k < i; k++) {
                double share = dot(row, basis + (ptrdiff_t)k * dim, dim);
                for (int d = 0; d < dim; d++)
                    row[d] -= (float)share * basis[(ptrdiff_t)k * dim + d];
            }
        }
        double length = sqrt(dot(row, row, dim));
        for (int d = 0; d < dim; d++)
            row[d] /= (float)length;
    }
}

/* The matrix with these directions and variances. */
static void make_covariance(const float *basis, const double *variances, int dim, float *out)
{
    for (int i = 0; i < dim; i++) {
        for (int k = 0; k < dim; k++) {
            double sum = 0;
            for (int v = 0; v < dim; v++)
                sum += variances[v] * (double)basis[v * dim + i] * (double)basis[v * dim + k];
            out[i * dim + k] = (float)sum;
        }
    }
}

static void find(const float *covariance, int dim, int n, int threads, float *out)
{
    struct compute *c   = NULL;
    struct err      err = ERR_INIT;
    assert_int_equal(compute_new(cpu_detect(), threads, &c, &err), 0);
    if (principal_directions(c, covariance, dim, n, out, &err))
        fail_msg("%s", err.msg);
    compute_free(c);
}

static float basis[DIM * DIM], covariance[DIM * DIM], found[DIM * DIM];

static void directions_are_those_it_was_made_of(void **state)
{
    (void)state;
    const int n = 50; /* more than a block of rows */
    double    variances[DIM];
    for (int i = 0; i < DIM; i++)
        variances[i] = 40 * pow(0.8, i);
    make_basis(3, DIM, basis);
    make_covariance(basis, variances, DIM, covariance);
    find(covariance, DIM, n, 2, found);
    for (int i = 0; i < n; i++) {
        const float *row = found + (ptrdiff_t)i * DIM;
        double       off = 0;
        assert_float_equal(dot(row, row, DIM), 1, 1e-5);
        for (int k = 0; k < i; k++)
            off = fmax(off, fabs(dot(row, found + (ptrdiff_t)k * DIM, DIM)));
        assert_true(off < 1e-4);
        if (i < 20) /* the last ones stand out less from what single precision rounds off */
            assert_float_equal(fabs(dot(row, basis + (ptrdiff_t)i * DIM, DIM)), 1, 1e-4);
    }
}

/* Variances that differ hardly, and then much less: what spans the space is found. */
static void the_space_is_found_where_directions_are_not(void **state)
{
    (void)state;
    const int n = 40;
    double    variances[DIM];
    for (int i = 0; i < DIM; i++)
        variances[i] = i < n ? 2 - 0.001 * i : 0.3;
    make_basis(4, DIM, basis);
    make_covariance(basis, variances, DIM, covariance);
    find(covariance, DIM, n, 1, found);
    for (int i = 0; i < n; i++) { /* each direction lies inside the space that was found */
        double inside = 0;
        for (int k = 0; k < n; k++) {
            double share = dot(basis + (ptrdiff_t)i * DIM, found + (ptrdiff_t)k * DIM, DIM);
            inside += share * share;
        }
        assert_float_equal(inside, 1, 1e-4);
    }
}

static void without_variance_there_is_no_direction(void **state)
{
    (void)state;
    double variances[DIM] = {5, 3, 2};
    make_basis(5, DIM, basis);
    make_covariance(basis, variances, DIM, covariance);
    find(covariance, DIM, 6, 1, found);
    for (int i = 0; i < 6; i++) {
        const float *row = found + (ptrdiff_t)i * DIM;
        assert_float_equal(dot(row, row, DIM), i < 3 ? 1 : 0, 1e-5);
    }
    memset(covariance, 0, sizeof covariance);
    find(covariance, DIM, 6, 1, found);
    for (int i = 0; i < 6 * DIM; i++)
        assert_true(found[i] == 0);
}

static void threads_change_nothing(void **state)
{
    (void)state;
    static float again[DIM * DIM];
    double       variances[DIM];
    for (int i = 0; i < DIM; i++)
        variances[i] = 1.0 / (i + 1);
    make_basis(6, DIM, basis);
    make_covariance(basis, variances, DIM, covariance);
    find(covariance, DIM, DIM, 1, found);
    find(covariance, DIM, DIM, 3, again);
    assert_memory_equal(found, again, sizeof found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directions_are_those_it_was_made_of),
        cmocka_unit_test(the_space_is_found_where_directions_are_not),
        cmocka_unit_test(without_variance_there_is_no_direction),
        cmocka_unit_test(threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
