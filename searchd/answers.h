/* What answers have in common: how a picture is described, and the filters and
 * pages that searches and listings take. */
#ifndef OSPREY_SEARCHD_ANSWERS_H
#define OSPREY_SEARCHD_ANSWERS_H

#include "searchd/app.h"
#include "searchd/fields.h"

#define ANSWERS_MAX_OFFSET 10000

/* The fields of a filter, as requests name them. */
struct filter_input {
    const char *folder, *name, *camera, *lens, *kind, *orientation, *rating, *near, *caption;
    int64_t     taken_from, taken_to;
    int64_t     min_size, max_size, min_width, min_height;

    struct field_texts tag, not_tag;
};

/* Rows of a struct field table for a filter_input that lies at `member` in `holder`. */
#define FILTER_FIELD(holder, member, name, kind, low, high)                                        \
    {                                                                                              \
#name, kind, low, high, offsetof(holder, member) + offsetof(struct filter_input, name)     \
    }
/* The command line's name of a field. */
#define FILTER_ALIAS(holder, member, alias, name, kind)                                            \
    {                                                                                              \
#alias, kind, 0, 0, offsetof(holder, member) + offsetof(struct filter_input, name)         \
    }
#define FILTER_FIELDS(holder, member)                                                              \
    FILTER_FIELD(holder, member, folder, FIELD_TEXT, 0, 0),                                        \
        FILTER_ALIAS(holder, member, in, folder, FIELD_TEXT),                                      \
        FILTER_FIELD(holder, member, name, FIELD_TEXT, 0, 0),                                      \
        FILTER_FIELD(holder, member, camera, FIELD_TEXT, 0, 0),                                    \
        FILTER_FIELD(holder, member, lens, FIELD_TEXT, 0, 0),                                      \
        FILTER_FIELD(holder, member, kind, FIELD_TEXT, 0, 0),                                      \
        FILTER_ALIAS(holder, member, type, kind, FIELD_TEXT),                                      \
        FILTER_FIELD(holder, member, rating, FIELD_TEXT, 0, 0),                                    \
        FILTER_FIELD(holder, member, near, FIELD_TEXT, 0, 0),                                      \
        FILTER_FIELD(holder, member, caption, FIELD_TEXT, 0, 0),                                   \
        FILTER_FIELD(holder, member, tag, FIELD_TEXTS, 0, 0),                                      \
        FILTER_FIELD(holder, member, not_tag, FIELD_TEXTS, 0, 0),                                  \
        FILTER_FIELD(holder, member, orientation, FIELD_TEXT, 0, 0),                               \
        FILTER_FIELD(holder, member, taken_from, FIELD_SINCE, 0, 0),                               \
        FILTER_ALIAS(holder, member, after, taken_from, FIELD_SINCE),                              \
        FILTER_FIELD(holder, member, taken_to, FIELD_UNTIL, 0, 0),                                 \
        FILTER_ALIAS(holder, member, before, taken_to, FIELD_UNTIL),                               \
        FILTER_FIELD(holder, member, min_size, FIELD_INT, 0, 1e15),                                \
        FILTER_FIELD(holder, member, max_size, FIELD_INT, 1, 1e15),                                \
        FILTER_FIELD(holder, member, min_width, FIELD_INT, 0, 1e9),                                \
        FILTER_FIELD(holder, member, min_height, FIELD_INT, 0, 1e9)

/* A filter for the library; its strings stay the request's, or the call's. */
int answers_filter(struct call *call, struct library *lib, const struct filter_input *input,
                   const struct fields *fields, struct library_filter *out, struct err *err);

/* Sets a picture's fields; never an absolute path of one. 0, or -1 when out of
 * memory. */
int answers_image(const struct call *call, const struct library_image *image, struct jnode *node);
/* Sets what is said of it: `tags` and `captions`. */
int answers_said(struct library *lib, int64_t id, struct jnode *node, struct err *err);
/* Sets `parts`, of a scan or a film: each page, or frame, that is found by itself. */
int answers_parts(const struct call *call, struct library *lib, const struct library_image *image,
                  struct jnode *node, struct err *err);
struct search;
/* What a search found from offset on, with rank, scores and match; those whose image has just
 * gone are left out. Counts as the catalogue's stage. */
int answers_hits(struct call *call, const struct search *search, size_t offset,
                 struct jnode *results, struct err *err);

/* Text that may hold any bytes but NUL, from a form's part. */
int answers_part_text(struct call *call, const struct multipart_part *part, const char **out,
                      struct err *err);

int answers_no_memory(struct err *err);

/* Answers a request with node, which it takes over: unless rc tells of a failure, or
 * something of node could not be set (failed). Returns what the handler does. */
int answers_send(struct call *call, struct jnode *node, int rc, bool failed, struct err *err);

#endif
