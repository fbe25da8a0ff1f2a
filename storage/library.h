/* A library: catalogue and vector index behind one narrow interface.
 *
 * The catalogue (SQLite) is the truth; the vector index (FAISS) is derived from
 * it. Neither's types appear here: another engine can stand behind this header
 * when a collection outgrows one machine. Everything joins by image id, never
 * by position.
 *
 * Processes: any number may have a library open, reading and writing at the
 * same time; every write is one short transaction, and a reader sees whole
 * batches or nothing. Threads: a struct library belongs to one thread at a
 * time.
 *
 * Strings and arrays that a call hands out are freed with the matching
 * *_release or *_free; paths are bytes without NUL.
 */
#ifndef OSPREY_STORAGE_LIBRARY_H
#define OSPREY_STORAGE_LIBRARY_H

#include "base/err.h"
#include "meta/metadata.h"
#include "model/distance.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIBRARY_HASH_BYTES 16

/* Ids from here on are of parts: the pages of a scan after the first, each with an
 * embedding of its own. They are known inside the library alone; hits and everything else
 * speak of images. */
#define LIBRARY_FIRST_PART (INT64_C(1) << 39)

struct library;

enum library_access {
    LIBRARY_EXISTING, /* ERR_NOTFOUND where there is none */
    LIBRARY_CREATE    /* makes the folder and an empty catalogue */
};

/* $OSPREY_LIBRARY, else $XDG_DATA_HOME/osprey/library, else
 * ~/.local/share/osprey/library; freed by the caller. */
int library_default_dir(char **dir, struct err *err);

int         library_open(const char *dir, enum library_access access, struct library **out,
                         struct err *err);
void        library_close(struct library *lib); /* NULL-safe */
const char *library_dir(const struct library *lib);

/* ---- The model that fills it ---- */

struct library_model {
    int64_t       id;            /* of the catalogue, 0 before library_model_register */
    char          name[256];     /* "osprey-small" */
    char          dir[4096];     /* where it was loaded from */
    char          hash[65];      /* over its weights */
    char          precision[16]; /* "f32" */
    int           dim;
    enum distance distance;
};

/* The model whose embeddings answer searches; ERR_NOTFOUND before the first
 * one was activated. */
int library_model_active(struct library *lib, struct library_model *out, struct err *err);
/* The model that is being filled beside the active one; ERR_NOTFOUND if none. */
int library_model_filling(struct library *lib, struct library_model *out, struct err *err);
/* Finds by hash or adds a model; sets model->id. */
int library_model_register(struct library *lib, struct library_model *model, struct err *err);
/* From now on this model answers; the embeddings of others are dropped. */
int library_model_activate(struct library *lib, int64_t model_id, struct err *err);

/* ---- Regions: what a re-ranker keeps of the pictures (core/rerank) ---- */

struct library_regions {
    int64_t id;       /* of the catalogue */
    int64_t images;   /* pictures that have them */
    size_t  bytes;    /* of each */
    char    hash[65]; /* of the re-ranker */
};

/* Those that are kept for the active model by the re-ranker with this hash, or (hash
 * NULL) by the one that has most; ERR_NOTFOUND. */
int library_regions_find(struct library *lib, const char *hash, struct library_regions *out,
                         struct err *err);
/* out: (of->bytes). ERR_NOTFOUND, or ERR_DAMAGED, of which verify tells. */
int library_regions_get(struct library *lib, const struct library_regions *of, int64_t image_id,
                        uint8_t *out, struct err *err);
/* From now on, through this handle, pictures without regions of this re-ranker count
 * as not embedded (library_known_after, library_find_content), and library_add takes
 * regions in, as many bytes of each. hash NULL: no more. */
int library_regions_want(struct library *lib, int64_t model_id, const char *hash, size_t bytes,
                         struct err *err);
/* Drops what other re-rankers kept for the same model, and of models that are retired. */
int library_regions_settle(struct library *lib, struct err *err);
/* One of a model's small files, by which its heads stay at hand. */
struct library_file {
    const char *name; /* plain */
    const void *data; /* (len) */
    size_t      len;  /* bytes */
};
/* Keeps the files of a registered model in the library, until it is retired. */
int library_model_keep(struct library *lib, const struct library_model *model,
                       const struct library_file *files, size_t n, struct err *err);
