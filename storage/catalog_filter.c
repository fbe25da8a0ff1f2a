/* What a filter asks for, as conditions in SQL: see catalog_filter.h.
 *
 * Tags, cameras and lenses are few beside the images that have them. The words
 * of a filter are looked up among them first, by hopping from one to the next in their
 * index; the condition then names those that fit, each in full.
 */
#include "storage/catalog_filter.h"

#include "base/buf.h"
#include "base/mem.h"
#include "image/formats.h"
#include "text/fold.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAMES_MAX 20000 /* that one condition lists; SQLite takes 32,766 values */
#define SQL_MAX   ((size_t)1 << 20)

#define PLACES_INDEXED 100 /* SQLite joins at most 500 selections */

static bool given(const char *text)
{
    return text && *text;
}

bool catalog_filter_restricts(const struct library_filter *f)
{
    return f->folder_id != 0 || given(f->below) || f->n_places > 0 || given(f->name) ||
           given(f->camera) || given(f->lens) || f->kinds != 0 || given(f->caption) ||
           f->n_tags > 0 || f->n_not_tags > 0 || f->has_taken || f->has_rating || f->has_near ||
           f->min_size > 0 || f->max_size > 0 || f->min_width > 0 || f->min_height > 0 ||
           f->shape != LIBRARY_ANY_SHAPE;
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "cannot filter: out of memory");
}

/* ---- Values, and texts that live as long as the filter ---- */

static int value_add(struct catalog_filter *f, struct filter_value value, struct err *err)
{
    if (f->n_values == f->cap_values) {
        size_t               cap = f->cap_values ? f->cap_values * 2 : 32;
        struct filter_value *to  = mem_regrow(f->values, cap, sizeof *to);
        if (!to)
            return no_memory(err);
        f->values     = to;
        f->cap_values = cap;
    }
    f->values[f->n_values++] = value;
    return 0;
}

static int add_int(struct catalog_filter *f, int64_t i, struct err *err)
{
    return value_add(f, (struct filter_value){.kind = 'i', .i = i}, err);
}

static int add_real(struct catalog_filter *f, double r, struct err *err)
{
    return value_add(f, (struct filter_value){.kind = 'r', .r = r}, err);
}

static int add_text(struct catalog_filter *f, char kind, const char *s, struct err *err)
{
    return value_add(f, (struct filter_value){.kind = kind, .s = s}, err);
}

/* Takes text over, also when it fails. */
static int keep_text(struct catalog_filter *f, char *text, struct err *err)
{
    if (text && f->n_texts == f->cap_texts) {
        size_t cap = f->cap_texts ? f->cap_texts * 2 : 16;
        char **to  = mem_regrow(f->texts, cap, sizeof *to);
        if (!to) {
            free(text);
            return no_memory(err);
        }
        f->texts     = to;
        f->cap_texts = cap;
    }
    if (!text)
        return no_memory(err);
    f->texts[f->n_texts++] = text;
    return 0;
}

/* ---- Conditions ---- */

struct forms {
    const char *row, *drive, *match, *some; /* "%s" stands for a list of values */
};

/* form with its "%s", if any, replaced by list. */
static int spell(const char *form, const char *list, char **out, struct err *err)
{
    struct buf  buf;
    const char *at = form ? strstr(form, "%s") : NULL;
    int         rc = 0;
    if (!form)
        return 0;
    buf_init(&buf, SQL_MAX);
    if (at) {
        rc = buf_append(&buf, form, (size_t)(at - form), err);
        rc = rc ? rc : buf_append_str(&buf, list, err);
        rc = rc ? rc : buf_append_str(&buf, at + 2, err);
    } else {
        rc = buf_append_str(&buf, form, err);
    }
    if (!rc && !(*out = buf_steal(&buf)))
        rc = no_memory(err);
    buf_release(&buf);
    return rc;
}

/* The values of the condition begin at `first`. */
static int condition_add(struct catalog_filter *f, const struct forms *forms, const char *list,
                         size_t first, struct err *err)
{
    if (f->n == f->cap) {
        size_t                   cap = f->cap ? f->cap * 2 : 8;
        struct filter_condition *to  = mem_regrow(f->conditions, cap, sizeof *to);
        if (!to)
            return no_memory(err);
        f->conditions = to;
        f->cap        = cap;
    }
    struct filter_condition *c = &f->conditions[f->n++];
    *c     = (struct filter_condition){.first = first, .n = f->n_values - first, .fit = INT64_MAX};
    int rc = spell(forms->row, list, &c->row, err);
    rc     = rc ? rc : spell(forms->drive, list, &c->drive, err);
    rc     = rc ? rc : spell(forms->match, list, &c->match, err);
    return rc ? rc : spell(forms->some, list, &c->some, err);
}

