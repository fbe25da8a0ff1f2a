/* Files of embeddings (exchange.h). */
#include "cli/exchange.h"

#include "base/base64.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/parquet.h"
#include "meta/metadata.h"
#include "meta/strings.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_FIELD ((size_t)1 << 20) /* bytes of a field in a CSV */
#define MOST_LINE  ((size_t)16 << 20)

char *path_with(const char *path, const char *suffix)
{
    size_t n   = strlen(path) + strlen(suffix) + 1;
    char  *out = mem_array(n, 1);
    if (out)
        snprintf(out, n, "%s%s", path, suffix);
    return out;
}

int exchange_files_init(struct exchange_files *files, const char *target, struct err *err)
{
    size_t n      = strlen(target);
    char  *prefix = NULL;
    int    rc     = 0;
    *files        = (struct exchange_files){0};
    if (n > 0 && target[n - 1] == '/')
        rc = file_mkdirs(target, err);
    if (rc)
        return rc;
    if (file_is_dir(target))
        prefix = path_join(target, "embeddings");
    else if (n > 4 && strcmp(target + n - 4, ".npy") == 0)
        prefix = mem_strndup(target, n - 4);
    else
        prefix = mem_strdup(target);
    if (prefix) {
        files->npy   = path_with(prefix, ".npy");
        files->lines = path_with(prefix, ".jsonl");
        files->model = path_with(prefix, ".json");
    }
    free(prefix);
    if (files->npy && files->lines && files->model)
        return 0;
    exchange_files_release(files);
    return err_set(err, ERR_NOMEM, "out of memory");
}

void exchange_files_release(struct exchange_files *files)
{
    free(files->npy);
    free(files->lines);
    free(files->model);
    *files = (struct exchange_files){0};
}

int exchange_path(const struct jnode *object, const char *key, char **path, struct err *err)
{
    char        name[64];
    const char *text;
    uint8_t    *bytes;
    size_t      n;
    *path = NULL;
    snprintf(name, sizeof name, "%.40s_bytes", key);
    if (jnode_to_str(jnode_get(object, name), &text)) {
        int rc = base64_decode(text, strlen(text), &bytes, &n, err);
        if (rc)
            return rc;
        *path = mem_strndup((const char *)bytes, n);
        free(bytes);
    } else if (jnode_to_str(jnode_get(object, key), &text)) {
        *path = mem_strdup(text);
    } else {
        return err_set(err, ERR_FORMAT, "it has no \"%s\"", key);
    }
    if (!*path)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (**path)
        return 0;
    free(*path);
    *path = NULL;
    return err_set(err, ERR_FORMAT, "its \"%s\" is empty", key);
}

/* ---- Tables ---- */

static bool ends_in(const char *file, const char *suffix)
{
    size_t n = strlen(file), m = strlen(suffix);
    return n > m && strcmp(file + n - m, suffix) == 0;
}

/* One field of a CSV into out; *last: its record ends with it. -1: a quote is never closed. */
static int csv_field(struct exchange_table *t, struct buf *out, bool *last, struct err *err)
{
    bool quoted = t->at < t->end && *t->at == '"';
    int  rc     = 0;
    buf_reset(out);
    t->at += quoted;
    for (; !rc; t->at++) {
        if (t->at == t->end) {
            *last = true;
            return quoted ? err_set(err, ERR_FORMAT, "a quote is never closed") : 0;
        }
        if (quoted && *t->at == '"') {
            if (t->at + 1 < t->end && t->at[1] == '"')
                t->at++;
            else {
                quoted = false; /* what follows is the end of the field */
                continue;
            }
        } else if (!quoted && (*t->at == ',' || *t->at == '\n')) {
            *last = *t->at++ == '\n';
            return 0;
        } else if (!quoted && *t->at == '\r') {
            continue;
        }
        rc = buf_append(out, t->at, 1, err);
    }
    return rc;
}

/* Out of what a table says; NULL where nothing is left of it. */
static int take_caption(const char *text, size_t n, char **caption, struct err *err)
{
    free(*caption);
    *caption = text_clean(text, n, METADATA_TEXT_MAX);
    if (!*caption)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (!**caption) {
        free(*caption);
        *caption = NULL;
    }
    return 0;
}

/* The header: how many columns there are, and which have the paths and the captions. */
static int csv_header(struct exchange_table *t, struct err *err)
{
    struct buf field;
    bool       last = false;
    int        rc   = 0;
    t->path_column = t->caption_column = SIZE_MAX;
    buf_init(&field, MOST_FIELD);
    while (!last && !rc) {
        rc = csv_field(t, &field, &last, err);
        if (!rc && (strcmp(buf_str(&field), "image_path") == 0 ||
                    (t->path_column == SIZE_MAX && strcmp(buf_str(&field), "path") == 0)))
            t->path_column = t->columns;
        else if (!rc && strcmp(buf_str(&field), "caption") == 0)
            t->caption_column = t->columns;
        t->columns++;
    }
    buf_release(&field);
    if (rc)
        return err_prefix(err, "%s", t->what);
    return t->path_column != SIZE_MAX
               ? 0
               : err_set(err, ERR_FORMAT, "%s has no column image_path or path", t->what);
}

