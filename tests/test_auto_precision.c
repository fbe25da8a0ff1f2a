/* Unit tests of --precision auto: what is chosen of made-up models, and that it is
 * chosen once.
 */
#include "base/file.h"
#include "base/mem.h"
#include "model/auto_precision.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>

/* A model whose precisions have these cosines with single precision, and take
 * so many milliseconds. */
struct made_up {
    float          cosine[3];
    int            ms[3];
    enum precision loaded;
    int            loads, encodes;
    bool           broken;
    double         clock; /* seconds: only encoding takes any */
};

static char folder[64];

static int load(void *ctx, enum precision precision, struct err *err)
{
    struct made_up *m = ctx;
    m->loaded         = precision;
    m->loads++;
    return m->broken ? err_set(err, ERR_FORMAT, "broken") : 0;
}

static int encode(void *ctx, float *out, struct err *err)
{
    struct made_up *m = ctx;
    float           c = m->cosine[m->loaded];
    (void)err;
    m->encodes++;
    m->clock += m->ms[m->loaded] * 1e-3;
    out[0] = 1; /* the first agrees wholly: the least counts */
    out[1] = 0;
    out[2] = c;
    out[3] = sqrtf(1 - c * c);
    return 0;
}

static double made_up_now(void *ctx)
{
    return ((struct made_up *)ctx)->clock;
}

static int choose(struct made_up *m, const char *name, struct cpu cpu, enum precision *out)
{
    struct auto_trial trial = {
        .ctx = m, .n = 2, .dim = 2, .load = load, .encode = encode, .now = made_up_now};
    char       *path    = path_join(folder, name);
    const char *files[] = {path};
    struct err  err     = ERR_INIT;
    assert_non_null(path);
    if (!file_exists(path))
        assert_int_equal(file_replace(path, name, 5, &err), 0);
    int rc = auto_precision(&trial, files, 1, cpu, out, &err);
    free(path);
    return rc;
}

static void the_fastest_that_agrees_is_chosen(void **state)
{
    (void)state;
    static const struct {
        struct made_up m;
        enum precision want;
    } cases[] = {
        {{.cosine = {1, 0.9999f, 0.999f}, .ms = {9, 6, 3}}, PRECISION_INT8},
        {{.cosine = {1, 0.9999f, 0.997f}, .ms = {9, 6, 3}}, PRECISION_BF16},
        {{.cosine = {1, 0.999f, 0.997f}, .ms = {9, 6, 3}}, PRECISION_F32},
        {{.cosine = {1, 0.9999f, 0.999f}, .ms = {3, 9, 6}}, PRECISION_F32},
        {{.cosine = {1, 0.9999f, 0.999f}, .ms = {9, 3, 6}}, PRECISION_BF16},
        {{.cosine = {1, NAN, NAN}, .ms = {9, 6, 3}}, PRECISION_F32},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct made_up m   = cases[i].m;
        enum precision got = PRECISION_AUTO;
        char           name[16];
        (void)snprintf(name, sizeof name, "case%zu", i);
        assert_int_equal(choose(&m, name, cpu_detect(), &got), 0);
        if (got != cases[i].want)
            fail_msg("case %zu: %s, not %s", i, precision_name(got), precision_name(cases[i].want));
    }
}

static void a_choice_is_kept_for_a_kind_of_processor(void **state)
{
    (void)state;
    struct made_up m   = {.cosine = {1, 0.9999f, 0.999f}, .ms = {9, 6, 3}};
    struct cpu     one = {.level = CPU_AVX2}, other = {.level = CPU_PORTABLE};
    enum precision got = PRECISION_AUTO;
    assert_int_equal(choose(&m, "kept", one, &got), 0);
    assert_int_equal(got, PRECISION_INT8);
    assert_int_equal(m.loads, 3);
    m.ms[2] = 30;
    got     = PRECISION_AUTO;
    assert_int_equal(choose(&m, "kept", one, &got), 0);
    assert_int_equal(got, PRECISION_INT8);
    assert_int_equal(m.loads, 3); /* nothing was tried */
    assert_int_equal(choose(&m, "kept", other, &got), 0);
    assert_int_equal(got, PRECISION_BF16);
    assert_int_equal(m.loads, 6);
}

static void a_broken_model_is_no_choice(void **state)
{
    (void)state;
    struct made_up m   = {.cosine = {1, 1, 1}, .broken = true};
    enum precision got = PRECISION_AUTO;
    assert_int_equal(choose(&m, "broken", cpu_detect(), &got), ERR_FORMAT);
    m.broken = false; /* and nothing was kept of it */
    assert_int_equal(choose(&m, "broken", cpu_detect(), &got), 0);
    assert_true(m.encodes > 0);
}

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/osprey-auto-XXXXXX");
    return mkdtemp(folder) && !setenv("XDG_CACHE_HOME", folder, 1) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fastest_that_agrees_is_chosen),
        cmocka_unit_test(a_choice_is_kept_for_a_kind_of_processor),
        cmocka_unit_test(a_broken_model_is_no_choice),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
