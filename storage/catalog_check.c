/* Is the catalogue sound? And a copy of it while others go on.
 *
 * What is derived (counters, SQLite's own indices, orphans) is put right by
 * repair. An image whose embedding is missing or broken keeps its id, tags and
 * captions: its recorded time is set to one that no file has, so that the next
 * index run encodes it again; until then it waits, which is no damage. So does one
 * whose page (a part, library.h) lacks its own, for pages come with their image.
 * Damaged pages of the file are beyond repair here: a backup must be restored.
 */
#include "storage/catalog_db.h"

#include "base/file.h"
#include "base/half.h"
#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAITS_FOR_INDEX INT64_MIN /* mtime_ns */
#define SPELLED_OUT     50        /* findings of one kind, before "and so on" */
#define UNIT_SLACK      2e-3      /* of the squared norm: half precision and more */

struct check {
    struct catalog             *cat;
    const struct library_model *model;
    bool                        repair;
    catalog_report              report;
    void                       *ctx;
    int64_t                     found, left;
};

__attribute__((format(printf, 3, 4))) static void finding(struct check *c, bool put_right,
                                                          const char *fmt, ...)
{
    char    msg[1200];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(msg, sizeof(msg) - 16, fmt, ap);
    va_end(ap);
    if (put_right && n >= 0)
        snprintf(msg + strlen(msg), 16, " (put right)");
    c->found++;
    c->left += !put_right;
    if (c->report)
        c->report(c->ctx, msg);
}

/* ---- SQLite's own structures ---- */

static int integrity(struct check *c, bool tell, int64_t *wrong, struct err *err)
{
    sqlite3_stmt *stmt;
    *wrong = 0;
    int rc = catalog_query(c->cat, &stmt, err, "PRAGMA integrity_check(20)", "");
    while (rc >= 0 && (rc = catalog_step_row(c->cat, stmt, err)) > 0) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        if (text && strcmp(text, "ok") == 0)
            continue;
        ++*wrong;
        if (tell)
            finding(c, false, "catalogue %s: %s", c->cat->file, text ? text : "unreadable");
    }
    return rc;
}

static int words_anew(struct check *c, struct err *err)
{
    int rc = catalog_begin_write(c->cat, err);
    return rc ? rc : catalog_finish(c->cat, catalog_words_rebuild(c->cat, err), err);
}

/* Indices can be made anew from their tables, and the table of words (which newer
 * SQLites look into here); nothing else can. */
static int check_file(struct check *c, bool *fatal, struct err *err)
{
    int64_t wrong = 0;
    int     rc    = integrity(c, true, &wrong, err);
    if (rc == 0 && wrong > 0 && c->repair) {
        struct err ignored = ERR_INIT;
        if (catalog_exec(c->cat, "REINDEX", &ignored) == 0 && words_anew(c, &ignored) == 0 &&
            integrity(c, false, &wrong, &ignored) == 0 && wrong == 0)
            c->left = 0;
    }
    *fatal = wrong > 0;
    return rc;
}

/* ---- Rows that contradict one another ---- */

/* Counts with one statement and removes with another. */
static int check_rows(struct check *c, const char *count_sql, const char *repair_sql,
                      const char *what, struct err *err)
{
    int64_t n  = 0;
    int     rc = catalog_int(c->cat, &n, err, count_sql, "");
    if (rc || n == 0)
        return rc;
    if (c->repair)
        rc = catalog_exec(c->cat, repair_sql, err);
    if (rc == 0)
        finding(c, c->repair, "%lld %s", (long long)n, what);
    return rc;
}

