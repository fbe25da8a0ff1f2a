/* The catalogue's tags and captions: who says what of an image (library_tags.h).
 *
 * Both tables have the same shape, so what reads and writes them is written once, over
 * the statements of either.
 */
#include "storage/catalog_db.h"

#include "base/mem.h"
#include "text/fold.h"
#include "text/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *get, *clear, *put;
    const char *what;
    size_t      longest; /* bytes */
} tables[] = {
    [CATALOG_TAGS] =
        {
            "SELECT tag, source, score FROM tags WHERE image_id = ?"
            " ORDER BY source, score DESC, tag",
            "DELETE FROM tags WHERE image_id = ? AND source = ?",
            "INSERT INTO tags (image_id, tag, source, score) VALUES (?, ?, ?, ?)",
            "tag",
            LIBRARY_TAG_MAX,
        },
    [CATALOG_CAPTIONS] =
        {
            "SELECT text, source, score FROM captions WHERE image_id = ? ORDER BY source, id",
            "DELETE FROM captions WHERE image_id = ? AND source = ?",
            "INSERT INTO captions (image_id, text, source, score) VALUES (?, ?, ?, ?)",
            "caption",
            LIBRARY_CAPTION_MAX,
        },
    [CATALOG_TAKEN] =
        {
            .get = "SELECT tag, 'user', NULL FROM tags_taken WHERE image_id = ? ORDER BY tag",
        },
};

static const char *const source_names[LIBRARY_SOURCES] = {
    [LIBRARY_PICTURE] = "picture", [LIBRARY_OSPREY] = "osprey", [LIBRARY_USER] = "user"};

const char *library_source_name(enum library_source source)
{
    return source_names[source];
}

bool library_source_of(const char *name, enum library_source *out)
{
    for (int i = 0; i < LIBRARY_SOURCES; i++) {
        if (strcmp(name, source_names[i]) == 0) {
            *out = (enum library_source)i;
            return true;
        }
    }
    return false;
}

void library_said_free(struct library_said *said, size_t n)
{
    for (size_t i = 0; said && i < n; i++)
        free(said[i].text);
    free(said);
}

/* ---- Reading ---- */

static int take_row(sqlite3_stmt *stmt, struct library_said *out, struct err *err)
{
    const char *source = (const char *)sqlite3_column_text(stmt, 1);
    if (!source || !library_source_of(source, &out->source))
        out->source = LIBRARY_USER; /* captions of before there were sources */
    out->text = catalog_column_path(stmt, 0);
    out->score =
        sqlite3_column_type(stmt, 2) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(stmt, 2);
    return out->text ? 0 : err_set(err, ERR_NOMEM, "cannot read what is said: out of memory");
}

int catalog_said_get(struct catalog *cat, enum catalog_said kind, int64_t image_id,
                     struct library_said **out, size_t *n, struct err *err)
{
    struct library_said *list = NULL;
    size_t               len = 0, cap = 0;
    sqlite3_stmt        *stmt;
    int                  rc = catalog_query(cat, &stmt, err, tables[kind].get, "i", image_id);
    while (rc >= 0 && (rc = catalog_step_row(cat, stmt, err)) > 0) {
        if (len == cap) {
            cap                     = cap ? cap * 2 : 8;
            struct library_said *to = mem_regrow(list, cap, sizeof *list);
            if (!to) {
                sqlite3_reset(stmt);
                rc = err_set(err, ERR_NOMEM, "cannot read what is said: out of memory");
                break;
            }
            list = to;
        }
        rc = take_row(stmt, &list[len], err);
        len += rc == 0;
        if (rc)
            sqlite3_reset(stmt);
    }
    if (rc < 0) {
        library_said_free(list, len);
        return rc;
    }
    *out = list;
    *n   = len;
    return 0;
}

/* ---- Replacing ---- */

static bool is_text(enum catalog_said kind, const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len > tables[kind].longest || !utf8_valid(text, len))
        return false;
    for (const char *c = text; *c; c++)
        if (((unsigned char)*c < 0x20 || *c == 0x7f) &&
            (kind == CATALOG_TAGS || !strchr("\t\n\r", *c)))
            return false;
    return true;
}

static int check(enum catalog_said kind, const struct library_saying *s, struct err *err)
{
    const char *what = tables[kind].what;
    if (s->n > LIBRARY_SAID_MAX)
        return err_set(err, ERR_LIMIT, "cannot keep %zu %ss of image %lld: at most %zu", s->n, what,
                       (long long)s->image_id, LIBRARY_SAID_MAX);
    for (size_t i = 0; i < s->n; i++)
        if (!s->said[i].text || !is_text(kind, s->said[i].text))
            return err_set(err, ERR_USAGE,
                           "cannot keep a %s of image %lld: it is empty, longer than %zu bytes or "
                           "not plain UTF-8",
                           what, (long long)s->image_id, tables[kind].longest);
    return 0;
}

