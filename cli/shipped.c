/* Files that come with Osprey (shipped.h). */
#include "cli/shipped.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int shipped_find(const char *folder, const char *name, const char *what, char **path,
                 struct err *err)
{
    static const char *const places[] = {"../models", "../share/osprey/models"};
    char                    *program  = NULL;
    struct buf               file;
    *path = NULL;
    if (file_exists(name)) {
        *path = mem_strdup(name);
        return *path ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    }
    if (strchr(name, '/'))
        return err_set(err, ERR_NOTFOUND, "there is no %s %s", what, name);
    buf_init(&file, 8192);
    int rc = path_of_program(&program, err);
    for (size_t i = 0; !rc && i < sizeof places / sizeof *places && !*path; i++) {
        buf_reset(&file);
        rc = buf_appendf(&file, err, "%s/%s/%s/%s.txt", program, places[i], folder, name);
        if (!rc && file_exists(buf_str(&file)) && !(*path = mem_strdup(buf_str(&file))))
            rc = err_set(err, ERR_NOMEM, "out of memory");
    }
    if (!rc && !*path)
        rc =
            err_set(err, ERR_NOTFOUND,
                    "there is no %s %s: neither a file nor one that comes with Osprey", what, name);
    buf_release(&file);
    free(program);
    return rc;
}
