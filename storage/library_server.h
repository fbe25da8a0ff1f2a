/* Where the daemon that serves a library is found: it leaves its address in the
 * library's folder, in a file that it keeps locked. The kernel lets go of the lock
 * when it ends, however it ends; what is left in the file then means nothing.
 */
#ifndef OSPREY_STORAGE_LIBRARY_SERVER_H
#define OSPREY_STORAGE_LIBRARY_SERVER_H

#include "base/err.h"

/* url: "http://127.0.0.1:7373" or "unix:/path", perhaps with "?library=NAME". *fd
 * holds the lock: close it to take the address away. ERR_BUSY when another daemon
 * serves this library, too, and has left its own. */
int library_server_announce(const char *library_dir, const char *url, int *fd, struct err *err);
/* *url is freed by the caller; ERR_NOTFOUND when no daemon serves the library on
 * this machine. Addresses of other machines are not believed. */
int library_server_find(const char *library_dir, char **url, struct err *err);

#endif
