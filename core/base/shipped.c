/* Files that come with Osprey (shipped.h). */
#include "base/shipped.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 8192

static const char *const places[] = {"../models", "../share/osprey/models"};
#define PLACES (sizeof places / sizeof *places)

/* Their names, for a message. */
static void list_names(const char *program, const char *folder, struct buf *names)
{
    for (size_t i = 0; i < PLACES; i++) {
        struct buf dir;
        buf_init(&dir, PATH_BYTES);
        DIR *d = buf_appendf(&dir, NULL, "%s/%s/%s", program, places[i], folder)
                     ? NULL
                     : opendir(buf_str(&dir));
        for (struct dirent *e; d && (e = readdir(d));) {
            size_t len = strlen(e->d_name);
            if (len > 4 && strcmp(e->d_name + len - 4, ".txt") == 0)
                (void)buf_appendf(names, NULL, "%s%.*s", names->len ? ", " : "", (int)len - 4,
                                  e->d_name);
        }
        if (d)
            closedir(d);
        buf_release(&dir);
    }
}

/* *path stays NULL where there is none of that name. */
static int find_named(const char *program, const char *folder, const char *name, char **path,
                      struct err *err)
{
    struct buf file;
    int        rc = 0;
    buf_init(&file, PATH_BYTES);
    for (size_t i = 0; i < PLACES && !*path && !rc; i++) {
        buf_reset(&file);
        rc = buf_appendf(&file, err, "%s/%s/%s/%.200s.txt", program, places[i], folder, name);
        if (!rc && file_exists(buf_str(&file)) && !(*path = mem_strdup(buf_str(&file))))
            rc = err_set(err, ERR_NOMEM, "out of memory");
    }
    buf_release(&file);
    return rc;
}

int shipped_find(const char *folder, const char *name, const char *what, char **path,
                 struct err *err)
{
    char *program = NULL;
    *path         = NULL;
    if (file_exists(name)) {
        *path = mem_strdup(name);
        return *path ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    }
    if (strchr(name, '/'))
        return err_set(err, ERR_NOTFOUND, "there is no %s %.400s", what, name);
    int rc = path_of_program(&program, err);
    if (!rc)
        rc = find_named(program, folder, name, path, err);
    if (!rc && !*path) {
        struct buf names;
        buf_init(&names, 300);
        list_names(program, folder, &names);
        rc = err_set(err, ERR_NOTFOUND, "there is no %s %.200s: neither a file nor one of %s", what,
                     name, names.len ? buf_str(&names) : "those that come with Osprey");
        buf_release(&names);
    }
    free(program);
    return rc;
}
