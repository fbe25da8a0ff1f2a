/* One file on its way from the scan to the catalogue: the struct that is handed
 * forward from room to room (feed -> work -> commit), filled in as it goes.
 * Whoever holds it owns it.
 */
#ifndef OSPREY_INDEXER_ITEM_H
#define OSPREY_INDEXER_ITEM_H

#include "image/image.h"
#include "storage/library.h"

#include <stdbool.h>
#include <stdint.h>

enum item_state {
    ITEM_FOUND,   /* to be read */
    ITEM_ENCODED, /* has its embedding */
    ITEM_COPY,    /* its content is in the library: copy_of */
    ITEM_WAITING, /* its content is being encoded for another path right now */
    ITEM_ERROR,   /* cannot be read: reason */
    ITEM_LEFT,    /* not looked at, for the run is to stop: the next one sees to it */
    ITEM_SKIPPED, /* went or kept changing while it was read: the next run sees to it */
    ITEM_NOTE     /* no file: something to tell the user, in reason */
};

struct item {
    enum item_state   state;
    int64_t           folder_id;
    const char       *root;        /* the folder, absolute; the plan's */
    int               root_fd;     /* the same, open; the plan's */
    char             *path;        /* below it */
    int64_t           size;        /* bytes */
    int64_t           mtime_ns;    /* -1: unknown, so that the next run tries again */
    int64_t           known_id;    /* the image known at this path before, or 0 */
    bool              embedded;    /* with known_id: has an embedding of the model */
    bool              must_encode; /* no looking for copies */
    bool              announced;   /* its hash is in the list of contents in flight */
    char             *reason;
    uint8_t           hash[LIBRARY_HASH_BYTES];
    struct image_info info;
    struct metadata   said; /* what it says of itself */
    bool              has_said;
    int64_t           sidecar_ns;      /* of the sidecar that was read; 0: there is none */
    uint32_t          colour;          /* dominant, as image/dominant.h has it; 0: not known */
    float            *embedding;       /* (dim) */
    uint8_t          *regions;         /* what the re-ranker keeps; NULL: none are wanted */
    uint8_t          *fingerprint;     /* image/fingerprint.h; NULL: not decoded */
    size_t            n_parts;         /* pages, or frames, after the first */
    int              *part_pages;      /* (n_parts) from 2 */
    int32_t          *part_times;      /* (n_parts) of a video's frames, ms; NULL: no video */
    float            *part_embeddings; /* (n_parts, dim) */
    int64_t           copy_of;
};

struct item *item_new(enum item_state state, const char *path);
void         item_free(struct item *item); /* NULL-safe */
/* Lets go of the parts. */
void         item_forget_parts(struct item *item);
/* Makes it an error; the reason is copied. */
void         item_fail(struct item *item, const char *reason);

/* Contents in flight: encoded or about to be, and not yet committed. */
struct flight;

struct flight *flight_new(void);
void           flight_free(struct flight *f); /* NULL-safe */
/* Adds a hash; false when it is there already. Out of memory counts as added:
 * then a picture is encoded twice at worst. */
bool           flight_add(struct flight *f, const uint8_t hash[LIBRARY_HASH_BYTES]);
bool           flight_has(struct flight *f, const uint8_t hash[LIBRARY_HASH_BYTES]);
void           flight_remove(struct flight *f, const uint8_t hash[LIBRARY_HASH_BYTES]);

#endif