/* The folder inside the library that holds them, made when it is missing; freed by
 * the caller. ERR_NOTFOUND where nothing of the model was kept. */
int library_model_kept(struct library *lib, const struct library_model *model, char **dir,
                       struct err *err);

/* ---- Folders ---- */

struct library_folder {
    int64_t id;
    char   *path;       /* absolute */
    bool    online;     /* false: missing, empty or not mounted when last scanned */
    int64_t scanned_at; /* Unix seconds UTC, 0 before the first whole scan */
    int64_t images, errors;
};

/* Adds an absolute path. When it lies inside a known folder nothing is added:
 * *id is that folder and *below the path within it ("" otherwise; freed by the
 * caller). Known folders inside it are taken into the new one, with their
 * images. */
int  library_folder_add(struct library *lib, const char *path, int64_t *id, char **below,
                        struct err *err);
int  library_folders(struct library *lib, struct library_folder **out, size_t *n, struct err *err);
void library_folders_free(struct library_folder *folders, size_t n);
/* Records the end of a scan, or that the folder could not be scanned. */
int  library_folder_scanned(struct library *lib, int64_t folder_id, bool online, struct err *err);
/* Removes a folder (or what lies below a path inside one) with its images. ERR_NOTFOUND when
 * there is nothing of it. */
int  library_forget(struct library *lib, const char *path, int64_t *removed, struct err *err);
/* Folders at or below old_path now lie at or below new_path. */
int  library_relocate(struct library *lib, const char *old_path, const char *new_path,
                      int64_t *folders, struct err *err);

/* ---- Images ---- */

struct library_image {
    int64_t  id;
    int64_t  folder_id;
    char    *folder;                   /* absolute */
    char    *path;                     /* below the folder */
    int64_t  size;                     /* bytes */
    int64_t  mtime_ns;                 /* nanoseconds since 1970, UTC */
    uint8_t  hash[LIBRARY_HASH_BYTES]; /* XXH3-128 of the file's contents */
    int      width, height;            /* pixels as seen */
    char     kind[16];                 /* "JPEG" */
    int      orientation;              /* EXIF 1..8 as stored in the file */
    int64_t  taken_at;                 /* Unix seconds, 0 when unknown */
    char    *camera;                   /* "" when unknown */
    uint32_t colour;                   /* dominant: 0x1RRGGBB, 0 when unknown (image/dominant.h) */
    int      pages;                    /* number of the last page, or frame, that is found by
                                          itself; 1: it has no others (library_parts.h) */
};

int  library_image_get(struct library *lib, int64_t id, struct library_image *out,
                       struct err *err); /* ERR_NOTFOUND */
void library_image_release(struct library_image *image);
/* The image at an absolute path, if the library has it. */
int  library_image_at(struct library *lib, const char *abs_path, struct library_image *out,
                      struct err *err);
/* out: (dim) of the active model, from half precision. */
int  library_embedding_get(struct library *lib, int64_t id, float *out, struct err *err);

/* ---- What the indexer needs ---- */

/* What the catalogue knows of one file: an image, or an error met. */
struct library_known {
    char   *path; /* below the folder */
    int64_t id;   /* image id, 0 for an error */
    int64_t size, mtime_ns;
    int64_t sidecar_ns; /* the mtime of its sidecar, 0: none; -1: what it says of itself was
                           not read yet */
    bool    embedded;   /* has an embedding of the model asked for */
};

/* Up to limit files of a folder whose path sorts (bytewise) after `after` and
 * lies below `below` ("" for all; "a/b" means a file "a/b" and everything in
 * "a/b/", never "a/bc"), in bytewise order: the scan merges them with what it
 * finds on the disk. A file whose embedding verify dropped has an mtime that no
 * file has, so that it looks changed. */
int library_known_after(struct library *lib, int64_t folder_id, int64_t model_id, const char *below,
                        const char *after, size_t limit, struct library_known **out, size_t *n,
                        struct err *err);
void library_known_free(struct library_known *known, size_t n);

/* An image with this content that has an embedding of the model: its id, or
 * ERR_NOTFOUND. */
