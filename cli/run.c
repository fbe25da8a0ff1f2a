/* osprey index, osprey watch, osprey serve: programs of their own, as git runs its commands. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/system.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static int run(const char *program, int argc, char **argv)
{
    struct err err = ERR_INIT;
    run_beside(program, argc, argv, &err);
    return fail(NULL, &err);
}

int cmd_index(int argc, char **argv)
{
    return run("osprey-indexer", argc, argv);
}

int cmd_watch(int argc, char **argv)
{
    static char watch[] = "--watch";
    struct err  err     = ERR_INIT;
    char      **more    = mem_array((size_t)argc + 2, sizeof *more);
    if (!more) {
        err_set(&err, ERR_NOMEM, "out of memory");
        return fail("watch", &err);
    }
    more[0] = argv[0];
    more[1] = watch;
    memcpy(more + 2, argv + 1, (size_t)argc * sizeof *more); /* with the NULL at the end */
    int status = run("osprey-indexer", argc + 1, more);
    free(more);
    return status;
}

int cmd_serve(int argc, char **argv)
{
    return run("osprey-searchd", argc, argv);
}
