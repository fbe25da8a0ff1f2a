/* Unit tests of storage/catalog_schema: catalogues of every version come forward, with what
 * they hold, to be as if the newest had held it from the start; newer ones are refused.
 */
#include "catalog_fixture.h"

#include "base/buf.h"
#include "learn/tagger.h"
#include "storage/library_impl.h"

#define DUMP_MAX ((size_t)1 << 20)
#define SMALL    4 /* dimensions of the models here */

/* What a library may hold since each version, in SQL that holds for all later ones too.
 * Vectors are (1,0,0,0), (0,1,0,0) and (0,0,1,0). */
static const char *const since[CATALOG_VERSION + 1] = {
    [1] = "INSERT INTO models (id, name, dir, hash, precision, dim, state) VALUES"
          " (1, 'a', '/m/a', 'hash-a', 'f32', 4, 'active'),"
          " (2, 'b', '/m/b', 'hash-b', 'int8', 4, 'filling'),"
          " (3, 'c', '/m/c', 'hash-c', 'f32', 8, 'retired');"
          "INSERT INTO folders (id, path, online, scanned_at) VALUES"
          " (1, CAST('/pics/Lakes' AS BLOB), 1, 1700000000), (4, CAST('/more' AS BLOB), 0, 0);"
          "INSERT INTO images (id, folder_id, path, size, mtime_ns, hash, width, height, kind,"
          " orientation, taken_at, camera, latitude, longitude, added_at) VALUES"
          " (1, 1, CAST('sub/heron.jpg' AS BLOB), 1000, 5, zeroblob(16), 640, 480, 'JPEG', 6,"
          "  1234567890, 'Pentax K1000', 48.2, 16.37, 1700000001),"
          " (2, 1, x'636166e92e706e67', 2000, 6, zeroblob(15) || x'01', 10, 20, 'PNG', 1, 0, '',"
          "  NULL, NULL, 1700000002),"
          " (7, 4, CAST('tower.jpg' AS BLOB), 3000, 7, zeroblob(15) || x'02', 30, 30, 'JPEG', 1,"
          "  1600000000, '', NULL, NULL, 1700000003);"
          "INSERT INTO embeddings VALUES ((1 << 40) | 1, x'003c000000000000'),"
          " ((1 << 40) | 2, x'0000003c00000000'), ((1 << 40) | 7, x'00000000003c0000'),"
          " ((2 << 40) | 1, x'003c000000000000');"
          "INSERT INTO captions (id, image_id, source, text) VALUES"
          " (1, 1, 'user', 'A grey bird wades'), (2, 7, 'picture', 'an old lighthouse');"
          "INSERT INTO tags (image_id, tag, source, score) VALUES"
          " (1, 'animal|heron', 'user', NULL), (7, 'building', 'user', 0.75);"
          "INSERT INTO errors VALUES (1, CAST('bad.gif' AS BLOB), 10, 11, 'cut short', 12);"
          "INSERT INTO changes (seq, image_id, stamp) VALUES (5, 1, 50), (6, 2, 60), (7, 7, 70);"
          "UPDATE state SET generation = 33;",
    [2] = "UPDATE models SET distance = 'manhattan' WHERE id = 2;"
          "INSERT INTO model_files VALUES (1, 'config.json', x'7b7d');",
    [3] = "INSERT INTO rerankers (id, model_id, hash, bytes) VALUES (1, 1, 'rrrr', 2);"
          "INSERT INTO regions VALUES ((1 << 40) | 1, x'0102'), ((1 << 40) | 7, x'0304');",
    [4] = "INSERT INTO backgrounds VALUES (1, 7, 3, 0.5, x'003c000000000000');",
    [5] =
        "UPDATE images SET lens = '50mm f1.8', rating = 4 WHERE id = 1;"
        "UPDATE captions SET score = 0.5 WHERE id = 2;"
        "INSERT INTO tags VALUES (1, 'animal|heron', 'osprey', 0.9), (2, 'cafe', 'picture', NULL);",
    [6]  = "INSERT INTO taggers VALUES (1, 7, 70, ?)", /* labels_kept */
    [7]  = "INSERT INTO fingerprints (id, hash, kept) VALUES (1, zeroblob(16), x'0506');",
    [8]  = "UPDATE images SET sidecar_ns = 99, metadata = 1 WHERE id = 2;",
    [9]  = "UPDATE images SET colour = 0x1204060 WHERE id = 1;",
    [10] = "INSERT INTO parts (image_id, page) VALUES (2, 2);"
           "INSERT INTO embeddings VALUES ((1 << 40) | (1 << 39), x'00000000003c0000');"
           "INSERT INTO changes (seq, image_id, stamp) VALUES (8, 1 << 39, 80);",
    [11] = "INSERT INTO tags VALUES (2, 'late', 'user', NULL);"
           "DELETE FROM captions WHERE id = 1;",
    [12] = "UPDATE images SET time_ms = 1500 WHERE id = 7;",
    [13] = "INSERT INTO tags VALUES (2, 'given up', 'user', NULL);"
           "DELETE FROM tags WHERE tag = 'given up';",
};

