/* What commands ask of the system: processors, paths, files. */
#ifndef OSPREY_CLI_SYSTEM_H
#define OSPREY_CLI_SYSTEM_H

#include "base/err.h"

#include <stdbool.h>

/* Processors that this process may use. */
int usable_cpus(void);

/* The absolute form of a path that need not exist: what does exist is resolved,
 * the rest is taken as written. Freed by the caller. */
int path_absolute(const char *path, char **out, struct err *err);
/* The absolute form as written, without a look at the disk: what the library
 * recorded before a link took the place of a folder. Freed by the caller. */
int path_written(const char *path, char **out, struct err *err);

/* A regular file, as far as anyone can see. */
bool is_file(const char *path);

/* Runs the program that lies beside this one in place of this process, with
 * argv[1..]; returns only on failure. */
int run_beside(const char *program, int argc, char **argv, struct err *err);

#endif
