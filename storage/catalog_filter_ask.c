/* Asking a filter: ids for a search, pages for a listing, one image, a number.
 *
 * A condition that few images fit is looked up by its index; 100,000 rows that must be
 * read one by one take some tens of milliseconds.
 */
#include "storage/catalog_filter.h"

#include "base/buf.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define SQL_MAX ((size_t)4 << 20)
#define GLANCE  2000 /* images that an index may count before anything else is tried */

/* ---- Statements ---- */

enum form { FORM_ROWS, FORM_DRIVEN, FORM_ONE };

static const char *form_of(const struct catalog_filter *f, const struct filter_condition *c,
                           enum form form)
{
    if (form == FORM_ONE && c->match)
        return c->match;
    return form == FORM_DRIVEN && c == f->driver ? c->drive : c->row;
}

/* Prepares text, and binds all values in order. */
static int prepare_text(struct catalog_filter *f, const char *text, sqlite3_stmt **out,
                        struct err *err)
{
    *out = NULL;
    if (sqlite3_prepare_v2(f->cat->db, text, -1, out, NULL) != SQLITE_OK)
        return catalog_fail(f->cat, sqlite3_errcode(f->cat->db), "filter", err);
    int rc = filter_bind(f, *out, 0, f->n_values, 1, err);
    if (rc) {
        sqlite3_finalize(*out);
        *out = NULL;
    }
    return rc;
}

/* Prepares head, the conditions, and tail. Every value is bound in order; the caller
 * binds those of the tail from *next on, and finalizes. */
static int prepare(struct catalog_filter *f, const char *head, enum form form, const char *tail,
                   sqlite3_stmt **out, int *next, struct err *err)
{
    struct buf sql;
    buf_init(&sql, SQL_MAX);
    int rc = buf_append_str(&sql, head, err);
    for (size_t i = 0; i < f->n && !rc; i++)
        rc = buf_appendf(&sql, err, " AND %s", form_of(f, &f->conditions[i], form));
    if (!rc && f->nothing)
        rc = buf_append_str(&sql, " AND 0", err);
    if (!rc)
        rc = buf_append_str(&sql, tail, err);
    rc = rc ? rc : prepare_text(f, buf_str(&sql), out, err);
    buf_release(&sql);
    *next = (int)f->n_values + 1;
    return rc;
}

int filter_bind(struct catalog_filter *f, sqlite3_stmt *stmt, size_t first, size_t n, int at,
                struct err *err)
{
    int rc = SQLITE_OK;
    for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
        const struct filter_value *v     = &f->values[first + i];
        int                        where = at + (int)i;
        if (v->kind == 'i')
            rc = sqlite3_bind_int64(stmt, where, v->i);
        else if (v->kind == 'r')
            rc = sqlite3_bind_double(stmt, where, v->r);
        else if (v->kind == 't')
            rc = sqlite3_bind_text(stmt, where, v->s, -1, SQLITE_STATIC);
        else if (v->s) /* without one: NULL, as it is */
            rc = sqlite3_bind_blob64(stmt, where, v->s, strlen(v->s), SQLITE_STATIC);
    }
    return rc == SQLITE_OK ? 0 : catalog_fail(f->cat, rc, "filter", err);
}

/* The first column of the first row. */
static int single(struct catalog_filter *f, sqlite3_stmt *stmt, int64_t *out, struct err *err)
{
    int rc = catalog_step_row(f->cat, stmt, err);
    if (rc > 0)
        *out = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return rc < 0 ? rc : 0;
}

static int bind_tail(struct catalog_filter *f, sqlite3_stmt *stmt, int at, const int64_t *values,
                     int n, struct err *err)
{
    for (int i = 0; i < n; i++)
        if (sqlite3_bind_int64(stmt, at + i, values[i]) != SQLITE_OK)
            return catalog_fail(f->cat, sqlite3_errcode(f->cat->db), "filter", err);
    return 0;
}

