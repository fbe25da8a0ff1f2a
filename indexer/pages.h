/* The pages of a scan after the first, and a video's frames: decoded and encoded as pictures of
 * their own, each to be found by itself.
 */
#ifndef OSPREY_INDEXER_PAGES_H
#define OSPREY_INDEXER_PAGES_H

#include "image/decoder.h"
#include "indexer/item.h"
#include "model/encoder.h"

#define PAGES_CEILING 1000 /* of one file; what is beyond is told and left out */

struct pages_tools {
    struct decoder         *decoder;
    const struct encoder   *encoder;
    struct encoder_scratch *scratch;
};

/* Told of a page that is left out; text as of a note. */
typedef void pages_tell(void *ctx, const char *text);

/* Fills the item's parts from its file (item->info.pages). A page that cannot be
 * read is told and left out; an error is the decoder's or the encoder's own. */
int pages_encode(const struct pages_tools *tools, const uint8_t *bytes, size_t n, struct item *item,
                 pages_tell *tell, void *ctx, struct err *err);

#endif
