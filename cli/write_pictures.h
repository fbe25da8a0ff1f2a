/* --write: what the library says of pictures, written into them or beside them
 * (storage/library_write.h), one picture after another.
 *
 * A picture that cannot be written costs one line on standard error, and the others go on.
 * With --json each picture that changes is a line: path, id, file, changes; or error.
 */
#ifndef OSPREY_CLI_WRITE_PICTURES_H
#define OSPREY_CLI_WRITE_PICTURES_H

#include "cli/options.h"
#include "storage/library.h"
#include "storage/library_tags.h"

/* The values of --write; and both of them, of which what Osprey wrote is taken out. */
enum write_place { WRITE_NOWHERE, WRITE_SIDECAR, WRITE_FILE, WRITE_BOTH };
/* text NULL: nowhere. */
int write_place_of(const char *text, enum write_place *out, struct err *err);

struct write_options {
    const struct common *common;
    enum write_place     place;
    bool                 tags;     /* write tags: Osprey's, and those of people */
    bool                 captions; /* a person's caption, else Osprey's first; and the same
                                      as the alternative text */
    bool                 take_out; /* what Osprey wrote of them goes, but for what people said */
    bool                 judged;   /* what Osprey says is known; else a library in which it has
                                      said nothing leaves what it wrote by another one */
    bool                 dry;      /* only show what would change */
};

struct picture_writer;

int  picture_writer_open(struct library *lib, const struct write_options *options,
                         struct picture_writer **out, struct err *err);
void picture_writer_close(struct picture_writer *w); /* NULL-safe */

/* One picture. said (n): what Osprey says of it now, in place of what the catalogue has;
 * NULL: as the catalogue has it. Fails only where going on is pointless. */
int    picture_writer_write(struct picture_writer *w, int64_t image_id,
                            const struct library_said *said, size_t n, struct err *err);
/* Every picture that one of the filters allows, in order of their ids; n_filters 0: all. */
int    picture_writer_write_all(struct picture_writer *w, const struct library_filter *filters,
                                size_t n_filters, struct err *err);
/* Notes how many were written; ERR_FAILED where some could not be. rc: what came of the
 * writing itself, which comes first. */
int    picture_writer_end(const struct picture_writer *w, int rc, struct err *err);
/* Files that changed, or would. */
size_t picture_writer_written(const struct picture_writer *w);

/* All of it: a writer for every picture that the filters allow. */
int write_pictures(struct library *lib, const struct write_options *options,
                   const struct library_filter *filters, size_t n_filters, struct err *err);

#endif
