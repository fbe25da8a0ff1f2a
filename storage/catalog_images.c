/* The catalogue's images and errors, as the indexer sees and changes them.
 *
 * Everything here is a handful of b-tree descents, whatever the library's size:
 * by id, by folder and path, or by content hash.
 */
#include "storage/catalog_db.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

int catalog_image_from_row(sqlite3_stmt *stmt, struct library_image *out, struct err *err)
{
    const void *hash = sqlite3_column_blob(stmt, 6);
    memset(out, 0, sizeof(*out));
    out->id        = sqlite3_column_int64(stmt, 0);
    out->folder_id = sqlite3_column_int64(stmt, 1);
    out->folder    = catalog_column_path(stmt, 2);
    out->path      = catalog_column_path(stmt, 3);
    out->size      = sqlite3_column_int64(stmt, 4);
    out->mtime_ns  = sqlite3_column_int64(stmt, 5);
    if (hash && sqlite3_column_bytes(stmt, 6) == LIBRARY_HASH_BYTES)
        memcpy(out->hash, hash, LIBRARY_HASH_BYTES);
    out->width  = sqlite3_column_int(stmt, 7);
    out->height = sqlite3_column_int(stmt, 8);
    snprintf(out->kind, sizeof(out->kind), "%s", (const char *)sqlite3_column_text(stmt, 9));
    out->orientation = sqlite3_column_int(stmt, 10);
    out->taken_at    = sqlite3_column_int64(stmt, 11);
    out->camera      = mem_strdup((const char *)sqlite3_column_text(stmt, 12));
    out->colour      = (uint32_t)sqlite3_column_int64(stmt, 13);
    out->pages       = sqlite3_column_int(stmt, 14);
    if (!out->folder || !out->path || !out->camera) {
        library_image_release(out);
        return err_set(err, ERR_NOMEM, "cannot read an image's entry: out of memory");
    }
    return 0;
}

void library_image_release(struct library_image *image)
{
    free(image->folder);
    free(image->path);
    free(image->camera);
    memset(image, 0, sizeof(*image));
}

int catalog_image_get(struct catalog *cat, int64_t id, struct library_image *out, struct err *err)
{
    sqlite3_stmt *stmt;
    int           rc = catalog_query(cat, &stmt, err,
                                     "SELECT " IMAGE_COLUMNS " FROM images i"
                                               " JOIN folders f ON f.id = i.folder_id WHERE i.id = ?",
                                     "i", id);
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, ERR_NOTFOUND, "the library has no image %lld", (long long)id);
    rc = catalog_image_from_row(stmt, out, err);
    sqlite3_reset(stmt);
    return rc;
}

int catalog_image_at(struct catalog *cat, const char *abs_path, struct library_image *out,
                     struct err *err)
{
    struct library_folder *folders = NULL;
    size_t                 n       = 0;
    int64_t                id      = 0;
    int                    rc      = catalog_folders(cat, &folders, &n, err);
    for (size_t i = 0; i < n && rc == 0 && id == 0; i++) {
        size_t at = path_inside(abs_path, folders[i].path);
        if (at == 0)
            continue;
        rc = catalog_int(cat, &id, NULL, "SELECT id FROM images WHERE folder_id = ? AND path = ?",
                         "ip", folders[i].id, abs_path + at);
        if (rc == ERR_NOTFOUND)
            rc = 0;
        else if (rc)
            err_set(err, rc, "catalogue %s: cannot look up %s", cat->file, abs_path);
    }
    library_folders_free(folders, n);
    if (rc)
        return rc;
    if (id == 0)
        return err_set(err, ERR_NOTFOUND, "the library has no image %s", abs_path);
    return catalog_image_get(cat, id, out, err);
}

/* ---- What is known of a folder, in order of paths ---- */