static bool equal(const struct library_said *a, const struct library_said *b)
{
    return strcmp(a->text, b->text) == 0 &&
           (a->score == b->score || (isnan(a->score) && isnan(b->score)));
}

/* Whether old (n_old; of all sources, each together) holds just this of the source.
 * Tags have no order, captions have. */
static bool stands(enum catalog_said kind, enum library_source source,
                   const struct library_said *old, size_t n_old, const struct library_saying *now)
{
    size_t from = 0, n = 0;
    while (from < n_old && old[from].source != source)
        from++;
    while (from + n < n_old && old[from + n].source == source)
        n++;
    if (n != now->n)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool same = equal(&now->said[i], &old[from + i]);
        for (size_t j = 0; !same && kind == CATALOG_TAGS && j < n; j++)
            same = equal(&now->said[i], &old[from + j]);
        if (!same)
            return false;
    }
    return true;
}

/* ---- What looks alike is one tag ---- */

static bool is_composed(const struct library_saying *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (!text_is_ascii(s->said[i].text))
            return false;
    return true;
}

/* Of two that say the same, the surer one's score. */
static double surer(double a, double b)
{
    return isnan(a) || b > a ? b : a;
}

/* The same tags with composed letters, each once; freed with library_said_free. */
static int compose(const struct library_saying *s, struct library_saying *out, struct err *err)
{
    struct library_said *said = mem_zeroed(s->n + 1, sizeof *said);
    int rc = said ? 0 : err_set(err, ERR_NOMEM, "cannot keep what is said: out of memory");
    *out   = (struct library_saying){.image_id = s->image_id, .said = said};
    for (size_t i = 0; i < s->n && !rc; i++) {
        struct library_said *to = &said[out->n];
        *to                     = s->said[i];
        to->text                = NULL;
        rc                      = text_nfc(s->said[i].text, &to->text, err);
        size_t k                = 0;
        while (!rc && k < out->n && strcmp(said[k].text, to->text) != 0)
            k++;
        if (!rc && k < out->n) {
            said[k].score = surer(said[k].score, to->score);
            free(to->text);
            to->text = NULL;
        } else {
            out->n += rc == 0;
        }
    }
    if (rc && said)
        library_said_free(said, out->n);
    return rc;
}

static int replace_one(struct catalog *cat, enum catalog_said kind, enum library_source source,
                       const struct library_saying *s, int64_t *changed, struct err *err)
{
    struct library_said *old   = NULL;
    size_t               n_old = 0;
    int64_t              there = 0;
    int                  rc    = catalog_said_get(cat, kind, s->image_id, &old, &n_old, err);
    bool                 same  = rc == 0 && stands(kind, source, old, n_old, s);
    library_said_free(old, n_old);
    if (rc == 0 && !same)
        rc = catalog_int(cat, &there, err, "SELECT count(*) FROM images WHERE id = ?", "i",
                         s->image_id);
    if (rc || !there)
        return rc;
    rc = catalog_run(cat, err, tables[kind].clear, "it", s->image_id, source_names[source]);
    for (size_t t = 0; t < s->n && rc == 0; t++)
        rc = catalog_run(cat, err, tables[kind].put, "ittr", s->image_id, s->said[t].text,
                         source_names[source], s->said[t].score);
    *changed += rc == 0;
    return rc;
}

int catalog_said_replace(struct catalog *cat, enum catalog_said kind, enum library_source source,
                         const struct library_saying *images, size_t n, int64_t *changed,
                         struct err *err)
{
    int rc   = 0;
    *changed = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = check(kind, &images[i], err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct library_saying composed;
        if (kind != CATALOG_TAGS || is_composed(&images[i])) {
            rc = replace_one(cat, kind, source, &images[i], changed, err);
            continue;
        }
        rc = compose(&images[i], &composed, err);
        if (rc)
            break;
        rc = replace_one(cat, kind, source, &composed, changed, err);
        library_said_free((struct library_said *)(uintptr_t)composed.said, composed.n);
    }
    return rc;
}

int catalog_said_remove(struct catalog *cat, enum catalog_said kind, enum library_source source,
                        const char *tag, int64_t *removed, struct err *err)
{
    int rc;
    if (kind == CATALOG_CAPTIONS)
        rc = catalog_run(cat, err, "DELETE FROM captions WHERE source = ?", "t",
                         source_names[source]);
    else if (!tag)
        rc = catalog_run(cat, err, "DELETE FROM tags WHERE source = ?", "t", source_names[source]);
    else /* '}' follows '|' */
        rc = catalog_run(cat, err,
                         "DELETE FROM tags WHERE source = ?1 AND (tag = ?2"
                         " OR (tag > ?2 || '|' AND tag < ?2 || '}'))",
                         "tt", source_names[source], tag);
    if (rc == 0)
        *removed = sqlite3_changes(cat->db);
    return rc;
}

/* ---- As images come, go and move ---- */

