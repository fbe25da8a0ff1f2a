/* The catalogue: everything a library knows, in one SQLite database.
 *
 * SQLite is included by the catalog_*.c files alone. Nothing here knows of the
 * vector index, except that each change of an active embedding leaves a row in
 * `changes` that the index catches up from. Calls that write belong inside
 * catalog_begin_write ... catalog_commit; reads that must agree with one another
 * inside catalog_begin_read ... catalog_commit.
 *
 * Embeddings pass through as half precision (base/half.h), (dim) of a model.
 */
#ifndef OSPREY_STORAGE_CATALOG_H
#define OSPREY_STORAGE_CATALOG_H

#include "base/err.h"
#include "meta/metadata.h"
#include "storage/library.h"
#include "storage/library_match.h"
#include "storage/library_tags.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct catalog;

/* file: catalog.db. Without create a missing one is ERR_NOTFOUND. */
int  catalog_open(const char *file, bool create, struct catalog **out, struct err *err);
void catalog_close(struct catalog *cat); /* NULL-safe; ends a transaction left open */
bool catalog_is_read_only(const struct catalog *cat);

/* Grows with every write to the catalogue, inside of its transaction. */
int  catalog_generation(struct catalog *cat, int64_t *out, struct err *err);
int  catalog_begin_read(struct catalog *cat, struct err *err);
int  catalog_begin_write(struct catalog *cat, struct err *err); /* waits for other writers */
int  catalog_commit(struct catalog *cat, struct err *err);
void catalog_rollback(struct catalog *cat); /* harmless without a transaction */
/* Commits when rc is 0, undoes otherwise; rc again. */
int  catalog_finish(struct catalog *cat, int rc, struct err *err);

/* ---- Models ---- */

/* state: "active" or "filling"; ERR_NOTFOUND where there is none. */
int catalog_model_by_state(struct catalog *cat, const char *state, struct library_model *out,
                           struct err *err);
int catalog_model_by_id(struct catalog *cat, int64_t id, struct library_model *out, bool *active,
                        struct err *err);
int catalog_model_register(struct catalog *cat, struct library_model *model, struct err *err);
int catalog_model_activate(struct catalog *cat, int64_t id, struct err *err);
/* The files kept of a model, by name; empty where none are. Freed by the caller:
 * each name and its data, then the array. */
int catalog_model_files(struct catalog *cat, int64_t model_id, struct library_file **out, size_t *n,
                        struct err *err);
/* In place of those kept before. */
int catalog_model_files_put(struct catalog *cat, int64_t model_id, const struct library_file *files,
                            size_t n, struct err *err);
/* Lets go of those of retired models. */
int catalog_model_files_trim(struct catalog *cat, struct err *err);
/* Deletes up to limit embeddings of retired models; *n is how many went. */
int catalog_retired_trim(struct catalog *cat, int limit, int64_t *n, struct err *err);

/* ---- Embeddings ---- */

/* *vector is the catalogue's until the next call of this section;
 * ERR_NOTFOUND when missing, ERR_DAMAGED when its length is not dim * 2. */
int catalog_embedding_get(struct catalog *cat, int64_t model_id, int64_t image_id, int dim,
                          const uint16_t **vector, struct err *err);
/* Many of them, in half the time for each: take gets the id of each that is there and sound. */
int catalog_embeddings_read(struct catalog *cat, int64_t model_id, const int64_t *ids, size_t n,
                            int   dim, void (*take)(void *ctx, int64_t id, const uint16_t *vector),
                            void *ctx, struct err *err);
int catalog_embedding_put(struct catalog *cat, int64_t model_id, int64_t image_id,
                          const uint16_t *vector, int dim, struct err *err);
/* Copies the embeddings of all models; *active says whether one of the active
 * model was among them, *wanted whether one of model_id was. */
int catalog_embeddings_copy(struct catalog *cat, int64_t from, int64_t to, int64_t model_id,
                            bool *active, bool *wanted, struct err *err);
/* Reads through them: for when nothing else knows. */
int catalog_embeddings_count(struct catalog *cat, int64_t model_id, int64_t *n, struct err *err);
int catalog_embeddings_drop(struct catalog *cat, int64_t image_id, struct err *err);

