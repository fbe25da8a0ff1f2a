/* Saying in pictures, or beside them, what the library says of them: for other programs.
 *
 * Into the file (JPEG, PNG, TIFF, WebP) or the sidecar NAME.xmp, as core/meta describes:
 * only what is Osprey's own changes, pixels never do. Files are replaced at one stroke
 * (base/file_swap.h); a picture that is a symbolic link stays one, what it leads to is
 * replaced. The catalogue learns of it in the same breath, under each name that the file
 * has there, so that the picture is not taken for a changed one.
 */
#ifndef OSPREY_STORAGE_LIBRARY_WRITE_H
#define OSPREY_STORAGE_LIBRARY_WRITE_H

#include "image/decoder.h"
#include "storage/library.h"

struct library_written {
    enum metadata_outcome outcome;
    struct strings        changes; /* metadata_edit's */
    char                 *file;    /* absolute: what is written, or would be */
};
void library_written_release(struct library_written *w);

/* dry: all but the writing, and whether it would fail. ERR_NOTFOUND: the picture is not
 * there; ERR_BUSY: it is not what was indexed, or changed meanwhile; ERR_USAGE: it is read-only;
 * ERR_UNSUPPORTED: no such file can hold it. */
int library_write(struct library *lib, struct decoder *decoder, const struct library_image *image,
                  const struct metadata_wish *wish, bool dry, struct library_written *out,
                  struct err *err);

#endif
