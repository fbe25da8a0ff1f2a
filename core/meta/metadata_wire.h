/* Metadata as bytes, on its way into the worker and out of it. Whoever unpacks trusts
 * nothing: what does not hold together, or is longer than metadata.h says, is ERR_FORMAT.
 */
#ifndef OSPREY_META_METADATA_WIRE_H
#define OSPREY_META_METADATA_WIRE_H

#include "base/buf.h"
#include "meta/metadata.h"

#define METADATA_ANSWER_MAX ((size_t)20 << 20) /* bytes */

int metadata_pack(const struct metadata *m, struct buf *out, struct err *err);
int metadata_unpack(const uint8_t *bytes, size_t n, struct metadata *out, struct err *err);

int metadata_wish_pack(const struct metadata_wish *wish, struct buf *out, struct err *err);
int metadata_wish_unpack(const uint8_t *bytes, size_t n, struct metadata_wish *out,
                         struct err *err);

int metadata_edit_pack(const struct metadata_edit *edit, struct buf *out, struct err *err);
int metadata_edit_unpack(const uint8_t *bytes, size_t n, struct metadata_edit *out,
                         struct err *err);

/* A question as it lies in the worker's input, one after the other, and its answer packed:
 * metadata_read without a wish (wish_n 0), metadata_change with one. */
int metadata_answer(const uint8_t *bytes, size_t picture_n, size_t sidecar_n, size_t wish_n,
                    struct buf *out, struct err *err);

#endif