/* Walks one model's embeddings in order of image id, beginning after `after`.
 * catalog_walk_next returns 1 with an entry, 0 at the end. A vector of the wrong
 * length comes with *bytes telling so. One walk at a time. */
int catalog_walk_begin(struct catalog *cat, int64_t model_id, int64_t after, struct err *err);
int catalog_walk_next(struct catalog *cat, int64_t *image_id, const uint16_t **vector,
                      size_t *bytes, struct err *err);

/* ---- Regions (catalog_regions.c) ---- */

/* hash NULL: those with the most pictures; ERR_NOTFOUND when there are none. */
int catalog_reranker_find(struct catalog *cat, int64_t model_id, const char *hash,
                          struct library_regions *out, struct err *err);
int catalog_reranker_register(struct catalog *cat, int64_t model_id, const char *hash, size_t bytes,
                              struct library_regions *out, struct err *err);
/* kept: (of->bytes). ERR_NOTFOUND when missing, ERR_DAMAGED when of another length. */
int catalog_regions_put(struct catalog *cat, const struct library_regions *of, int64_t image_id,
                        const uint8_t *kept, struct err *err);
int catalog_regions_get(struct catalog *cat, const struct library_regions *of, int64_t image_id,
                        uint8_t *kept, struct err *err);
/* Of all re-rankers. */
int catalog_regions_copy(struct catalog *cat, int64_t from, int64_t to, struct err *err);
int catalog_regions_drop(struct catalog *cat, int64_t image_id, struct err *err);
/* Deletes up to limit pictures' regions of retired models, and of the other
 * re-rankers of the model that keep_id (0: none) works for; *n is how many went. */
int catalog_regions_trim(struct catalog *cat, int64_t keep_id, int limit, int64_t *n,
                         struct err *err);

/* ---- The background (library_match.h, catalog_background.c) ---- */

struct background {
    int64_t   model_id; /* 0: none */
    int64_t   seq;      /* of the last change when it was taken */
    int64_t   images;   /* in the library then */
    double    spread;   /* library_match.h; 0: unknown */
    size_t    n;
    uint16_t *vectors; /* (n, dim), room for LIBRARY_BACKGROUND */
};

/* Fills all but model_id. ERR_NOTFOUND, or ERR_DAMAGED when its length is not one of
 * whole embeddings. */
int catalog_background_get(struct catalog *cat, int64_t model_id, int dim, struct background *out,
                           struct err *err);
int catalog_background_size(struct catalog *cat, int64_t model_id, int dim,
                            struct library_background *out, struct err *err);
int catalog_background_put(struct catalog *cat, int dim, const struct background *b,
                           struct err *err);
/* Embeddings spread evenly over a library of so many images; all of a small one.
 * vectors: room for LIBRARY_BACKGROUND; *n begins at 0. */
int catalog_background_sample(struct catalog *cat, int64_t model_id, int dim, int64_t images,
                              uint16_t *vectors, size_t *n, struct err *err);

/* ---- Parts (catalog_parts.c) ---- */

#define CATALOG_NO_TIME (-1)
struct catalog_part {
    int64_t id, image_id;
    int     page;    /* from 2 */
    int32_t time_ms; /* of a frame; CATALOG_NO_TIME: of no video */
};

int catalog_parts_count(struct catalog *cat, int64_t *n, struct err *err);
int catalog_part_get(struct catalog *cat, int64_t id, struct catalog_part *out, struct err *err);
/* An image's first part after a page; ERR_NOTFOUND, without a message, at the end. */
int catalog_part_next(struct catalog *cat, int64_t image_id, int after_page,
                      struct catalog_part *out, struct err *err);
/* Whether there are videos. */
int catalog_has_times(struct catalog *cat, bool *yes, struct err *err);
/* When in a video the image's own frame is, or CATALOG_NO_TIME. */
int catalog_time_get(struct catalog *cat, int64_t image_id, int32_t *ms, struct err *err);
int catalog_time_put(struct catalog *cat, const struct library_item *item, struct err *err);
/* Finds or adds the part of an image and a page; sets its id, and in the catalogue its time. */
int catalog_part_put(struct catalog *cat, struct catalog_part *part, struct err *err);
/* With their embeddings; changes are noted. */
int catalog_parts_drop(struct catalog *cat, int64_t image_id, struct err *err);

/* ---- Changes: what the vector index catches up from ---- */