/* Yields up to limit rows of images and errors with from <= path < to. */
static int known_range(struct catalog *cat, int64_t folder_id, const int64_t wanted[2],
                       const char *from, bool beyond, const char *to, size_t limit,
                       struct library_known *out, size_t *n, struct err *err)
{
    sqlite3_stmt *stmt;
    int           rc = catalog_query(
                  cat, &stmt, err,
                  "SELECT * FROM (SELECT path, id, size, mtime_ns, iif(metadata >= ?8, sidecar_ns, -1), "
                            "EXISTS (SELECT 1 FROM embeddings"
                            "   WHERE key = (?2 << 40) | images.id) AND (?7 = 0 OR EXISTS (SELECT 1"
                            "   FROM regions WHERE key = (?7 << 40) | images.id))"
                            "  FROM images WHERE folder_id = ?1 AND path >= ?3 AND (?5 IS NULL OR path < ?5)"
                            "   AND (?4 = 0 OR path > ?3) ORDER BY path LIMIT ?6)"
                            " UNION ALL SELECT * FROM (SELECT path, 0, size, mtime_ns, 0, 0"
                            "  FROM errors WHERE folder_id = ?1 AND path >= ?3 AND (?5 IS NULL OR path < ?5)"
                            "   AND (?4 = 0 OR path > ?3) ORDER BY path LIMIT ?6)"
                            " ORDER BY 1 LIMIT ?6",
                  "iipipiii", folder_id, wanted[0], from, (int64_t)beyond, to, (int64_t)limit, wanted[1],
                  (int64_t)CATALOG_METADATA_VERSION);
    while (rc >= 0 && (rc = catalog_step_row(cat, stmt, err)) > 0) {
        struct library_known *k = &out[*n];
        k->path                 = catalog_column_path(stmt, 0);
        if (!k->path) {
            sqlite3_reset(stmt);
            return err_set(err, ERR_NOMEM, "cannot list known files: out of memory");
        }
        k->id         = sqlite3_column_int64(stmt, 1);
        k->size       = sqlite3_column_int64(stmt, 2);
        k->mtime_ns   = sqlite3_column_int64(stmt, 3);
        k->sidecar_ns = sqlite3_column_int64(stmt, 4);
        k->embedded   = sqlite3_column_int(stmt, 5) != 0;
        ++*n;
    }
    return rc;
}

int catalog_known_after(struct catalog *cat, int64_t folder_id, int64_t model_id,
                        int64_t reranker_id, const char *below, const char *after, size_t limit,
                        struct library_known **out, size_t *n, struct err *err)
{
    const int64_t     wanted[2] = {model_id, reranker_id};
    struct path_range range;
    *out = NULL;
    *n   = 0;
    if (limit > 1000000)
        limit = 1000000;
    int rc = path_range_init(&range, below, err);
    if (rc)
        return rc;
    struct library_known *list = mem_array(limit + 1, sizeof(*list));
    if (!list)
        rc = err_set(err, ERR_NOMEM, "cannot list known files: out of memory");
    /* `below` itself comes before everything inside it. */
    if (rc == 0 && limit > 0 && range.exact && strcmp(range.exact, after) > 0) {
        char  *end = mem_array(strlen(below) + 2, 1); /* the next path after it: below\x01 */
        size_t len = strlen(below);
        if (end) {
            memcpy(end, below, len);
            memcpy(end + len, "\x01", 2);
            rc = known_range(cat, folder_id, wanted, below, false, end, 1, list, n, err);
            free(end);
        } else {
            rc = err_set(err, ERR_NOMEM, "cannot list known files: out of memory");
        }
    }
    bool inside = strcmp(after, range.from) > 0;
    /* An `after` at or behind the end leaves nothing. */
    if (rc == 0 && *n < limit && !(range.to && strcmp(after, range.to) >= 0))
        rc = known_range(cat, folder_id, wanted, inside ? after : range.from, inside, range.to,
                         limit - *n, list, n, err);
    path_range_release(&range);
    if (rc) {
        library_known_free(list, *n);
        *n = 0;
        return rc;
    }
    *out = list;
    return 0;
}

void library_known_free(struct library_known *known, size_t n)
{
    for (size_t i = 0; known && i < n; i++)
        free(known[i].path);
    free(known);
}