static int check_relations(struct check *c, struct err *err)
{
    static const struct {
        const char *count, *repair, *what;
    } rules[] = {
        {"SELECT count(*) FROM images WHERE folder_id NOT IN (SELECT id FROM folders)",
         "INSERT INTO changes (image_id) SELECT id FROM images" /* loaded indexes hold them */
         " WHERE folder_id NOT IN (SELECT id FROM folders);"
         "DELETE FROM images WHERE folder_id NOT IN (SELECT id FROM folders)",
         "images belong to a folder that does not exist"},
        {"SELECT count(*) FROM errors WHERE folder_id NOT IN (SELECT id FROM folders)",
         "DELETE FROM errors WHERE folder_id NOT IN (SELECT id FROM folders)",
         "errors belong to a folder that does not exist"},
        {"SELECT count(*) FROM tags WHERE image_id NOT IN (SELECT id FROM images)",
         "DELETE FROM tags WHERE image_id NOT IN (SELECT id FROM images)",
         "tags belong to an image that does not exist"},
        {"SELECT count(*) FROM captions WHERE image_id NOT IN (SELECT id FROM images)",
         "DELETE FROM captions WHERE image_id NOT IN (SELECT id FROM images)",
         "captions belong to an image that does not exist"},
        {"SELECT count(*) FROM errors e WHERE EXISTS (SELECT 1 FROM images i"
         " WHERE i.folder_id = e.folder_id AND i.path = e.path)",
         "DELETE FROM errors WHERE EXISTS (SELECT 1 FROM images i"
         " WHERE i.folder_id = errors.folder_id AND i.path = errors.path)",
         "files are listed both as an image and as broken"},
        {"SELECT count(*) FROM parts WHERE image_id NOT IN (SELECT id FROM images)",
         "DELETE FROM parts WHERE image_id NOT IN (SELECT id FROM images)",
         "pages belong to an image that does not exist"},
        {"SELECT count(*) FROM embeddings WHERE (key & 0xffffffffff) NOT IN"
         " (SELECT id FROM images UNION ALL SELECT id FROM parts)"
         " OR (key >> 40) NOT IN (SELECT id FROM models)",
         "INSERT INTO changes (image_id) SELECT DISTINCT key & 0xffffffffff FROM embeddings"
         " WHERE (key & 0xffffffffff) NOT IN"
         " (SELECT id FROM images UNION ALL SELECT id FROM parts);"
         "DELETE FROM embeddings WHERE (key & 0xffffffffff) NOT IN"
         " (SELECT id FROM images UNION ALL SELECT id FROM parts)"
         " OR (key >> 40) NOT IN (SELECT id FROM models)",
         "embeddings belong to an image or a model that does not exist"},
        {"SELECT count(*) FROM fingerprints WHERE hash NOT IN (SELECT hash FROM images)",
         "DELETE FROM fingerprints WHERE hash NOT IN (SELECT hash FROM images)",
         "fingerprints are of contents that no image has"},
        {"SELECT count(*) FROM taggers WHERE model_id NOT IN (SELECT id FROM models)",
         "DELETE FROM taggers WHERE model_id NOT IN (SELECT id FROM models)",
         "sets of labels belong to a model that does not exist"},
        {"SELECT count(*) FROM regions WHERE (key & 0xffffffffff) NOT IN"
         " (SELECT id FROM images) OR (key >> 40) NOT IN (SELECT id FROM rerankers)",
         "DELETE FROM regions WHERE (key & 0xffffffffff) NOT IN"
         " (SELECT id FROM images) OR (key >> 40) NOT IN (SELECT id FROM rerankers)",
         "pictures' regions belong to an image or a re-ranker that does not exist"},
        {"SELECT count(*) FROM regions g JOIN rerankers r ON r.id = g.key >> 40"
         " WHERE length(g.kept) <> r.bytes",
         "DELETE FROM regions WHERE length(kept) <> (SELECT bytes FROM rerankers"
         " WHERE id = key >> 40)",
         "pictures' regions are not as long as their re-ranker's"},
        {"SELECT count(*) FROM backgrounds WHERE model_id NOT IN"
         " (SELECT id FROM models WHERE length(vectors) % (2 * dim) = 0)",
         "DELETE FROM backgrounds WHERE model_id NOT IN"
         " (SELECT id FROM models WHERE length(vectors) % (2 * dim) = 0)",
         "backgrounds that scores are measured by belong to no model, or are not as long as its "
         "embeddings"},
        {"SELECT count(*) FROM rerankers r WHERE images <>"
         " (SELECT count(*) FROM regions WHERE key >> 40 = r.id)",
         "UPDATE rerankers SET images = (SELECT count(*) FROM regions WHERE key >> 40 = "
         "rerankers.id)",
         "re-ranker(s) count their pictures wrongly"},
        {"SELECT count(*) FROM folders f WHERE images <>"
         " (SELECT count(*) FROM images WHERE folder_id = f.id) OR errors <>"
         " (SELECT count(*) FROM errors WHERE folder_id = f.id)",
         "UPDATE folders SET images = (SELECT count(*) FROM images WHERE folder_id = folders.id),"
         " errors = (SELECT count(*) FROM errors WHERE folder_id = folders.id)",
         "folder(s) count their images or errors wrongly"},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]) && rc == 0; i++)
        rc = check_rows(c, rules[i].count, rules[i].repair, rules[i].what, err);
    return rc;
}