int catalog_change_note(struct catalog *cat, int64_t image_id, struct err *err);
/* The last change; 0 and 0 before the first one. */
int catalog_change_last(struct catalog *cat, int64_t *seq, int64_t *stamp, struct err *err);
/* *belongs: a state that reached to (seq, stamp) can go on from here, nothing
 * in between was trimmed. */
int catalog_change_belongs(struct catalog *cat, int64_t seq, int64_t stamp, bool *belongs,
                           struct err *err);
/* Image ids of the changes after seq, oldest first; freed with free(). */
int catalog_changes_after(struct catalog *cat, int64_t seq, int64_t **ids, size_t *n,
                          struct err *err);
/* How many images those changes are of. */
int catalog_changes_count(struct catalog *cat, int64_t seq, int64_t *n, struct err *err);
int catalog_changes_trim(struct catalog *cat, int64_t before_seq, struct err *err);

/* ---- Fingerprints (library_fingerprints.h, catalog_fingerprints.c) ---- */

/* Does nothing for a hash that no image has. hash: (LIBRARY_HASH_BYTES), bytes and out:
 * (FINGERPRINT_BYTES). */
int catalog_fingerprint_put(struct catalog *cat, const uint8_t *hash, const uint8_t *bytes,
                            struct err *err);
int catalog_fingerprint_get(struct catalog *cat, const uint8_t *hash, uint8_t *out,
                            struct err *err); /* ERR_NOTFOUND */
/* *last: the id of the one that came last, 0: none. */
int catalog_fingerprints_count(struct catalog *cat, int64_t *n, int64_t *last, struct err *err);
int catalog_fingerprints_missing(struct catalog *cat, int64_t after, size_t limit,
                                 struct library_image **out, size_t *n, struct err *err);

/* ---- Folders ---- */

int    catalog_folder_add(struct catalog *cat, const char *path, int64_t *id, char **below,
                          struct err *err);
int    catalog_folder_exists(struct catalog *cat, int64_t id, bool *yes, struct err *err);
/* Whether an image of a folder is at a path below it, or below that. */
int    catalog_folder_has(struct catalog *cat, int64_t id, const char *below, bool *yes,
                          struct err *err);
/* 0 when path is not dir nor inside it; else where the part below begins in
 * path (its length when equal). dir "/" holds everything. */
size_t path_inside(const char *path, const char *dir);
/* The first of a folder's paths that does not come before `from`, freed by the caller; NULL:
 * none. */
int    catalog_path_from(struct catalog *cat, int64_t id, const char *from, char **path,
                         struct err *err);
int catalog_folders(struct catalog *cat, struct library_folder **out, size_t *n, struct err *err);
int catalog_folder_scanned(struct catalog *cat, int64_t id, bool online, struct err *err);
/* Notes a change for each image that goes. */
int catalog_forget(struct catalog *cat, const char *path, int64_t *removed, struct err *err);
int catalog_relocate(struct catalog *cat, const char *old_path, const char *new_path, int64_t *n,
                     struct err *err);

/* ---- Images and errors ---- */

int catalog_image_get(struct catalog *cat, int64_t id, struct library_image *out, struct err *err);
int catalog_image_at(struct catalog *cat, const char *abs_path, struct library_image *out,
                     struct err *err);
/* reranker_id: what has no regions of it counts as not embedded; 0: none is asked for. */
int catalog_known_after(struct catalog *cat, int64_t folder_id, int64_t model_id,
                        int64_t reranker_id, const char *below, const char *after, size_t limit,
                        struct library_known **out, size_t *n, struct err *err);
int catalog_find_content(struct catalog *cat, int64_t model_id, int64_t reranker_id,
                         const uint8_t *hash, int64_t size, int64_t *id, struct err *err);
/* Puts or replaces the row of an image and takes away an error at its path;
 * sets item->id. *same_content: it was there before with this very hash. */
/* Sets the colour of the image that was put. */
int catalog_image_colour(struct catalog *cat, const struct library_item *item, struct err *err);
int catalog_image_put(struct catalog *cat, struct library_item *item, bool *same_content,
                      struct err *err);
