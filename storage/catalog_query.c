/* What the catalogue tells about itself and what a search's filter allows. */
#include "storage/catalog_db.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int catalog_errors(struct catalog *cat, struct library_error **out, size_t *n, struct err *err)
{
    struct library_error *list = NULL;
    size_t                len = 0, cap = 0;
    sqlite3_stmt         *stmt;
    int                   rc = catalog_query(cat, &stmt, err,
                                             "SELECT f.path, e.path, e.reason, e.at FROM errors e"
                                                               " JOIN folders f ON f.id = e.folder_id ORDER BY f.path, e.path",
                                             "");
    while (rc >= 0 && (rc = catalog_step_row(cat, stmt, err)) > 0) {
        if (len == cap) {
            cap                      = cap ? cap * 2 : 16;
            struct library_error *to = mem_regrow(list, cap, sizeof(*list));
            if (!to) {
                rc = ERR_NOMEM;
                break;
            }
            list = to;
        }
        char *folder = catalog_column_path(stmt, 0), *below = catalog_column_path(stmt, 1);
        list[len].path   = folder && below ? path_join(folder, below) : NULL;
        list[len].reason = mem_strdup((const char *)sqlite3_column_text(stmt, 2));
        list[len].when   = sqlite3_column_int64(stmt, 3);
        free(folder);
        free(below);
        len++;
        if (!list[len - 1].path || !list[len - 1].reason) {
            rc = ERR_NOMEM;
            break;
        }
    }
    if (rc == ERR_NOMEM) {
        sqlite3_reset(stmt);
        err_set(err, ERR_NOMEM, "cannot list the errors: out of memory");
    }
    if (rc < 0) {
        library_errors_free(list, len);
        return rc;
    }
    *out = list;
    *n   = len;
    return 0;
}

void library_errors_free(struct library_error *errors, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(errors[i].path);
        free(errors[i].reason);
    }
    free(errors);
}

int catalog_stats(struct catalog *cat, struct library_stats *out, struct err *err)
{
    sqlite3_stmt *stmt;
    int           rc = catalog_query(cat, &stmt, err,
                                     "SELECT coalesce(sum(images), 0), coalesce(sum(errors), 0), count(*),"
                                               " (SELECT generation FROM state) FROM folders",
                                     "");
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc <= 0)
        return rc;
    out->images     = sqlite3_column_int64(stmt, 0);
    out->errors     = sqlite3_column_int64(stmt, 1);
    out->folders    = sqlite3_column_int64(stmt, 2);
    out->generation = sqlite3_column_int64(stmt, 3);
    sqlite3_reset(stmt);
    return 0;
}

#define FILTER_WHERE                                                                               \
    " (?1 = 0 OR folder_id = ?1) AND (?2 IS NULL OR path = ?4 OR (path >= ?2 AND path < ?3))"

int catalog_filter_ids(struct catalog *cat, const struct library_filter *filter, size_t limit,
                       int64_t **ids, size_t *n, struct err *err)
{
    struct path_range range;
    sqlite3_stmt     *stmt;
    size_t            len = 0, cap = 0;
    int64_t          *list  = NULL;
    const char       *below = filter->below ? filter->below : "";
    int               rc    = path_range_init(&range, below, err);
    if (rc)
        return rc;
    if (!range.to)
        rc = catalog_query(cat, &stmt, err, "SELECT id FROM images WHERE folder_id = ? LIMIT ?",
                           "ii", filter->folder_id, (int64_t)limit);
    else if (filter->folder_id) /* two descents of the index on (folder, path) */
        rc = catalog_query(cat, &stmt, err,
                           "SELECT * FROM (SELECT id FROM images WHERE folder_id = ?1"
                           " AND path >= ?2 AND path < ?3 UNION ALL"
                           " SELECT id FROM images WHERE folder_id = ?1 AND path = ?4) LIMIT ?5",
                           "ipppi", filter->folder_id, range.from, range.to, range.exact,
                           (int64_t)limit);
    else
        rc = catalog_query(cat, &stmt, err, "SELECT id FROM images WHERE" FILTER_WHERE " LIMIT ?5",
                           "ipppi", (int64_t)0, range.from, range.to, range.exact, (int64_t)limit);
    while (rc >= 0 && (rc = catalog_step_row(cat, stmt, err)) > 0) {
        if (len == cap) {
            cap         = cap ? cap * 2 : 256;
            int64_t *to = mem_regrow(list, cap, sizeof(*list));
            if (!to) {
                sqlite3_reset(stmt);
                rc = err_set(err, ERR_NOMEM, "cannot filter: out of memory");
                break;
            }
            list = to;
        }
        list[len++] = sqlite3_column_int64(stmt, 0);
    }
    path_range_release(&range);
    if (rc < 0) {
        free(list);
        return rc;
    }
    *ids = list;
    *n   = len;
    return 0;
}

int catalog_filter_match(struct catalog *cat, const struct library_filter *filter, int64_t id,
                         bool *matches, struct err *err)
{
    struct path_range range;
    int64_t           yes   = 0;
    const char       *below = filter->below ? filter->below : "";
    int               rc    = path_range_init(&range, below, err);
    if (rc)
        return rc;
    if (!range.to)
        rc = catalog_int(cat, &yes, err,
                         "SELECT EXISTS (SELECT 1 FROM images WHERE id = ? AND folder_id = ?)",
                         "ii", id, filter->folder_id);
    else
        rc = catalog_int(cat, &yes, err,
                         "SELECT EXISTS (SELECT 1 FROM images WHERE id = ?5 AND" FILTER_WHERE ")",
                         "ipppi", filter->folder_id, range.from, range.to, range.exact, id);
    path_range_release(&range);
    *matches = yes != 0;
    return rc;
}
