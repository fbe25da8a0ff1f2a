/* Files and paths: mapping, reading whole, replacing atomically.
 *
 * Paths are bytes, not text: they may hold anything but NUL. Errors name the
 * path and the system's reason.
 */
#ifndef OSPREY_BASE_FILE_H
#define OSPREY_BASE_FILE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A read-only mapping, shared between processes through the page cache. */
struct file_map {
    const uint8_t *data; /* NULL for an empty file */
    size_t         len;  /* bytes */
};

int  file_map(struct file_map *map, const char *path, struct err *err);
void file_unmap(struct file_map *map);

/* Reads a regular file whole. Fails with ERR_LIMIT when it is longer than max
 * bytes, with ERR_FORMAT when it is not a regular file; never blocks on a FIFO.
 * *data is freed by the caller and is followed by a NUL that *len leaves out. */
int file_read(const char *path, size_t max, uint8_t **data, size_t *len, struct err *err);

/* Replaces path by n bytes: written aside in the same folder, fsynced, renamed,
 * folder fsynced. After a crash there is the old file or the new one. */
int file_replace(const char *path, const void *data, size_t n, struct err *err);

/* The same for what lies in several pieces, written one after another. */
struct file_part {
    const void *data;
    size_t      len; /* bytes */
};
int file_replace_parts(const char *path, const struct file_part *parts, size_t n, struct err *err);

/* All of it, however often a write is cut short; -1 with errno. */
int file_write_all(int fd, const void *bytes, size_t n);

/* st_mtim in nanoseconds since 1970. */
struct stat;
int64_t file_mtime_ns(const struct stat *st);

/* Flushes a file, or the folder that holds it, to the disk. */
int file_sync(const char *path, struct err *err);
int file_sync_parent(const char *path, struct err *err);

/* Makes a folder and its missing parents (mode 0777 less umask); one that
 * exists is fine. */
int file_mkdirs(const char *path, struct err *err);

bool file_exists(const char *path);
bool file_is_dir(const char *path);

/* "a/b", without doubling the slash; freed by the caller, NULL when out of memory. */
char       *path_join(const char *dir, const char *name);
/* The absolute form with "." and ".." and symbolic links resolved; freed by the
 * caller. Fails when it does not exist. */
int         path_real(const char *path, char **out, struct err *err);
/* The absolute form of a path that need not exist: what does exist is resolved,
 * the rest is taken as written. Freed by the caller. */
int         path_absolute(const char *path, char **out, struct err *err);
/* The absolute form as written, without a look at the disk: what the library
 * recorded before a link took the place of a folder. Freed by the caller. */
int         path_written(const char *path, char **out, struct err *err);
/* The folder that the running program lies in; freed by the caller. */
int         path_of_program(char **dir, struct err *err);
/* What follows the last slash. */
const char *path_base(const char *path);

#endif