static int parquet_begin(struct exchange_table *t, struct err *err)
{
    int rc = parquet_open(t->what, &t->parquet, err);
    if (rc)
        return rc;
    if (!parquet_has(t->parquet, "image_path") && !parquet_has(t->parquet, "path"))
        return err_set(err, ERR_FORMAT, "%s has no column image_path or path", t->what);
    rc = parquet_column_open(
        t->parquet, parquet_has(t->parquet, "image_path") ? "image_path" : "path", &t->paths, err);
    if (rc || !parquet_has(t->parquet, "caption"))
        return rc;
    struct err why = ERR_INIT;
    rc             = parquet_column_open(t->parquet, "caption", &t->captions, &why);
    return rc == ERR_UNSUPPORTED || !rc ? 0 : err_set(err, why.code, "%s", why.msg);
}

static int text_begin(struct exchange_table *t, struct err *err)
{
    int rc = file_map(&t->map, t->what, err);
    if (rc)
        return rc;
    t->at  = t->map.data ? (const char *)t->map.data : ""; /* an empty file has no data */
    t->end = t->at + t->map.len;
    t->csv = ends_in(t->what, ".csv");
    return t->csv ? csv_header(t, err) : 0;
}

int exchange_table_open(struct exchange_table *t, const char *file, struct err *err)
{
    *t     = (struct exchange_table){.what = file};
    int rc = ends_in(file, ".parquet") ? parquet_begin(t, err) : text_begin(t, err);
    if (rc)
        exchange_table_close(t);
    return rc;
}

void exchange_table_close(struct exchange_table *t)
{
    parquet_column_close(t->paths);
    parquet_column_close(t->captions);
    parquet_close(t->parquet);
    file_unmap(&t->map);
    *t = (struct exchange_table){0};
}

int exchange_table_line(struct exchange_table *t, const char **line, size_t *len)
{
    while (t->at < t->end && (*t->at == '\n' || *t->at == '\r'))
        t->at++;
    if (t->at == t->end)
        return 0;
    const char *stop = memchr(t->at, '\n', (size_t)(t->end - t->at));
    *line            = t->at;
    *len             = (size_t)((stop ? stop : t->end) - t->at);
    t->at            = stop ? stop + 1 : t->end;
    t->row++;
    return 1;
}

static int csv_row(struct exchange_table *t, char **path, char **caption, struct err *err)
{
    struct buf field;
    size_t     column = 0;
    bool       last   = false;
    int        rc     = 0;
    buf_init(&field, MOST_FIELD);
    for (; !last && !rc; column++) {
        rc = csv_field(t, &field, &last, err);
        if (!rc && column == t->path_column && !(*path = mem_strdup(buf_str(&field))))
            rc = err_set(err, ERR_NOMEM, "out of memory");
        if (!rc && column == t->caption_column)
            rc = take_caption(buf_str(&field), field.len, caption, err);
    }
    if (!rc && column != t->columns)
        rc = err_set(err, ERR_FORMAT, "it has %zu fields, not %zu", column, t->columns);
    buf_release(&field);
    return rc;
}

static int parquet_caption(struct exchange_table *t, char **caption, struct err *err)
{
    const char *value;
    size_t      n;
    int         rc = parquet_column_next(t->captions, &value, &n, err);
    if (rc == 0)
        return err_set(err, ERR_FORMAT, "the column of captions ends before that of paths");
    if (rc < 0)
        return err_prefix(err, "its caption");
    return value ? take_caption(value, n, caption, err) : 0;
}

/* 1, 0 at the end, or an error. */
static int parquet_row(struct exchange_table *t, char **path, char **caption, struct err *err)
{
    const char *value;
    size_t      n;
    int         rc = parquet_column_next(t->paths, &value, &n, err);
    if (rc == 0)
        return 0;
    t->row++;
    if (rc < 0)
        return rc;
    if (!value || n == 0)
        return err_set(err, ERR_FORMAT, "it has no path");
    if (n > MOST_FIELD || memchr(value, '\0', n))
        return err_set(err, ERR_FORMAT, "its path of %zu bytes is none", n);
    *path = mem_strndup(value, n);
    if (!*path)
        return err_set(err, ERR_NOMEM, "out of memory");
    rc = t->captions ? parquet_caption(t, caption, err) : 0;
    return rc ? rc : 1;
}

static int line_row(const char *line, size_t len, char **path, char **caption, struct err *err)
{
    struct jnode *object = NULL;
    const char   *text;
    int           rc = len > MOST_LINE ? err_set(err, ERR_LIMIT, "it is too long")
                                       : jnode_parse(line, len, "it", &object, err);
    if (!rc)
        rc = exchange_path(object, jnode_get(object, "image_path") ? "image_path" : "path", path,
                           err);
    if (!rc && jnode_to_str(jnode_get(object, "caption"), &text))
        rc = take_caption(text, strlen(text), caption, err);
    jnode_free(object);
    return rc;
}

int exchange_table_row(struct exchange_table *t, char **path, char **caption, struct err *err)
{
    const char *line;
    size_t      len;
    int         rc = 0;
    *path = *caption = NULL;
    if (t->csv && t->at == t->end)
        return 0;
    if (t->paths) {
        rc = parquet_row(t, path, caption, err);
        if (rc == 0)
            return 0;
        rc = rc > 0 ? 0 : rc;
    } else if (t->csv) {
        rc = csv_row(t, path, caption, err);
        t->row++;
    } else {
        if (!exchange_table_line(t, &line, &len))
            return 0;
        rc = line_row(line, len, path, caption, err);
    }
    if (!rc)
        return 1;
    free(*path);
    free(*caption);
    *path = *caption = NULL;
    return err_prefix(err, "%s, row %zu", t->what, t->row);
}
