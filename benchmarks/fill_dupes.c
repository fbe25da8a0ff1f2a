/* A large library to look for copies in, for bench_dupes.py.
 *
 *     fill_dupes LIBRARY N
 *
 * LIBRARY holds pictures and their fingerprints. It is filled up to N with pictures that
 * have no files: embeddings with noise, fingerprints that are two of its own laid over one
 * another, so that both are spread as those of pictures are.
 */
#include "base/mem.h"
#include "base/splitmix.h"
#include "image/fingerprint.h"
#include "storage/library.h"
#include "storage/library_fingerprints.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 512
#define NOISE 0.8 /* its length; an embedding's is 1 */
#define SEEDS 4000

static void check(int rc, const struct err *err)
{
    if (rc) {
        fprintf(stderr, "fill_dupes: %s\n", err->msg);
        exit(3);
    }
}

struct seeds {
    size_t   n, dim;
    float   *vectors; /* (n, dim) */
    uint8_t *prints;  /* (n, FINGERPRINT_BYTES) */
};

static void read_seeds(struct library *lib, const struct library_model *model, struct seeds *s)
{
    struct err            err = ERR_INIT;
    struct library_image *images;
    size_t                n;
    check(library_list(lib, NULL, LIBRARY_BY_DATE, NULL, SEEDS, &images, &n, &err), &err);
    s->dim     = (size_t)model->dim;
    s->vectors = mem_array(n * s->dim, sizeof *s->vectors);
    s->prints  = mem_array(n, FINGERPRINT_BYTES);
    s->n       = 0;
    for (size_t i = 0; i < n; i++) {
        if (library_embedding_get(lib, images[i].id, s->vectors + s->n * s->dim, &err) == 0 &&
            library_fingerprint_get(lib, images[i].hash, s->prints + s->n * FINGERPRINT_BYTES,
                                    &err) == 0)
            s->n++;
        library_image_release(&images[i]);
    }
    free(images);
    if (s->n < 2) {
        fprintf(stderr, "fill_dupes: the library has too few pictures with fingerprints\n");
        exit(3);
    }
}

static void embedding(const struct seeds *s, uint64_t *random, float *out)
{
    const float *seed  = s->vectors + splitmix_below(random, s->n) * s->dim;
    double       scale = NOISE / sqrt((double)s->dim / 3), sum = 0;
    for (size_t i = 0; i < s->dim; i++) {
        out[i] = seed[i] + (float)(scale * (2 * splitmix_unit(random) - 1));
        sum += (double)(out[i] * out[i]);
    }
    for (size_t i = 0; i < s->dim; i++)
        out[i] = (float)((double)out[i] / sqrt(sum));
}

static void fingerprint(const struct seeds *s, uint64_t *random, uint8_t *out)
{
    const uint8_t *a     = s->prints + splitmix_below(random, s->n) * FINGERPRINT_BYTES;
    const uint8_t *b     = s->prints + splitmix_below(random, s->n) * FINGERPRINT_BYTES;
    int            share = 40 + (int)splitmix_below(random, 20); /* percent */
    memcpy(out, a, FINGERPRINT_BYTES);
    for (int i = 2; i < FINGERPRINT_BYTES; i++)
        out[i] = (uint8_t)((a[i] * share + b[FINGERPRINT_BYTES + 1 - i] * (100 - share)) / 100);
}

static void fill(struct library *lib, const struct library_model *model, const struct seeds *s,
                 int64_t from, int64_t n)
{
    static char         paths[BATCH][48];
    static uint8_t      prints[BATCH][FINGERPRINT_BYTES];
    struct library_item items[BATCH];
    struct err          err = ERR_INIT;
    int64_t             folder;
    char               *below;
    float              *vectors = mem_array(BATCH * s->dim, sizeof *vectors);
    check(library_folder_add(lib, "/nowhere/dupes", &folder, &below, &err), &err);
    free(below);
    for (int64_t at = from; at < n && vectors;) {
        size_t   m      = n - at < BATCH ? (size_t)(n - at) : BATCH;
        uint64_t random = (uint64_t)at * 7919 + 1;
        for (size_t i = 0; i < m; i++, at++) {
            embedding(s, &random, vectors + i * s->dim);
            fingerprint(s, &random, prints[i]);
            snprintf(paths[i], sizeof paths[i], "%05lld/IMG_%08lld.jpg", (long long)(at / 1000),
                     (long long)at);
            items[i]         = (struct library_item){.folder_id   = folder,
                                                     .path        = paths[i],
                                                     .size        = 3000000,
                                                     .mtime_ns    = at,
                                                     .width       = 4000,
                                                     .height      = 3000,
                                                     .kind        = "JPEG",
                                                     .orientation = 1,
                                                     .camera      = "",
                                                     .embedding   = vectors + i * s->dim,
                                                     .fingerprint = prints[i]};
            uint64_t hash[2] = {splitmix_next(&random), splitmix_next(&random)};
            memcpy(items[i].hash, hash, sizeof hash);
        }
        check(library_add(lib, model->id, items, m, &err), &err);
    }
    free(vectors);
    check(library_index_maintain(lib, true, &err), &err);
}

int main(int argc, char **argv)
{
    struct err           err = ERR_INIT;
    struct library      *lib;
    struct library_model model;
    struct library_stats stats;
    struct seeds         seeds = {0};
    if (argc != 3) {
        fprintf(stderr, "Usage: fill_dupes LIBRARY N\n");
        return 2;
    }
    check(library_open(argv[1], LIBRARY_EXISTING, &lib, &err), &err);
    check(library_model_active(lib, &model, &err), &err);
    check(library_stats(lib, &stats, &err), &err);
    read_seeds(lib, &model, &seeds);
    fill(lib, &model, &seeds, stats.images, atoll(argv[2]));
    free(seeds.vectors);
    free(seeds.prints);
    library_close(lib);
    return 0;
}
