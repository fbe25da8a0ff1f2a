/* What the catalog_*.c files share: the connection and its prepared statements.
 * Not for anyone else.
 */
#ifndef OSPREY_STORAGE_CATALOG_DB_H
#define OSPREY_STORAGE_CATALOG_DB_H

#include "storage/catalog.h"

#include <sqlite3.h>

#define CATALOG_VERSION          13
#define CATALOG_APPLICATION_ID   0x4f737072 /* "Ospr" */
/* Of what is read from pictures: grows when more of it is, so that all are read again. */
#define CATALOG_METADATA_VERSION 2
#define CATALOG_BUSY_MS          30000
#define CATALOG_STATEMENTS       120

struct catalog {
    sqlite3 *db;
    char    *file;
    bool     read_only;
    int      busy_ms;
    struct {
        const char   *sql; /* compared by address: a literal at its one place of use */
        sqlite3_stmt *stmt;
    } cache[CATALOG_STATEMENTS];
    size_t        n_cache;
    sqlite3_stmt *walk;
    int64_t       walk_model;
    uint16_t     *vector;     /* the last embedding handed out */
    size_t        vector_cap; /* bytes */
};

/* One step forward: from version - 1 to version. */
struct catalog_step {
    int         version;
    const char *sql;
};
/* Brings a database up to the newest step, in one transaction. */
int catalog_migrate(struct catalog *cat, const struct catalog_step *steps, size_t n,
                    struct err *err);
/* By our own steps, up to a version from 1 to CATALOG_VERSION. */
int catalog_migrate_to(struct catalog *cat, int version, struct err *err);

/* Translates SQLite's last error: "catalogue FILE: cannot DOING: why". */
int catalog_fail(struct catalog *cat, int rc, const char *doing, struct err *err);

/* Prepares sql (a string literal; kept for the next time) and binds arguments:
 * i int64_t; r double (NAN: NULL); t text; p path (a C string as a blob, or NULL); b pointer
 * and size_t. */
int catalog_query(struct catalog *cat, sqlite3_stmt **out, struct err *err, const char *sql,
                  const char *kinds, ...);
/* 1: a row, 0: done (the statement is reset), negative: failed. */
int catalog_step_row(struct catalog *cat, sqlite3_stmt *stmt, struct err *err);
/* Runs a statement that yields no rows. */
int catalog_run(struct catalog *cat, struct err *err, const char *sql, const char *kinds, ...);
/* Yields the first column of the first row; ERR_NOTFOUND without one. */
int catalog_int(struct catalog *cat, int64_t *out, struct err *err, const char *sql,
                const char *kinds, ...);
int catalog_exec(struct catalog *cat, const char *sql, struct err *err);

/* Makes osprey_km known to SQL (catalog_functions.c). */
int catalog_functions_add(struct catalog *cat, struct err *err);

/* The table of words, filled, for the schema's step and for making it anew. */
#define CATALOG_WORDS_SQL                                                                          \
    "CREATE VIRTUAL TABLE words USING fts5(name, folder, tags, captions,"                          \
    " tokenize = 'unicode61 remove_diacritics 2');"                                                \
    "INSERT INTO words (rowid, name, folder, tags, captions)"                                      \
    " SELECT id, name, folder, tags, captions FROM words_now;"

/* The columns that catalog_image_from_row reads, of images i and folders f. */
#define IMAGE_COLUMNS                                                                              \
    "i.id, i.folder_id, f.path, i.path, i.size, i.mtime_ns, i.hash, i.width, i.height, i.kind,"    \
    " i.orientation, i.taken_at, i.camera, i.colour,"                                              \
    " coalesce((SELECT max(page) FROM parts WHERE image_id = i.id), 1)"
int catalog_image_from_row(sqlite3_stmt *stmt, struct library_image *out, struct err *err);

/* A blob column as a C string; NULL when out of memory. */
char *catalog_column_path(sqlite3_stmt *stmt, int column);

static inline int64_t embedding_key(int64_t model_id, int64_t image_id)
{
    return model_id << 40 | image_id;
}

static inline int64_t regions_key(int64_t reranker_id, int64_t image_id)
{
    return reranker_id << 40 | image_id;
}

/* The range of bytewise paths that lie inside a folder: from "below/" up to, not
 * including, "below0" ('0' follows '/'). "" is everything. */
struct path_range {
    char *from, *to; /* to NULL: no end */
    char *exact;     /* "below" itself, when it may name a file; else NULL */
};
int  path_range_init(struct path_range *range, const char *below, struct err *err);
void path_range_release(struct path_range *range);

#endif
