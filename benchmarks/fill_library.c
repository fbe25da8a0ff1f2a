/* Makes a library larger: copies of its pictures' embeddings with noise, as pictures
 * that have no files, until it holds N; then its index is written anew.
 *
 *     fill_library LIBRARY N
 *
 * For measuring searches in a library of a real model without encoding N pictures.
 */
#include "base/mem.h"
#include "base/splitmix.h"
#include "storage/library.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 512
#define NOISE 1.0 /* its length; an embedding's is 1 */

static void check(int rc, const struct err *err)
{
    if (rc) {
        fprintf(stderr, "fill_library: %s\n", err->msg);
        exit(3);
    }
}

/* out, seed: (dim). */
static void with_noise(float *out, const float *seed, size_t dim, uint64_t *random)
{
    float  scale = (float)(NOISE / sqrt((double)dim / 3)); /* uniform in -1..1: variance 1/3 */
    double sum   = 0;
    for (size_t i = 0; i < dim; i++) {
        out[i] = seed[i] + scale * (float)(int32_t)splitmix_next(random) * 0x1p-31f;
        sum += (double)(out[i] * out[i]);
    }
    float length = (float)(1 / sqrt(sum));
    for (size_t i = 0; i < dim; i++)
        out[i] *= length;
}

static void add(struct library *lib, const struct library_model *model, int64_t folder,
                const float *seeds, size_t n_seeds, size_t first, size_t n, float *vectors)
{
    static char         paths[BATCH][48];
    struct library_item items[BATCH];
    struct err          err    = ERR_INIT;
    size_t              dim    = (size_t)model->dim;
    uint64_t            random = first + 1;
    for (size_t i = 0; i < n; i++) {
        size_t   number = first + i;
        uint64_t hash[2];
        with_noise(vectors + i * dim, seeds + number % n_seeds * dim, dim, &random);
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
                                         .embedding = vectors + i * dim};
        hash[0] = splitmix_next(&random), hash[1] = splitmix_next(&random);
        memcpy(items[i].hash, hash, sizeof(hash));
    }
    check(library_add(lib, model->id, items, n, &err), &err);
}

int main(int argc, char **argv)
{
    struct err            err = ERR_INIT;
    struct library       *lib;
    struct library_model  model;
    struct library_image *images;
    size_t                n_seeds, wanted = argc == 3 ? (size_t)atoll(argv[2]) : 0;
    int64_t               folder;
    char                 *below;
    if (argc != 3 || wanted > 100000000) {
        fprintf(stderr, "Usage: fill_library LIBRARY N\n");
        return 2;
    }
    check(library_open(argv[1], LIBRARY_EXISTING, &lib, &err), &err);
    check(library_model_active(lib, &model, &err), &err);
    check(library_list(lib, NULL, LIBRARY_BY_ID, NULL, 1000, &images, &n_seeds, &err), &err);
    size_t dim     = (size_t)model.dim;
    float *seeds   = mem_array(n_seeds * dim, sizeof *seeds);
    float *vectors = mem_array(BATCH * dim, sizeof *vectors);
    if (!n_seeds || !seeds || !vectors) {
        fprintf(stderr, "fill_library: no pictures to begin with, or no memory\n");
        return 3;
    }
    for (size_t i = 0; i < n_seeds; i++) {
        check(library_embedding_get(lib, images[i].id, seeds + i * dim, &err), &err);
        library_image_release(&images[i]);
    }
    free(images);
    check(library_folder_add(lib, "/nowhere/filled", &folder, &below, &err), &err);
    free(below);
    for (size_t at = n_seeds; at < wanted;) {
        size_t n = wanted - at < BATCH ? wanted - at : BATCH;
        add(lib, &model, folder, seeds, n_seeds, at, n, vectors);
        at += n;
    }
    check(library_index_maintain(lib, true, &err), &err);
    free(seeds);
    free(vectors);
    library_close(lib);
    return 0;
}
