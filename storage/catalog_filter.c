/* What a filter allows: ids for a search, pages for a listing.
 *
 * A filter of folder and path alone is one or two descents of an index. Any other
 * reads through the images: 100,000 rows in some tens of milliseconds, exact, and
 * without an index that every write would have to keep.
 */
#include "storage/catalog_db.h"

#include "base/mem.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Arguments 1 to 15 of every statement that filters (bind_filter). Paths are blobs:
 * text that is not UTF-8 is compared by its bytes all the same. */
#define FILTER_WHERE                                                                               \
    " (?1 = 0 OR i.folder_id = ?1)"                                                                \
    " AND (?2 IS NULL OR i.path = ?4 OR (i.path >= ?2 AND i.path < ?3))"                           \
    " AND (?5 = '' OR instr(lower(CAST(i.path AS TEXT)), lower(?5)) > 0)"                          \
    " AND (?6 = '' OR instr(lower(i.camera), lower(?6)) > 0)"                                      \
    " AND (?7 = '' OR lower(i.kind) = lower(?7))"                                                  \
    " AND (?8 = 0 OR (i.taken_at <> 0 AND i.taken_at BETWEEN ?9 AND ?10))"                         \
    " AND i.size BETWEEN ?11 AND ?12 AND i.width >= ?13 AND i.height >= ?14"                       \
    " AND (?15 = 0 OR CASE ?15 WHEN 1 THEN i.width > i.height WHEN 2 THEN i.width < i.height"      \
    " ELSE i.width = i.height END)"
#define FILTER_KINDS "ippptttiiiiiiii"
#define FILTER_ARGUMENTS(f, range)                                                                 \
    (f)->folder_id, (range).to ? (range).from : NULL, (range).to, (range).exact,                   \
        (f)->name ? (f)->name : "", (f)->camera ? (f)->camera : "", (f)->kind ? (f)->kind : "",    \
        (int64_t)(f)->has_taken, (f)->taken_from, (f)->taken_to, (f)->min_size,                    \
        (f)->max_size ? (f)->max_size : INT64_MAX, (f)->min_width, (f)->min_height,                \
        (int64_t)(f)->shape

static bool given(const char *text)
{
    return text && *text;
}

/* More than folder and path. */
static bool looks_at_rows(const struct library_filter *f)
{
    return given(f->name) || given(f->camera) || given(f->kind) || f->has_taken ||
           f->min_size > 0 || f->max_size > 0 || f->min_width > 0 || f->min_height > 0 ||
           f->shape != LIBRARY_ANY_SHAPE;
}

bool catalog_filter_restricts(const struct library_filter *filter)
{
    return filter->folder_id != 0 || given(filter->below) || looks_at_rows(filter);
}

static int filter_range(const struct library_filter *filter, struct path_range *range,
                        struct err *err)
{
    return path_range_init(range, filter->below ? filter->below : "", err);
}

/* Prepares the statement that yields the ids that filter allows. */
static int ids_query(struct catalog *cat, const struct library_filter *filter,
                     const struct path_range *range, size_t limit, sqlite3_stmt **stmt,
                     struct err *err)
{
    if (looks_at_rows(filter) || !filter->folder_id)
        return catalog_query(cat, stmt, err,
                             "SELECT i.id FROM images i WHERE" FILTER_WHERE " LIMIT ?16",
                             FILTER_KINDS "i", FILTER_ARGUMENTS(filter, *range), (int64_t)limit);
    if (!range->to)
        return catalog_query(cat, stmt, err, "SELECT id FROM images WHERE folder_id = ? LIMIT ?",
                             "ii", filter->folder_id, (int64_t)limit);
    /* two descents of the index on (folder, path) */
    return catalog_query(cat, stmt, err,
                         "SELECT * FROM (SELECT id FROM images WHERE folder_id = ?1"
                         " AND path >= ?2 AND path < ?3 UNION ALL"
                         " SELECT id FROM images WHERE folder_id = ?1 AND path = ?4) LIMIT ?5",
                         "ipppi", filter->folder_id, range->from, range->to, range->exact,
                         (int64_t)limit);
}

int catalog_filter_ids(struct catalog *cat, const struct library_filter *filter, size_t limit,
                       int64_t **ids, size_t *n, struct err *err)
{
    struct path_range range;
    sqlite3_stmt     *stmt;
    size_t            len = 0, cap = 0;
    int64_t          *list = NULL;
    int               rc   = filter_range(filter, &range, err);
    if (rc)
        return rc;
    rc = ids_query(cat, filter, &range, limit, &stmt, err);
    while (rc >= 0 && (rc = catalog_step_row(cat, stmt, err)) > 0) {
        if (len == cap) {
            cap         = cap ? cap * 2 : 256;
            int64_t *to = mem_regrow(list, cap, sizeof(*list));
            if (!to) {
                sqlite3_reset(stmt);
                rc = err_set(err, ERR_NOMEM, "cannot filter: out of memory");
                break;
            }
            list = to;
        }
        list[len++] = sqlite3_column_int64(stmt, 0);
    }
    path_range_release(&range);
    if (rc < 0) {
        free(list);
        return rc;
    }
    *ids = list;
    *n   = len;
    return 0;
}

