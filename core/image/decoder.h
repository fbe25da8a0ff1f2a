/* Decoding in a worker process: what everyone uses for pictures from outside.
 *
 * The same door as image.h's, behind which stands osprey-decode, an exec'd
 * process that may do nothing but decode (decode/sandbox.h). A picture that
 * makes it crash, hang or swell costs an error that says so; the next picture
 * gets a new worker. Bytes and pixels pass through shared memory, uncopied.
 *
 * A decoder belongs to one thread at a time, and holds one worker, which is
 * started with the first picture, serves thousands and ends with the decoder,
 * at the latest with the process. A picture of another format than those so far
 * may need another worker: one loads what it was asked for, and no more.
 *
 * $OSPREY_DECODE names another program as the worker, or is "in-process": then
 * there is none, and pictures are decoded here, unguarded.
 */
#ifndef OSPREY_IMAGE_DECODER_H
#define OSPREY_IMAGE_DECODER_H

#include "base/err.h"
#include "image/image.h"
#include "meta/metadata.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct decoder;

/* Zeros stand for the defaults. */
struct decoder_options {
    const char         *program; /* as $OSPREY_DECODE, which it overrides; by default osprey-decode,
                                    beside this program or in ../libexec/osprey */
    struct image_limits limits;  /* image_limits_default(); 0 pixels means all of it */
    int                 ms;      /* for one picture, $OSPREY_DECODE_SECONDS, 30,000; four times
                                    that where the worker got less than half of a core */
    int                 pictures; /* after which a worker is replaced: 4,096 */
};

/* Starts no worker yet. options may be NULL. */
int  decoder_open(const struct decoder_options *options, struct decoder **out, struct err *err);
void decoder_close(struct decoder *d); /* NULL-safe */

/* Starts the worker now, unless it runs: to learn early that it cannot be. */
int decoder_start(struct decoder *d, struct err *err);

/* Makes sure that the worker has what these kinds need (format_bit), and says which
 * kinds it can decode at all. */
int decoder_kinds(struct decoder *d, unsigned wanted, unsigned *able, struct err *err);

/* Room for a file of n bytes, so that it needs no copy on its way: what is put
 * there may be given to the calls below. Valid until the next decoder_input. */
int decoder_input(struct decoder *d, size_t n, uint8_t **bytes, struct err *err);

/* As image_probe and image_decode (image.h). view->data stays the decoder's: it
 * is valid until the next call, and is not to be freed. info may be NULL in
 * decoder_decode. */
int decoder_probe(struct decoder *d, const uint8_t *bytes, size_t n, struct image_info *info,
                  struct err *err);
int decoder_decode(struct decoder *d, const uint8_t *bytes, size_t n, int min_side,
                   struct image *view, struct image_info *info, struct err *err);
/* As image_decode_part; part may be NULL. */
int decoder_decode_part(struct decoder *d, const uint8_t *bytes, size_t n,
                        const struct image_part *part, int min_side, struct image *view,
                        struct image_info *info, struct err *err);

/* As metadata_read and metadata_change (meta/metadata.h), of a picture that lies in the room
 * of decoder_input, its sidecar of sidecar_n bytes (0: none) behind it; decoder_change
 * puts the wish behind both, for which there must be DECODER_WISH_ROOM bytes more. */
#define DECODER_WISH_ROOM ((size_t)2 << 20)
int decoder_metadata(struct decoder *d, size_t picture_n, size_t sidecar_n, struct metadata *out,
                     struct err *err);
int decoder_change(struct decoder *d, size_t picture_n, size_t sidecar_n,
                   const struct metadata_wish *wish, struct metadata_edit *out, struct err *err);

/* Whether the last call failed for a reason that no picture is to blame for: no
 * worker could be started. */
bool decoder_is_broken(const struct decoder *d);

/* "sandboxed (seccomp, limits)" and the like; of a started decoder. */
const char *decoder_text(const struct decoder *d);

#endif
