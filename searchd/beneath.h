/* Opening what lies below a folder, and nothing else.
 *
 * Paths come from the catalogue, so they were there when a folder was scanned; since
 * then somebody may have put a symbolic link in the place of a folder or a file. The
 * kernel resolves the path with the promise not to leave the folder (openat2,
 * RESOLVE_BENEATH: links that stay inside are followed); where it cannot, each part
 * is opened on its own and no link is followed at all.
 */
#ifndef OSPREY_SEARCHD_BENEATH_H
#define OSPREY_SEARCHD_BENEATH_H

#include "base/err.h"

#include <sys/stat.h>

/* A regular file for reading. ERR_NOTFOUND when it is not there, is no regular file
 * or lies outside. */
int beneath_open(const char *folder, const char *path, int *fd, struct stat *st, struct err *err);
/* The second way alone, for tests. */
int beneath_open_stepwise(const char *folder, const char *path, int *fd, struct stat *st,
                          struct err *err);

#endif
