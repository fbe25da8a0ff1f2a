/* The daemon's life: start, serve, reload, stop. */
#ifndef OSPREY_SEARCHD_DAEMON_H
#define OSPREY_SEARCHD_DAEMON_H

#include "base/err.h"

/* Serves until SIGINT or SIGTERM; SIGHUP reads tokens, names and networks again.
 * argv as main has it. ERR_USAGE for what cannot be served. */
int daemon_run(int argc, char **argv, struct err *err);

#endif
