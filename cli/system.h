/* What commands ask of the system: files, programs. */
#ifndef OSPREY_CLI_SYSTEM_H
#define OSPREY_CLI_SYSTEM_H

#include "base/err.h"

#include <stdbool.h>

/* A regular file, as far as anyone can see. */
bool is_file(const char *path);

/* Runs the program that lies beside this one in place of this process, with
 * argv[1..]; returns only on failure. */
int run_beside(const char *program, int argc, char **argv, struct err *err);

#endif
