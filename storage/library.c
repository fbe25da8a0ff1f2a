/* A library: opening it, and the writes that keep catalogue and vector index
 * together. Each is one transaction of the catalogue; the index follows from
 * the changes it notes.
 */
#include "storage/library_impl.h"

#include "base/file.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FLAT_MAX  50000
#define HNSW_MAX  1000000
#define DELTA_MIN 1000

#define WORDS_AT_ONCE ((size_t)512) /* images whose words a batch writes at least */

int library_default_dir(char **dir, struct err *err)
{
    const char *given = getenv("OSPREY_LIBRARY");
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (given && *given)
        *dir = mem_strdup(given);
    else if (data && data[0] == '/') /* a relative one is to be ignored, says XDG */
        *dir = path_join(data, "osprey/library");
    else if (home && *home)
        *dir = path_join(home, ".local/share/osprey/library");
    else
        return err_set(err, ERR_USAGE,
                       "cannot tell where the library is: neither OSPREY_LIBRARY, XDG_DATA_HOME "
                       "nor HOME is set");
    return *dir ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

static int make_paths(struct library *lib, const char *dir, struct err *err)
{
    lib->dir             = mem_strdup(dir);
    lib->catalog_path    = path_join(dir, "catalog.db");
    lib->vectors_path    = path_join(dir, "vectors.faiss");
    lib->lock_path       = path_join(dir, "indexer.lock");
    lib->build_lock_path = path_join(dir, "vectors.lock");
    if (!lib->dir || !lib->catalog_path || !lib->vectors_path || !lib->lock_path ||
        !lib->build_lock_path)
        return err_set(err, ERR_NOMEM, "cannot open library %s: out of memory", dir);
    return 0;
}

int library_open(const char *dir, enum library_access access, struct library **out, struct err *err)
{
    struct library *lib = mem_zeroed(1, sizeof(*lib));
    if (!lib)
        return err_set(err, ERR_NOMEM, "cannot open library %s: out of memory", dir);
    lib->lock_fd = -1;
    lib->half    = half_ops_choose();
    lib->tuning  = (struct library_tuning){FLAT_MAX, HNSW_MAX, DELTA_MIN};
    int rc       = make_paths(lib, dir, err);
    if (rc == 0 && access == LIBRARY_CREATE)
        rc = file_mkdirs(dir, err);
    if (rc == 0 && access == LIBRARY_EXISTING && !file_exists(lib->catalog_path))
        rc = err_set(err, ERR_NOTFOUND, "there is no library in %s: index a folder first", dir);
    if (rc == 0)
        rc = catalog_open(lib->catalog_path, access == LIBRARY_CREATE, &lib->cat, err);
    if (rc) {
        library_close(lib);
        return rc;
    }
    *out = lib;
    return 0;
}

void library_close(struct library *lib)
{
    if (!lib)
        return;
    library_unlock(lib);
    library_unload(lib);
    library_background_release(&lib->background);
    catalog_close(lib->cat);
    free(lib->dir);
    free(lib->catalog_path);
    free(lib->vectors_path);
    free(lib->lock_path);
    free(lib->build_lock_path);
    free(lib);
}

const char *library_dir(const struct library *lib)
{
    return lib->dir;
}

/* ---- Transactions around the catalogue's calls ---- */

static int finish(struct library *lib, int rc, struct err *err)
{
    return catalog_finish(lib->cat, rc, err);
}

int library_model_active(struct library *lib, struct library_model *out, struct err *err)
{
    int rc = catalog_model_by_state(lib->cat, "active", out, err);
    if (rc == ERR_NOTFOUND)
        return err_set(err, rc, "library %s is empty: no model has filled it yet", lib->dir);
    return rc;
}

int library_model_filling(struct library *lib, struct library_model *out, struct err *err)
{
    return catalog_model_by_state(lib->cat, "filling", out, err);
}

int library_model_register(struct library *lib, struct library_model *model, struct err *err)
{
    if (model->dim <= 0 || !model->hash[0])
        return err_set(err, ERR_USAGE, "model %s has no dimension or no hash", model->name);
    int rc = catalog_begin_write(lib->cat, err);
    return rc ? rc : finish(lib, catalog_model_register(lib->cat, model, err), err);
}

static int activate(struct library *lib, int64_t model_id, struct err *err)
{
    int rc = catalog_model_activate(lib->cat, model_id, err);
    return rc ? rc : catalog_model_files_trim(lib->cat, err);
}

int library_model_activate(struct library *lib, int64_t model_id, struct err *err)
{
    int64_t gone = 0;
    int     rc   = catalog_begin_write(lib->cat, err);
    if (rc == 0)
        rc = finish(lib, activate(lib, model_id, err), err);
    if (rc == 0)
        library_kept_clear(lib);
    /* The old embeddings go in small steps: writers in between need not wait. */
    while (rc == 0) {
        rc = catalog_begin_write(lib->cat, err);
        if (rc == 0)
            rc = finish(lib, catalog_retired_trim(lib->cat, 2000, &gone, err), err);
        if (gone == 0)
            break;
    }
    return rc ? rc : library_regions_settle(lib, err);
}

int library_folder_add(struct library *lib, const char *path, int64_t *id, char **below,
                       struct err *err)
{
    *below = NULL;
    int rc = catalog_begin_write(lib->cat, err);
    if (rc == 0)
        rc = finish(lib, catalog_folder_add(lib->cat, path, id, below, err), err);
    if (rc) {
        free(*below);
        *below = NULL;
    }
    return rc;
}

int library_folders(struct library *lib, struct library_folder **out, size_t *n, struct err *err)
{
    return catalog_folders(lib->cat, out, n, err);
}

int library_folder_scanned(struct library *lib, int64_t folder_id, bool online, struct err *err)
{
    int rc = catalog_begin_write(lib->cat, err);
    return rc ? rc : finish(lib, catalog_folder_scanned(lib->cat, folder_id, online, err), err);
}

int library_forget(struct library *lib, const char *path, int64_t *removed, struct err *err)
{
    int rc = catalog_begin_write(lib->cat, err);
    return rc ? rc : finish(lib, catalog_forget(lib->cat, path, removed, err), err);
}

int library_relocate(struct library *lib, const char *old_path, const char *new_path,
                     int64_t *folders, struct err *err)
{
    int rc = catalog_begin_write(lib->cat, err);
    return rc ? rc : finish(lib, catalog_relocate(lib->cat, old_path, new_path, folders, err), err);
}

int library_image_get(struct library *lib, int64_t id, struct library_image *out, struct err *err)
{
    return catalog_image_get(lib->cat, id, out, err);
}

int library_image_at(struct library *lib, const char *abs_path, struct library_image *out,
                     struct err *err)
{
    return catalog_image_at(lib->cat, abs_path, out, err);
}

int library_embedding_get(struct library *lib, int64_t id, float *out, struct err *err)
{
    struct library_model model;
    const uint16_t      *vector;
    int                  rc = library_model_active(lib, &model, err);
    if (rc == 0 && id >= LIBRARY_FIRST_PART) /* inside alone parts are known by themselves */
        rc = err_set(err, ERR_NOTFOUND, "the library has no image %lld", (long long)id);
    if (rc == 0)
        rc = catalog_embedding_get(lib->cat, model.id, id, model.dim, &vector, err);
    if (rc == 0)
        lib->half.to_float(out, vector, (size_t)model.dim);
    return rc;
}

int library_known_after(struct library *lib, int64_t folder_id, int64_t model_id, const char *below,
                        const char *after, size_t limit, struct library_known **out, size_t *n,
                        struct err *err)
{
    return catalog_known_after(lib->cat, folder_id, model_id, lib->regions.id, below, after, limit,
                               out, n, err);
}

int library_find_content(struct library *lib, int64_t model_id,
                         const uint8_t hash[LIBRARY_HASH_BYTES], int64_t size, int64_t *id,
                         struct err *err)
{
    return catalog_find_content(lib->cat, model_id, lib->regions.id, hash, size, id, err);
}

int library_errors(struct library *lib, struct library_error **out, size_t *n, struct err *err)
{
    return catalog_errors(lib->cat, out, n, err);
}

int library_backup(struct library *lib, const char *file, struct err *err)
{
    return catalog_backup(lib->cat, file, err);
}

/* ---- Batches ---- */

static int check_item(const struct library_item *item, int dim, struct err *err)
{
    const char *path = item->path;
    if (!path || !*path || *path == '/')
        return err_set(err, ERR_USAGE, "cannot add %s: not a path below a folder",
                       path ? path : "(none)");
    if (item->error)
        return 0;
    if (!item->kind || item->width <= 0 || item->height <= 0 || item->size < 0)
        return err_set(err, ERR_USAGE, "cannot add %s: its kind or size is missing", path);
    if (item->copy_of > 0)
        return 0;
    if (!item->embedding)
        return err_set(err, ERR_USAGE, "cannot add %s: it has no embedding", path);
    double sum = 0;
    for (int i = 0; i < dim; i++)
        sum += (double)item->embedding[i] * (double)item->embedding[i];
    if (!isfinite(sum))
        return err_set(err, ERR_USAGE, "cannot add %s: its embedding is not finite", path);
    if (fabs(sum - 1) > 1e-3)
        return err_set(err, ERR_USAGE, "cannot add %s: its embedding has length %g, not 1", path,
                       sqrt(sum));
    return 0;
}

static bool has_embedding(struct library *lib, const struct library_model *model, int64_t id)
{
    const uint16_t *vector;
    return catalog_embedding_get(lib->cat, model->id, id, model->dim, &vector, NULL) == 0;
}

/* Whether a file that changed still looks the same to the model: something was written
 * beside its pixels. */
static bool looks_same(struct library *lib, const struct library_model *model,
                       const struct library_item *item)
{
    const uint16_t *old;
    return item->embedding && item->copy_of <= 0 &&
           catalog_embedding_get(lib->cat, model->id, item->id, model->dim, &old, NULL) == 0 &&
           lib->half.dot(item->embedding, old, (size_t)model->dim) > 0.999F;
}

/* Gives an image's row its embedding. */
static int put_embedding(struct library *lib, const struct library_model *model,
                         struct library_item *item, bool same_content, uint16_t *scratch,
                         struct err *err)
{
    bool copied_active = false, copied = false;
    int  rc = 0;
    if (!same_content && !looks_same(lib, model, item))
        rc = catalog_said_void(lib->cat, item->id, err);
    if (rc == 0 && !same_content) /* what other models made of the old content is void */
        rc = catalog_embeddings_drop(lib->cat, item->id, err);
    if (rc == 0 && !same_content)
        rc = catalog_regions_drop(lib->cat, item->id, err);
    if (rc)
        return rc;
    if (item->copy_of <= 0) {
        /* One that came for its regions alone leaves the vector index in peace. */
        if (same_content && item->regions && has_embedding(lib, model, item->id)) {
            item->embedded = true;
            return 0;
        }
        lib->half.from_float(scratch, item->embedding, (size_t)model->dim);
        return catalog_embedding_put(lib->cat, model->id, item->id, scratch, model->dim, err);
    }
    if (item->copy_of == item->id)
        return same_content
                   ? 0
                   : err_set(err, ERR_USAGE,
                             "cannot add %s as a copy of itself: its contents changed", item->path);
    rc = catalog_embeddings_copy(lib->cat, item->copy_of, item->id, model->id, &copied_active,
                                 &copied, err);
    if (rc == 0)
        rc = catalog_said_copy(lib->cat, item->copy_of, item->id, err);
    if (rc == 0)
        rc = catalog_regions_copy(lib->cat, item->copy_of, item->id, err);
    if (rc == 0 && !copied)
        rc = err_set(err, ERR_NOTFOUND,
                     "cannot add %s as a copy of image %lld: that one has no embedding now",
                     item->path, (long long)item->copy_of);
    return rc;
}

/* ---- Parts ---- */

static int check_parts(const struct library_item *item, int dim, struct err *err)
{
    for (size_t i = 0; i < item->n_parts; i++) {
        double sum = 0;
        for (size_t k = 0; k < (size_t)dim; k++) {
            double x = (double)item->part_embeddings[i * (size_t)dim + k];
            sum += x * x;
        }
        if (item->part_pages[i] <= (i ? item->part_pages[i - 1] : 1) || !(fabs(sum - 1) <= 1e-3))
            return err_set(err, ERR_USAGE, "cannot add %s: its page %d is none", item->path,
                           item->part_pages[i]);
    }
    return 0;
}

/* Takes over the parts of the image that this one is a copy of. */
static int copy_parts(struct library *lib, const struct library_model *model,
                      const struct library_item *item, struct err *err)
{
    struct catalog_part from = {.page = 1};
    int                 rc   = catalog_parts_drop(lib->cat, item->id, err);
    while (rc == 0) {
        rc = catalog_part_next(lib->cat, item->copy_of, from.page, &from, err);
        if (rc == ERR_NOTFOUND)
            return 0;
        struct catalog_part to = {.image_id = item->id, .page = from.page, .time_ms = from.time_ms};
        bool                active = false, wanted = false;
        if (rc == 0)
            rc = catalog_part_put(lib->cat, &to, err);
        if (rc == 0)
            rc =
                catalog_embeddings_copy(lib->cat, from.id, to.id, model->id, &active, &wanted, err);
        if (rc == 0 && active)
            rc = catalog_change_note(lib->cat, to.id, err);
    }
    return rc;
}

/* Gives an image the parts that its file has now. Those of the same content keep
 * their ids, whatever model sees them. */
static int put_parts(struct library *lib, const struct library_model *model, bool active,
                     const struct library_item *item, bool same_content, uint16_t *scratch,
                     struct err *err)
{
    size_t dim = (size_t)model->dim;
    int    rc  = 0;
    if (item->copy_of > 0)
        return item->copy_of == item->id ? 0 : copy_parts(lib, model, item, err);
    if (!same_content || !item->n_parts)
        rc = catalog_parts_drop(lib->cat, item->id, err);
    for (size_t i = 0; i < item->n_parts && rc == 0; i++) {
        struct catalog_part part = {.image_id = item->id,
                                    .page     = item->part_pages[i],
                                    .time_ms =
                                        item->part_times ? item->part_times[i] : CATALOG_NO_TIME};
        rc                       = catalog_part_put(lib->cat, &part, err);
        lib->half.from_float(scratch, item->part_embeddings + i * dim, dim);
        if (rc == 0)
            rc = catalog_embedding_put(lib->cat, model->id, part.id, scratch, model->dim, err);
        if (rc == 0 && active)
            rc = catalog_change_note(lib->cat, part.id, err);
    }
    return rc;
}

static int add_item(struct library *lib, const struct library_model *model, bool active,
                    struct library_item *item, uint16_t *scratch, struct err *err)
{
    bool same_content = false;
    bool there        = true;
    item->id          = 0;
    item->embedded    = false;
    int rc            = catalog_folder_exists(lib->cat, item->folder_id, &there, err);
    if (rc == 0 && !there)
        return err_set(err, ERR_NOTFOUND, "its folder was taken out of the library meanwhile");
    if (rc)
        return rc;
    if (item->error)
        return catalog_error_put(lib->cat, item, err);
    rc = catalog_image_put(lib->cat, item, &same_content, err);
    if (rc == 0)
        rc = catalog_image_colour(lib->cat, item, err);
    if (rc == 0)
        rc = catalog_time_put(lib->cat, item, err);
    if (rc == 0)
        rc = put_embedding(lib, model, item, same_content, scratch, err);
    if (rc == 0 && item->said)
        rc = catalog_metadata_put(lib->cat, item->id, item->said, item->sidecar_ns, err);
    if (rc == 0 && !item->embedded)
        rc = put_parts(lib, model, active, item, same_content, scratch, err);
    if (rc == 0 && item->regions && lib->regions.id)
        rc = catalog_regions_put(lib->cat, &lib->regions, item->id, item->regions, err);
    if (rc == 0 && item->fingerprint)
        rc = catalog_fingerprint_put(lib->cat, item->hash, item->fingerprint, err);
    /* A model that fills beside the active one changes nothing in the index, as
     * long as the content stayed and nothing was copied. */
    if (rc == 0 && !item->embedded && (active || !same_content || item->copy_of > 0))
        rc = catalog_change_note(lib->cat, item->id, err);
    return rc;
}

int library_add(struct library *lib, int64_t model_id, struct library_item *items, size_t n,
                struct err *err)
{
    struct library_model model;
    bool                 active  = false;
    uint16_t            *scratch = NULL;
    int                  rc      = catalog_begin_write(lib->cat, err);
    if (rc)
        return rc;
    rc = catalog_model_by_id(lib->cat, model_id, &model, &active, err);
    if (rc == 0 && !(scratch = mem_array((size_t)model.dim, sizeof(*scratch))))
        rc = err_set(err, ERR_NOMEM, "cannot add images: out of memory");
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = check_item(&items[i], model.dim, err);
        if (rc == 0)
            rc = check_parts(&items[i], model.dim, err);
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = add_item(lib, &model, active, &items[i], scratch, err);
        if (rc)
            err_prefix(err, "adding %s", items[i].path);
    }
    if (rc == 0) /* and of some that tags and captions left behind */
        rc = catalog_words_refresh(lib->cat, (int)(n < WORDS_AT_ONCE ? WORDS_AT_ONCE : n), err);
    free(scratch);
    return finish(lib, rc, err);
}

int library_move(struct library *lib, int64_t from, int64_t to, struct err *err)
{
    int rc = catalog_begin_write(lib->cat, err);
    return rc ? rc : finish(lib, catalog_image_move(lib->cat, from, to, err), err);
}

int library_remove(struct library *lib, int64_t folder_id, const char *const *paths, size_t n,
                   struct err *err)
{
    int rc = catalog_begin_write(lib->cat, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = catalog_path_remove(lib->cat, folder_id, paths[i], err);
    return finish(lib, rc, err);
}
