/* What the daemon tells on standard error: notes, and a line for each request. */
#ifndef OSPREY_SEARCHD_LOG_H
#define OSPREY_SEARCHD_LOG_H

#include "searchd/app.h"

/* A note about the daemon itself: "serving", "stopping". */
__attribute__((format(printf, 3, 4))) void log_note(const struct config *config, const char *event,
                                                    const char *fmt, ...);
void log_request(const struct config *config, const struct http_request *request,
                 const struct http_reply *reply, const char *error);

#endif
