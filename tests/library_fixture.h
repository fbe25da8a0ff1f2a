/* Shared by the tests of storage: throw-away libraries, and pictures that exist
 * only as unit vectors made from a seed.
 */
#ifndef OSPREY_TESTS_LIBRARY_FIXTURE_H
#define OSPREY_TESTS_LIBRARY_FIXTURE_H

#include "base/splitmix.h"
#include "storage/library.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DIM 32

static inline float rng_float(uint64_t *s) /* -1 to 1 */
{
    return (float)((double)(splitmix_next(s) >> 11) * 0x1p-52 - 1.0);
}

static inline void unit_vector(float *out, int dim, uint64_t seed)
{
    uint64_t s   = seed * 7919 + 1;
    double   sum = 0;
    for (int i = 0; i < dim; i++) {
        out[i] = rng_float(&s);
        sum += (double)out[i] * (double)out[i];
    }
    for (int i = 0; i < dim; i++)
        out[i] = (float)((double)out[i] / __builtin_sqrt(sum));
}

/* A picture whose content is told by its seed. */
static inline struct library_item picture(int64_t folder, const char *path, uint64_t seed,
                                          float *embedding)
{
    struct library_item item = {.folder_id   = folder,
                                .path        = path,
                                .size        = (int64_t)(1000 + seed),
                                .mtime_ns    = (int64_t)(seed * 1000003),
                                .width       = 640,
                                .height      = 480,
                                .kind        = "JPEG",
                                .orientation = 1,
                                .camera      = "",
                                .embedding   = embedding};
    memcpy(item.hash, &seed, sizeof(seed));
    unit_vector(embedding, DIM, seed);
    return item;
}

static inline char *temporary_dir(void)
{
    char *dir = strdup("/tmp/osprey-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static inline void remove_dir(char *dir)
{
    char command[4200];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
    free(dir);
}

#define assert_ok(call, err)                                                                       \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        if (rc_ != 0)                                                                              \
            fail_msg("%s: %d %s", #call, rc_, (err)->msg);                                         \
    } while (0)

static inline int64_t fill_model(struct library *lib, const char *hash, bool activate)
{
    struct err           err   = ERR_INIT;
    struct library_model model = {
        .name = "test", .dir = "/models/test", .precision = "f32", .dim = DIM};
    snprintf(model.hash, sizeof(model.hash), "%s", hash);
    assert_ok(library_model_register(lib, &model, &err), &err);
    if (activate)
        assert_ok(library_model_activate(lib, model.id, &err), &err);
    return model.id;
}

static inline int64_t add_folder(struct library *lib, const char *path)
{
    struct err err = ERR_INIT;
    int64_t    id;
    char      *below;
    assert_ok(library_folder_add(lib, path, &id, &below, &err), &err);
    assert_string_equal(below, "");
    free(below);
    return id;
}

static inline int64_t add_one(struct library *lib, int64_t model, int64_t folder, const char *path,
                              uint64_t seed)
{
    struct err          err = ERR_INIT;
    float               embedding[DIM];
    struct library_item item = picture(folder, path, seed, embedding);
    assert_ok(library_add(lib, model, &item, 1, &err), &err);
    assert_true(item.id > 0);
    return item.id;
}

static inline void print_finding(void *ctx, const char *finding)
{
    (void)ctx;
    fprintf(stderr, "finding: %s\n", finding);
}

static inline void assert_sound(struct library *lib)
{
    struct err err    = ERR_INIT;
    int64_t    damage = -1;
    assert_ok(library_verify(lib, false, print_finding, NULL, &damage, &err), &err);
    assert_int_equal(damage, 0);
}

#endif
