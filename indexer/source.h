/* Reading a picture's file below a folder, whole and consistent.
 *
 * Paths may be longer than PATH_MAX: they are followed piece by piece from an
 * open folder. Nothing blocks on a FIFO or device that took a file's place.
 */
#ifndef OSPREY_INDEXER_SOURCE_H
#define OSPREY_INDEXER_SOURCE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define SOURCE_CEILING (UINT64_C(1) << 30) /* bytes of one file */

struct source {
    int     fd;
    int64_t size; /* bytes */
    int64_t mtime_ns;
};

/* Opens a regular file. ERR_NOTFOUND: it is not there any more; ERR_FORMAT: it
 * is something else; ERR_LIMIT: longer than SOURCE_CEILING (size and mtime are
 * filled in); ERR_IO: the system's reason alone, without the path. */
int  source_open(int dir_fd, const char *path, struct source *src, struct err *err);
void source_close(struct source *src); /* also after a failed source_open */

/* Reads all of it into bytes (src->size, the caller's). ERR_CANCELLED when the
 * file changed meanwhile. */
int source_read(struct source *src, uint8_t *bytes, struct err *err);

/* The sidecar of the picture at path. size is 0 where there is none, or one longer than
 * METADATA_SIDECAR_MAX; *sidecar_ns as of metadata_sidecar_ns. Closed by source_close. */
void source_open_sidecar(int dir_fd, const char *path, struct source *src, int64_t *sidecar_ns);

/* stat() below a folder, following a link at the end; 0, or an errno. */
int source_stat(int dir_fd, const char *path, struct stat *st);

#endif
