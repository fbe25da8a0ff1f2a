/* Folders that a user names (places.h). */
#include "cli/places.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void places_release(struct places *p)
{
    library_folders_free(p->folders, p->n_folders);
    for (size_t i = 0; i < p->n_dirs; i++)
        free(p->dirs[i]);
    free(p->dirs);
    free(p->filters);
    *p = (struct places){0};
}

/* Adds the filters for one folder. */
static int add(struct places *p, const char *in, struct err *err)
{
    char  *absolute = NULL;
    size_t before   = p->n;
    int    rc       = path_absolute(in, &absolute, err);
    if (rc)
        return rc;
    char *dir = path_join(absolute, "");
    if (!dir) {
        free(absolute);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    p->dirs[p->n_dirs++] = dir;
    size_t length        = strlen(dir);
    for (size_t i = 0; i < p->n_folders; i++) {
        const char *folder = p->folders[i].path;
        size_t      n      = strlen(folder);
        n -= n > 0 && folder[n - 1] == '/';
        bool asked_inside = strncmp(dir, folder, n) == 0 && dir[n] == '/';
        bool lies_inside  = strncmp(folder, dir, length) == 0;
        if (asked_inside || lies_inside)
            p->filters[p->n++] =
                (struct library_filter){.folder_id = p->folders[i].id,
                                        .below = asked_inside && dir[n + 1] ? dir + n + 1 : NULL};
    }
    if (p->n == before)
        rc = err_set(err, ERR_NOTFOUND, "%s is not among the library's folders", absolute);
    free(absolute);
    return rc;
}

int places_init(struct places *p, struct library *lib, const char *const *dirs, size_t n,
                struct err *err)
{
    *p     = (struct places){0};
    int rc = n > 0 ? library_folders(lib, &p->folders, &p->n_folders, err) : 0;
    if (rc)
        return rc;
    p->filters = mem_zeroed(n * p->n_folders + 1, sizeof *p->filters);
    p->dirs    = mem_zeroed(n + 1, sizeof *p->dirs);
    if (!p->filters || !p->dirs)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (n == 0)
        p->n = 1;
    for (size_t i = 0; i < n && !rc; i++)
        rc = add(p, dirs[i], err);
    return rc;
}

bool places_have(const struct places *p, const char *folder, const char *below)
{
    size_t n = strlen(folder);
    for (size_t i = 0; i < p->n_dirs; i++) {
        const char *dir  = p->dirs[i];
        size_t      most = strlen(dir);
        if (strncmp(folder, dir, most) == 0) /* the folder lies in it */
            return true;
        if (n + 1 == most && strncmp(folder, dir, n) == 0) /* it is the folder */
            return true;
        if (strncmp(dir, folder, n) == 0 && (dir[n] == '/' || (n > 0 && dir[n - 1] == '/'))) {
            const char *rest = dir + n + (dir[n] == '/');
            if (strncmp(below, rest, strlen(rest)) == 0)
                return true;
        }
    }
    return p->n_dirs == 0;
}