static int row_condition(struct catalog_filter *f, const char *row, size_t first, struct err *err)
{
    const struct forms forms = {.row = row};
    return condition_add(f, &forms, "", first, err);
}

static int at_least(struct catalog_filter *f, const char *row, int64_t least, struct err *err)
{
    size_t first = f->n_values;
    int    rc    = add_int(f, least, err);
    return rc ? rc : row_condition(f, row, first, err);
}

/* ---- Where it lies and what it is called ---- */

/* One place as a part of `row` and, joined by UNION ALL, of `ids`. Inside a folder it
 * takes two descents of the index on (folder, path). */
static int place_part(struct catalog_filter *f, const struct library_place *place, bool first,
                      struct buf *row, struct buf *ids, struct err *err)
{
    struct path_range *range = &f->ranges[f->n_ranges];
    const char        *part = "+i.folder_id = ?", *found = "folder_id = ?";
    int                rc = path_range_init(range, place->below ? place->below : "", err);
    if (rc)
        return rc;
    f->n_ranges++;
    if (place->folder_id)
        rc = add_int(f, place->folder_id, err);
    if (range->to) {
        part  = place->folder_id ? "(+i.folder_id = ? AND i.path >= ? AND i.path < ?) OR"
                                   " (+i.folder_id = ? AND i.path = ?)"
                                 : "(+i.path >= ? AND +i.path < ?) OR +i.path = ?";
        found = "folder_id = ? AND path >= ? AND path < ? UNION ALL SELECT id FROM images WHERE"
                " folder_id = ? AND path = ?";
        rc    = rc ? rc : add_text(f, 'p', range->from, err);
        rc    = rc ? rc : add_text(f, 'p', range->to, err);
        if (!rc && place->folder_id)
            rc = add_int(f, place->folder_id, err);
        rc = rc ? rc : add_text(f, 'p', range->exact, err);
    }
    rc = rc ? rc : buf_appendf(row, err, "%s%s", first ? "(" : " OR ", part);
    return rc ? rc
              : buf_appendf(ids, err, "%sSELECT id FROM images WHERE %s",
                            first ? "" : " UNION ALL ", found);
}

/* Any of the places. */
static int add_places(struct catalog_filter *f, const struct library_place *places, size_t n,
                      struct err *err)
{
    size_t       first   = f->n_values;
    bool         indexed = n <= PLACES_INDEXED;
    struct buf   row, ids, drive;
    int          rc = 0;
    struct forms forms;
    buf_init(&row, SQL_MAX);
    buf_init(&ids, SQL_MAX);
    buf_init(&drive, SQL_MAX);
    f->ranges = mem_zeroed(n, sizeof *f->ranges);
    if (!f->ranges)
        rc = no_memory(err);
    for (size_t i = 0; i < n && !rc; i++) {
        indexed = indexed && places[i].folder_id;
        rc      = place_part(f, &places[i], i == 0, &row, &ids, err);
    }
    rc    = rc ? rc : buf_append_str(&row, ")", err);
    rc    = rc ? rc : buf_appendf(&drive, err, "i.id IN (%s)", buf_str(&ids));
    forms = (struct forms){.row   = buf_str(&row),
                           .drive = indexed ? buf_str(&drive) : NULL,
                           .some  = indexed ? buf_str(&ids) : NULL};
    rc    = rc ? rc : condition_add(f, &forms, "", first, err);
    buf_release(&row);
    buf_release(&ids);
    buf_release(&drive);
    return rc;
}

static int add_place(struct catalog_filter *f, const struct library_filter *in, struct err *err)
{
    const struct library_place one = {in->folder_id, in->below};
    if (in->n_places)
        return add_places(f, in->places, in->n_places, err);
    return in->folder_id || given(in->below) ? add_places(f, &one, 1, err) : 0;
}

static int add_name(struct catalog_filter *f, const char *name, struct err *err)
{
    size_t first = f->n_values;
    int    rc    = add_text(f, 't', name, err);
    return rc ? rc
              : row_condition(f, "instr(lower(CAST(i.path AS TEXT)), lower(?)) > 0", first, err);
}

/* ---- Names that many images share ---- */

typedef bool (*fits)(const char *name, const char *wanted);

static bool fits_part(const char *name, const char *wanted)
{
    return strcasestr(name, wanted) != NULL;
}

