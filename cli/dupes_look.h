/* Looks at the pictures of a library that have no fingerprint yet: those that were indexed
 * before there were fingerprints, or with another version of them. */
#ifndef OSPREY_CLI_DUPES_LOOK_H
#define OSPREY_CLI_DUPES_LOOK_H

#include "base/err.h"
#include "cli/options.h"
#include "cli/places.h"
#include "storage/library.h"

/* Reads and decodes them, on all cores, and keeps the fingerprints as it goes. *unread counts
 * pictures that cannot be read, or whose file is no longer what was indexed. */
int dupes_look(struct library *lib, const struct common *common, const struct places *places,
               size_t *unread, struct err *err);

#endif
