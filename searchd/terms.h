/* The terms of a query as requests bring them: texts, pictures uploaded, pictures of
 * the library; and from them one vector. */
#ifndef OSPREY_SEARCHD_TERMS_H
#define OSPREY_SEARCHD_TERMS_H

#include "searchd/app.h"
#include "storage/library_match.h"
#include "storage/query.h"

#define TERMS_MAX_IMAGES 8     /* uploaded in one request */
#define TERMS_MAX_TEXT   65536 /* bytes */

struct term {
    float          weight;
    const char    *text;
    const uint8_t *image; /* a file's bytes */
    size_t         image_len;
    int64_t        id; /* of a picture in the library */
};

struct terms {
    struct term items[QUERY_MAX_TERMS];
    size_t      n, n_images;
};

int terms_add_text(struct terms *terms, const char *text, float weight, struct err *err);
int terms_add_image(struct terms *terms, const uint8_t *bytes, size_t n, float weight,
                    struct err *err);
int terms_add_id(struct terms *terms, int64_t id, float weight, struct err *err);
/* A picture as base64, perhaps as a data URL; kept with the call. */
int terms_add_base64(struct call *call, struct terms *terms, const char *text, float weight,
                     struct err *err);
/* [{"text" | "image" | "id", "weight"}, ...] */
int terms_add_nodes(struct call *call, struct terms *terms, const struct jnode *nodes,
                    struct err *err);

/* Bytes of base64 or of a data URL ("data:image/png;base64,..."), kept with the
 * call. */
int terms_decode(struct call *call, const char *text, uint8_t **bytes, size_t *n, struct err *err);

/* What the terms are: texts, a picture, or both. */
enum library_query terms_kind(const struct terms *terms);

/* The embeddings of all terms, each normalised: out (n, dim). Counts as the encode
 * and decode stages. */
int terms_encode(struct call *call, struct desk *desk, const struct terms *terms, float *out,
                 struct err *err);
/* One picture's bytes to its embedding (dim); info may be NULL. */
int terms_encode_image(struct call *call, struct desk *desk, const uint8_t *bytes, size_t n,
                       float *out, struct image_info *info, struct err *err);
/* Texts in pieces small enough that others get their turn: out (n, dim). */
int terms_encode_texts(struct call *call, struct desk *desk, const char *const *texts, size_t n,
                       float *out, struct err *err);

#endif