int catalog_filter_match(struct catalog *cat, const struct library_filter *filter, int64_t id,
                         bool *matches, struct err *err)
{
    struct path_range range;
    int64_t           yes = 0;
    int               rc  = filter_range(filter, &range, err);
    if (rc)
        return rc;
    rc = catalog_int(cat, &yes, err,
                     "SELECT EXISTS (SELECT 1 FROM images i WHERE i.id = ?16 AND" FILTER_WHERE ")",
                     FILTER_KINDS "i", FILTER_ARGUMENTS(filter, range), id);
    path_range_release(&range);
    *matches = yes != 0;
    return rc;
}

int catalog_filter_count(struct catalog *cat, const struct library_filter *filter, int64_t *n,
                         struct err *err)
{
    struct path_range range;
    int               rc = filter_range(filter, &range, err);
    if (rc)
        return rc;
    rc = catalog_int(cat, n, err, "SELECT count(*) FROM images i WHERE" FILTER_WHERE, FILTER_KINDS,
                     FILTER_ARGUMENTS(filter, range));
    path_range_release(&range);
    return rc;
}

/* Without a filter the index on the dates is walked from the cursor on: a page costs
 * the same wherever it lies. Without CROSS, SQLite could begin with the folders. */
static int all_by_date(struct catalog *cat, const struct library_cursor *after, size_t limit,
                       sqlite3_stmt **stmt, struct err *err)
{
    bool begun = after->id != 0;
    return catalog_query(cat, stmt, err,
                         "SELECT " IMAGE_COLUMNS " FROM images i CROSS JOIN folders f"
                         " ON f.id = i.folder_id WHERE (i.taken_at, i.id) < (?1, ?2)"
                         " ORDER BY i.taken_at DESC, i.id DESC LIMIT ?3",
                         "iii", begun ? after->taken_at : INT64_MAX, begun ? after->id : INT64_MAX,
                         (int64_t)limit);
}

/* The order by id needs no sort; that by date keeps the best `limit` of what passes. */
static int list_query(struct catalog *cat, const struct library_filter *f,
                      const struct path_range *range, enum library_order order,
                      const struct library_cursor *after, size_t limit, sqlite3_stmt **stmt,
                      struct err *err)
{
    if (order == LIBRARY_BY_ID)
        return catalog_query(cat, stmt, err,
                             "SELECT " IMAGE_COLUMNS " FROM images i JOIN folders f"
                             " ON f.id = i.folder_id WHERE" FILTER_WHERE
                             " AND (?16 = 0 OR i.id < ?16) ORDER BY i.id DESC LIMIT ?17",
                             FILTER_KINDS "ii", FILTER_ARGUMENTS(f, *range), after->id,
                             (int64_t)limit);
    if (!catalog_filter_restricts(f))
        return all_by_date(cat, after, limit, stmt, err);
    return catalog_query(cat, stmt, err,
                         "SELECT " IMAGE_COLUMNS
                         " FROM images i JOIN folders f ON f.id = i.folder_id"
                         " WHERE i.id IN (SELECT i.id FROM images i WHERE" FILTER_WHERE
                         "  AND (?16 = 0 OR i.taken_at < ?17 OR (i.taken_at = ?17 AND i.id < ?16))"
                         "  ORDER BY i.taken_at DESC, i.id DESC LIMIT ?18)"
                         " ORDER BY i.taken_at DESC, i.id DESC",
                         FILTER_KINDS "iii", FILTER_ARGUMENTS(f, *range), after->id,
                         after->taken_at, (int64_t)limit);
}

int catalog_list(struct catalog *cat, const struct library_filter *filter, enum library_order order,
                 const struct library_cursor *after, size_t limit, struct library_image **out,
                 size_t *n, struct err *err)
{
    static const struct library_filter anything;
    static const struct library_cursor beginning;
    struct path_range                  range;
    sqlite3_stmt                      *stmt;
    size_t                             len = 0;
    const struct library_filter       *f   = filter ? filter : &anything;
    int                                rc  = filter_range(f, &range, err);
    if (rc)
        return rc;
    struct library_image *list = mem_array(limit + 1, sizeof(*list));
    if (!list)
        rc = err_set(err, ERR_NOMEM, "cannot list %zu images: out of memory", limit);
    if (rc == 0)
        rc = list_query(cat, f, &range, order, after ? after : &beginning, limit, &stmt, err);
    while (rc >= 0 && list && len < limit && (rc = catalog_step_row(cat, stmt, err)) > 0) {
        rc = catalog_image_from_row(stmt, &list[len], err);
        if (rc == 0)
            len++;
        else
            sqlite3_reset(stmt);
    }
    if (rc >= 0 && list)
        sqlite3_reset(stmt);
    path_range_release(&range);
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