/* ---- Ids ---- */

struct id_list {
    int64_t *ids;
    size_t   n, cap;
};

static int ids_push(struct id_list *list, int64_t id, struct err *err)
{
    if (list->n == list->cap) {
        size_t   more = list->cap ? list->cap * 2 : 256;
        int64_t *to   = mem_regrow(list->ids, more, sizeof *to);
        if (!to)
            return err_set(err, ERR_NOMEM, "cannot filter: out of memory");
        list->ids = to;
        list->cap = more;
    }
    list->ids[list->n++] = id;
    return 0;
}

/* The first column of all rows; what fails leaves no list. */
static int ids_take(struct catalog_filter *f, sqlite3_stmt *stmt, struct id_list *list,
                    struct err *err)
{
    int rc = 0;
    *list  = (struct id_list){0};
    while (rc >= 0 && (rc = catalog_step_row(f->cat, stmt, err)) > 0)
        rc = ids_push(list, sqlite3_column_int64(stmt, 0), err);
    if (rc < 0) {
        free(list->ids);
        *list = (struct id_list){0};
    }
    return rc;
}

static int by_id(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Orders them, and leaves one of each. */
static void ids_unite(struct id_list *list)
{
    size_t kept = 0, i = 1;
    while (i < list->n && list->ids[i] > list->ids[i - 1])
        i++;
    if (i >= list->n) /* as an index mostly gives them */
        return;
    qsort(list->ids, list->n, sizeof *list->ids, by_id);
    for (i = 0; i < list->n; i++)
        if (kept == 0 || list->ids[i] != list->ids[kept - 1])
            list->ids[kept++] = list->ids[i];
    list->n = kept;
}

/* ---- What drives ---- */

/* A condition that an index knows, asked alone for most + 1. */
static int prepare_some(struct catalog_filter *f, const struct filter_condition *c,
                        const char *what, int64_t most, sqlite3_stmt **stmt, struct err *err)
{
    struct buf sql;
    buf_init(&sql, SQL_MAX);
    *stmt  = NULL;
    int rc = buf_appendf(&sql, err, "SELECT %s FROM (SELECT * FROM (%s) LIMIT %lld)", what, c->some,
                         (long long)most + 1);
    if (!rc && sqlite3_prepare_v2(f->cat->db, buf_str(&sql), -1, stmt, NULL) != SQLITE_OK)
        rc = catalog_fail(f->cat, sqlite3_errcode(f->cat->db), "filter", err);
    if (!rc)
        rc = filter_bind(f, *stmt, c->first, c->n, 1, err);
    buf_release(&sql);
    return rc;
}

/* How many images fit a condition, each counted as often as the index has it. */
static int count_fit(struct catalog_filter *f, struct filter_condition *c, int64_t most,
                     struct err *err)
{
    sqlite3_stmt *stmt;
    int           rc = prepare_some(f, c, "count(*)", most, &stmt, err);
    if (!rc)
        rc = single(f, stmt, &c->fit, err);
    sqlite3_finalize(stmt);
    return rc;
}

/* The same of a condition that stands alone: the ids of no more than so many are kept, and
 * the images themselves need no look. */
static int list_fit(struct catalog_filter *f, struct filter_condition *c, int64_t most,
                    struct err *err)
{
    struct id_list list;
    sqlite3_stmt  *stmt;
    int            rc = prepare_some(f, c, "id", most, &stmt, err);
    if (!rc)
        rc = ids_take(f, stmt, &list, err);
    sqlite3_finalize(stmt);
    if (rc)
        return rc;
    c->fit    = (int64_t)list.n;
    f->listed = c->fit <= most;
    if (!f->listed) {
        free(list.ids);
        return 0;
    }
    ids_unite(&list);
    f->ids   = list.ids;
    f->n_ids = list.n;
    return 0;
}

/* Finds the driver among the conditions that at most so many images fit. */
static int choose(struct catalog_filter *f, int64_t most, struct err *err)
{
    int rc = 0;
    if (f->driver || f->nothing || f->counted >= most)
        return 0;
    for (size_t i = 0; i < f->n && !rc; i++) {
        struct filter_condition *c = &f->conditions[i];
        if (!c->drive)
            continue;
        rc = f->n == 1 && most <= GLANCE ? list_fit(f, c, most, err) : count_fit(f, c, most, err);
        if (!rc && c->fit <= most && (!f->driver || c->fit < f->driver->fit))
            f->driver = c;
    }
    f->counted = most;
    return rc;
}

int catalog_filter_narrow(struct catalog_filter *f, bool *narrow, struct err *err)
{
    int rc  = choose(f, GLANCE, err);
    *narrow = f->nothing || f->driver;
    return rc;
}

/* ---- All that pass ---- */

/* Those that were listed, which are the caller's to free. */
static int copy_listed(const struct catalog_filter *f, size_t limit, int64_t **ids, size_t *n,
                       struct err *err)
{
    *n   = f->n_ids < limit ? f->n_ids : limit;
    *ids = mem_array(*n + 1, sizeof **ids);
    if (!*ids)
        return err_set(err, ERR_NOMEM, "cannot filter: out of memory");
    if (*n)
        memcpy(*ids, f->ids, *n * sizeof **ids);
    return 0;
}

int catalog_filter_ids(struct catalog_filter *f, size_t limit, int64_t **ids, size_t *n,
                       struct err *err)
{
    const int64_t  most = limit < INT64_MAX ? (int64_t)limit : INT64_MAX;
    struct id_list list = {0};
    sqlite3_stmt  *stmt = NULL;
    int            next, rc = choose(f, CATALOG_FILTER_FEW, err);
    if (!rc && f->n == 1 && f->driver && !f->listed)
        rc = list_fit(f, f->driver, CATALOG_FILTER_FEW, err);
    if (!rc && f->listed)
        return copy_listed(f, limit, ids, n, err);
    if (!rc)
        rc = prepare(f, "SELECT i.id FROM images i WHERE 1", FORM_DRIVEN, " LIMIT ?", &stmt, &next,
                     err);
    if (!rc)
        rc = bind_tail(f, stmt, next, &most, 1, err);
    if (!rc)
        rc = ids_take(f, stmt, &list, err);
    sqlite3_finalize(stmt);
    *ids = list.ids;
    *n   = list.n;
    return rc;
}

int catalog_filtered(struct catalog *cat, const struct library_filter *filter, int64_t **ids,
                     size_t *n, struct err *err)
{
    struct catalog_filter *f  = NULL;
    int                    rc = catalog_filter_new(cat, filter, &f, err);
    if (!rc)
        rc = catalog_filter_ids(f, SIZE_MAX, ids, n, err);
    catalog_filter_free(f);
    return rc;
}

int catalog_filter_few(struct catalog_filter *f, int64_t **ids, size_t *n, bool *few,
                       struct err *err)
{
    *few   = false;
    *ids   = NULL;
    *n     = 0;
    int rc = choose(f, CATALOG_FILTER_FEW, err);
    if (rc)
        return rc;
    /* its one condition was counted already */
    if (f->n == 1 && f->conditions[0].drive && !f->nothing &&
        f->conditions[0].fit > CATALOG_FILTER_FEW)
        return 0;
    rc = catalog_filter_ids(f, CATALOG_FILTER_FEW + 1, ids, n, err);
    if (rc)
        return rc;
    *few = *n <= CATALOG_FILTER_FEW;
    if (!*few) {
        free(*ids);
        *ids = NULL;
        *n   = 0;
    }
    return 0;
}

int catalog_filter_match(struct catalog_filter *f, int64_t id, bool *matches, struct err *err)
{
    int64_t yes = 0;
    int     next, rc = 0;
    if (!f->one)
        rc = prepare(f, "SELECT EXISTS (SELECT 1 FROM images i WHERE 1", FORM_ONE, " AND i.id = ?)",
                     &f->one, &next, err);
    if (!rc)
        rc = bind_tail(f, f->one, (int)f->n_values + 1, &id, 1, err);
    if (!rc)
        rc = single(f, f->one, &yes, err);
    *matches = yes != 0;
    return rc;
}

int catalog_filter_count(struct catalog *cat, const struct library_filter *filter, int64_t *n,
                         struct err *err)
{
    struct catalog_filter *f    = NULL;
    sqlite3_stmt          *stmt = NULL;
    int                    next, rc = catalog_filter_new(cat, filter, &f, err);
    if (!rc)
        rc = choose(f, CATALOG_FILTER_FEW, err);
    if (!rc)
        rc =
            prepare(f, "SELECT count(*) FROM images i WHERE 1", FORM_DRIVEN, "", &stmt, &next, err);
    if (!rc)
        rc = single(f, stmt, n, err);
    sqlite3_finalize(stmt);
    catalog_filter_free(f);
    return rc;
}

/* ---- Pages ---- */

/* The order by id needs no sort; that by date walks its index where the filter is
 * broad, from the cursor on. */
static int list_query(struct catalog_filter *f, enum library_order order,
                      const struct library_cursor *after, size_t limit, sqlite3_stmt **stmt,
                      struct err *err)
{
    static const char by_id[] =
        "SELECT " IMAGE_COLUMNS " FROM images i JOIN folders f"
        " ON f.id = i.folder_id WHERE i.id IN (SELECT i.id FROM images i WHERE 1";
    static const char id_tail[] = " AND i.id < ? ORDER BY i.id DESC LIMIT ?) ORDER BY i.id DESC";
    static const char date_tail[] =
        " AND (i.taken_at, i.id) < (?, ?) ORDER BY i.taken_at DESC, i.id DESC LIMIT ?)"
        " ORDER BY i.taken_at DESC, i.id DESC";
    bool    begun = after->id != 0, dated = order == LIBRARY_BY_DATE;
    int64_t tail[3] = {begun ? after->taken_at : INT64_MAX, begun ? after->id : INT64_MAX,
                       (int64_t)limit};
    int next;
    int rc = choose(f, CATALOG_FILTER_FEW, err);
    rc = rc ? rc : prepare(f, by_id, FORM_DRIVEN, dated ? date_tail : id_tail, stmt, &next, err);
    if (!rc)
        rc = bind_tail(f, *stmt, next, dated ? tail : tail + 1, dated ? 3 : 2, err);
    return rc;
}

int catalog_list(struct catalog *cat, const struct library_filter *filter, enum library_order order,
                 const struct library_cursor *after, size_t limit, struct library_image **out,
                 size_t *n, struct err *err)
{
    static const struct library_cursor beginning;
    struct catalog_filter             *f    = NULL;
    sqlite3_stmt                      *stmt = NULL;
    struct library_image              *list = NULL;
    size_t                             len  = 0;
    int                                rc   = catalog_filter_new(cat, filter, &f, err);
    if (!rc && !(list = mem_array(limit + 1, sizeof *list)))
        rc = err_set(err, ERR_NOMEM, "cannot list %zu images: out of memory", limit);
    if (!rc)
        rc = list_query(f, order, after ? after : &beginning, limit, &stmt, err);
    while (rc >= 0 && stmt && len < limit && (rc = catalog_step_row(cat, stmt, err)) > 0) {
        rc = catalog_image_from_row(stmt, &list[len], err);
        len += rc == 0;
    }
    sqlite3_finalize(stmt);
    catalog_filter_free(f);
    if (rc < 0) {
        for (size_t i = 0; i < len; i++)
            library_image_release(&list[i]);
        free(list);
        return rc;
    }
    *out = list;
    *n   = len;
    return 0;
}