/* Labels as the library keeps them; the caller frees them. */
static uint8_t *labels_kept(size_t *len)
{
    struct err               err        = ERR_INIT;
    static const char *const names      = "animal";
    float                    row[SMALL] = {1, 0, 0, 0}, bias = 0;
    const struct tagger_rows rows = {.n = 1, .dim = SMALL, .rows = row, .bias = &bias};
    struct tagger           *tagger;
    uint8_t                 *bytes;
    assert_ok(tagger_new(&names, &rows, 0.5, 5, &tagger, &err), &err);
    assert_ok(tagger_pack(tagger, &bytes, len, &err), &err);
    tagger_free(tagger);
    return bytes;
}

static void fill_to(const char *dir, int version)
{
    size_t        len;
    uint8_t      *labels = labels_kept(&len);
    sqlite3      *db     = open_catalog(dir);
    sqlite3_stmt *stmt;
    change_db(db, "BEGIN");
    for (int v = 1; v <= version; v++) {
        if (!strchr(since[v], '?')) {
            change_db(db, since[v]);
            continue;
        }
        assert_int_equal(sqlite3_prepare_v2(db, since[v], -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_bind_blob(stmt, 1, labels, (int)len, SQLITE_STATIC), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
        sqlite3_finalize(stmt);
    }
    change_db(db, "COMMIT");
    sqlite3_close(db);
    free(labels);
}

/* A catalogue as the program made it when version was the newest. */
static void make_version(const char *dir, int version)
{
    struct err     err = ERR_INIT;
    struct catalog cat = {.db = open_catalog(dir), .file = (char *)(uintptr_t)dir};
    assert_ok(catalog_migrate_to(&cat, version, &err), &err);
    for (size_t i = 0; i < cat.n_cache; i++)
        sqlite3_finalize(cat.cache[i].stmt);
    assert_int_equal(sqlite3_close(cat.db), SQLITE_OK);
    assert_int_equal(ask_catalog(dir, "PRAGMA user_version"), version);
}

/* ---- Dumps: compared as text ---- */

static void say(struct buf *out, const char *text)
{
    struct err err = ERR_INIT;
    assert_ok(buf_append_str(out, text, &err), &err);
}

/* SQL without comments, quotes and the way it is spaced, which ALTER TABLE changes. */
static void say_sql(struct buf *out, const char *sql)
{
    struct err err = ERR_INIT;
    for (const char *at = sql; at && *at; at++) {
        if (at[0] == '-' && at[1] == '-')
            at += strcspn(at, "\n");
        if (*at && !strchr(" \n\t\"", *at))
            assert_ok(buf_append(out, at, 1, &err), &err);
        if (!*at)
            break;
    }
}

/* Every row of a query, a line each, as SQL literals. */
static void say_rows(struct buf *out, sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    int           rc;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        for (int c = 0; c < sqlite3_column_count(stmt); c++) {
            sqlite3_str *text = sqlite3_str_new(db);
            if (sqlite3_column_type(stmt, c) == SQLITE_BLOB)
                for (int i = 0; i < sqlite3_column_bytes(stmt, c); i++)
                    sqlite3_str_appendf(text, "%02x",
                                        ((const uint8_t *)sqlite3_column_blob(stmt, c))[i]);
            else
                sqlite3_str_appendf(text, "%Q", sqlite3_column_text(stmt, c));
            char *done = sqlite3_str_finish(text);
            say(out, done ? done : "");
            say(out, " ");
            sqlite3_free(done);
        }
        say(out, "\n");
    }
    assert_int_equal(rc, SQLITE_DONE);
    sqlite3_finalize(stmt);
}

/* Freed by the caller. rows: the contents of all tables too. */
static char *dump(const char *dir, bool rows)
{
    sqlite3      *db = open_catalog(dir);
    sqlite3_stmt *stmt;
    struct buf    out;
    buf_init(&out, DUMP_MAX);
    /* What the table of words keeps inside depends on how it was filled. */
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT type, name, sql FROM sqlite_schema"
                                        " WHERE name NOT GLOB 'words_[cdi]*' ORDER BY type, name",
                                        -1, &stmt, NULL),
                     SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *type = (const char *)sqlite3_column_text(stmt, 0);
        const char *name = (const char *)sqlite3_column_text(stmt, 1);
        char        sql[200];
        say(&out, name);
        say(&out, ": ");
        say_sql(&out, (const char *)sqlite3_column_text(stmt, 2));
        say(&out, "\n");
        if (strcmp(type, "table") != 0)
            continue;
        (void)snprintf(sql, sizeof sql,
                       "SELECT name, type, dflt_value FROM pragma_table_xinfo('%s')", name);
        say_rows(&out, db, sql);
        (void)snprintf(sql, sizeof sql, "SELECT * FROM \"%s\"%s", name,
                       strcmp(name, "sqlite_sequence") == 0 ? " ORDER BY name" : "");
        if (rows)
            say_rows(&out, db, sql);
    }
    sqlite3_finalize(stmt);
    if (rows && ask_catalog(dir, "SELECT count(*) FROM sqlite_schema WHERE name = 'words'") == 1)
        say_rows(&out, db, "SELECT rowid FROM words ORDER BY rowid");
    sqlite3_close(db);
    char *text = buf_steal(&out);
    assert_non_null(text);
    buf_release(&out);
    return text;
}

