/* The end of vectors.faiss (vindex.h): what the file holds, how far it reaches, its
 * checksum. Inside of storage/vindex*.c alone. */
#ifndef OSPREY_STORAGE_VINDEX_TRAILER_H
#define OSPREY_STORAGE_VINDEX_TRAILER_H

#include "base/err.h"
#include "storage/vindex.h"

#include <stdint.h>
#include <stdio.h>

/* The last bytes of the file, in this machine's byte order, as FAISS's own. */
struct vindex_trailer {
    char     magic[8];
    uint32_t kind, dim; /* kind: enum vindex_kind, and above 8 bits the metric */
    int64_t  seq, stamp;
    int64_t  count, gone, trained;
    uint64_t body_bytes, body_hash; /* XXH3-64 of what precedes the trailer */
    char     model_hash[64];
    uint64_t hash; /* XXH3-64 of the trailer up to here */
};

/* Opens path and reads its end; the body is read against its checksum where the file is
 * so small that this takes milliseconds, or when all. Errors as from vindex_open. */
int  vindex_trailer_open(const char *path, bool all, int *fd, struct vindex_trailer *out,
                         struct vindex_file *file, struct err *err);
/* Appends to f, which holds the body and lies at path, and syncs it. */
int  vindex_trailer_write(const struct vindex_info *info, FILE *f, const char *path,
                          struct err *err);
void vindex_trailer_info(const struct vindex_trailer *t, struct vindex_info *out);
int  vindex_damaged(const char *path, const char *why, struct err *err); /* ERR_DAMAGED */

#endif
