/* Tags and captions in transactions of the library: see library_tags.h. */
#include "storage/library_tags.h"

#include "base/mem.h"
#include "storage/library_impl.h"
#include "text/fold.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static bool is_among(const char *text, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text_same(text, list[i]))
            return true;
    return false;
}

/* Of what stands (n_old, of all sources) the source's own, but for what is removed; then
 * what is added and isn't there. Texts stay the others'. out: (n_old + edit->n_add). */
static size_t edited(const struct library_said *old, size_t n_old, enum library_source source,
                     const struct library_tags_edit *edit, struct library_said *out)
{
    size_t n = 0;
    for (size_t i = 0; i < n_old; i++)
        if (old[i].source == source && !is_among(old[i].text, edit->remove, edit->n_remove))
            out[n++] = old[i];
    for (size_t i = 0; i < edit->n_add; i++) {
        size_t k = 0;
        while (k < n && !text_same(out[k].text, edit->add[i]))
            k++;
        if (k == n)
            out[n++] = (struct library_said){(char *)(uintptr_t)edit->add[i], source, (double)NAN};
    }
    return n;
}

static int change_one(struct library *lib, enum library_source source, int64_t id,
                      const struct library_tags_edit *edit, int64_t *changed, struct err *err)
{
    struct library_said *old = NULL, *now = NULL;
    size_t               n_old = 0;
    int                  rc    = catalog_said_get(lib->cat, CATALOG_TAGS, id, &old, &n_old, err);
    if (!rc && !(now = mem_array(n_old + edit->n_add + 1, sizeof *now)))
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu tags", n_old + edit->n_add);
    if (!rc) {
        const struct library_saying saying = {
            .image_id = id, .said = now, .n = edited(old, n_old, source, edit, now)};
        rc = catalog_said_replace(lib->cat, CATALOG_TAGS, source, &saying, 1, changed, err);
    }
    free(now);
    library_said_free(old, n_old);
    return rc;
}

int library_tags_change(struct library *lib, enum library_source source, const int64_t *ids,
                        size_t n, const struct library_tags_edit *edit, int64_t *changed,
                        struct err *err)
{
    int64_t count = 0;
    int     rc    = catalog_begin_write(lib->cat, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < n && !rc; i++) {
        int64_t one = 0;
        rc          = change_one(lib, source, ids[i], edit, &one, err);
        count += one;
    }
    if (rc == 0 && count == 0)
        catalog_rollback(lib->cat);
    else
        rc = catalog_finish(lib->cat, rc, err);
    if (rc == 0 && changed)
        *changed = count;
    return rc;
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

int library_tags_taken(struct library *lib, int64_t image_id, struct library_said **out, size_t *n,
                       struct err *err)
{
    return catalog_said_get(lib->cat, CATALOG_TAKEN, image_id, out, n, err);
}

int library_tags_any(struct library *lib, enum library_source source, bool *any, struct err *err)
{
    return catalog_said_any(lib->cat, CATALOG_TAGS, source, any, err);
}

int library_captions_any(struct library *lib, enum library_source source, bool *any,
                         struct err *err)
{
    return catalog_said_any(lib->cat, CATALOG_CAPTIONS, source, any, err);
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
    char *composed = NULL;
    int   rc       = tag ? text_nfc(tag, &composed, err) : 0;
    if (!rc)
        rc = remove_said(lib, CATALOG_TAGS, source, composed, removed, err);
    free(composed);
    return rc;
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

int library_captioned_count(struct library *lib, enum library_source source, int64_t *n,
                            struct err *err)
{
    return catalog_captioned_count(lib->cat, source, n, err);
}
