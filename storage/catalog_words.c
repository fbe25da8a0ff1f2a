/* The table of words: what is called, tagged and captioned with them (SQLite's FTS5,
 * whose rank is BM25).
 *
 * It is derived. words_stale has the images whose row is not yet as it should be: the
 * triggers of catalog_schema.c put them there, in the transaction that changed them.
 * The indexer's batches write theirs at once; what tags and captions leave is written by
 * the next one that asks for words.
 */
#include "storage/catalog_db.h"

#include "base/buf.h"
#include "base/mem.h"
#include "text/fold.h"
#include "text/unicode.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define BATCH     2000               /* images whose words are written in a transaction */
#define QUERY_MAX ((size_t)64 << 10) /* bytes of a question */
#define WORDS_MAX 64                 /* of a question; each costs */
#define WORD_MAX  256                /* bytes */

/* ---- Questions ---- */

/* They are in every other caption and tell nothing apart. */
static bool is_common(const char *word)
{
    static const char *const common[] = {
        "a",   "an",  "and", "are",  "as",  "at",   "be",    "by",   "das",  "dem", "den", "der",
        "des", "die", "ein", "eine", "for", "from", "im",    "in",   "into", "is",  "it",  "its",
        "mit", "of",  "on",  "or",   "s",   "the",  "their", "this", "to",   "und", "von", "with",
    };
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        if (strcmp(word, common[i]) == 0)
            return true;
    return false;
}

/* The next run of bytes without white space; *says: it holds a letter or a digit. */
static size_t next_word(const char *text, const char **word, bool *says)
{
    size_t n = strlen(text), at = 0, begin;
    *says = false;
    for (;;) {
        uint32_t cp;
        if (at == n)
            break;
        size_t len = utf8_decode(text + at, n - at, &cp);
        if (!unicode_is_space((int32_t)cp))
            break;
        at += len;
    }
    begin = at;
    while (at < n) {
        uint32_t cp;
        size_t   len = utf8_decode(text + at, n - at, &cp);
        if (unicode_is_space((int32_t)cp))
            break;
        *says = *says || unicode_class((int32_t)cp) != CHAR_OTHER;
        at += len;
    }
    *word = text + begin;
    return at - begin;
}

/* "word", as FTS5 quotes strings; nothing in it has a meaning then. */
static int add_word(struct buf *out, const char *word, size_t len, const char *join,
                    struct err *err)
{
    int rc = out->len && out->data[out->len - 1] == '"' ? buf_append_str(out, join, err) : 0;
    rc     = rc ? rc : buf_append_str(out, "\"", err);
    for (size_t i = 0; i < len && !rc; i++)
        rc = buf_append(out, word[i] == '"' ? "\"\"" : word + i, word[i] == '"' ? 2 : 1, err);
    return rc ? rc : buf_append_str(out, "\"", err);
}

/* The words of text, quoted and joined; *n counts them. Without common ones where
 * skip_common. */
static int add_words(struct buf *out, const char *text, const char *join, bool skip_common,
                     size_t *n, struct err *err)
{
    const char *word;
    bool        says;
    int         rc = 0;
    for (size_t len; !rc && *n < WORDS_MAX && (len = next_word(text, &word, &says)) > 0;
         text = word + len) {
        char *folded = NULL, *copy = NULL;
        bool  skip = !says || len > WORD_MAX;
        if (!skip && skip_common) {
            copy = mem_strndup(word, len);
            rc   = copy ? text_fold(copy, &folded, err)
                        : err_set(err, ERR_NOMEM, "cannot search for words: out of memory");
            skip = rc || is_common(folded);
        }
        if (!skip) {
            rc = add_word(out, word, len, join, err);
            ++*n;
        }
        free(folded);
        free(copy);
    }
    return rc;
}

int catalog_words_query(const char *words, enum catalog_words_kind kind, char **out,
                        struct err *err)
{
    struct buf buf;
    size_t     n = 0;
    int        rc;
    buf_init(&buf, QUERY_MAX);
    if (kind == CATALOG_CAPTION_WORDS) {
        rc = buf_append_str(&buf, "{captions} : (", err);
        rc = rc ? rc : add_words(&buf, words, " AND ", false, &n, err);
        rc = rc ? rc : buf_append_str(&buf, ")", err);
    } else {
        rc = add_words(&buf, words, " OR ", true, &n, err);
        if (!rc && n == 0)
            rc = add_words(&buf, words, " OR ", false, &n, err);
    }
    if (!rc && n == 0)
        rc = err_set(err, ERR_USAGE, "there is no word to look for in '%s'", words);
    if (!rc && !(*out = buf_steal(&buf)))
        rc = err_set(err, ERR_NOMEM, "cannot search for words: out of memory");
    buf_release(&buf);
    return rc;
}

