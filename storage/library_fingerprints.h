/* Fingerprints of pictures (core/image/fingerprint.h), kept by content: copies share one,
 * and it goes with the last picture that has this content. Derived: what is missing can
 * be made again from the file.
 */
#ifndef OSPREY_STORAGE_LIBRARY_FINGERPRINTS_H
#define OSPREY_STORAGE_LIBRARY_FINGERPRINTS_H

#include "base/err.h"
#include "image/fingerprint.h"
#include "storage/library.h"

struct library_fingerprint {
    uint8_t hash[LIBRARY_HASH_BYTES]; /* of the file's contents */
    uint8_t bytes[FINGERPRINT_BYTES];
};

/* In one transaction; in place of those that were there. Contents that the library does not
 * have (any more) are passed over. */
int library_fingerprints_put(struct library *lib, const struct library_fingerprint *prints,
                             size_t n, struct err *err);
/* ERR_NOTFOUND where there is none, or only one of another version. */
int library_fingerprint_get(struct library *lib, const uint8_t hash[LIBRARY_HASH_BYTES],
                            uint8_t out[FINGERPRINT_BYTES], struct err *err);
/* Up to limit images with an id beyond `after` that have none, by id: one of each content,
 * and no films.
 * Each is released by library_image_release, the array with free(). */
int library_fingerprints_missing(struct library *lib, int64_t after, size_t limit,
                                 struct library_image **out, size_t *n, struct err *err);

/* Where embeddings and fingerprints stand: whatever comes or goes moves one of these. */
struct library_marks {
    int64_t change, stamp; /* the last change of the active model's embeddings */
    int64_t prints, last;  /* how many fingerprints, and the last one that came */
};
int library_marks(struct library *lib, struct library_marks *out, struct err *err);

#endif
