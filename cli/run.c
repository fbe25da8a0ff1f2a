/* osprey index, osprey serve: programs of their own, as git runs its commands. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/system.h"

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

int cmd_serve(int argc, char **argv)
{
    return run("osprey-searchd", argc, argv);
}
