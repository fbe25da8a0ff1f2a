/* --write: see write_pictures.h. */
#include "cli/write_pictures.h"

#include "cli/output.h"

#include "base/file.h"
#include "base/mem.h"
#include "image/decoder.h"
#include "storage/library_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 500 /* pictures asked for at a time */

struct picture_writer {
    struct write_options options;
    struct library      *lib;
    struct decoder      *decoder;
    bool   said_nothing;        /* Osprey, of anything: what it wrote from another library stays */
    size_t written[2], same[2]; /* beside pictures, in them */
    size_t failed;              /* pictures */
    size_t left_out;            /* tags of which a picture has too many */
};

int write_place_of(const char *text, enum write_place *out, struct err *err)
{
    *out = WRITE_NOWHERE;
    if (!text)
        return 0;
    if (!strcmp(text, "sidecar"))
        *out = WRITE_SIDECAR;
    else if (!strcmp(text, "file"))
        *out = WRITE_FILE;
    else
        return err_set(err, ERR_USAGE, "--write takes sidecar or file, not '%s'", text);
    return 0;
}

int picture_writer_open(struct library *lib, const struct write_options *options,
                        struct picture_writer **out, struct err *err)
{
    struct picture_writer *w = mem_zeroed(1, sizeof *w);
    if (!w)
        return err_set(err, ERR_NOMEM, "out of memory");
    w->lib     = lib;
    w->options = *options;
    bool any   = true;
    int  rc    = decoder_open(NULL, &w->decoder, err);
    if (!rc && !options->judged && !options->take_out)
        rc = options->tags ? library_tags_any(lib, LIBRARY_OSPREY, &any, err)
                           : library_captions_any(lib, LIBRARY_OSPREY, &any, err);
    w->said_nothing = !any;
    if (rc) {
        picture_writer_close(w);
        return rc;
    }
    *out = w;
    return 0;
}

void picture_writer_close(struct picture_writer *w)
{
    if (!w)
        return;
    decoder_close(w->decoder);
    free(w);
}

/* ---- What shall be said ---- */

typedef int getter(struct library *lib, int64_t id, struct library_said **out, size_t *n,
                   struct err *err);

/* Tags of one source that neither list has; *left_out counts those for which there is no
 * room. */
static int add_tags(struct strings *to, const struct strings *other,
                    const struct library_said *said, size_t n, enum library_source source,
                    size_t *left_out, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        if (said[i].source != source)
            continue;
        char *clean = text_clean(said[i].text, strlen(said[i].text), METADATA_TAG_MAX);
        if (!clean)
            return err_set(err, ERR_NOMEM, "out of memory");
        bool wanted = *clean && !strings_have(to, clean) && !strings_have(other, clean);
        if (wanted && to->n + other->n < METADATA_TAGS)
            rc = strings_add(to, clean, err);
        else
            *left_out += wanted;
        free(clean);
    }
    return rc;
}

/* A person's tags come first, where there are more than a picture takes; then Osprey's. */
static int wish_tags(struct picture_writer *w, int64_t id, const struct library_said *kept,
                     size_t n_kept, const struct library_said *now, size_t n_now,
                     struct metadata_wish *wish, struct err *err)
{
    const struct strings none  = {0};
    struct library_said *taken = NULL;
    size_t               n = 0, unused = 0;
    int rc = add_tags(&wish->people, &none, kept, n_kept, LIBRARY_USER, &w->left_out, err);
    if (rc || w->options.take_out)
        return rc;
    rc = add_tags(&wish->tags, &wish->people, now, n_now, LIBRARY_OSPREY, &w->left_out, err);
    if (!rc)
        rc = library_tags_taken(w->lib, id, &taken, &n, err);
    if (!rc)
        rc = add_tags(&wish->taken, &none, taken, n, LIBRARY_USER, &unused, err);
    library_said_free(taken, n);
    return rc;
}

