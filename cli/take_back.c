/* --remove: see take_back.h. */
#include "cli/take_back.h"

#include "storage/library_tagger.h"

#include <stdlib.h>

#define PAGE 256 /* pictures that are forgotten at once */

typedef int replacer(struct library *lib, enum library_source source,
                     const struct library_saying *images, size_t n, int64_t *changed,
                     struct err *err);

/* What Osprey said of the pictures that a filter allows goes from the library. */
static int forget_filtered(struct library *lib, bool tags, const struct library_filter *filter,
                           int64_t *removed, struct err *err)
{
    replacer             *replace = tags ? library_tags_replace : library_captions_replace;
    struct library_cursor after   = {0};
    size_t                n       = 1;
    int                   rc      = 0;
    while (!rc && n > 0) {
        struct library_image *page         = NULL;
        struct library_saying saying[PAGE] = {0};
        int64_t               changed      = 0;
        n                                  = 0;
        rc = library_list(lib, filter, LIBRARY_BY_ID, &after, PAGE, &page, &n, err);
        for (size_t i = 0; i < n; i++) {
            saying[i].image_id = after.id = page[i].id;
            library_image_release(&page[i]);
        }
        free(page);
        if (!rc && n)
            rc = replace(lib, LIBRARY_OSPREY, saying, n, &changed, err);
        *removed += changed;
    }
    return rc;
}

static int forget_all(struct library *lib, bool tags, int64_t *removed, struct err *err)
{
    if (!tags)
        return library_captions_remove(lib, LIBRARY_OSPREY, removed, err);
    int rc = library_tagger_forget(lib, err); /* first: nothing that comes meanwhile gets any */
    return rc ? rc : library_tags_remove(lib, LIBRARY_OSPREY, NULL, removed, err);
}

static int forget(struct library *lib, bool tags, const struct library_filter *filters,
                  size_t n_filters, int64_t *removed, struct err *err)
{
    int rc = n_filters ? 0 : forget_all(lib, tags, removed, err);
    for (size_t i = 0; i < n_filters && !rc; i++)
        rc = forget_filtered(lib, tags, &filters[i], removed, err);
    return rc;
}

int take_back(struct library *lib, const struct write_options *options,
              const struct library_filter *filters, size_t n_filters, struct taken_back *out,
              struct err *err)
{
    struct write_options   how  = *options;
    struct picture_writer *w    = NULL;
    struct err             left = ERR_INIT;
    how.take_out                = true;
    how.place                   = options->place ? options->place : WRITE_BOTH;
    *out                        = (struct taken_back){0};
    int rc                      = picture_writer_open(lib, &how, &w, err);
    if (rc)
        return rc;
    rc         = picture_writer_write_all(w, filters, n_filters, &left);
    int failed = picture_writer_end(w, rc, &left); /* in some files, if rc is 0 */
    out->files = picture_writer_written(w);
    picture_writer_close(w);
    if (!rc && !how.dry)
        rc = forget(lib, how.tags, filters, n_filters, &out->removed, err);
    else if (rc)
        rc = err_set(err, left.code, "%s", left.msg);
    return rc || !failed ? rc : err_set(err, left.code, "%s", left.msg);
}