/* wanted: folded, without a bar at either end. */
static bool fits_tag(const char *name, const char *wanted)
{
    char  *folded = NULL;
    size_t n      = strlen(wanted);
    bool   found  = false;
    if (text_fold(name, &folded, NULL))
        return false;
    for (const char *at = folded; at && !found; at = strchr(at, '|')) {
        at += *at == '|';
        found = strncmp(at, wanted, n) == 0 && (at[n] == '\0' || at[n] == '|');
    }
    free(folded);
    return found;
}

/* Adds, as values, the names that fit, one of them a row of a statement that begins
 * after a name; *n counts them, up to NAMES_MAX + 1. */
static int names_find(struct catalog_filter *f, const char *next_sql, fits fit, const char *wanted,
                      size_t *n, struct err *err)
{
    char *after = mem_strdup("");
    int   rc    = after ? 0 : no_memory(err);
    while (!rc && *n <= NAMES_MAX) {
        sqlite3_stmt *stmt;
        rc = catalog_query(f->cat, &stmt, err, next_sql, "t", after);
        if (!rc)
            rc = catalog_step_row(f->cat, stmt, err);
        if (rc <= 0)
            break;
        char *name = catalog_column_path(stmt, 0);
        sqlite3_reset(stmt);
        rc = name ? 0 : no_memory(err);
        free(after);
        after = name ? mem_strdup(name) : NULL;
        if (!rc && !after)
            rc = no_memory(err);
        if (!rc && fit(name, wanted)) {
            rc = keep_text(f, name, err);
            rc = rc ? rc : add_text(f, 't', name, err);
            ++*n;
        } else {
            free(name);
        }
    }
    free(after);
    return rc;
}

/* "(?,?,?)" */
static int list_of(size_t n, char **out, struct err *err)
{
    char *list = mem_array(2 * n + 3, 1), *p = list;
    if (!list)
        return no_memory(err);
    *p++ = '(';
    for (size_t i = 0; i < n; i++) {
        if (i)
            *p++ = ',';
        *p++ = '?';
    }
    *p++ = ')';
    *p   = '\0';
    *out = list;
    return 0;
}

struct names {
    const char  *next; /* the first name after one */
    struct forms forms;
    const char  *broad; /* the row of so many names that they cannot be listed */
};

static int add_names(struct catalog_filter *f, const struct names *what, fits fit,
                     const char *wanted, struct err *err)
{
    size_t first = f->n_values, n = 0;
    char  *list = NULL;
    if (!given(wanted))
        return 0;
    int rc = names_find(f, what->next, fit, wanted, &n, err);
    if (rc)
        return rc;
    if (n > NAMES_MAX) {
        f->n_values = first;
        rc          = add_text(f, 't', wanted, err);
        return rc ? rc : row_condition(f, what->broad, first, err);
    }
    f->nothing = f->nothing || n == 0;
    rc         = list_of(n, &list, err);
    rc         = rc ? rc : condition_add(f, &what->forms, list, first, err);
    free(list);
    return rc;
}

#define FORMS(column)                                                                              \
    {                                                                                              \
        .row = "+i." column " IN %s", .drive = "i." column " IN %s",                               \
        .some = "SELECT id FROM images WHERE " column " IN %s"                                     \
    }
#define NAMES(column)                                                                              \
    {                                                                                              \
        .next  = "SELECT " column " FROM images WHERE " column " > ? ORDER BY " column " LIMIT 1", \
        .forms = FORMS(column), .broad = "instr(lower(i." column "), lower(?)) > 0"                \
    }

static int add_makes(struct catalog_filter *f, const struct library_filter *in, struct err *err)
{
    static const struct names cameras = NAMES("camera"), lenses = NAMES("lens");
    int                       rc = add_names(f, &cameras, fits_part, in->camera, err);
    return rc ? rc : add_names(f, &lenses, fits_part, in->lens, err);
}

/* Their names are the formats', as the indexer writes them. */
static int add_kinds(struct catalog_filter *f, unsigned kinds, struct err *err)
{
    static const struct forms forms = FORMS("kind");
    size_t                    first = f->n_values, n = 0;
    char                     *list = NULL;
    int                       rc   = 0;
    for (int kind = IMAGE_JPEG; kind < IMAGE_KINDS && !rc; kind++) {
        if (!(kinds & format_bit((enum image_kind)kind)))
            continue;
        rc = add_text(f, 't', image_kind_name((enum image_kind)kind), err);
        n++;
    }
    rc = rc ? rc : list_of(n, &list, err);
    rc = rc ? rc : condition_add(f, &forms, list, first, err);
    free(list);
    return rc;
}

static const char next_tag[] = "SELECT tag FROM tags WHERE tag > ? ORDER BY tag LIMIT 1";

