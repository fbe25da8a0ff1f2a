/* A search that a running daemon answers (osprey serve), so that no model has to be
 * opened for it. */
#ifndef OSPREY_CLI_REMOTE_H
#define OSPREY_CLI_REMOTE_H

#include "base/err.h"
#include "base/json.h"
#include "cli/results.h"
#include "cli/terms.h"

/* Asks the daemon at url ("http://host:port", "unix:/path", perhaps with
 * "?library=NAME"), with $OSPREY_TOKEN when trusted is set, and prints the results as
 * results_show would. Nothing was printed when it fails. */
int remote_search(const char *url, bool trusted, const struct common *common,
                  const struct terms *terms, const struct results_request *request, size_t *shown,
                  struct err *err);

#endif
