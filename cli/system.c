/* What commands ask of the system (system.h). */
#include "cli/system.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int run_beside(const char *program, int argc, char **argv, struct err *err)
{
    char  *dir = NULL, *path = NULL;
    char **args = mem_array((size_t)argc + 1, sizeof *args);
    int    rc   = args ? path_of_program(&dir, err) : err_set(err, ERR_NOMEM, "out of memory");
    if (rc)
        goto out;
    path = path_join(dir, program);
    if (!path) {
        rc = err_set(err, ERR_NOMEM, "out of memory");
        goto out;
    }
    args[0] = path;
    for (int i = 1; i < argc; i++)
        args[i] = argv[i];
    args[argc] = NULL;
    execv(path, args);
    rc = err_set(err, ERR_IO, "cannot run %s: %s", path, strerror(errno));
out:
    free(args);
    free(path);
    free(dir);
    return rc;
}