int catalog_said_void(struct catalog *cat, int64_t image_id, struct err *err)
{
    int rc = catalog_run(cat, err, "DELETE FROM tags WHERE image_id = ? AND source = 'osprey'", "i",
                         image_id);
    if (rc == 0)
        rc = catalog_run(cat, err, "DELETE FROM captions WHERE image_id = ? AND source = 'osprey'",
                         "i", image_id);
    return rc;
}

int catalog_said_copy(struct catalog *cat, int64_t from, int64_t to, struct err *err)
{
    int rc = catalog_said_void(cat, to, err);
    if (rc == 0)
        rc = catalog_run(cat, err,
                         "INSERT INTO tags (image_id, tag, source, score) SELECT ?2, tag, source,"
                         " score FROM tags WHERE image_id = ?1 AND source = 'osprey'",
                         "ii", from, to);
    if (rc == 0)
        rc = catalog_run(cat, err,
                         "INSERT INTO captions (image_id, text, source, score) SELECT ?2, text,"
                         " source, score FROM captions WHERE image_id = ?1 AND source = 'osprey'"
                         " ORDER BY id",
                         "ii", from, to);
    return rc;
}

int catalog_said_join(struct catalog *cat, int64_t from, int64_t into, struct err *err)
{
    int rc = catalog_run(cat, err,
                         "INSERT OR IGNORE INTO tags (image_id, tag, source, score) SELECT ?2, tag,"
                         " source, score FROM tags WHERE image_id = ?1 AND source = 'user'",
                         "ii", from, into);
    if (rc == 0)
        rc = catalog_run(cat, err,
                         "INSERT INTO captions (image_id, text, source, score) SELECT ?2, text,"
                         " source, score FROM captions WHERE image_id = ?1 AND source = 'user'"
                         " AND text NOT IN (SELECT text FROM captions WHERE image_id = ?2 AND"
                         " source = 'user') ORDER BY id",
                         "ii", from, into);
    return rc;
}

/* ---- All tags ---- */

static int count_from_row(sqlite3_stmt *stmt, struct library_tag_count *out, struct err *err)
{
    *out = (struct library_tag_count){.tag    = catalog_column_path(stmt, 0),
                                      .images = sqlite3_column_int64(stmt, 1)};
    for (int s = 0; s < LIBRARY_SOURCES; s++)
        out->said[s] = sqlite3_column_int64(stmt, 2 + s);
    return out->tag ? 0 : err_set(err, ERR_NOMEM, "cannot list the tags: out of memory");
}

int catalog_tags_list(struct catalog *cat, struct library_tag_count **out, size_t *n,
                      struct err *err)
{
    struct library_tag_count *list = NULL;
    size_t                    len = 0, cap = 0;
    sqlite3_stmt             *stmt;
    int                       rc = catalog_query(cat, &stmt, err,
                                                 "SELECT tag, count(DISTINCT image_id), sum(source = 'picture'),"
                                                                       " sum(source = 'osprey'), sum(source = 'user') FROM tags"
                                                                       " GROUP BY tag ORDER BY 2 DESC, tag",
                                                 "");
    while (rc >= 0 && (rc = catalog_step_row(cat, stmt, err)) > 0) {
        if (len == cap) {
            cap                          = cap ? cap * 2 : 64;
            struct library_tag_count *to = mem_regrow(list, cap, sizeof *list);
            if (!to) {
                sqlite3_reset(stmt);
                rc = err_set(err, ERR_NOMEM, "cannot list the tags: out of memory");
                break;
            }
            list = to;
        }
        rc = count_from_row(stmt, &list[len], err);
        len += rc == 0;
        if (rc)
            sqlite3_reset(stmt);
    }
    if (rc < 0) {
        library_tag_counts_free(list, len);
        return rc;
    }
    *out = list;
    *n   = len;
    return 0;
}

void library_tag_counts_free(struct library_tag_count *counts, size_t n)
{
    for (size_t i = 0; counts && i < n; i++)
        free(counts[i].tag);
    free(counts);
}

int catalog_captioned_count(struct catalog *cat, enum library_source source, int64_t *n,
                            struct err *err)
{
    return catalog_int(cat, n, err,
                       "SELECT count(DISTINCT image_id) FROM captions WHERE source = ?", "t",
                       source_names[source]);
}

int catalog_said_any(struct catalog *cat, enum catalog_said kind, enum library_source source,
                     bool *any, struct err *err)
{
    int64_t n  = 0;
    int     rc = catalog_int(cat, &n, err,
                         kind == CATALOG_TAGS
                                 ? "SELECT EXISTS (SELECT 1 FROM tags WHERE source = ?)"
                                 : "SELECT EXISTS (SELECT 1 FROM captions WHERE source = ?)",
                             "t", source_names[source]);
    *any       = n != 0;
    return rc;
}

int catalog_tagged_count(struct catalog *cat, int64_t *n, struct err *err)
{
    /* Read in the order of the key: nothing is sorted. */
    return catalog_int(cat, n, err, "SELECT count(*) FROM (SELECT DISTINCT image_id FROM tags)",
                       "");
}
