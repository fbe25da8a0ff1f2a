/* Shared by the tests of the catalogue: a library with a model, and its catalogue looked
 * into or changed behind its back.
 */
#ifndef OSPREY_TESTS_CATALOG_FIXTURE_H
#define OSPREY_TESTS_CATALOG_FIXTURE_H

#include "library_fixture.h"

#include "base/file.h"
#include "storage/catalog_db.h"

struct room {
    char           *dir;
    struct library *lib;
    int64_t         model, folder;
};

/* folder: one to begin with; NULL: none. */
static inline struct room room_open(const char *folder)
{
    struct err  err = ERR_INIT;
    struct room r   = {.dir = temporary_dir()};
    assert_ok(library_open(r.dir, LIBRARY_CREATE, &r.lib, &err), &err);
    r.model  = fill_model(r.lib, "hash-a", true);
    r.folder = folder ? add_folder(r.lib, folder) : 0;
    return r;
}

static inline void room_close(struct room *r)
{
    assert_sound(r->lib);
    library_close(r->lib);
    remove_dir(r->dir);
}

static inline sqlite3 *open_catalog(const char *dir)
{
    sqlite3 *db   = NULL;
    char    *file = path_join(dir, "catalog.db");
    assert_non_null(file);
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    assert_int_equal(sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL), SQLITE_OK);
    free(file);
    return db;
}

static inline void change_db(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%.300s: %s", sql, sqlite3_errmsg(db));
}

static inline void change_catalog(const char *dir, const char *sql)
{
    sqlite3 *db = open_catalog(dir);
    change_db(db, sql);
    sqlite3_close(db);
}

/* The first column of the first row; -1 without one. */
static inline int64_t ask_catalog(const char *dir, const char *sql)
{
    sqlite3      *db = open_catalog(dir);
    sqlite3_stmt *stmt;
    int64_t       value = -1;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    int rc = sqlite3_step(stmt);
    assert_true(rc == SQLITE_ROW || rc == SQLITE_DONE);
    if (rc == SQLITE_ROW)
        value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return value;
}

/* SQL that makes the newest catalogue one of an older version; freed by the caller. */
static inline char *undo_catalog_to(int version)
{
    char  *text = NULL, end[32], pragma[48];
    size_t len  = 0;
    FILE  *f    = fopen(TEST_DATA "/catalog_undo.sql", "r");
    assert_non_null(f);
    ssize_t got = getdelim(&text, &len, '\0', f);
    (void)fclose(f);
    assert_true(got > 0);
    (void)snprintf(end, sizeof end, "\n-- %d\n", version);
    (void)snprintf(pragma, sizeof pragma, "\nPRAGMA user_version = %d;", version);
    char *from = strstr(text, end);
    if (from)
        *from = '\0';
    char *sql = malloc(strlen(text) + sizeof pragma);
    assert_non_null(sql);
    (void)snprintf(sql, strlen(text) + sizeof pragma, "%s%s", text, pragma);
    free(text);
    return sql;
}

/* Makes the catalogue of a closed library one of an older version. */
static inline void age_catalog(const char *dir, int version)
{
    char *undo = undo_catalog_to(version);
    change_catalog(dir, undo);
    free(undo);
}

#endif
