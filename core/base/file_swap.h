/* Putting a new version of somebody's file in the old one's place: at one stroke, with its
 * times, owner, mode and extended attributes (access lists are among them), and only if it
 * is still what was read. For files of ours, which have none of that, see file.h.
 *
 * The new version has no name until it is whole and on the disk (O_TMPFILE), where the file
 * system can do that; then for one moment a hidden one beside the old. After a crash there
 * is the old file or the new one. Hard links to the old version keep it.
 */
#ifndef OSPREY_BASE_FILE_SWAP_H
#define OSPREY_BASE_FILE_SWAP_H

#include "base/err.h"
#include "base/file.h"

#include <stdbool.h>
#include <sys/stat.h>

/* path: not a link. seen: what it was when it was read; NULL: it must not be there yet.
 * keep_times: access and modification; else they are now's. *now (may be NULL): what it is
 * afterwards. ERR_BUSY: it changed meanwhile; ERR_USAGE: it is read-only, or what it has
 * cannot be kept (an owner, say). */
int file_swap(const char *path, const struct stat *seen, bool keep_times,
              const struct file_part *parts, size_t n, struct stat *now, struct err *err);

/* Removes it, if it is still what was read. */
int file_remove_seen(const char *path, const struct stat *seen, struct err *err);

/* Fails as file_swap would (remove: as file_remove_seen), as far as can be told without
 * doing it: nothing that has a name is made, changed or removed. */
int file_swap_check(const char *path, const struct stat *seen, bool remove, struct err *err);

#endif
