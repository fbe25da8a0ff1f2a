/* The folders of a catalogue. They never lie inside one another: a folder added
 * above known ones takes them in, with their images' paths lengthened.
 */
#include "storage/catalog_db.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

size_t path_inside(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    if (strncmp(path, dir, n) != 0)
        return 0;
    if (path[n] == '\0')
        return n;
    if (n > 0 && dir[n - 1] == '/') /* the root */
        return n;
    return path[n] == '/' ? n + 1 : 0;
}

int path_range_init(struct path_range *range, const char *below, struct err *err)
{
    memset(range, 0, sizeof(*range));
    size_t n     = strlen(below);
    bool   slash = n > 0 && below[n - 1] == '/';
    range->from  = mem_array(n + 2, 1);
    if (!range->from)
        return err_set(err, ERR_NOMEM, "out of memory");
    memcpy(range->from, below, n + 1);
    if (n == 0)
        return 0;
    if (!slash) {
        memcpy(range->from + n, "/", 2);
        range->exact = mem_strdup(below);
    }
    range->to = mem_strdup(range->from);
    if (!range->to || (!slash && !range->exact)) {
        path_range_release(range);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    range->to[strlen(range->to) - 1] = '/' + 1;
    return 0;
}

void path_range_release(struct path_range *range)
{
    free(range->from);
    free(range->to);
    free(range->exact);
    memset(range, 0, sizeof(*range));
}

int catalog_folder_exists(struct catalog *cat, int64_t id, bool *yes, struct err *err)
{
    int64_t found = 0;
    int     rc = catalog_int(cat, &found, err, "SELECT EXISTS (SELECT 1 FROM folders WHERE id = ?)",
                             "i", id);
    *yes       = found != 0;
    return rc;
}

int catalog_folder_has(struct catalog *cat, int64_t id, const char *below, bool *yes,
                       struct err *err)
{
    struct path_range range;
    sqlite3_stmt     *stmt;
    int               rc = path_range_init(&range, below, err);
    if (rc)
        return rc;
    rc = catalog_query(cat, &stmt, err,
                       "SELECT EXISTS (SELECT 1 FROM images WHERE folder_id = ?1 AND path >= ?2"
                       " AND (?3 IS NULL OR path < ?3))"
                       " OR EXISTS (SELECT 1 FROM images WHERE folder_id = ?1 AND path = ?4)",
                       "ippp", id, range.from, range.to, range.exact);
    rc = rc ? rc : catalog_step_row(cat, stmt, err);
    if (rc > 0) {
        *yes = sqlite3_column_int(stmt, 0) != 0;
        sqlite3_reset(stmt);
    }
    path_range_release(&range);
    return rc < 0 ? rc : 0;
}

int catalog_path_from(struct catalog *cat, int64_t id, const char *from, char **path,
                      struct err *err)
{
    sqlite3_stmt *stmt;
    *path  = NULL;
    int rc = catalog_query(cat, &stmt, err,
                           "SELECT path FROM images WHERE folder_id = ? AND path >= ?"
                           " ORDER BY path LIMIT 1",
                           "ip", id, from);
    rc     = rc ? rc : catalog_step_row(cat, stmt, err);
    if (rc > 0) {
        *path = catalog_column_path(stmt, 0);
        sqlite3_reset(stmt);
        rc = *path ? 0 : err_set(err, ERR_NOMEM, "out of memory for a path");
    }
    return rc;
}

int catalog_folders(struct catalog *cat, struct library_folder **out, size_t *n, struct err *err)
{
    struct library_folder *list = NULL;
    size_t                 len  = 0;
    sqlite3_stmt          *stmt;
    int                    rc = catalog_query(cat, &stmt, err,
                                              "SELECT id, path, online, scanned_at, images, errors FROM folders"
                                                                 " ORDER BY path",
                                              "");
    while (rc >= 0 && (rc = catalog_step_row(cat, stmt, err)) > 0) {
        struct library_folder *to   = mem_regrow(list, len + 1, sizeof(*list));
        char                  *path = catalog_column_path(stmt, 1);
        if (to)
            list = to;
        if (!to || !path) {
            free(path);
            sqlite3_reset(stmt);
            rc = err_set(err, ERR_NOMEM, "cannot list the folders: out of memory");
            break;
        }
        list[len++] = (struct library_folder){.id         = sqlite3_column_int64(stmt, 0),
                                              .path       = path,
                                              .online     = sqlite3_column_int(stmt, 2) != 0,
                                              .scanned_at = sqlite3_column_int64(stmt, 3),
                                              .images     = sqlite3_column_int64(stmt, 4),
                                              .errors     = sqlite3_column_int64(stmt, 5)};
    }
    if (rc < 0) {
        library_folders_free(list, len);
        return rc;
    }
    *out = list;
    *n   = len;
    return 0;
}

void library_folders_free(struct library_folder *folders, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(folders[i].path);
    free(folders);
}

static int check_absolute(const char *path, struct err *err)
{
    size_t n = strlen(path);
    if (path[0] != '/' || (n > 1 && path[n - 1] == '/'))
        return err_set(err, ERR_USAGE, "%s is not an absolute path without a final slash", path);
    return 0;
}

/* Takes folder `inner` into `outer`: prefix is what lies between, with a slash. */
static int absorb(struct catalog *cat, int64_t inner, int64_t outer, const char *prefix,
                  struct err *err)
{
    int rc = catalog_run(cat, err,
                         "UPDATE images SET folder_id = ?2, path = CAST(?3 || path AS BLOB)"
                         " WHERE folder_id = ?1",
                         "iip", inner, outer, prefix);
    if (rc == 0)
        rc = catalog_run(cat, err,
                         "UPDATE errors SET folder_id = ?2, path = CAST(?3 || path AS BLOB)"
                         " WHERE folder_id = ?1",
                         "iip", inner, outer, prefix);
    if (rc == 0)
        rc = catalog_run(cat, err, "DELETE FROM folders WHERE id = ?", "i", inner);
    return rc;
}

int catalog_folder_add(struct catalog *cat, const char *path, int64_t *id, char **below,
                       struct err *err)
{
    struct library_folder *known = NULL;
    size_t                 n     = 0;
    *below                       = NULL;
    int rc                       = check_absolute(path, err);
    if (rc == 0)
        rc = catalog_folders(cat, &known, &n, err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        size_t at = path_inside(path, known[i].path);
        if (at) {
            *id    = known[i].id;
            *below = mem_strdup(path + at);
            if (!*below)
                rc = err_set(err, ERR_NOMEM, "cannot add folder %s: out of memory", path);
            library_folders_free(known, n);
            return rc;
        }
    }
    if (rc == 0)
        rc = catalog_run(cat, err, "INSERT INTO folders (path) VALUES (?)", "p", path);
    if (rc == 0)
        *id = sqlite3_last_insert_rowid(cat->db);
    for (size_t i = 0; i < n && rc == 0; i++) {
        size_t at = path_inside(known[i].path, path);
        if (!at)
            continue;
        size_t len    = strlen(known[i].path + at);
        char  *prefix = mem_array(len + 2, 1);
        if (prefix) {
            memcpy(prefix, known[i].path + at, len);
            memcpy(prefix + len, "/", 2);
            rc = absorb(cat, known[i].id, *id, prefix, err);
        } else {
            rc = err_set(err, ERR_NOMEM, "cannot add folder %s: out of memory", path);
        }
        free(prefix);
    }
    if (rc == 0 && !(*below = mem_strdup("")))
        rc = err_set(err, ERR_NOMEM, "cannot add folder %s: out of memory", path);
    library_folders_free(known, n);
    return rc;
}

int catalog_folder_scanned(struct catalog *cat, int64_t id, bool online, struct err *err)
{
    if (!online)
        return catalog_run(cat, err, "UPDATE folders SET online = 0 WHERE id = ?", "i", id);
    return catalog_run(cat, err, "UPDATE folders SET online = 1, scanned_at = ?2 WHERE id = ?1",
                       "ii", id, (int64_t)time(NULL));
}

/* Removes what of a folder lies below a path ("" for all of it). *any: there was something. */
static int forget_below(struct catalog *cat, int64_t folder_id, const char *below, int64_t *removed,
                        bool *any, struct err *err)
{
    struct path_range range;
    int               rc = path_range_init(&range, below, err);
    if (rc)
        return rc;
    rc = catalog_run(cat, err,
                     "INSERT INTO changes (image_id) SELECT id FROM images WHERE folder_id = ?1"
                     " AND ((path >= ?2 AND (?3 IS NULL OR path < ?3)) OR path = ?4)",
                     "ippp", folder_id, range.from, range.to, range.exact);
    if (rc == 0)
        rc = catalog_run(cat, err,
                         "DELETE FROM images WHERE folder_id = ?1"
                         " AND ((path >= ?2 AND (?3 IS NULL OR path < ?3)) OR path = ?4)",
                         "ippp", folder_id, range.from, range.to, range.exact);
    int64_t images = rc == 0 ? sqlite3_changes64(cat->db) : 0;
    *removed += images;
    if (rc == 0)
        rc = catalog_run(cat, err,
                         "DELETE FROM errors WHERE folder_id = ?1"
                         " AND ((path >= ?2 AND (?3 IS NULL OR path < ?3)) OR path = ?4)",
                         "ippp", folder_id, range.from, range.to, range.exact);
    *any = *any || images > 0 || (rc == 0 && sqlite3_changes64(cat->db) > 0);
    path_range_release(&range);
    return rc;
}

int catalog_forget(struct catalog *cat, const char *path, int64_t *removed, struct err *err)
{
    struct library_folder *known = NULL;
    size_t                 n = 0, hits = 0;
    bool                   any = false;
    *removed                   = 0;
    int rc                     = check_absolute(path, err);
    if (rc == 0)
        rc = catalog_folders(cat, &known, &n, err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        size_t inside = path_inside(path, known[i].path);
        bool   whole  = path_inside(known[i].path, path) != 0;
        if (!inside && !whole)
            continue;
        hits++;
        rc  = forget_below(cat, known[i].id, whole ? "" : path + inside, removed, &any, err);
        any = any || whole;
        if (rc == 0 && whole)
            rc = catalog_run(cat, err, "DELETE FROM folders WHERE id = ?", "i", known[i].id);
    }
    library_folders_free(known, n);
    if (rc == 0 && hits == 0)
        return err_set(err, ERR_NOTFOUND, "the library has no folder %s, nor one around or in it",
                       path);
    if (rc == 0 && !any)
        return err_set(err, ERR_NOTFOUND, "the library has nothing of %s", path);
    return rc;
}

/* new_path, then what of path lies below old_path. */
static char *moved_path(const char *path, const char *old_path, const char *new_path)
{
    const char *rest = path + path_inside(path, old_path);
    size_t      a = strlen(new_path), b = strlen(rest);
    char       *to = mem_array(a + b + 2, 1);
    if (!to)
        return NULL;
    memcpy(to, new_path, a);
    if (b > 0 && to[a - 1] != '/')
        to[a++] = '/';
    memcpy(to + a, rest, b + 1);
    return to;
}

/* A moved folder must not come to lie around or inside one that stays. */
static int check_free(const struct library_folder *known, size_t n, const char *old_path,
                      const char *to, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (path_inside(known[i].path, old_path))
            continue;
        if (path_inside(to, known[i].path) || path_inside(known[i].path, to))
            return err_set(err, ERR_USAGE, "cannot relocate to %s: the library has folder %s", to,
                           known[i].path);
    }
    return 0;
}

