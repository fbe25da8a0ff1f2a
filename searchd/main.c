/* osprey-searchd: serves libraries over HTTP until it is told to stop. */
#include "searchd/daemon.h"

#include <stdio.h>

enum { EXIT_OK = 0, EXIT_WRONG_USAGE = 2, EXIT_FAILED = 3 };

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    int        rc  = daemon_run(argc, argv, &err);
    if (!rc)
        return EXIT_OK;
    fprintf(stderr, "osprey serve: %s\n", err.msg);
    return rc == ERR_USAGE ? EXIT_WRONG_USAGE : EXIT_FAILED;
}
