/* The hashes by which a hub states what a file holds, behind libcrypto. */
#ifndef OSPREY_CLI_HUB_HASH_H
#define OSPREY_CLI_HUB_HASH_H

#include "base/err.h"

#include <signal.h>
#include <stdint.h>

enum hash_kind {
    HASH_SHA256,  /* of the bytes: what a hub states of large files */
    HASH_GIT_BLOB /* SHA-1 of "blob SIZE\0" and the bytes: of small ones */
};

#define HASH_HEX_MAX 65

/* Hex digits, lower case, of a file's bytes from its start. stop: as in
 * hub_http.h, or NULL. */
int hash_file(const char *path, enum hash_kind kind, const volatile sig_atomic_t *stop,
              char out[HASH_HEX_MAX], struct err *err);

#endif
