/* The catalogue's connection: opening, statements, transactions.
 *
 * Workload this is set up for: one indexer that writes batches of tens of rows
 * many times a second, and searches that read a few hundred embeddings by id,
 * in other processes, at the same time. Hence WAL (readers never wait), NORMAL
 * syncs (a power cut may lose the last batches, which the next run does again,
 * but never corrupts) and pages of 8 KiB (five vectors of 768 halves on each).
 */
#include "storage/catalog_db.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int catalog_fail(struct catalog *cat, int rc, const char *doing, struct err *err)
{
    enum err_code code;
    const char   *why = cat->db ? sqlite3_errmsg(cat->db) : sqlite3_errstr(rc);
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL: /* a lock of the log's shared memory, held as long */
        return err_set(err, ERR_BUSY,
                       "catalogue %s: cannot %s: another process does not let go of it", cat->file,
                       doing);
    case SQLITE_NOMEM:
        code = ERR_NOMEM;
        break;
    case SQLITE_NOTADB:
        return err_set(err, ERR_FORMAT, "cannot %s: %s is not an Osprey catalogue (not a database)",
                       doing, cat->file);
    case SQLITE_CORRUPT:
        code = ERR_DAMAGED;
        break;
    case SQLITE_IOERR:
    case SQLITE_FULL:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        code = ERR_IO;
        break;
    case SQLITE_TOOBIG:
        code = ERR_LIMIT;
        break;
    default:
        code = ERR_FAILED;
    }
    return err_set(err, code, "catalogue %s: cannot %s: %s", cat->file, doing, why);
}

/* ---- Statements ---- */

