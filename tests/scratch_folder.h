/* A folder of a test program's own, in which it makes models and which is also where
 * prepared weights are kept: given to cmocka_run_group_tests as set-up and tear-down. */
#ifndef OSPREY_TESTS_SCRATCH_FOLDER_H
#define OSPREY_TESTS_SCRATCH_FOLDER_H

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char folder[64];

static inline int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/osprey-test-XXXXXX");
    return mkdtemp(folder) && !setenv("XDG_CACHE_HOME", folder, 1) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* Writes a file there. */
static inline void put(const char *name, const void *data, size_t len)
{
    struct err err  = ERR_INIT;
    char      *path = path_join(folder, name);
    if (file_replace(path, data, len, &err))
        fail_msg("%s", err.msg);
    free(path);
}

static inline void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

#endif
