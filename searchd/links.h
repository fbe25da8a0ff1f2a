/* The connections of a server, and how long each has been waiting for what.
 *
 * libmicrohttpd's own time-out is one of inactivity, which a client that sends or
 * reads a byte now and then never meets; so a thread, once a second, shuts the
 * sockets of those whose request has not arrived, or whose reply was not read, in
 * time.
 */
#ifndef OSPREY_SEARCHD_LINKS_H
#define OSPREY_SEARCHD_LINKS_H

#include "base/err.h"

struct links;
struct link;

int      links_open(int arrive_seconds, int reply_seconds, struct links **out, struct err *err);
void     links_close(struct links *links); /* NULL-safe; all must be removed */
unsigned links_count(struct links *links);

/* A new connection, waiting for a request; NULL when out of memory. */
struct link *link_add(struct links *links, int fd);
/* Before its socket is closed. */
void         link_remove(struct links *links, struct link *link);
/* Its request has arrived whole: nobody blames the client now. */
void         link_is_busy(struct links *links, struct link *link);
/* A reply is on its way. */
void         link_is_replying(struct links *links, struct link *link);
/* It may send its next request. */
void         link_is_idle(struct links *links, struct link *link);

#endif