/* ---- Words ---- */

static int check_words(struct check *c, bool sound, struct err *err)
{
    int64_t wrong = 0;
    int     rc    = sound ? catalog_words_check(c->cat, &wrong, err) : 0;
    if (rc == ERR_DAMAGED)
        sound = false;
    else if (rc || (sound && wrong == 0))
        return rc;
    rc = c->repair ? catalog_words_rebuild(c->cat, err) : 0;
    if (rc)
        return rc;
    if (sound)
        finding(c, c->repair, "the table of words is wrong about %lld image(s)", (long long)wrong);
    else
        finding(c, c->repair, "the table of words is damaged");
    return 0;
}

/* ---- Embeddings ---- */

struct id_list {
    int64_t *ids;
    size_t   len, cap;
};

static int id_push(struct id_list *list, int64_t id, struct err *err)
{
    if (list->len == list->cap) {
        size_t   cap = list->cap ? list->cap * 2 : 64;
        int64_t *to  = mem_regrow(list->ids, cap, sizeof(*to));
        if (!to)
            return err_set(err, ERR_NOMEM, "cannot check the embeddings: out of memory");
        list->ids = to;
        list->cap = cap;
    }
    list->ids[list->len++] = id;
    return 0;
}

static const char *vector_wrong(const uint16_t *vector, size_t bytes, int dim, float *scratch)
{
    if (bytes != (size_t)dim * 2)
        return "has the wrong length";
    half_to_float(scratch, vector, (size_t)dim);
    double sum = 0;
    for (int i = 0; i < dim; i++)
        sum += (double)scratch[i] * (double)scratch[i];
    if (!isfinite(sum))
        return "is not finite";
    return fabs(sum - 1) > UNIT_SLACK ? "is not normalised" : NULL;
}

/* Tells of one whose embedding is missing or broken, and notes it. before: how long the
 * list was before the first of this kind. */
static int note_embedding(struct check *c, struct id_list *list, size_t before, int64_t id,
                          const char *what, const char *wrong, struct err *err)
{
    int rc = id_push(list, id, err);
    if (list->len - before <= SPELLED_OUT)
        finding(c, c->repair, "%s %s%s", what, wrong,
                c->repair ? ": the next index run will encode it again" : "");
    else
        c->found++, c->left += !c->repair;
    return rc;
}

static int note_missing(struct check *c, struct id_list *list, size_t before, sqlite3_stmt *stmt,
                        struct err *err)
{
    char    what[1000];
    int64_t id = sqlite3_column_int64(stmt, 0), image = sqlite3_column_int64(stmt, 1);
    int     page = sqlite3_column_int(stmt, 2);
    char   *path = catalog_column_path(stmt, 3);
    if (page)
        snprintf(what, sizeof(what), "page %d of image %lld (%s)", page, (long long)image,
                 path ? path : "?");
    else
        snprintf(what, sizeof(what), "image %lld (%s)", (long long)image, path ? path : "?");
    free(path);
    return note_embedding(c, list, before, id, what, "has no embedding", err);
}

static int find_missing(struct check *c, struct id_list *list, struct err *err)
{
    sqlite3_stmt *stmt;
    int           rc = catalog_query(
                  c->cat, &stmt, err,
                  "SELECT i.id, i.id, 0, i.path FROM images i JOIN folders f ON f.id = i.folder_id"
                            " WHERE f.online AND i.mtime_ns <> ?1 AND NOT EXISTS (SELECT 1 FROM models m"
                            " JOIN embeddings e ON e.key = (m.id << 40) | i.id WHERE m.state <> 'retired')",
                  "i", (int64_t)WAITS_FOR_INDEX);
    while (rc >= 0 && (rc = catalog_step_row(c->cat, stmt, err)) > 0)
        rc = note_missing(c, list, 0, stmt, err);
    return rc;
}