int catalog_find_content(struct catalog *cat, int64_t model_id, int64_t reranker_id,
                         const uint8_t *hash, int64_t size, int64_t *id, struct err *err)
{
    int rc =
        catalog_int(cat, id, err,
                    "SELECT id FROM images WHERE hash = ? AND size = ? AND EXISTS"
                    " (SELECT 1 FROM embeddings WHERE key = (?3 << 40) | images.id) AND (?4 = 0"
                    " OR EXISTS (SELECT 1 FROM regions WHERE key = (?4 << 40) | images.id))"
                    " LIMIT 1",
                    "biii", hash, (size_t)LIBRARY_HASH_BYTES, size, model_id, reranker_id);
    if (rc == ERR_NOTFOUND)
        return err_set(err, ERR_NOTFOUND, "the library has no image with this content");
    return rc;
}

/* ---- Changes ---- */

int catalog_image_put(struct catalog *cat, struct library_item *item, bool *same_content,
                      struct err *err)
{
    sqlite3_stmt *stmt;
    bool          known = false;
    *same_content       = false;
    int rc              = catalog_query(cat, &stmt, err,
                                        "SELECT id, hash, size FROM images WHERE folder_id = ? AND path = ?",
                                        "ip", item->folder_id, item->path);
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc < 0)
        return rc;
    if (rc > 0) {
        known            = true;
        item->id         = sqlite3_column_int64(stmt, 0);
        const void *hash = sqlite3_column_blob(stmt, 1);
        *same_content    = hash && sqlite3_column_bytes(stmt, 1) == LIBRARY_HASH_BYTES &&
                        memcmp(hash, item->hash, LIBRARY_HASH_BYTES) == 0 &&
                        sqlite3_column_int64(stmt, 2) == item->size;
        sqlite3_reset(stmt);
        rc = catalog_run(cat, err,
                         "UPDATE images SET size = ?2, mtime_ns = ?3, hash = ?4, width = ?5,"
                         " height = ?6, kind = ?7, orientation = ?8, taken_at = ?9, camera = ?10"
                         " WHERE id = ?1",
                         "iiibiitiit", item->id, item->size, item->mtime_ns,
                         (const void *)item->hash, (size_t)LIBRARY_HASH_BYTES, (int64_t)item->width,
                         (int64_t)item->height, item->kind, (int64_t)item->orientation,
                         item->taken_at, item->camera ? item->camera : "");
    } else {
        rc = catalog_run(cat, err,
                         "INSERT INTO images (folder_id, path, size, mtime_ns, hash, width, height,"
                         " kind, orientation, taken_at, camera, added_at)"
                         " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                         "ipiibiitiiti", item->folder_id, item->path, item->size, item->mtime_ns,
                         (const void *)item->hash, (size_t)LIBRARY_HASH_BYTES, (int64_t)item->width,
                         (int64_t)item->height, item->kind, (int64_t)item->orientation,
                         item->taken_at, item->camera ? item->camera : "", (int64_t)time(NULL));
        if (rc == 0)
            item->id = sqlite3_last_insert_rowid(cat->db);
        if (rc == 0 && item->id >= (int64_t)1 << 40)
            rc = err_set(err, ERR_LIMIT, "catalogue %s: image ids are used up", cat->file);
    }
    if (rc || known)
        return rc; /* a path that is an image is no error */
    return catalog_run(cat, err, "DELETE FROM errors WHERE folder_id = ? AND path = ?", "ip",
                       item->folder_id, item->path);
}

int catalog_image_colour(struct catalog *cat, const struct library_item *item, struct err *err)
{
    return catalog_run(cat, err,
                       "UPDATE images SET colour = coalesce(nullif(?2, 0),"
                       " (SELECT colour FROM images WHERE id = ?3), 0) WHERE id = ?1",
                       "iii", item->id, (int64_t)item->colour, item->copy_of);
}