static int find_tag(struct catalog_filter *f, const char *tag, size_t *n, struct err *err)
{
    char *folded = NULL;
    int   rc     = text_fold(tag, &folded, err);
    if (rc)
        return rc;
    size_t len = strlen(folded), skip = strspn(folded, "|");
    while (len > skip && folded[len - 1] == '|')
        folded[--len] = '\0';
    if (len == skip)
        rc = err_set(err, ERR_USAGE, "an empty tag filters nothing");
    if (!rc)
        rc = names_find(f, next_tag, fits_tag, folded + skip, n, err);
    if (!rc && *n > NAMES_MAX)
        rc = err_set(err, ERR_LIMIT, "more than %d tags are or lie below %s: name one further down",
                     NAMES_MAX, tag);
    free(folded);
    return rc;
}

static int add_tag(struct catalog_filter *f, const char *tag, struct err *err)
{
    static const struct forms forms = {
        .row   = "EXISTS (SELECT 1 FROM tags t WHERE t.image_id = i.id AND +t.tag IN %s)",
        .drive = "i.id IN (SELECT t.image_id FROM tags t WHERE t.tag IN %s)",
        .some  = "SELECT t.image_id AS id FROM tags t WHERE t.tag IN %s",
    };
    size_t first = f->n_values, n = 0;
    char  *list = NULL;
    int    rc   = find_tag(f, tag, &n, err);
    f->nothing  = f->nothing || (!rc && n == 0);
    rc          = rc ? rc : list_of(n, &list, err);
    rc          = rc ? rc : condition_add(f, &forms, list, first, err);
    free(list);
    return rc;
}

static int add_not_tag(struct catalog_filter *f, const char *tag, struct err *err)
{
    static const struct forms forms = {
        .row = "NOT EXISTS (SELECT 1 FROM tags t WHERE t.image_id = i.id AND +t.tag IN %s)"};
    size_t first = f->n_values, n = 0;
    char  *list = NULL;
    int    rc   = find_tag(f, tag, &n, err);
    if (rc || n == 0)
        return rc;
    rc = list_of(n, &list, err);
    rc = rc ? rc : condition_add(f, &forms, list, first, err);
    free(list);
    return rc;
}

/* ---- When, where and what ---- */

static int add_taken(struct catalog_filter *f, const struct library_filter *in, struct err *err)
{
    static const struct forms forms = {
        .row   = "i.taken_at <> 0 AND +i.taken_at BETWEEN ? AND ?",
        .drive = "i.taken_at <> 0 AND i.taken_at BETWEEN ? AND ?",
        .some  = "SELECT id FROM images WHERE taken_at <> 0 AND taken_at BETWEEN ? AND ?",
    };
    size_t first = f->n_values;
    int    rc    = add_int(f, in->taken_from, err);
    rc           = rc ? rc : add_int(f, in->taken_to, err);
    return rc ? rc : condition_add(f, &forms, "", first, err);
}

static int add_rating(struct catalog_filter *f, const struct library_filter *in, struct err *err)
{
    static const struct forms rated = {
        .row   = "+i.rating BETWEEN ? AND ?",
        .drive = "i.rating <> 0 AND i.rating BETWEEN ? AND ?", /* as its index says */
        .some  = "SELECT id FROM images WHERE rating <> 0 AND rating BETWEEN ? AND ?",
    };
    bool   unrated = in->min_rating <= 0 && in->max_rating >= 0;
    size_t first   = f->n_values;
    int    rc      = add_int(f, in->min_rating, err);
    rc             = rc ? rc : add_int(f, in->max_rating, err);
    if (rc)
        return rc;
    return unrated ? row_condition(f, rated.row, first, err)
                   : condition_add(f, &rated, "", first, err);
}

/* What lies within so many kilometres lies within a band of latitudes, which an index
 * has; the slack is for the last bits of the arithmetic. */
static int add_near(struct catalog_filter *f, const struct library_filter *in, struct err *err)
{
    static const struct forms forms = {
        .row   = "(+i.latitude BETWEEN ? AND ? AND"
                 " osprey_km(i.latitude, i.longitude, ?, ?) <= ?)",
        .drive = "(i.latitude IS NOT NULL AND i.latitude BETWEEN ? AND ? AND"
                 " osprey_km(i.latitude, i.longitude, ?, ?) <= ?)",
        .some  = "SELECT id FROM images WHERE latitude IS NOT NULL AND latitude BETWEEN ? AND ? AND"
                 " osprey_km(latitude, longitude, ?, ?) <= ?",
    };
    double band  = in->near_km / 111.19 + 1e-6; /* degrees: 111.195 km each */
    size_t first = f->n_values;
    if (!isfinite(in->latitude) || !isfinite(in->longitude) || !(in->near_km >= 0))
        return err_set(err, ERR_USAGE, "a place is a latitude, a longitude and kilometres");
    int rc = add_real(f, in->latitude - band, err);
    rc     = rc ? rc : add_real(f, in->latitude + band, err);
    rc     = rc ? rc : add_real(f, in->latitude, err);
    rc     = rc ? rc : add_real(f, in->longitude, err);
    rc     = rc ? rc : add_real(f, in->near_km, err);
    return rc ? rc : condition_add(f, &forms, "", first, err);
}