static int find_missing_pages(struct check *c, struct id_list *list, struct err *err)
{
    sqlite3_stmt *stmt;
    size_t        before = list->len;
    int           rc     = catalog_query(
                      c->cat, &stmt, err,
                      "SELECT p.id, i.id, p.page, i.path FROM parts p JOIN images i ON i.id = p.image_id"
                                    " JOIN folders f ON f.id = i.folder_id WHERE f.online AND i.mtime_ns <> ?1"
                                    " AND NOT EXISTS (SELECT 1 FROM models m JOIN embeddings e"
                                    " ON e.key = (m.id << 40) | p.id WHERE m.state <> 'retired')",
                      "i", (int64_t)WAITS_FOR_INDEX);
    while (rc >= 0 && (rc = catalog_step_row(c->cat, stmt, err)) > 0)
        rc = note_missing(c, list, before, stmt, err);
    return rc;
}

static int find_broken(struct check *c, struct id_list *list, struct err *err)
{
    const uint16_t *vector;
    int64_t         id;
    size_t          bytes, before = list->len;
    float          *scratch = mem_array((size_t)c->model->dim, sizeof(float));
    if (!scratch)
        return err_set(err, ERR_NOMEM, "cannot check the embeddings: out of memory");
    int rc = catalog_walk_begin(c->cat, c->model->id, 0, err);
    while (rc >= 0 && (rc = catalog_walk_next(c->cat, &id, &vector, &bytes, err)) > 0) {
        const char *wrong = vector_wrong(vector, bytes, c->model->dim, scratch);
        if (!wrong)
            continue;
        char what[64];
        snprintf(what, sizeof(what), "the embedding of %s %lld",
                 id < LIBRARY_FIRST_PART ? "image" : "page", (long long)id);
        rc = note_embedding(c, list, before, id, what, wrong, err);
    }
    free(scratch);
    return rc;
}

/* An image waits for the next index run; of a page its image does, and the page goes
 * until then. */
static int await_index(struct check *c, int64_t id, struct err *err)
{
    struct catalog_part part = {.image_id = id};
    int                 rc   = 0;
    if (id >= LIBRARY_FIRST_PART) {
        rc = catalog_part_get(c->cat, id, &part, err);
        if (rc == 0)
            rc = catalog_run(c->cat, err, "DELETE FROM parts WHERE id = ?", "i", id);
    }
    if (rc == 0)
        rc = catalog_run(c->cat, err, "UPDATE images SET mtime_ns = ?2 WHERE id = ?1", "ii",
                         part.image_id, (int64_t)WAITS_FOR_INDEX);
    if (rc == 0)
        rc = catalog_run(c->cat, err, "DELETE FROM embeddings WHERE key = ?", "i",
                         embedding_key(c->model->id, part.image_id));
    return rc ? rc : catalog_change_note(c->cat, part.image_id, err);
}

static int check_embeddings(struct check *c, struct err *err)
{
    struct id_list list = {0};
    int            rc   = find_missing(c, &list, err);
    if (rc == 0)
        rc = find_missing_pages(c, &list, err);
    if (rc == 0)
        rc = find_broken(c, &list, err);
    if (list.len > SPELLED_OUT && c->report)
        c->report(c->ctx,
                  "more images are without a sound embedding; they are counted, not listed");
    for (size_t i = 0; i < list.len && c->repair && rc == 0; i++)
        rc = await_index(c, list.ids[i], err);
    free(list.ids);
    return rc;
}

/* Without an active model no image is ever found. */
static int check_model(struct check *c, struct err *err)
{
    int64_t images = 0;
    int     rc     = catalog_int(c->cat, &images, err, "SELECT count(*) FROM images", "");
    if (rc == 0 && images > 0)
        finding(c, false, "no model answers for the %lld images: `osprey index` chooses one again",
                (long long)images);
    return rc;
}

static int check_all(struct check *c, bool *fatal, struct err *err)
{
    bool sound = true;
    int  rc    = check_file(c, fatal, err);
    if (rc == 0 && !*fatal)
        rc = catalog_words_sound(c->cat, &sound, err);
    if (rc || *fatal)
        return rc;
    rc = c->repair ? catalog_begin_write(c->cat, err) : catalog_begin_read(c->cat, err);
    if (rc)
        return rc;
    rc = check_relations(c, err);
    if (rc == 0)
        rc = check_words(c, sound, err);
    if (rc == 0)
        rc = c->model ? check_embeddings(c, err) : check_model(c, err);
    if (rc == 0)
        return catalog_commit(c->cat, err);
    catalog_rollback(c->cat);
    return rc;
}

