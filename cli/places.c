/* Folders asked for, as filters: see places.h. */
#include "cli/places.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void places_release(struct places *p)
{
    library_folders_free(p->folders, p->n_folders);
    free(p->filters);
    free(p->dir);
    *p = (struct places){0};
}

int places_init(struct places *p, struct library *lib, const char *in, struct err *err)
{
    char  *absolute = NULL;
    size_t length;
    memset(p, 0, sizeof *p);
    if (!in) {
        p->filters = mem_zeroed(1, sizeof *p->filters);
        p->n       = 1;
        return p->filters ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    }
    int rc = path_absolute(in, &absolute, err);
    if (!rc)
        rc = library_folders(lib, &p->folders, &p->n_folders, err);
    if (rc)
        goto out;
    p->dir     = path_join(absolute, "");
    p->filters = mem_zeroed(p->n_folders + 1, sizeof *p->filters);
    if (!p->dir || !p->filters) {
        rc = err_set(err, ERR_NOMEM, "out of memory");
        goto out;
    }
    length = strlen(p->dir);
    for (size_t i = 0; i < p->n_folders; i++) {
        const char *folder = p->folders[i].path;
        size_t      n      = strlen(folder);
        n -= n > 0 && folder[n - 1] == '/';
        bool asked_inside = strncmp(p->dir, folder, n) == 0 && p->dir[n] == '/';
        bool lies_inside  = strncmp(folder, p->dir, length) == 0;
        if (asked_inside || lies_inside)
            p->filters[p->n++] = (struct library_filter){
                .folder_id = p->folders[i].id,
                .below     = asked_inside && p->dir[n + 1] ? p->dir + n + 1 : NULL};
    }
    if (p->n == 0)
        rc = err_set(err, ERR_NOTFOUND, "%s is not among the library's folders", absolute);
out:
    free(absolute);
    if (rc)
        places_release(p);
    return rc;
}