/* A person's first caption, else Osprey's; *to stays NULL where there is none. */
static int find_caption(char **to, bool *person_s, const struct library_said *kept, size_t n_kept,
                        const struct library_said *now, size_t n_now, struct err *err)
{
    const char *text = NULL;
    for (size_t i = 0; i < n_kept && !text; i++)
        text = kept[i].source == LIBRARY_USER ? kept[i].text : NULL;
    *person_s = text != NULL;
    for (size_t i = 0; i < n_now && !text; i++)
        text = now[i].source == LIBRARY_OSPREY ? now[i].text : NULL;
    if (!text)
        return 0;
    *to = text_clean(text, strlen(text), METADATA_TEXT_MAX);
    return *to ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

/* To take out is to wish for what people said alone, which stays where it is. */
static int make_wish(struct picture_writer *w, int64_t id, const struct library_said *said,
                     size_t n, struct metadata_wish *wish, struct err *err)
{
    const struct write_options *o     = &w->options;
    *wish                             = (struct metadata_wish){.set_tags     = o->tags,
                                                               .set_caption  = o->captions,
                                                               .set_alt_text = o->captions,
                                                               .only_out     = o->take_out,
                                                               .keep_own     = w->said_nothing && !said};
    struct library_said       *kept   = NULL;
    size_t                     n_kept = 0;
    getter                    *get    = o->tags ? library_tags_get : library_captions_get;
    int                        rc     = get(w->lib, id, &kept, &n_kept, err);
    const struct library_said *now    = said ? said : kept;
    size_t                     n_now  = o->take_out ? 0 : said ? n : n_kept;
    if (!rc && o->tags)
        rc = wish_tags(w, id, kept, n_kept, now, n_now, wish, err);
    if (!rc && o->captions)
        rc = find_caption(&wish->caption, &wish->people_texts, kept, n_kept, now, n_now, err);
    if (!rc && wish->caption && !(wish->alt_text = mem_strdup(wish->caption)))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    library_said_free(kept, n_kept);
    return rc;
}

/* ---- Telling ---- */

static int tell_json(const char *path, int64_t id, const struct library_written *done,
                     const struct err *why, struct err *err)
{
    struct jnode *o = jnode_object(), *list = why ? NULL : jnode_array();
    int           failed = jnode_set_path(o, "path", path) | jnode_set_int(o, "id", id);
    if (why)
        return out_json(o, failed | jnode_set_str(o, "error", why->msg), err);
    failed |= jnode_set_path(o, "file", done->file);
    for (size_t i = 0; i < done->changes.n; i++)
        failed |= jnode_push_str(list, done->changes.list[i]);
    return out_json(o, failed | jnode_set(o, "changes", list), err);
}

static void tell_person(const struct library_written *done)
{
    out_path(done->file);
    putchar('\n');
    for (size_t i = 0; i < done->changes.n; i++) {
        fputs("  ", stdout);
        out_path(done->changes.list[i]);
        putchar('\n');
    }
}

static int tell(const struct picture_writer *w, const struct library_image *image,
                const struct library_written *done, const struct err *why, struct err *err)
{
    if (!w->options.common->json) {
        if (why)
            fprintf(stderr, "osprey: %s\n", why->msg);
        else if (w->options.dry)
            tell_person(done);
        return 0;
    }
    char *path = path_join(image->folder, image->path);
    if (!path)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = tell_json(path, image->id, done, why, err);
    free(path);
    return rc;
}

/* ---- Pictures ---- */

/* In one of the places. *bad: why not, where it could not be written. */
static int write_at(struct picture_writer *w, const struct library_image *image,
                    const struct metadata_wish *wish, int *bad, struct err *err)
{
    struct library_written done = {0};
    struct err             why  = ERR_INIT;
    int                    rc = 0, in = !wish->sidecar;
    *bad = library_write(w->lib, w->decoder, image, wish, w->options.dry, &done, &why);
    w->same[in] += !*bad && done.outcome == METADATA_SAME;
    w->written[in] += !*bad && done.outcome != METADATA_SAME;
    if (*bad == ERR_NOMEM || decoder_is_broken(w->decoder))
        rc = err_set(err, why.code, "%s", why.msg);
    else if (*bad || done.outcome != METADATA_SAME)
        rc = tell(w, image, &done, *bad ? &why : NULL, err);
    library_written_release(&done);
    return rc;
}

static bool goes_to(const struct picture_writer *w, enum write_place place)
{
    return w->options.place == place || w->options.place == WRITE_BOTH;
}

static int write_image(struct picture_writer *w, const struct library_image *image,
                       const struct library_said *said, size_t n, struct err *err)
{
    struct metadata_wish wish;
    int                  rc     = make_wish(w, image->id, said, n, &wish, err);
    int                  beside = 0, in = 0;
    wish.sidecar = true;
    if (!rc && goes_to(w, WRITE_SIDECAR))
        rc = write_at(w, image, &wish, &beside, err);
    wish.sidecar = false;
    bool gone    = beside == ERR_NOTFOUND || beside == ERR_BUSY; /* for both alike */
    if (!rc && !gone && goes_to(w, WRITE_FILE))
        rc = write_at(w, image, &wish, &in, err);
    w->failed += beside || in;
    metadata_wish_release(&wish);
    return rc ? rc : output_broken() ? ERR_CANCELLED : 0;
}

int picture_writer_write(struct picture_writer *w, int64_t image_id,
                         const struct library_said *said, size_t n, struct err *err)
{
    struct library_image image;
    struct err           why = ERR_INIT;
    int                  rc  = library_image_get(w->lib, image_id, &image, &why);
    if (rc == ERR_NOTFOUND) /* it went meanwhile */
        return 0;
    if (rc)
        return err_set(err, why.code, "%s", why.msg);
    rc = write_image(w, &image, said, n, err);
    library_image_release(&image);
    return rc;
}

static int write_filtered(struct picture_writer *w, const struct library_filter *filter,
                          struct err *err)
{
    struct library_cursor after = {0};
    size_t                n     = 1;
    int                   rc    = 0;
    while (!rc && n > 0) {
        struct library_image *page = NULL;
        n                          = 0;
        rc = library_list(w->lib, filter, LIBRARY_BY_ID, &after, PAGE, &page, &n, err);
        for (size_t i = 0; i < n; i++) {
            if (!rc)
                rc = write_image(w, &page[i], NULL, 0, err);
            after.id = page[i].id;
            library_image_release(&page[i]);
        }
        free(page);
    }
    return rc;
}

int picture_writer_write_all(struct picture_writer *w, const struct library_filter *filters,
                             size_t n_filters, struct err *err)
{
    int rc = n_filters ? 0 : write_filtered(w, NULL, err);
    for (size_t i = 0; i < n_filters && !rc; i++)
        rc = write_filtered(w, &filters[i], err);
    return rc;
}

/* Of what was taken back, what is left to do; else only how many. */
static int tell_failed(const struct picture_writer *w, struct err *err)
{
    const struct write_options *o    = &w->options;
    const char                 *what = o->tags ? "tag" : "caption";
    const char                 *are  = w->failed == 1 ? "picture" : "pictures";
    if (!o->take_out || o->dry)
        return err_set(err, ERR_FAILED, "%zu %s could not be written", w->failed, are);
    return err_set(err, ERR_FAILED,
                   "%zu %s could not be written: Osprey's %ss may still be there, though the "
                   "library keeps none of them; `osprey %s --remove` takes them out once that can "
                   "be done",
                   w->failed, are, what, what);
}

int picture_writer_end(const struct picture_writer *w, int rc, struct err *err)
{
    static const char *const where[] = {"beside pictures", "in pictures"};
    const char              *done    = w->options.dry ? "would change" : "written";
    if (rc)
        return rc;
    for (int in = 0; in < 2; in++)
        if (goes_to(w, in ? WRITE_FILE : WRITE_SIDECAR))
            note(w->options.common, "%s: %zu %s, %zu %s as wished already", where[in],
                 w->written[in], done, w->same[in], w->same[in] == 1 ? "is" : "are");
    if (w->left_out && !w->options.take_out)
        note(w->options.common, "%zu tag%s left out: at most %d are written for a picture",
             w->left_out, w->left_out == 1 ? "" : "s", METADATA_TAGS);
    return w->failed ? tell_failed(w, err) : 0;
}

size_t picture_writer_written(const struct picture_writer *w)
{
    return w->written[0] + w->written[1];
}

int write_pictures(struct library *lib, const struct write_options *options,
                   const struct library_filter *filters, size_t n_filters, struct err *err)
{
    struct picture_writer *w  = NULL;
    int                    rc = picture_writer_open(lib, options, &w, err);
    if (!rc)
        rc = picture_writer_end(w, picture_writer_write_all(w, filters, n_filters, err), err);
    picture_writer_close(w);
    return rc;
}
