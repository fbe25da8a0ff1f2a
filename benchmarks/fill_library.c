/* Makes a library larger: copies of its pictures' embeddings with noise, as pictures
 * that have no files, until it holds N; then its index is written anew.
 *
 *     fill_library LIBRARY N [PICTURES [NOISE]]
 *
 * The copies are of the first PICTURES (1000); NOISE is its length (1), an embedding's is 1.
 * Fingerprints are two of theirs laid over one another, so that both are spread as those
 * of pictures are. For measuring searches, and looks for copies, in a library of a real
 * model without encoding N pictures.
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

struct seeds {
    size_t   n, dim;
    double   noise;
    float   *vectors; /* (n, dim) */
    uint8_t *prints;  /* (n, FINGERPRINT_BYTES) */
};

static void check(int rc, const struct err *err)
{
    if (rc) {
        fprintf(stderr, "fill_library: %s\n", err->msg);
        exit(3);
    }
}

/* out: (dim). */
static void with_noise(float *out, const struct seeds *s, size_t which, uint64_t *random)
{
    size_t       dim   = s->dim;
    const float *seed  = s->vectors + which * dim;
    float        scale = (float)(s->noise / sqrt((double)dim / 3)); /* in -1..1: variance 1/3 */
    double       sum   = 0;
    for (size_t i = 0; i < dim; i++) {
        out[i] = seed[i] + scale * (float)(int32_t)splitmix_next(random) * 0x1p-31f;
        sum += (double)(out[i] * out[i]);
    }
    float length = (float)(1 / sqrt(sum));
    for (size_t i = 0; i < dim; i++)
        out[i] *= length;
}

static void overlay(const struct seeds *s, uint64_t *random, uint8_t *out)
{
    const uint8_t *a     = s->prints + splitmix_below(random, s->n) * FINGERPRINT_BYTES;
    const uint8_t *b     = s->prints + splitmix_below(random, s->n) * FINGERPRINT_BYTES;
    int            share = 40 + (int)splitmix_below(random, 20); /* percent */
    memcpy(out, a, FINGERPRINT_BYTES);
    for (int i = 2; i < FINGERPRINT_BYTES; i++)
        out[i] = (uint8_t)((a[i] * share + b[FINGERPRINT_BYTES + 1 - i] * (100 - share)) / 100);
}

static void add(struct library *lib, const struct library_model *model, int64_t folder,
                const struct seeds *seeds, size_t first, size_t n, float *vectors)
{
    static char         paths[BATCH][48];
    static uint8_t      prints[BATCH][FINGERPRINT_BYTES];
    struct library_item items[BATCH];
    struct err          err    = ERR_INIT;
    size_t              dim    = (size_t)model->dim;
    uint64_t            random = first + 1;
    for (size_t i = 0; i < n; i++) {
        size_t   number = first + i;
        uint64_t hash[2];
        with_noise(vectors + i * dim, seeds, number % seeds->n, &random);
        overlay(seeds, &random, prints[i]);
        snprintf(paths[i], sizeof(paths[i]), "%05zu/IMG_%08zu.jpg", number / 1000, number);
        items[i] = (struct library_item){.folder_id   = folder,
                                         .path        = paths[i],
                                         .size        = 3000000,
                                         .mtime_ns    = (int64_t)number,
                                         .width       = 4000,
                                         .height      = 3000,
                                         .kind        = "JPEG",
                                         .orientation = 1,
                                         .camera      = "",
                                         .taken_at = 1500000000 + (int64_t)(number * 7919 % 100003),
                                         .embedding   = vectors + i * dim,
                                         .fingerprint = prints[i]};
        hash[0] = splitmix_next(&random), hash[1] = splitmix_next(&random);
        memcpy(items[i].hash, hash, sizeof(hash));
    }
    check(library_add(lib, model->id, items, n, &err), &err);
}

/* Of the first pictures that have both. */
static void read_seeds(struct library *lib, size_t most, struct seeds *s)
{
    struct err            err = ERR_INIT;
    struct library_image *images;
    size_t                n;
    check(library_list(lib, NULL, LIBRARY_BY_ID, NULL, most, &images, &n, &err), &err);
    s->vectors = mem_array(n * s->dim + 1, sizeof *s->vectors);
    s->prints  = mem_array(n + 1, FINGERPRINT_BYTES);
    for (size_t i = 0; i < n && s->vectors && s->prints; i++) {
        if (library_embedding_get(lib, images[i].id, s->vectors + s->n * s->dim, &err) == 0 &&
            library_fingerprint_get(lib, images[i].hash, s->prints + s->n * FINGERPRINT_BYTES,
                                    &err) == 0)
            s->n++;
        library_image_release(&images[i]);
    }
    free(images);
}

int main(int argc, char **argv)
{
    struct err           err = ERR_INIT;
    struct library      *lib;
    struct library_model model;
    struct library_stats stats;
    struct seeds         seeds  = {.noise = argc == 5 ? atof(argv[4]) : 1};
    size_t               wanted = argc >= 3 ? (size_t)atoll(argv[2]) : 0;
    int64_t              folder;
    char                *below;
    if (argc < 3 || argc > 5 || wanted > 100000000) {
        fprintf(stderr, "Usage: fill_library LIBRARY N [PICTURES [NOISE]]\n");
        return 2;
    }
    check(library_open(argv[1], LIBRARY_EXISTING, &lib, &err), &err);
    check(library_model_active(lib, &model, &err), &err);
    check(library_stats(lib, &stats, &err), &err);
    seeds.dim = (size_t)model.dim;
    read_seeds(lib, argc >= 4 ? (size_t)atoll(argv[3]) : 1000, &seeds);
    float *vectors = mem_array(BATCH * seeds.dim, sizeof *vectors);
    if (!seeds.n || !vectors) {
        fprintf(stderr, "fill_library: no pictures to begin with, or no memory\n");
        return 3;
    }
    check(library_folder_add(lib, "/nowhere/filled", &folder, &below, &err), &err);
    free(below);
    for (size_t at = (size_t)stats.images; at < wanted;) {
        size_t n = wanted - at < BATCH ? wanted - at : BATCH;
        add(lib, &model, folder, &seeds, at, n, vectors);
        at += n;
    }
    check(library_index_maintain(lib, true, &err), &err);
    free(seeds.vectors);
    free(seeds.prints);
    free(vectors);
    library_close(lib);
    return 0;
}