/* Puts or replaces an error; an image at its path goes, and a change is noted. */
int catalog_error_put(struct catalog *cat, const struct library_item *item, struct err *err);
/* Removes the image or error at a path; a change is noted for an image. */
int catalog_path_remove(struct catalog *cat, int64_t folder_id, const char *path, struct err *err);
int catalog_image_move(struct catalog *cat, int64_t from, int64_t to, struct err *err);
int catalog_errors(struct catalog *cat, struct library_error **out, size_t *n, struct err *err);
int catalog_stats(struct catalog *cat, struct library_stats *out, struct err *err);

/* ---- Tags and captions (library_tags.h, catalog_tags.c) ---- */

/* Taken: tags that a person took away; they can be read alone. */
enum catalog_said { CATALOG_TAGS, CATALOG_CAPTIONS, CATALOG_TAKEN };

int catalog_said_get(struct catalog *cat, enum catalog_said kind, int64_t image_id,
                     struct library_said **out, size_t *n, struct err *err);
/* Writes nothing where the same was said before. */
int catalog_said_replace(struct catalog *cat, enum catalog_said kind, enum library_source source,
                         const struct library_saying *images, size_t n, int64_t *changed,
                         struct err *err);
/* tag NULL: all; of captions always all. */
int catalog_said_remove(struct catalog *cat, enum catalog_said kind, enum library_source source,
                        const char *tag, int64_t *removed, struct err *err);
/* What Osprey said of an image goes. */
int catalog_said_void(struct catalog *cat, int64_t image_id, struct err *err);
/* What Osprey said of `from` it says of `to`, and nothing else. */
int catalog_said_copy(struct catalog *cat, int64_t from, int64_t to, struct err *err);
/* What people said of `from` counts for `into` too. */
int catalog_said_join(struct catalog *cat, int64_t from, int64_t into, struct err *err);
int catalog_tags_list(struct catalog *cat, struct library_tag_count **out, size_t *n,
                      struct err *err);
/* Whether a source says any of anything. */
int catalog_said_any(struct catalog *cat, enum catalog_said kind, enum library_source source,
                     bool *any, struct err *err);
int catalog_tagged_count(struct catalog *cat, int64_t *n, struct err *err);
int catalog_captioned_count(struct catalog *cat, enum library_source source, int64_t *n,
                            struct err *err);

/* ---- What pictures say of themselves (catalog_metadata.c) ---- */

int catalog_metadata_put(struct catalog *cat, int64_t image_id, const struct metadata *m,
                         int64_t sidecar_ns, struct err *err);
/* What the picture `from` says, `into` says instead: they are the same, moved. */
int catalog_metadata_move(struct catalog *cat, int64_t from, int64_t into, struct err *err);
int catalog_sidecar_get(struct catalog *cat, int64_t image_id, int64_t *sidecar_ns,
                        struct err *err);
/* The next image after an id whose file had this content and time; *id 0: none. */
int catalog_image_same(struct catalog *cat, const uint8_t *hash, int64_t mtime_ns, int64_t after,
                       int64_t *id, struct err *err);
/* Osprey wrote into a picture, or beside it: it is what it was, in other bytes. Nothing
 * where the catalogue knew something else of it. What the picture says is read again where
 * a person took some of it away. */
int catalog_image_rewritten(struct catalog *cat, int64_t image_id, const uint8_t *old_hash,
                            const uint8_t *hash, int64_t size, int64_t mtime_ns, struct err *err);
int catalog_sidecar_rewritten(struct catalog *cat, int64_t image_id, int64_t old_ns, int64_t now_ns,
                              struct err *err);

/* The tagger kept of a model (library_tagger.h, catalog_tagger.c). */
struct kept_tagger {
    int64_t  seq, stamp; /* of the last change that it has judged */
    uint8_t *data;       /* (len) learn/tagger.h */
    size_t   len;        /* bytes */
};

/* ERR_NOTFOUND; data is freed by the caller. */
int catalog_tagger_get(struct catalog *cat, int64_t model_id, struct kept_tagger *out,
                       struct err *err);
int catalog_tagger_put(struct catalog *cat, int64_t model_id, const struct kept_tagger *kept,
                       struct err *err);
int catalog_tagger_reach(struct catalog *cat, int64_t model_id, int64_t seq, int64_t stamp,
                         struct err *err);
int catalog_tagger_drop(struct catalog *cat, struct err *err);

/* ---- Filters (catalog_filter.h) ---- */