static int add_size(struct catalog_filter *f, const struct library_filter *in, struct err *err)
{
    static const char *const shapes[] = {
        [LIBRARY_LANDSCAPE] = "i.width > i.height",
        [LIBRARY_PORTRAIT]  = "i.width < i.height",
        [LIBRARY_SQUARE]    = "i.width = i.height",
    };
    int rc = 0;
    if (in->min_size > 0)
        rc = at_least(f, "i.size >= ?", in->min_size, err);
    if (!rc && in->max_size > 0)
        rc = at_least(f, "i.size <= ?", in->max_size, err);
    if (!rc && in->min_width > 0)
        rc = at_least(f, "i.width >= ?", in->min_width, err);
    if (!rc && in->min_height > 0)
        rc = at_least(f, "i.height >= ?", in->min_height, err);
    if (!rc && in->shape != LIBRARY_ANY_SHAPE)
        rc = row_condition(f, shapes[in->shape], f->n_values, err);
    return rc;
}

static int add_caption(struct catalog_filter *f, const char *words, struct err *err)
{
    static const struct forms forms = {
        .row   = "+i.id IN (SELECT rowid FROM words WHERE words MATCH ?)",
        .drive = "i.id IN (SELECT rowid FROM words WHERE words MATCH ?)",
        .match = "EXISTS (SELECT 1 FROM words WHERE words MATCH ? AND rowid = i.id)",
        .some  = "SELECT rowid AS id FROM words WHERE words MATCH ?",
    };
    size_t first = f->n_values;
    char  *query = NULL;
    int    rc    = catalog_words_query(words, CATALOG_CAPTION_WORDS, &query, err);
    rc           = rc ? rc : keep_text(f, query, err);
    rc           = rc ? rc : add_text(f, 't', query, err);
    return rc ? rc : condition_add(f, &forms, "", first, err);
}

/* ---- All of it ---- */

static int add_all(struct catalog_filter *f, const struct library_filter *in, struct err *err)
{
    int rc = add_place(f, in, err);
    rc     = rc ? rc : add_makes(f, in, err);
    if (!rc && in->kinds)
        rc = add_kinds(f, in->kinds, err);
    for (size_t i = 0; i < in->n_tags && !rc; i++)
        rc = add_tag(f, in->tags[i], err);
    if (!rc && in->has_taken)
        rc = add_taken(f, in, err);
    if (!rc && in->has_near)
        rc = add_near(f, in, err);
    if (!rc && in->has_rating)
        rc = add_rating(f, in, err);
    rc = rc ? rc : add_size(f, in, err);
    if (!rc && given(in->caption))
        rc = add_caption(f, in->caption, err);
    for (size_t i = 0; i < in->n_not_tags && !rc; i++)
        rc = add_not_tag(f, in->not_tags[i], err);
    if (!rc && given(in->name))
        rc = add_name(f, in->name, err);
    return rc;
}

int catalog_filter_new(struct catalog *cat, const struct library_filter *filter,
                       struct catalog_filter **out, struct err *err)
{
    struct catalog_filter *f = mem_zeroed(1, sizeof *f);
    if (!f)
        return no_memory(err);
    f->cat = cat;
    int rc = filter ? add_all(f, filter, err) : 0;
    if (rc)
        catalog_filter_free(f);
    else
        *out = f;
    return rc;
}

void catalog_filter_free(struct catalog_filter *f)
{
    if (!f)
        return;
    sqlite3_finalize(f->one);
    for (size_t i = 0; i < f->n; i++) {
        free(f->conditions[i].row);
        free(f->conditions[i].drive);
        free(f->conditions[i].match);
        free(f->conditions[i].some);
    }
    for (size_t i = 0; i < f->n_texts; i++)
        free(f->texts[i]);
    free(f->ids);
    free(f->conditions);
    free(f->values);
    free(f->texts);
    for (size_t i = 0; i < f->n_ranges; i++)
        path_range_release(&f->ranges[i]);
    free(f->ranges);
    free(f);
}
