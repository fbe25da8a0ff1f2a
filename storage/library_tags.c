/* Tags and captions in transactions of the library: see library_tags.h. */
#include "storage/library_tags.h"

#include "storage/library_impl.h"

static int replace(struct library *lib, enum catalog_said kind, enum library_source source,
                   const struct library_saying *images, size_t n, int64_t *changed, struct err *err)
{
    int64_t count = 0;
    int     rc    = catalog_begin_write(lib->cat, err);
    if (rc)
        return rc;
    rc = catalog_said_replace(lib->cat, kind, source, images, n, &count, err);
    if (rc == 0 && count == 0)
        catalog_rollback(lib->cat); /* so that the generation stays what it was */
    else
        rc = catalog_finish(lib->cat, rc, err);
    if (rc == 0 && changed)
        *changed = count;
    return rc;
}

int library_tags_replace(struct library *lib, enum library_source source,
                         const struct library_saying *images, size_t n, int64_t *changed,
                         struct err *err)
{
    return replace(lib, CATALOG_TAGS, source, images, n, changed, err);
}

int library_captions_replace(struct library *lib, enum library_source source,
                             const struct library_saying *images, size_t n, int64_t *changed,
                             struct err *err)
{
    return replace(lib, CATALOG_CAPTIONS, source, images, n, changed, err);
}

int library_tags_get(struct library *lib, int64_t image_id, struct library_said **out, size_t *n,
                     struct err *err)
{
    return catalog_said_get(lib->cat, CATALOG_TAGS, image_id, out, n, err);
}

int library_captions_get(struct library *lib, int64_t image_id, struct library_said **out,
                         size_t *n, struct err *err)
{
    return catalog_said_get(lib->cat, CATALOG_CAPTIONS, image_id, out, n, err);
}

static int remove_said(struct library *lib, enum catalog_said kind, enum library_source source,
                       const char *tag, int64_t *removed, struct err *err)
{
    int rc = catalog_begin_write(lib->cat, err);
    if (rc)
        return rc;
    rc = catalog_said_remove(lib->cat, kind, source, tag, removed, err);
    return catalog_finish(lib->cat, rc, err);
}

int library_tags_remove(struct library *lib, enum library_source source, const char *tag,
                        int64_t *removed, struct err *err)
{
    return remove_said(lib, CATALOG_TAGS, source, tag, removed, err);
}

int library_captions_remove(struct library *lib, enum library_source source, int64_t *removed,
                            struct err *err)
{
    return remove_said(lib, CATALOG_CAPTIONS, source, NULL, removed, err);
}

int library_tags_list(struct library *lib, struct library_tag_count **out, size_t *n,
                      struct err *err)
{
    return catalog_tags_list(lib->cat, out, n, err);
}

int library_tagged_count(struct library *lib, int64_t *n, struct err *err)
{
    return catalog_tagged_count(lib->cat, n, err);
}