/* Removes the image at a path and notes the change; nothing if there is none. */
static int image_remove_at(struct catalog *cat, int64_t folder_id, const char *path,
                           struct err *err)
{
    int64_t id;
    int rc = catalog_int(cat, &id, NULL, "SELECT id FROM images WHERE folder_id = ? AND path = ?",
                         "ip", folder_id, path);
    if (rc == ERR_NOTFOUND)
        return 0;
    if (rc)
        return err_set(err, rc, "catalogue %s: cannot look up %s", cat->file, path);
    rc = catalog_run(cat, err, "DELETE FROM images WHERE id = ?", "i", id);
    return rc ? rc : catalog_change_note(cat, id, err);
}

int catalog_error_put(struct catalog *cat, const struct library_item *item, struct err *err)
{
    int rc = image_remove_at(cat, item->folder_id, item->path, err);
    if (rc == 0)
        rc = catalog_run(cat, err,
                         "INSERT INTO errors (folder_id, path, size, mtime_ns, reason, at)"
                         " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                         " size = excluded.size, mtime_ns = excluded.mtime_ns,"
                         " reason = excluded.reason, at = excluded.at",
                         "ipiiti", item->folder_id, item->path, item->size, item->mtime_ns,
                         item->error, (int64_t)time(NULL));
    return rc;
}

int catalog_path_remove(struct catalog *cat, int64_t folder_id, const char *path, struct err *err)
{
    int rc = image_remove_at(cat, folder_id, path, err);
    if (rc == 0)
        rc = catalog_run(cat, err, "DELETE FROM errors WHERE folder_id = ? AND path = ?", "ip",
                         folder_id, path);
    return rc;
}

/* The row of `to` is held aside while it is deleted, so that its path is free. */
static int move_row(struct catalog *cat, int64_t from, const struct library_image *to,
                    struct err *err)
{
    int rc = catalog_run(cat, err, "DELETE FROM images WHERE id = ?", "i", to->id);
    if (rc == 0)
        rc = catalog_run(cat, err,
                         "UPDATE images SET folder_id = ?2, path = ?3, size = ?4, mtime_ns = ?5,"
                         " width = ?6, height = ?7, kind = ?8, orientation = ?9, taken_at = ?10,"
                         " camera = ?11 WHERE id = ?1",
                         "iipiiiitiit", from, to->folder_id, to->path, to->size, to->mtime_ns,
                         (int64_t)to->width, (int64_t)to->height, to->kind,
                         (int64_t)to->orientation, to->taken_at, to->camera);
    return rc;
}

int catalog_image_move(struct catalog *cat, int64_t from, int64_t to, struct err *err)
{
    struct library_image a = {0}, b = {0};
    if (from == to)
        return err_set(err, ERR_USAGE, "cannot move image %lld onto itself", (long long)from);
    int rc = catalog_image_get(cat, from, &a, err);
    if (rc == 0)
        rc = catalog_image_get(cat, to, &b, err);
    if (rc == 0 && memcmp(a.hash, b.hash, LIBRARY_HASH_BYTES) != 0)
        rc = err_set(err, ERR_USAGE,
                     "cannot take image %lld (%s) for where image %lld (%s) went: "
                     "their contents differ",
                     (long long)to, b.path, (long long)from, a.path);
    /* What either was embedded with, the one that stays keeps. */
    if (rc == 0)
        rc = catalog_run(cat, err,
                         "INSERT OR IGNORE INTO embeddings (key, vector)"
                         " SELECT (m.id << 40) | ?2, e.vector FROM models m JOIN embeddings e"
                         " ON e.key = (m.id << 40) | ?1",
                         "ii", to, from);
    if (rc == 0)
        rc = catalog_regions_copy(cat, to, from, err);
    if (rc == 0)
        rc = catalog_said_join(cat, to, from, err);
    if (rc == 0)
        rc = catalog_metadata_move(cat, to, from, err);
    if (rc == 0)
        rc = move_row(cat, from, &b, err);
    if (rc == 0)
        rc = catalog_change_note(cat, from, err);
    if (rc == 0)
        rc = catalog_change_note(cat, to, err);
    library_image_release(&a);
    library_image_release(&b);
    return rc;
}