#define CATALOG_FILTER_FEW 20000 /* images that are looked at one by one */

struct catalog_filter;

/* Whether anything but the score is asked for. */
bool   catalog_filter_restricts(const struct library_filter *filter);
/* Makes a filter ready to be asked; what it looked up holds within one transaction.
 * filter's strings must outlive it; NULL allows all. ERR_USAGE for what cannot be asked. */
int    catalog_filter_new(struct catalog *cat, const struct library_filter *filter,
                          struct catalog_filter **out, struct err *err);
void   catalog_filter_free(struct catalog_filter *f); /* NULL-safe */
/* Ids of up to limit images that it allows, with an embedding or not, in no order;
 * freed with free(). */
int    catalog_filter_ids(struct catalog_filter *f, size_t limit, int64_t **ids, size_t *n,
                          struct err *err);
/* The same where *few of them pass, at most CATALOG_FILTER_FEW; nothing where more do. */
int    catalog_filter_few(struct catalog_filter *f, int64_t **ids, size_t *n, bool *few,
                          struct err *err);
/* Whether an index tells at once that few pass; that they do can also show later. */
int    catalog_filter_narrow(struct catalog_filter *f, bool *narrow, struct err *err);
int    catalog_filter_match(struct catalog_filter *f, int64_t id, bool *matches, struct err *err);
int    catalog_filter_count(struct catalog *cat, const struct library_filter *filter, int64_t *n,
                            struct err *err);
/* All ids that a filter allows: makes it ready, and asks it once. */
int    catalog_filtered(struct catalog *cat, const struct library_filter *filter, int64_t **ids,
                        size_t *n, struct err *err);
/* Kilometres between two places, in degrees. */
double catalog_km(double lat1, double lon1, double lat2, double lon2);

int catalog_list(struct catalog *cat, const struct library_filter *filter, enum library_order order,
                 const struct library_cursor *after, size_t limit, struct library_image **out,
                 size_t *n, struct err *err);

/* ---- Words: names, folders, tags and captions (catalog_words.c) ---- */

enum catalog_words_kind {
    CATALOG_CAPTION_WORDS, /* all of them, in captions */
    CATALOG_ANY_WORDS      /* any of them, anywhere; the commonest alone only */
};
/* A question to the table of words, freed by the caller; whatever the words hold, it is
 * one. ERR_USAGE where they hold no letter or digit. */
int catalog_words_query(const char *words, enum catalog_words_kind kind, char **out,
                        struct err *err);
/* Up to limit images that have any of the words and pass the filter, the best (BM25)
 * first; freed with free(). None where there are no words. */
int catalog_words_find(struct catalog *cat, const char *words, struct catalog_filter *filter,
                       size_t limit, int64_t **ids, size_t *n, struct err *err);
/* Whether images wait for their words to be written again. */
int catalog_words_stale(struct catalog *cat, bool *stale, struct err *err);
/* Writes those of up to limit images that wait, inside a transaction. */
int catalog_words_refresh(struct catalog *cat, int limit, struct err *err);
/* The same for all, in transactions of its own; nothing where the catalogue is
 * read-only. */
int catalog_words_catch_up(struct catalog *cat, struct err *err);
/* Makes the table anew from what it is derived of, inside a transaction. */
int catalog_words_rebuild(struct catalog *cat, struct err *err);
/* Counts images whose words are not what they should be. */
int catalog_words_check(struct catalog *cat, int64_t *wrong, struct err *err);
/* Whether the table's own index is sound. Outside a transaction, for it takes the
 * writers' lock. */
int catalog_words_sound(struct catalog *cat, bool *sound, struct err *err);

/* ---- Checks and copies ---- */

typedef void (*catalog_report)(void *ctx, const char *finding);

/* SQLite's own integrity and foreign key checks, counters and orphans. *fatal:
 * the file itself is damaged, what else is said may be wrong. With repair, what
 * is derived is put right, and images without an embedding go (the next index
 * run takes them up again). *found and *left count findings and what remains of
 * them. model may be NULL where none is active. */
int catalog_check(struct catalog *cat, const struct library_model *model, bool repair,
                  catalog_report report, void *ctx, int64_t *found, int64_t *left, bool *fatal,
                  struct err *err);
int catalog_backup(struct catalog *cat, const char *file, struct err *err);

#endif