int catalog_check(struct catalog *cat, const struct library_model *model, bool repair,
                  catalog_report report, void *ctx, int64_t *found, int64_t *left, bool *fatal,
                  struct err *err)
{
    struct check c = {cat, model, repair, report, ctx, 0, 0};
    struct err   e = ERR_INIT;
    *fatal         = false;
    int rc         = check_all(&c, fatal, &e);
    if (rc == ERR_DAMAGED) { /* SQLite stumbled over a page: a finding, not a failure */
        *fatal = true;
        finding(&c, false, "%s", e.msg);
        rc = 0;
    }
    if (*fatal)
        finding(&c, false,
                repair ? "catalogue %s is damaged beyond repair: restore a backup of it, or move "
                         "the library away and index again"
                       : "catalogue %s is damaged: where `osprey verify --repair` does not help, "
                         "restore a backup of it, or move the library away and index again",
                cat->file);
    *found = c.found;
    *left  = c.left;
    return rc ? err_set(err, e.code, "%s", e.msg) : 0;
}

/* ---- Backup ---- */

static int copy_pages(struct catalog *cat, sqlite3 *to, const char *file, struct err *err)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", cat->db, "main");
    if (!backup)
        return err_set(err, ERR_IO, "cannot back up to %s: %s", file, sqlite3_errmsg(to));
    int rc, waited = 0;
    /* In one step: a snapshot, and in WAL mode nobody waits for it. */
    while (((rc = sqlite3_backup_step(backup, -1)) == SQLITE_BUSY || rc == SQLITE_LOCKED) &&
           waited < cat->busy_ms)
        waited += sqlite3_sleep(50);
    rc = sqlite3_backup_finish(backup);
    if (rc != SQLITE_OK)
        return err_set(err, (rc & 0xff) == SQLITE_CORRUPT ? ERR_DAMAGED : ERR_IO,
                       "cannot back up %s to %s: %s", cat->file, file, sqlite3_errmsg(to));
    /* One file that stands alone, without a log beside it. */
    rc = sqlite3_exec(to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        return err_set(err, ERR_IO, "cannot finish backup %s: %s", file, sqlite3_errmsg(to));
    return 0;
}

int catalog_backup(struct catalog *cat, const char *file, struct err *err)
{
    char    *aside = NULL, *from_real = NULL, *to_real = NULL;
    sqlite3 *to = NULL;
    size_t   n  = strlen(file);
    int      rc = path_real(cat->file, &from_real, err);
    if (rc)
        return rc;
    if (!n) {
        rc = err_set(err, ERR_USAGE, "cannot back up to an empty path");
        goto out;
    }
    if (file_is_dir(file)) {
        rc = err_set(err, ERR_USAGE, "cannot back up to %s: it is a folder", file);
        goto out;
    }
    if (file_exists(file) && path_real(file, &to_real, NULL) == 0 &&
        strcmp(from_real, to_real) == 0) {
        rc = err_set(err, ERR_USAGE, "cannot back up %s onto itself", file);
        goto out;
    }
    if (!(aside = mem_array(n + 32, 1))) {
        rc = err_set(err, ERR_NOMEM, "cannot back up to %s: out of memory", file);
        goto out;
    }
    snprintf(aside, n + 32, "%s.aside-%ld", file, (long)getpid());
    unlink(aside);
    if (sqlite3_open_v2(aside, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
        rc = err_set(err, ERR_IO, "cannot create backup %s: %s", file, sqlite3_errmsg(to));
    else
        rc = copy_pages(cat, to, file, err);
    sqlite3_close_v2(to);
    if (rc == 0)
        rc = file_sync(aside, err);
    if (rc == 0 && rename(aside, file) != 0)
        rc = err_set(err, ERR_IO, "cannot rename %s to %s: %s", aside, file, strerror(errno));
    if (rc == 0)
        rc = file_sync_parent(file, err);
    if (rc)
        unlink(aside);
out:
    free(aside);
    free(from_real);
    free(to_real);
    return rc;
}
