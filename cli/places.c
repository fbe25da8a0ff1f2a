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

/* Adds the filters for one folder, which ends with '/'. */
static int add(struct places *p, const char *dir, struct err *err)
{
    size_t before = p->n, length = strlen(dir);
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
    return p->n > before ? 0
                         : err_set(err, ERR_NOTFOUND, "%.*s is not among the library's folders",
                                   length > 1 ? (int)length - 1 : 1, dir);
}

/* Whether another one that was asked for holds this one, so that nothing counts twice. */
static bool is_held(const struct places *p, size_t at)
{
    for (size_t i = 0; i < p->n_dirs; i++) {
        size_t n = strlen(p->dirs[i]);
        if (i != at && strncmp(p->dirs[at], p->dirs[i], n) == 0 &&
            (p->dirs[at][n] != '\0' || i < at))
            return true;
    }
    return false;
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
    for (size_t i = 0; i < n && !rc; i++) {
        char *absolute = NULL;
        rc             = path_absolute(dirs[i], &absolute, err);
        if (!rc && !(p->dirs[p->n_dirs] = path_join(absolute, "")))
            rc = err_set(err, ERR_NOMEM, "out of memory");
        p->n_dirs += !rc;
        free(absolute);
    }
    for (size_t i = 0; i < n && !rc; i++)
        if (!is_held(p, i))
            rc = add(p, p->dirs[i], err);
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
