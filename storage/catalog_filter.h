/* A filter made ready to be asked: its conditions as SQL, with what they compare to.
 * Shared by the catalog_filter*.c files.
 *
 * Each condition comes in up to three forms over the same values. `row` looks at one
 * image and leaves the indexes of images alone; `drive` finds what fits by an index;
 * `match`, where it is given, is for one image alone. The condition that fewest fit
 * drives, the others look at what it finds; where all are broad, the images are read
 * in the order that is wanted, until there are enough.
 */
#ifndef OSPREY_STORAGE_CATALOG_FILTER_H
#define OSPREY_STORAGE_CATALOG_FILTER_H

#include "storage/catalog_db.h"

struct filter_value {
    char        kind; /* i, r, t, p: as in catalog_query */
    int64_t     i;
    double      r;
    const char *s;
};

struct filter_condition {
    char   *row;
    char   *drive;    /* NULL: no index knows */
    char   *match;    /* NULL: row does */
    char   *some;     /* with drive: a statement of the ids that fit, some perhaps twice */
    size_t  first, n; /* of the values */
    int64_t fit;      /* with drive: how many, as far as they were counted */
};

struct catalog_filter {
    struct catalog          *cat;
    struct path_range       *ranges; /* (n_ranges), that values point into */
    size_t                   n_ranges;
    struct filter_condition *conditions; /* (n) */
    size_t                   n, cap;
    struct filter_value     *values; /* (n_values) */
    size_t                   n_values, cap_values;
    char                   **texts; /* (n_texts), that values point into */
    size_t                   n_texts, cap_texts;
    bool                     nothing; /* no image can pass */
    int64_t                  counted; /* conditions, up to so many images and one */
    struct filter_condition *driver;  /* NULL: all are broad, as far as was counted */
    bool                     listed;  /* the driver stands alone, and these pass: */
    int64_t                 *ids;     /* (n_ids) ascending */
    size_t                   n_ids;
    sqlite3_stmt            *one; /* tells of one image, once it was asked */
};

/* Binds n of the filter's values from `first` on to the statement's from `at` on. */
int filter_bind(struct catalog_filter *f, sqlite3_stmt *stmt, size_t first, size_t n, int at,
                struct err *err);

#endif
