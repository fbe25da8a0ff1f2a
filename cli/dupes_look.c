/* Making fingerprints that are missing (dupes_look.h). */
#include "cli/dupes_look.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "cli/output.h"
#include "image/decoder.h"
#include "storage/library_fingerprints.h"
#include "storage/query.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH       256 /* pictures between two writes: what is lost at worst */
#define THREADS_MAX 64
#define TELL_EVERY  10 /* seconds between two lines of progress */

struct look {
    struct library            *lib;
    struct decoder            *decoders[THREADS_MAX];
    int                        threads;
    struct library_fingerprint made[BATCH];
    bool                       good[BATCH];
};

/* 0, or why the picture cannot be looked at. */
static int look_at(struct decoder *decoder, const struct library_image *image,
                   struct library_fingerprint *out, struct err *err)
{
    uint8_t     *bytes = NULL;
    size_t       n     = 0;
    struct image view;
    char        *path = path_join(image->folder, image->path);
    int          rc   = path ? file_read(path, QUERY_MAX_IMAGE_BYTES, &bytes, &n, err)
                             : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc)
        hash_bytes(bytes, n, out->hash);
    if (!rc && memcmp(out->hash, image->hash, sizeof out->hash) != 0)
        rc = err_set(err, ERR_FORMAT, "%s has changed since it was indexed", path);
    if (!rc)
        rc = decoder_decode(decoder, bytes, n, 4 * FINGERPRINT_SIDE, &view, NULL, err);
    if (!rc)
        rc = fingerprint_make(&view, out->bytes, err);
    free(bytes);
    free(path);
    return rc;
}

/* Those that are asked for of a page of images. */
static int look_at_page(struct look *look, const struct library_image *images, size_t n,
                        const struct places *places, size_t *unread, struct err *err)
{
    size_t     good   = 0;
    int        broken = 0;
    struct err why    = ERR_INIT;
#pragma omp parallel for schedule(dynamic, 1) num_threads(look->threads)
    for (size_t i = 0; i < n; i++) {
        struct err      e       = ERR_INIT;
        struct decoder *decoder = look->decoders[omp_get_thread_num()];
        look->good[i]           = false;
        if (!places_have(places, images[i].folder, images[i].path))
            continue;
        int rc        = look_at(decoder, &images[i], &look->made[i], &e);
        look->good[i] = rc == 0;
#pragma omp critical(dupes_look)
        {
            *unread += rc != 0;
            if (rc && (rc == ERR_NOMEM || decoder_is_broken(decoder))) {
                broken = rc;
                why    = e;
            }
        }
    }
    if (broken)
        return err_set(err, why.code, "%s", why.msg);
    for (size_t i = 0; i < n; i++)
        if (look->good[i])
            look->made[good++] = look->made[i];
    return good ? library_fingerprints_put(look->lib, look->made, good, err) : 0;
}

static int look_init(struct look *look, struct err *err)
{
    int rc        = 0;
    int cores     = parallel_cores();
    look->threads = cores < THREADS_MAX ? cores : THREADS_MAX;
    for (int i = 0; i < look->threads && !rc; i++)
        rc = decoder_open(NULL, &look->decoders[i], err);
    return rc;
}

int dupes_look(struct library *lib, const struct common *common, const struct places *places,
               size_t *unread, struct err *err)
{
    struct look *look  = mem_zeroed(1, sizeof *look);
    int64_t      after = 0;
    size_t       done  = 0;
    time_t       told  = time(NULL);
    *unread            = 0;
    if (!look)
        return err_set(err, ERR_NOMEM, "out of memory");
    look->lib = lib;
    int rc    = look_init(look, err);
    for (size_t n = 1; n > 0 && !rc;) {
        struct library_image *images = NULL;
        rc = library_fingerprints_missing(lib, after, BATCH, &images, &n, err);
        if (!rc && n > 0)
            rc = look_at_page(look, images, n, places, unread, err);
        for (size_t i = 0; i < n && images; i++) {
            after = images[i].id;
            library_image_release(&images[i]);
        }
        free(images);
        done += n;
        if (!rc && n > 0 && time(NULL) - told >= TELL_EVERY) {
            note(common, "looked at %zu pictures that were indexed without fingerprints", done);
            told = time(NULL);
        }
    }
    for (int i = 0; i < look->threads; i++)
        decoder_close(look->decoders[i]);
    free(look);
    return rc;
}