int library_find_content(struct library *lib, int64_t model_id,
                         const uint8_t hash[LIBRARY_HASH_BYTES], int64_t size, int64_t *id,
                         struct err *err);

/* One file as the indexer found it. */
struct library_item {
    int64_t                folder_id;
    const char            *path; /* below the folder; replaces what was known at that path */
    int64_t                size, mtime_ns;
    const char            *error; /* a broken picture's reason; then nothing below counts */
    uint8_t                hash[LIBRARY_HASH_BYTES];
    int                    width, height;
    const char            *kind;
    int                    orientation;
    int64_t                taken_at;
    const char            *camera;
    uint32_t               colour;      /* as in library_image; 0 with copy_of: that one's */
    const float           *embedding;   /* (dim), L2-normalised; NULL with copy_of */
    const uint8_t         *regions;     /* with library_regions_want; NULL: none */
    const uint8_t         *fingerprint; /* image/fingerprint.h; NULL: none was made */
    /* What it says of itself; NULL: what is known of that stays. */
    const struct metadata *said;
    int64_t                sidecar_ns; /* with said: the sidecar's mtime, 0: it has none */

    const int32_t *time_ms;         /* when in a video its frame is; NULL: no video. Without
                                       copy_of, as what follows */
    size_t         n_parts;         /* pages, or frames, after the first */
    const int     *part_pages;      /* (n_parts) rising, from 2 */
    const int32_t *part_times;      /* (n_parts) rising, ms; NULL: no video */
    const float   *part_embeddings; /* (n_parts, dim), L2-normalised */

    int64_t copy_of;  /* > 0: same content as this image: takes over its embedding, its
                         regions and its parts */
    int64_t id;       /* out: the image's id (0 for an error) */
    bool    embedded; /* out: it had its embedding and lacked regions alone */
};

/* Adds or replaces a batch in one transaction: all of it or nothing. ERR_NOTFOUND
 * when a folder was forgotten, or the image that a copy is of went. A file that replaces an image
 * at the same path keeps its id. Costs the same in a library of any size. */
int library_add(struct library *lib, int64_t model_id, struct library_item *items, size_t n,
                struct err *err);
/* Image `to` (a copy found in this scan) is where image `from` went: `from`
 * keeps its id, tags and captions and takes over the path; `to` goes. */
int library_move(struct library *lib, int64_t from, int64_t to, struct err *err);
/* Removes images, or errors met, at paths below a folder, in one transaction. */
int library_remove(struct library *lib, int64_t folder_id, const char *const *paths, size_t n,
                   struct err *err);

/* The indexer's lock: one scan at a time. ERR_BUSY names the holder (pid, host,
 * since when). Released by library_close or when the process ends. */
int  library_lock(struct library *lib, struct err *err);
void library_unlock(struct library *lib);
/* Whether a process of this machine holds that lock. Looks without touching it, so
 * that nobody who wants it is kept out. */
bool library_is_locked(const struct library *lib);

/* ---- Search ---- */

enum library_shape { LIBRARY_ANY_SHAPE, LIBRARY_LANDSCAPE, LIBRARY_PORTRAIT, LIBRARY_SQUARE };

#define LIBRARY_FILTER_TAGS 64 /* that a filter names, and again that it excludes */

struct library_place {
    int64_t     folder_id;
    const char *below; /* a path inside the folder, as in known_after, or NULL */
};

/* What a hit must be; zero (or NULL) means any. Held exactly, inside the search. */
struct library_filter {
    int64_t                     folder_id;
    const char                 *below; /* a path inside the folder, as in known_after, or NULL */
    /* Any of these, in place of the two above. */
    const struct library_place *places; /* (n_places) */
    size_t                      n_places;
    const char        *name;   /* part of the path below the folder; the case of ASCII is ignored */
    const char        *camera; /* part of the camera's name, likewise */
    const char        *lens;   /* part of the lens's name, likewise */
    unsigned           kinds;  /* any of these (format_bit) */
    const char        *caption; /* words, all of which are in the picture's captions */
    /* Each must be there, whoever says it, and none of not_tags. "animal" is "animal",
     * "animal|dog" and "living|animal": a tag, or a part of one that ends where a level
     * ends. Case is ignored. */
    const char *const *tags;     /* (n_tags) */
    const char *const *not_tags; /* (n_not_tags) */
    size_t             n_tags, n_not_tags;
    int64_t            taken_from, taken_to; /* Unix seconds, inclusive, with has_taken: then
                                                what has no date is no hit */
    int64_t            min_size, max_size;   /* bytes */
    int64_t            min_width, min_height;
    int                min_rating, max_rating; /* stars, inclusive, with has_rating; -1: rejected,
                                                  0: none */
    double             latitude, longitude;    /* degrees, with has_near: then what has no
                                                  place is no hit */
    double             near_km;                /* from there, inclusive */
    enum library_shape shape;
    bool               has_taken, has_rating, has_near;
    bool               has_min_score;
    float              min_score; /* with has_min_score; listings ignore it */
    bool               exact; /* read every stored embedding: what the vector index is judged by */
    bool               every_page; /* not one hit an image, but one for each page that is near */
};