int catalog_words_find(struct catalog *cat, const char *words, struct catalog_filter *filter,
                       size_t limit, int64_t **ids, size_t *n, struct err *err)
{
    sqlite3_stmt *stmt  = NULL;
    struct err    none  = ERR_INIT;
    char         *query = NULL;
    int64_t      *list  = mem_array(limit + 1, sizeof *list);
    size_t        len   = 0;
    int           rc = list ? 0 : err_set(err, ERR_NOMEM, "cannot search for words: out of memory");
    if (!rc) {
        rc = catalog_words_query(words, CATALOG_ANY_WORDS, &query, &none);
        if (rc && rc != ERR_USAGE)
            rc = err_set(err, rc, "%s", none.msg);
    }
    if (!rc) /* a folder's name is on everything in it: it weighs half */
        rc = catalog_query(cat, &stmt, err,
                           "SELECT rowid FROM words WHERE words MATCH ?"
                           " AND rank MATCH 'bm25(1.0, 0.5, 1.0, 1.0)' ORDER BY rank, rowid",
                           "t", query);
    while (rc >= 0 && stmt && len < limit && (rc = catalog_step_row(cat, stmt, err)) > 0) {
        int64_t id  = sqlite3_column_int64(stmt, 0);
        bool    yes = true;
        rc          = filter ? catalog_filter_match(filter, id, &yes, err) : 0;
        if (!rc && yes)
            list[len++] = id;
    }
    if (stmt)
        sqlite3_reset(stmt);
    free(query);
    if (rc < 0 && rc != ERR_USAGE) {
        free(list);
        return rc;
    }
    *ids = list;
    *n   = len;
    return 0;
}

/* ---- Keeping it ---- */

int catalog_words_stale(struct catalog *cat, bool *stale, struct err *err)
{
    int64_t yes = 0;
    int     rc  = catalog_int(cat, &yes, err, "SELECT EXISTS (SELECT 1 FROM words_stale)", "");
    *stale      = yes != 0;
    return rc;
}

#define OLDEST "(SELECT image_id FROM words_stale ORDER BY image_id LIMIT ?)"

int catalog_words_refresh(struct catalog *cat, int limit, struct err *err)
{
    int rc = catalog_run(cat, err, "DELETE FROM words WHERE rowid IN " OLDEST, "i", (int64_t)limit);
    if (rc == 0)
        rc = catalog_run(
            cat, err,
            "INSERT INTO words (rowid, name, folder, tags, captions)"
            " SELECT id, name, folder, tags, captions FROM words_now WHERE id IN " OLDEST,
            "i", (int64_t)limit);
    if (rc == 0)
        rc = catalog_run(cat, err, "DELETE FROM words_stale WHERE image_id IN " OLDEST, "i",
                         (int64_t)limit);
    return rc;
}

int catalog_words_catch_up(struct catalog *cat, struct err *err)
{
    bool stale = false;
    int  rc    = catalog_words_stale(cat, &stale, err);
    while (rc == 0 && stale && !cat->read_only) {
        /* What is derived changes no generation. */
        rc = catalog_run(cat, err, "BEGIN IMMEDIATE", "");
        if (rc)
            break;
        rc = catalog_finish(cat, catalog_words_refresh(cat, BATCH, err), err);
        if (rc == 0)
            rc = catalog_words_stale(cat, &stale, err);
    }
    return rc;
}

int catalog_words_rebuild(struct catalog *cat, struct err *err)
{
    int rc = catalog_exec(cat, "DROP TABLE IF EXISTS words; DELETE FROM words_stale;", err);
    return rc ? rc : catalog_exec(cat, CATALOG_WORDS_SQL, err);
}

int catalog_words_check(struct catalog *cat, int64_t *wrong, struct err *err)
{
    return catalog_int(
        cat, wrong, err,
        "SELECT (SELECT count(*) FROM words_now n WHERE id NOT IN"
        " (SELECT image_id FROM words_stale) AND NOT EXISTS (SELECT 1 FROM words w"
        " WHERE w.rowid = n.id AND w.name = n.name AND w.folder = n.folder"
        " AND w.tags = n.tags AND w.captions = n.captions))"
        " + (SELECT count(*) FROM words w WHERE w.rowid NOT IN (SELECT id FROM images)"
        " AND w.rowid NOT IN (SELECT image_id FROM words_stale))",
        "");
}

int catalog_words_sound(struct catalog *cat, bool *sound, struct err *err)
{
    struct err why = ERR_INIT;
    *sound         = true;
    if (cat->read_only)
        return 0;
    /* Written as an insert, it changes nothing. */
    int rc = catalog_run(cat, &why, "INSERT INTO words (words) VALUES ('integrity-check')", "");
    if (rc == 0)
        return 0;
    *sound = rc != ERR_DAMAGED;
    return *sound ? err_set(err, rc, "%s", why.msg) : 0;
}