int catalog_relocate(struct catalog *cat, const char *old_path, const char *new_path, int64_t *n,
                     struct err *err)
{
    struct library_folder *known = NULL;
    size_t                 len   = 0;
    *n                           = 0;
    int rc                       = check_absolute(old_path, err);
    if (rc == 0)
        rc = check_absolute(new_path, err);
    if (rc == 0)
        rc = catalog_folders(cat, &known, &len, err);
    /* Two rounds, so that moving /a/b to /a while /a/b/c exists cannot collide. */
    for (int round = 0; round < 2 && rc == 0; round++) {
        for (size_t i = 0; i < len && rc == 0; i++) {
            if (!path_inside(known[i].path, old_path))
                continue;
            char *to = moved_path(known[i].path, old_path, new_path);
            if (!to)
                rc = err_set(err, ERR_NOMEM, "cannot relocate %s: out of memory", old_path);
            else if (round == 0)
                rc = check_free(known, len, old_path, to, err);
            if (rc == 0 && round == 0) /* a path that no folder can have */
                rc = catalog_run(cat, err,
                                 "UPDATE folders SET path = CAST(id AS BLOB)"
                                 " WHERE id = ?",
                                 "i", known[i].id);
            if (rc == 0 && round == 1)
                rc = catalog_run(cat, err, "UPDATE folders SET path = ?2 WHERE id = ?1", "ip",
                                 known[i].id, to);
            *n += round;
            free(to);
        }
    }
    library_folders_free(known, len);
    if (rc == 0 && *n == 0)
        return err_set(err, ERR_NOTFOUND, "the library has no folder at or below %s", old_path);
    return rc;
}
