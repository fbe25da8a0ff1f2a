/* The files that the catalogue keeps of its models: see library_kept.c. */
#include "storage/catalog_db.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FILES 16 /* of a model */

static int take_row(struct catalog *cat, sqlite3_stmt *stmt, struct library_file *file,
                    struct err *err)
{
    const void *blob = sqlite3_column_blob(stmt, 1);
    size_t      len  = (size_t)sqlite3_column_bytes(stmt, 1);
    char       *data = mem_array(len + 1, 1);
    *file            = (struct library_file){
                   .name = mem_strdup((const char *)sqlite3_column_text(stmt, 0)), .data = data, .len = len};
    if (!file->name || !data)
        return err_set(err, ERR_NOMEM, "catalogue %s: out of memory for a model's file", cat->file);
    if (len)
        memcpy(data, blob, len);
    return 0;
}

int catalog_model_files(struct catalog *cat, int64_t model_id, struct library_file **out, size_t *n,
                        struct err *err)
{
    sqlite3_stmt        *stmt;
    struct library_file *files = mem_zeroed(MAX_FILES, sizeof *files);
    int                  rc    = 0;
    *n                         = 0;
    if (!files)
        return err_set(err, ERR_NOMEM, "catalogue %s: out of memory", cat->file);
    rc = catalog_query(cat, &stmt, err,
                       "SELECT name, data FROM model_files WHERE model_id = ? ORDER BY name LIMIT"
                       " 16",
                       "i", model_id);
    while (rc >= 0 && (rc = catalog_step_row(cat, stmt, err)) > 0)
        rc = take_row(cat, stmt, &files[(*n)++], err);
    if (rc == 0) {
        *out = files;
        return 0;
    }
    sqlite3_reset(stmt);
    for (size_t i = 0; i < *n; i++) {
        free((char *)files[i].name);
        free((void *)files[i].data);
    }
    free(files);
    *n = 0;
    return rc;
}

int catalog_model_files_put(struct catalog *cat, int64_t model_id, const struct library_file *files,
                            size_t n, struct err *err)
{
    if (n > MAX_FILES)
        return err_set(err, ERR_LIMIT, "catalogue %s keeps at most %d files of a model, not %zu",
                       cat->file, MAX_FILES, n);
    int rc = catalog_run(cat, err, "DELETE FROM model_files WHERE model_id = ?", "i", model_id);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc =
            catalog_run(cat, err, "INSERT INTO model_files (model_id, name, data) VALUES (?, ?, ?)",
                        "itb", model_id, files[i].name, files[i].data, files[i].len);
    return rc;
}

int catalog_model_files_trim(struct catalog *cat, struct err *err)
{
    return catalog_run(cat, err,
                       "DELETE FROM model_files WHERE model_id IN"
                       " (SELECT id FROM models WHERE state = 'retired')",
                       "");
}
