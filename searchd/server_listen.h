/* Where a server listens. */
#ifndef OSPREY_SEARCHD_SERVER_LISTEN_H
#define OSPREY_SEARCHD_SERVER_LISTEN_H

#include "base/err.h"

#include <stdint.h>

#define LISTEN_UNIX "unix:"

/* A listening socket for an address and port, or for "unix:/path" (a stale socket
 * there is replaced, one that is served is an error). *port is set to the one in
 * use, 0 for a Unix socket. */
int  listen_open(const char *address, uint16_t *port, int *fd, struct err *err);
/* Removes a Unix socket's file. */
void listen_clean(const char *address);

#endif
