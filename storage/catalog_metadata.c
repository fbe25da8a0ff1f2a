/* What pictures say of themselves, in the catalogue: lens, rating, place, and as source
 * 'picture' their tags and captions; and which state of a picture's file and its sidecar
 * that was read from.
 */
#include "storage/catalog_db.h"

#include "base/mem.h"
#include "text/fold.h"

#include <math.h>
#include <stdlib.h>

static int put_columns(struct catalog *cat, int64_t image_id, const struct metadata *m,
                       int64_t sidecar_ns, struct err *err)
{
    return catalog_run(
        cat, err,
        "UPDATE images SET lens = ?2, rating = ?3, latitude = ?4, longitude = ?5,"
        " sidecar_ns = ?6, metadata = ?7 WHERE id = ?1",
        "itirrii", image_id, m->lens, (int64_t)m->rating, m->has_place ? m->latitude : (double)NAN,
        m->has_place ? m->longitude : (double)NAN, sidecar_ns, (int64_t)CATALOG_METADATA_VERSION);
}

/* Whether a tag in a picture is what a person of this library said, or said and took away,
 * and Osprey wrote there: then it is that person's, not the picture's. */
static int is_person_s(struct catalog *cat, int64_t image_id, const struct metadata *m,
                       const char *tag, bool *out, struct err *err)
{
    int64_t known    = 0;
    char   *composed = NULL; /* as the catalogue keeps tags */
    int     rc       = strings_have(&m->people, tag) ? text_nfc(tag, &composed, err) : 0;
    if (composed)
        rc = catalog_int(cat, &known, err,
                         "SELECT EXISTS (SELECT 1 FROM tags WHERE image_id = ?1 AND tag = ?2"
                         " AND source = 'user') OR EXISTS (SELECT 1 FROM tags_taken"
                         " WHERE image_id = ?1 AND tag = ?2)",
                         "it", image_id, composed);
    free(composed);
    *out = known != 0;
    return rc;
}

int catalog_metadata_put(struct catalog *cat, int64_t image_id, const struct metadata *m,
                         int64_t sidecar_ns, struct err *err)
{
    struct library_said   captions[2];
    struct library_saying saying = {.image_id = image_id};
    struct library_said  *tags   = mem_zeroed(m->tags.n, sizeof *tags);
    int64_t               changed;
    int                   rc = 0;
    if (!tags)
        return err_set(err, ERR_NOMEM, "cannot keep a picture's tags: out of memory");
    for (size_t i = 0; i < m->tags.n && rc == 0; i++) {
        bool known;
        rc = is_person_s(cat, image_id, m, m->tags.list[i], &known, err);
        if (rc == 0 && !known)
            tags[saying.n++] = (struct library_said){.text = m->tags.list[i], .score = (double)NAN};
    }
    saying.said = tags;
    if (rc == 0)
        rc = put_columns(cat, image_id, m, sidecar_ns, err);
    if (rc == 0)
        rc = catalog_said_replace(cat, CATALOG_TAGS, LIBRARY_PICTURE, &saying, 1, &changed, err);
    saying.said = captions;
    saying.n    = 0;
    if (m->caption)
        captions[saying.n++] = (struct library_said){.text = m->caption, .score = (double)NAN};
    if (m->alt_text)
        captions[saying.n++] = (struct library_said){.text = m->alt_text, .score = (double)NAN};
    if (rc == 0)
        rc =
            catalog_said_replace(cat, CATALOG_CAPTIONS, LIBRARY_PICTURE, &saying, 1, &changed, err);
    free(tags);
    return rc;
}

int catalog_metadata_move(struct catalog *cat, int64_t from, int64_t into, struct err *err)
{
    int rc = catalog_run(cat, err,
                         "UPDATE images SET (lens, rating, latitude, longitude, sidecar_ns,"
                         " metadata) = (SELECT lens, rating, latitude, longitude, sidecar_ns,"
                         " metadata FROM images WHERE id = ?1) WHERE id = ?2",
                         "ii", from, into);
    if (rc == 0)
        rc = catalog_run(cat, err, "DELETE FROM tags WHERE image_id = ? AND source = 'picture'",
                         "i", into);
    if (rc == 0)
        rc = catalog_run(cat, err, "DELETE FROM captions WHERE image_id = ? AND source = 'picture'",
                         "i", into);
    if (rc == 0)
        rc = catalog_run(cat, err,
                         "UPDATE tags SET image_id = ?2 WHERE image_id = ?1 AND source = 'picture'",
                         "ii", from, into);
    if (rc == 0)
        rc = catalog_run(
            cat, err,
            "UPDATE captions SET image_id = ?2 WHERE image_id = ?1 AND source = 'picture'", "ii",
            from, into);
    return rc;
}

int catalog_sidecar_get(struct catalog *cat, int64_t image_id, int64_t *sidecar_ns, struct err *err)
{
    return catalog_int(cat, sidecar_ns, err, "SELECT sidecar_ns FROM images WHERE id = ?", "i",
                       image_id);
}

int catalog_image_same(struct catalog *cat, const uint8_t *hash, int64_t mtime_ns, int64_t after,
                       int64_t *id, struct err *err)
{
    return catalog_int(cat, id, err,
                       "SELECT coalesce(min(id), 0) FROM images WHERE hash = ? AND mtime_ns = ?"
                       " AND id > ?",
                       "bii", (const void *)hash, (size_t)LIBRARY_HASH_BYTES, mtime_ns, after);
}

/* A tag that the picture was read to say, and a person took away, may have gone with this. */
#define READ_AGAIN                                                                                 \
    "metadata = CASE WHEN EXISTS (SELECT 1 FROM tags JOIN tags_taken USING (image_id, tag)"        \
    " WHERE image_id = ?1 AND source = 'picture') THEN 0 ELSE metadata END"

int catalog_image_rewritten(struct catalog *cat, int64_t image_id, const uint8_t *old_hash,
                            const uint8_t *hash, int64_t size, int64_t mtime_ns, struct err *err)
{
    /* What is kept by content: it looks as it did. */
    int rc = catalog_run(cat, err,
                         "INSERT OR IGNORE INTO fingerprints (hash, kept)"
                         " SELECT ?2, kept FROM fingerprints WHERE hash = ?1"
                         " AND EXISTS (SELECT 1 FROM images WHERE id = ?3 AND hash = ?1)",
                         "bbi", (const void *)old_hash, (size_t)LIBRARY_HASH_BYTES,
                         (const void *)hash, (size_t)LIBRARY_HASH_BYTES, image_id);
    if (rc)
        return rc;
    return catalog_run(cat, err,
                       "UPDATE images SET hash = ?3, size = ?4, mtime_ns = ?5, " READ_AGAIN
                       " WHERE id = ?1 AND hash = ?2",
                       "ibbii", image_id, (const void *)old_hash, (size_t)LIBRARY_HASH_BYTES,
                       (const void *)hash, (size_t)LIBRARY_HASH_BYTES, size, mtime_ns);
}

int catalog_sidecar_rewritten(struct catalog *cat, int64_t image_id, int64_t old_ns, int64_t now_ns,
                              struct err *err)
{
    return catalog_run(cat, err,
                       "UPDATE images SET sidecar_ns = ?3, " READ_AGAIN
                       " WHERE id = ?1 AND sidecar_ns = ?2",
                       "iii", image_id, old_ns, now_ns);
}