static int prepare(struct catalog *cat, const char *sql, sqlite3_stmt **out, struct err *err)
{
    for (size_t i = 0; i < cat->n_cache; i++) {
        if (cat->cache[i].sql == sql) {
            *out = cat->cache[i].stmt;
            sqlite3_reset(*out);
            sqlite3_clear_bindings(*out);
            return 0;
        }
    }
    if (cat->n_cache == CATALOG_STATEMENTS)
        return err_set(err, ERR_LIMIT, "catalogue %s: too many kinds of statements", cat->file);
    int rc = sqlite3_prepare_v3(cat->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    if (rc == SQLITE_ERROR) /* our statements are right: a table or a column is not there */
        return err_set(err, ERR_DAMAGED, "catalogue %s is not as its version says: %s", cat->file,
                       sqlite3_errmsg(cat->db));
    if (rc != SQLITE_OK)
        return catalog_fail(cat, rc, "prepare a statement", err);
    cat->cache[cat->n_cache].sql  = sql;
    cat->cache[cat->n_cache].stmt = *out;
    cat->n_cache++;
    return 0;
}

static int bind_all(sqlite3_stmt *stmt, const char *kinds, va_list ap)
{
    int rc = SQLITE_OK;
    for (int i = 1; *kinds && rc == SQLITE_OK; kinds++, i++) {
        switch (*kinds) {
        case 'i':
            rc = sqlite3_bind_int64(stmt, i, va_arg(ap, int64_t));
            break;
        case 't':
            rc = sqlite3_bind_text(stmt, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
            break;
        case 'p': {
            const char *p = va_arg(ap, const char *);
            rc = p ? sqlite3_bind_blob64(stmt, i, p, (sqlite3_uint64)strlen(p), SQLITE_STATIC)
                   : sqlite3_bind_null(stmt, i);
            break;
        }
        case 'b': {
            const void *p = va_arg(ap, const void *);
            size_t      n = va_arg(ap, size_t);
            rc            = sqlite3_bind_blob64(stmt, i, p, (sqlite3_uint64)n, SQLITE_STATIC);
            break;
        }
        case 'r': /* a number that is none is NULL to SQLite */
            rc = sqlite3_bind_double(stmt, i, va_arg(ap, double));
            break;
        default:
            rc = SQLITE_MISUSE;
        }
    }
    return rc;
}

static int query_va(struct catalog *cat, sqlite3_stmt **out, struct err *err, const char *sql,
                    const char *kinds, va_list ap)
{
    int rc = prepare(cat, sql, out, err);
    if (rc)
        return rc;
    rc = bind_all(*out, kinds, ap);
    return rc == SQLITE_OK ? 0 : catalog_fail(cat, rc, "bind a value", err);
}

int catalog_query(struct catalog *cat, sqlite3_stmt **out, struct err *err, const char *sql,
                  const char *kinds, ...)
{
    va_list ap;
    va_start(ap, kinds);
    int rc = query_va(cat, out, err, sql, kinds, ap);
    va_end(ap);
    return rc;
}

int catalog_step_row(struct catalog *cat, sqlite3_stmt *stmt, struct err *err)
{
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        return 1;
    if (rc == SQLITE_DONE) {
        sqlite3_reset(stmt);
        return 0;
    }
    /* Beginning and committing count as reading, and still may find the disk full. */
    bool reads = sqlite3_stmt_readonly(stmt) && (rc & 0xff) != SQLITE_FULL;
    rc         = catalog_fail(cat, rc, reads ? "read" : "write", err);
    sqlite3_reset(stmt);
    return rc;
}

int catalog_run(struct catalog *cat, struct err *err, const char *sql, const char *kinds, ...)
{
    sqlite3_stmt *stmt;
    va_list       ap;
    va_start(ap, kinds);
    int rc = query_va(cat, &stmt, err, sql, kinds, ap);
    va_end(ap);
    if (rc)
        return rc;
    rc = catalog_step_row(cat, stmt, err);
    if (rc > 0)
        sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

int catalog_int(struct catalog *cat, int64_t *out, struct err *err, const char *sql,
                const char *kinds, ...)
{
    sqlite3_stmt *stmt;
    va_list       ap;
    va_start(ap, kinds);
    int rc = query_va(cat, &stmt, err, sql, kinds, ap);
    va_end(ap);
    if (rc)
        return rc;
    rc = catalog_step_row(cat, stmt, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, ERR_NOTFOUND, "catalogue %s: no such entry", cat->file);
    *out = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return 0;
}

int catalog_exec(struct catalog *cat, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(cat->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : catalog_fail(cat, rc, "run a command", err);
}

char *catalog_column_path(sqlite3_stmt *stmt, int column)
{
    const void *p = sqlite3_column_blob(stmt, column);
    return mem_strndup(p ? p : "", (size_t)sqlite3_column_bytes(stmt, column));
}

/* ---- Transactions ---- */

int catalog_begin_read(struct catalog *cat, struct err *err)
{
    return catalog_run(cat, err, "BEGIN", "");
}

int catalog_generation(struct catalog *cat, int64_t *out, struct err *err)
{
    return catalog_int(cat, out, err, "SELECT coalesce(max(generation), 0) FROM state", "");
}

int catalog_begin_write(struct catalog *cat, struct err *err)
{
    if (cat->read_only)
        return err_set(err, ERR_IO, "cannot write to catalogue %s: it is read-only", cat->file);
    int rc = catalog_run(cat, err, "BEGIN IMMEDIATE", "");
    if (rc)
        return rc;
    rc = catalog_run(cat, err, "UPDATE state SET generation = generation + 1", "");
    if (rc)
        catalog_rollback(cat);
    return rc;
}

int catalog_commit(struct catalog *cat, struct err *err)
{
    int rc = catalog_run(cat, err, "COMMIT", "");
    if (rc)
        catalog_rollback(cat);
    return rc;
}

void catalog_rollback(struct catalog *cat)
{
    for (size_t i = 0; i < cat->n_cache; i++)
        sqlite3_reset(cat->cache[i].stmt);
    if (!sqlite3_get_autocommit(cat->db))
        sqlite3_exec(cat->db, "ROLLBACK", NULL, NULL, NULL);
}

int catalog_finish(struct catalog *cat, int rc, struct err *err)
{
    if (rc == 0)
        return catalog_commit(cat, err);
    catalog_rollback(cat);
    return rc;
}

/* ---- Opening ---- */

static int connect_as(struct catalog *cat, const char *name, int flags)
{
    int rc = sqlite3_open_v2(name, &cat->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_extended_result_codes(cat->db, 1);
        sqlite3_busy_timeout(cat->db, cat->busy_ms);
        /* Opening is lazy: this is what reads the file. */
        rc = sqlite3_exec(cat->db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    }
    return rc;
}

static void disconnect(struct catalog *cat)
{
    sqlite3_close_v2(cat->db);
    cat->db = NULL;
}

/* On a read-only medium WAL mode cannot make its shared memory. With no log to
 * replay, the file may be read as one that nobody changes. */
static int connect_immutable(struct catalog *cat)
{
    size_t n   = strlen(cat->file);
    char  *uri = mem_array(3 * n + 32, 1), *p = uri;
    if (!uri)
        return SQLITE_NOMEM;
    p += snprintf(p, 8, "file:");
    for (const char *s = cat->file; *s; s++) {
        if (*s == '%' || *s == '?' || *s == '#')
            p += snprintf(p, 4, "%%%02X", (unsigned char)*s);
        else
            *p++ = *s;
    }
    snprintf(p, 16, "?immutable=1");
    int rc = connect_as(cat, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
    free(uri);
    return rc;
}

static int connect(struct catalog *cat, bool create, struct err *err)
{
    int rc = connect_as(cat, cat->file, SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0));
    if (rc == SQLITE_OK && !sqlite3_db_readonly(cat->db, "main"))
        return 0;
    int primary = rc & 0xff;
    if (rc != SQLITE_OK && primary != SQLITE_CANTOPEN && primary != SQLITE_READONLY &&
        primary != SQLITE_IOERR && primary != SQLITE_PERM) {
        rc = catalog_fail(cat, rc, "open it", err);
        disconnect(cat);
        return rc;
    }
    cat->read_only = true;
    if (rc == SQLITE_OK)
        return 0;
    disconnect(cat);
    if (connect_as(cat, cat->file, SQLITE_OPEN_READONLY) == SQLITE_OK)
        return 0;
    disconnect(cat);
    int immutable = connect_immutable(cat);
    if (immutable == SQLITE_OK)
        return 0;
    rc = catalog_fail(cat, immutable, "open it", err);
    disconnect(cat);
    return rc;
}

static int set_up(struct catalog *cat, struct err *err)
{
    int rc = catalog_exec(cat,
                          "PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL;"
                          "PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY;",
                          err);
    if (!rc)
        rc = catalog_functions_add(cat, err);
    if (rc || cat->read_only)
        return rc ? rc : catalog_migrate_to(cat, CATALOG_VERSION, err);
    int64_t pages = 0;
    rc            = catalog_int(cat, &pages, err, "PRAGMA page_count", "");
    if (rc == 0 && pages == 0)
        rc = catalog_exec(cat, "PRAGMA page_size = 8192", err);
    if (rc == 0)
        rc = catalog_migrate_to(cat, CATALOG_VERSION, err);
    if (rc == 0) /* after the check that it is ours: this changes the file */
        rc = catalog_exec(cat, "PRAGMA journal_mode = WAL", err);
    return rc;
}

int catalog_open(const char *file, bool create, struct catalog **out, struct err *err)
{
    if (!create && access(file, F_OK) != 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? err_set(err, ERR_NOTFOUND, "there is no catalogue %s", file)
                   : err_set(err, ERR_IO, "cannot open catalogue %s: %s", file, strerror(errno));
    struct catalog *cat = mem_zeroed(1, sizeof(*cat));
    if (!cat || !(cat->file = mem_strdup(file))) {
        free(cat);
        return err_set(err, ERR_NOMEM, "cannot open catalogue %s: out of memory", file);
    }
    cat->busy_ms = CATALOG_BUSY_MS;
    int rc       = connect(cat, create, err);
    if (rc == 0)
        rc = set_up(cat, err);
    if (rc) {
        catalog_close(cat);
        return rc;
    }
    *out = cat;
    return 0;
}

void catalog_close(struct catalog *cat)
{
    if (!cat)
        return;
    if (cat->db)
        catalog_rollback(cat);
    for (size_t i = 0; i < cat->n_cache; i++)
        sqlite3_finalize(cat->cache[i].stmt);
    sqlite3_close_v2(cat->db);
    free(cat->vector);
    free(cat->file);
    free(cat);
}

bool catalog_is_read_only(const struct catalog *cat)
{
    return cat->read_only;
}
