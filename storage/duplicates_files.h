/* Which of a group's names are files of their own. */
#ifndef OSPREY_STORAGE_DUPLICATES_FILES_H
#define OSPREY_STORAGE_DUPLICATES_FILES_H

#include "storage/duplicates_keep.h"

/* Of pictures (*n places in list) leaves one name of each file: links and folders mounted
 * twice give a file several, and to remove one of them gains nothing, or loses all. A name
 * without a symbolic link comes before one with. A file that cannot be looked at is its own.
 * Sets list[].link. */
int duplicates_files(struct library *lib, struct duplicate_picture *list, uint32_t *places,
                     size_t *n, struct err *err);

#endif
