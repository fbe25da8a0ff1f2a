/* Folders that a user names (places.h). */
#include "cli/places.h"

#include "cli/output.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void places_release(struct places *p)
{
    library_folders_free(p->folders, p->n_folders);
    for (size_t i = 0; p->dirs && i < p->n_dirs; i++)
        library_places_release(&p->dirs[i]);
    free(p->dirs);
    free(p->filters);
    *p = (struct places){0};
}

static int find(const struct session *s, const char *dir, struct library_places *out,
                struct err *err)
{
    char *absolute = NULL;
    int   rc       = path_absolute(dir, &absolute, err);
    if (!rc)
        rc = library_places_find(s->lib, absolute, out, err);
    if (!rc && out->n == 0)
        rc = err_set(err, ERR_NOTFOUND, "%s is not among the library's folders", absolute);
    if (!rc && out->empty && access(absolute, F_OK) != 0)
        note(s->common, "%s is not there, and the library has no picture in it", absolute);
    free(absolute);
    return rc;
}

/* Whether a path below a folder is, or lies in, a place. */
static bool lies_in(int64_t folder_id, const char *path, const struct library_filter *in)
{
    size_t n = in->below ? strlen(in->below) : 0;
    if (folder_id != in->folder_id)
        return false;
    return n == 0 ||
           (path && strncmp(path, in->below, n) == 0 && (path[n] == '/' || path[n] == '\0'));
}

/* Adds a place unless one that is there holds it, so that nothing counts twice; then those
 * that it holds go. */
static void add(struct places *p, const struct library_place *place)
{
    const struct library_filter one  = {.folder_id = place->folder_id, .below = place->below};
    size_t                      kept = 0;
    for (size_t i = 0; i < p->n; i++)
        if (lies_in(one.folder_id, one.below, &p->filters[i]))
            return;
    for (size_t i = 0; i < p->n; i++)
        if (!lies_in(p->filters[i].folder_id, p->filters[i].below, &one))
            p->filters[kept++] = p->filters[i];
    p->filters[kept] = one;
    p->n             = kept + 1;
}

int places_init(struct places *p, const struct session *s, const char *const *dirs, size_t n,
                struct err *err)
{
    size_t most = 0;
    *p          = (struct places){.n_dirs = n};
    p->dirs     = mem_zeroed(n + 1, sizeof *p->dirs);
    int rc      = p->dirs ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc && n > 0)
        rc = library_folders(s->lib, &p->folders, &p->n_folders, err);
    for (size_t i = 0; i < n && !rc; i++) {
        rc = find(s, dirs[i], &p->dirs[i], err);
        most += p->dirs[i].n;
    }
    if (rc)
        return rc;
    p->filters = mem_zeroed(most + 1, sizeof *p->filters);
    if (!p->filters)
        return err_set(err, ERR_NOMEM, "out of memory");
    p->n = n == 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < p->dirs[i].n; k++)
            add(p, &p->dirs[i].places[k]);
    return 0;
}

bool places_have(const struct places *p, const char *folder, const char *below)
{
    int64_t id = 0;
    for (size_t i = 0; i < p->n_folders; i++)
        if (strcmp(p->folders[i].path, folder) == 0)
            id = p->folders[i].id;
    for (size_t i = 0; i < p->n; i++)
        if (lies_in(id, below, &p->filters[i]))
            return true;
    return p->n_dirs == 0;
}
