/* What the catalogue tells about itself. */
#include "storage/catalog_db.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>

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
    int           rc =
        catalog_query(cat, &stmt, err,
                      "SELECT coalesce(sum(images), 0), coalesce(sum(errors), 0), count(*),"
                      " (SELECT generation FROM state), (SELECT count(*) FROM parts) FROM folders",
                      "");
    if (rc == 0)
        rc = catalog_step_row(cat, stmt, err);
    if (rc <= 0)
        return rc;
    out->images     = sqlite3_column_int64(stmt, 0);
    out->errors     = sqlite3_column_int64(stmt, 1);
    out->folders    = sqlite3_column_int64(stmt, 2);
    out->generation = sqlite3_column_int64(stmt, 3);
    out->parts      = sqlite3_column_int64(stmt, 4);
    sqlite3_reset(stmt);
    return 0;
}