static void assert_same(const char *a, const char *b, int version)
{
    if (strcmp(a, b) == 0)
        return;
    size_t at = 0;
    while (a[at] == b[at])
        at++;
    while (at > 0 && a[at - 1] != '\n')
        at--;
    fail_msg("version %d: %.300s\nis not\n%.300s", version, a + at, b + at);
}

/* ---- Forward ---- */

/* Opens the library, which brings it forward, has its words written and closes it. */
static void open_once(const char *dir, struct library_hit *hits, size_t *n, int64_t *herons)
{
    struct err          err     = ERR_INIT;
    struct library     *lib     = NULL;
    struct library_hit *found   = NULL;
    int64_t            *ids     = NULL;
    size_t              n_ids   = 0;
    static const float  query[] = {0.8f, 0.6f, 0, 0};
    assert_ok(library_open(dir, LIBRARY_EXISTING, &lib, &err), &err);
    assert_sound(lib);
    assert_ok(library_search(lib, query, 4, NULL, &found, n, &err), &err);
    memcpy(hits, found, *n * sizeof *hits);
    free(found);
    assert_ok(catalog_words_catch_up(lib->cat, &err), &err);
    assert_ok(catalog_words_find(lib->cat, "heron", NULL, 9, &ids, &n_ids, &err), &err);
    *herons = n_ids == 1 ? ids[0] : -1;
    free(ids);
    assert_sound(lib);
    library_close(lib);
}

/* What a version held is after the steps as if it had been given to the newest. */
static void every_version_comes_forward(void **state)
{
    (void)state;
    for (int version = 1; version <= CATALOG_VERSION; version++) {
        struct err         err = ERR_INIT;
        char              *old = temporary_dir(), *fresh = temporary_dir();
        struct library    *lib = NULL;
        struct library_hit hits[2][4];
        size_t             n[2];
        int64_t            herons[2];
        make_version(old, version);
        fill_to(old, version);
        assert_ok(library_open(fresh, LIBRARY_CREATE, &lib, &err), &err);
        library_close(lib);
        fill_to(fresh, version);

        open_once(old, hits[0], &n[0], &herons[0]);
        open_once(fresh, hits[1], &n[1], &herons[1]);
        assert_int_equal(ask_catalog(old, "PRAGMA user_version"), CATALOG_VERSION);
        char *a = dump(old, true), *b = dump(fresh, true);
        assert_same(a, b, version);
        free(a);
        free(b);
        assert_int_equal(ask_catalog(old, "SELECT images FROM folders WHERE id = 1"), 2);
        assert_int_equal(ask_catalog(old, "SELECT count(*) FROM words"), 3);
        assert_int_equal(herons[0], 1);
        assert_int_equal(herons[1], 1);
        assert_int_equal(n[0], n[1]);
        assert_true(n[0] >= 2);
        assert_int_equal(hits[0][0].id, 1);
        for (size_t i = 0; i < n[0]; i++) {
            assert_int_equal(hits[0][i].id, hits[1][i].id);
            assert_float_equal(hits[0][i].score, hits[1][i].score, 0);
        }
        remove_dir(old);
        remove_dir(fresh);
    }
}

/* The other tests make old catalogues by undoing steps: that gives what the steps gave. */
static void undoing_gives_what_there_was(void **state)
{
    (void)state;
    for (int version = 1; version < CATALOG_VERSION; version++) {
        char *old = temporary_dir(), *undone = temporary_dir();
        make_version(old, version);
        make_version(undone, CATALOG_VERSION);
        age_catalog(undone, version);
        char *a = dump(undone, false), *b = dump(old, false);
        assert_same(a, b, version);
        free(a);
        free(b);
        remove_dir(old);
        remove_dir(undone);
    }
}

/* ---- And not otherwise ---- */