struct library_hit {
    int64_t id;      /* of the image */
    float   score;   /* exact; distance_score of the normalised query and embedding */
    int     page;    /* which page of it that is, from 1; 0: it has no others, or is a video */
    bool    timed;   /* it is a video, and time_ms */
    int32_t time_ms; /* its frame's */
};

/* The k best images for query (dim), best first, ties by id; of an image with pages
 * its best one counts. Approximate
 * candidates are re-scored exactly from the stored embeddings. filter may be
 * NULL. Sees everything committed before the call. hits are freed with free(). */
int library_search(struct library *lib, const float *query, size_t k,
                   const struct library_filter *filter, struct library_hit **hits, size_t *n,
                   struct err *err);

enum library_order {
    LIBRARY_BY_DATE, /* the last taken first; those without a date at the end */
    LIBRARY_BY_ID    /* the last added first */
};

/* Where a listing goes on: after the image with this date and id; id 0: from the
 * beginning. */
struct library_cursor {
    int64_t taken_at, id;
};

/* Up to limit images that the filter (may be NULL) allows, in order. Each is
 * released by library_image_release, the array with free(). */
int library_list(struct library *lib, const struct library_filter *filter, enum library_order order,
                 const struct library_cursor *after, size_t limit, struct library_image **out,
                 size_t *n, struct err *err);
/* How many images the filter allows. */
int library_count(struct library *lib, const struct library_filter *filter, int64_t *n,
                  struct err *err);

/* What a search does first: takes in what was committed, so that the next one need
 * not. Does nothing while no model is active. */
int  library_catch_up(struct library *lib, struct err *err);
/* From now on searches and catching up keep to the index that is loaded for as long
 * as what came since can be added to it, though another process may have written a
 * better one: for a daemon, which loads that one apart from any search. */
void library_keep_index(struct library *lib, bool keep);

/* ---- Its state ---- */

struct library_stats {
    int64_t images;     /* readable pictures */
    int64_t parts;      /* pages of them beside the first */
    int64_t errors;     /* pictures broken now */
    int64_t generation; /* grows with every change of the catalogue */
    int64_t folders;
    int64_t index_base;     /* vectors in the index file */
    int64_t index_delta;    /* changes since */
    char    index_kind[32]; /* "flat", "hnsw", "ivf" */
};
int library_stats(struct library *lib, struct library_stats *out, struct err *err);

struct library_error {
    char   *path; /* absolute */
    char   *reason;
    int64_t when; /* Unix seconds */
};
int  library_errors(struct library *lib, struct library_error **out, size_t *n, struct err *err);
void library_errors_free(struct library_error *errors, size_t n);

/* ---- Upkeep ---- */

/* Rewrites the vector index's base when what came since has passed a tenth of
 * it (or, with force, anyway). Called by the indexer between batches and at
 * the end of a run. */
int library_index_maintain(struct library *lib, bool force, struct err *err);

/* Catches the index up, then cross-checks catalogue and index. report (may be
 * NULL) is called for each finding. repair rebuilds what is derived and drops
 * what cannot be kept. *damage counts what is wrong afterwards: 0 is sound. */
int library_verify(struct library *lib, bool repair, void (*report)(void *ctx, const char *finding),
                   void *ctx, int64_t *damage, struct err *err);

/* A consistent copy of the catalogue while others go on. */
int library_backup(struct library *lib, const char *file, struct err *err);

#endif
