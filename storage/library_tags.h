/* What is said of a library's images: tags and captions, each with who says it.
 *
 * Three may say things, the same ones too, and each takes back only its own: the
 * picture (its metadata), Osprey (what it saw; with a score), a person. A tag below
 * another one is written with a bar: "animal|dog". Texts are valid UTF-8, a tag without
 * control characters and with composed letters (normal form C, made here), so that what
 * looks alike is one tag.
 *
 * When an image moves it keeps all of it. A copy takes over what Osprey said, which
 * depends on the content alone; when a file's content changes so that it looks
 * different to the model, that goes. Writes are one short transaction each: split what
 * takes longer than a second.
 */
#ifndef OSPREY_STORAGE_LIBRARY_TAGS_H
#define OSPREY_STORAGE_LIBRARY_TAGS_H

#include "base/err.h"
#include "storage/library.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIBRARY_TAG_MAX     1024           /* bytes of a tag */
#define LIBRARY_CAPTION_MAX (64 * 1024)    /* bytes of a caption */
#define LIBRARY_SAID_MAX    ((size_t)4096) /* of one kind, by one source, of one image */

enum library_source {
    LIBRARY_PICTURE, /* "picture": its own metadata */
    LIBRARY_OSPREY,  /* "osprey": what was found by looking at it */
    LIBRARY_USER,    /* "user": a person, through Osprey */
    LIBRARY_SOURCES
};
const char *library_source_name(enum library_source source);
bool        library_source_of(const char *name, enum library_source *out);

/* A tag or a caption. */
struct library_said {
    char               *text;
    enum library_source source;
    double              score; /* 0 to 1, how sure; NAN: none */
};
void library_said_free(struct library_said *said, size_t n);

/* All that one source says of an image; said's own sources are ignored. */
struct library_saying {
    int64_t                    image_id;
    const struct library_said *said; /* (n), a tag at most once; captions in order */
    size_t                     n;    /* 0: nothing any more */
};

/* In place of what the source said of these images before, in one transaction. Images
 * that went meanwhile are passed over. *changed (may be NULL) counts those of which now
 * something else is said; when none is, nothing is written. ERR_USAGE for a text that is
 * empty, too long or not as above. */
int library_tags_replace(struct library *lib, enum library_source source,
                         const struct library_saying *images, size_t n, int64_t *changed,
                         struct err *err);
int library_captions_replace(struct library *lib, enum library_source source,
                             const struct library_saying *images, size_t n, int64_t *changed,
                             struct err *err);

/* What changes of a source's tags of each of some images. */
struct library_tags_edit {
    const char *const *add; /* (n_add), each once; without a score */
    size_t             n_add;
    const char *const *remove; /* (n_remove); those that are not there are passed over */
    size_t             n_remove;
};
/* Reads and writes in one transaction, so that nothing said meanwhile is lost; else as
 * library_tags_replace. ERR_LIMIT where an image would have too many. */
int library_tags_change(struct library *lib, enum library_source source, const int64_t *ids,
                        size_t n, const struct library_tags_edit *edit, int64_t *changed,
                        struct err *err);

/* What all say of an image, by source; tags best first, then by name, captions in order.
 * Freed with library_said_free; empty for an image that is not there. */
int library_tags_get(struct library *lib, int64_t image_id, struct library_said **out, size_t *n,
                     struct err *err);
int library_captions_get(struct library *lib, int64_t image_id, struct library_said **out,
                         size_t *n, struct err *err);

/* What people said of an image and took away, unless they said it again; as above. */
int library_tags_taken(struct library *lib, int64_t image_id, struct library_said **out, size_t *n,
                       struct err *err);
/* Whether a source says anything at all. */
int library_tags_any(struct library *lib, enum library_source source, bool *any, struct err *err);
int library_captions_any(struct library *lib, enum library_source source, bool *any,
                         struct err *err);

/* Takes back a source's tag and those below it ("animal" and "animal|dog"), or all of its
 * tags (tag NULL), everywhere; *removed counts them. */
int library_tags_remove(struct library *lib, enum library_source source, const char *tag,
                        int64_t *removed, struct err *err);
int library_captions_remove(struct library *lib, enum library_source source, int64_t *removed,
                            struct err *err);

struct library_tag_count {
    char   *tag;
    int64_t images;                /* that have it */
    int64_t said[LIBRARY_SOURCES]; /* by each source */
};
/* Every tag, the most frequent first, then by name. Freed with library_tag_counts_free. */
int  library_tags_list(struct library *lib, struct library_tag_count **out, size_t *n,
                       struct err *err);
void library_tag_counts_free(struct library_tag_count *counts, size_t n);
/* How many images have tags; captions of a source. */
int  library_tagged_count(struct library *lib, int64_t *n, struct err *err);
int  library_captioned_count(struct library *lib, enum library_source source, int64_t *n,
                             struct err *err);

#endif