static void a_step_that_fails_leaves_all_as_it_was(void **state)
{
    (void)state;
    for (int version = 1; version < CATALOG_VERSION - 1; version++) {
        struct err      err = ERR_INIT;
        struct library *lib = NULL;
        char           *dir = temporary_dir();
        make_version(dir, version);
        fill_to(dir, version);
        change_catalog(dir, "CREATE TABLE tags_taken (other)"); /* the last one's */
        char *before = dump(dir, true);
        assert_int_not_equal(library_open(dir, LIBRARY_EXISTING, &lib, &err), 0);
        assert_non_null(strstr(err.msg, "cannot bring the catalogue to version 13"));
        char *after = dump(dir, true);
        assert_same(after, before, version);
        assert_int_equal(ask_catalog(dir, "PRAGMA user_version"), version);
        free(before);
        free(after);
        remove_dir(dir);
    }
}

static void what_cannot_be_written_is_not_brought_forward(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    char      *dir = temporary_dir();
    make_version(dir, 9);
    struct catalog cat = {.db = open_catalog(dir), .file = dir, .read_only = true};
    assert_int_equal(catalog_migrate_to(&cat, CATALOG_VERSION, &err), ERR_IO);
    assert_non_null(strstr(err.msg, "has version 9"));
    assert_non_null(strstr(err.msg, "read-only"));
    for (size_t i = 0; i < cat.n_cache; i++)
        sqlite3_finalize(cat.cache[i].stmt);
    assert_int_equal(sqlite3_close(cat.db), SQLITE_OK);
    remove_dir(dir);
}

static void a_newer_one_is_refused_and_left(void **state)
{
    (void)state;
    struct err      err = ERR_INIT;
    struct room     r   = room_open("/pics");
    struct library *lib = NULL;
    char            sql[64], has[40], knows[40];
    library_close(r.lib);
    (void)snprintf(sql, sizeof sql, "PRAGMA user_version = %d", CATALOG_VERSION + 1);
    (void)snprintf(has, sizeof has, "has version %d", CATALOG_VERSION + 1);
    (void)snprintf(knows, sizeof knows, "knows up to %d", CATALOG_VERSION);
    change_catalog(r.dir, sql);
    char *before = dump(r.dir, true);
    assert_int_equal(library_open(r.dir, LIBRARY_EXISTING, &lib, &err), ERR_UNSUPPORTED);
    assert_int_equal(library_open(r.dir, LIBRARY_CREATE, &lib, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, r.dir));
    assert_non_null(strstr(err.msg, has));
    assert_non_null(strstr(err.msg, knows));
    assert_non_null(strstr(err.msg, "use a newer Osprey"));
    char *after = dump(r.dir, true);
    assert_same(after, before, CATALOG_VERSION + 1);
    free(before);
    free(after);
    remove_dir(r.dir);
}

static void versions_go_forward_only(void **state)
{
    (void)state;
    struct err      err  = ERR_INIT;
    struct room     r    = room_open(NULL);
    struct catalog *cat  = NULL;
    char           *file = path_join(r.dir, "catalog.db");
    int64_t         n    = -1;
    library_close(r.lib);
    assert_int_equal(ask_catalog(r.dir, "PRAGMA user_version"), CATALOG_VERSION);

    /* Two later versions: one step fails, and nothing of either stays. */
    const struct catalog_step bad[]  = {{CATALOG_VERSION + 1, "CREATE TABLE later (x)"},
                                        {CATALOG_VERSION + 2, "CREATE TABLE later (x)"}};
    const struct catalog_step good[] = {{CATALOG_VERSION + 1, "CREATE TABLE later (x)"},
                                        {CATALOG_VERSION + 2, "INSERT INTO later VALUES (7)"}};
    char                      version[32];
    (void)snprintf(version, sizeof version, "version %d", CATALOG_VERSION + 2);
    assert_ok(catalog_open(file, false, &cat, &err), &err);
    assert_int_not_equal(catalog_migrate(cat, bad, 2, &err), 0);
    assert_non_null(strstr(err.msg, version));
    assert_ok(catalog_int(cat, &n, &err, "PRAGMA user_version", ""), &err);
    assert_int_equal(n, CATALOG_VERSION);
    assert_ok(catalog_migrate(cat, good, 2, &err), &err);
    assert_ok(catalog_migrate(cat, good, 2, &err), &err);
    assert_ok(catalog_int(cat, &n, &err, "SELECT sum(x) FROM later", ""), &err);
    assert_int_equal(n, 7);
    catalog_close(cat);

    assert_int_equal(catalog_open(file, false, &cat, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.msg, version));
    free(file);
    remove_dir(r.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_version_comes_forward),
        cmocka_unit_test(undoing_gives_what_there_was),
        cmocka_unit_test(a_step_that_fails_leaves_all_as_it_was),
        cmocka_unit_test(what_cannot_be_written_is_not_brought_forward),
        cmocka_unit_test(a_newer_one_is_refused_and_left),
        cmocka_unit_test(versions_go_forward_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
