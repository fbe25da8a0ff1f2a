/* The pictures below a folder: see picture_files.h. */
#include "learn/picture_files.h"

#include "base/file.h"
#include "base/mem.h"
#include "image/formats.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_DEPTH 64
#define MAX_FILES ((size_t)1 << 26)

struct listing {
    const char          *root;
    struct picture_files found;
    size_t               cap;
};

/* Takes the path over. */
static int keep(struct listing *l, char *path, struct err *err)
{
    if (l->found.n == l->cap) {
        size_t cap  = l->cap ? l->cap * 2 : 256;
        char **more = cap <= MAX_FILES ? mem_regrow(l->found.paths, cap, sizeof *more) : NULL;
        if (!more) {
            free(path);
            return err_set(err, ERR_NOMEM, "out of memory for %zu pictures of %s", cap, l->root);
        }
        l->found.paths = more;
        l->cap         = cap;
    }
    l->found.paths[l->found.n++] = path;
    return 0;
}

static int walk(struct listing *l, const char *below, int depth, struct err *err);

/* One entry of a folder; below is its path below the root, taken over. */
static int see(struct listing *l, char *below, int depth, struct err *err)
{
    char       *path = path_join(l->root, below);
    struct stat link, target;
    int         rc = 0;
    if (!path) {
        rc = err_set(err, ERR_NOMEM, "out of memory");
    } else if (!lstat(path, &link) && !stat(path, &target)) {
        if (S_ISDIR(link.st_mode))
            rc = walk(l, below, depth + 1, err);
        else if (S_ISREG(target.st_mode) && format_is_candidate(below)) {
            rc    = keep(l, below, err);
            below = NULL;
        }
    }
    free(path);
    free(below);
    return rc;
}

static int walk(struct listing *l, const char *below, int depth, struct err *err)
{
    int   rc   = 0;
    char *path = *below ? path_join(l->root, below) : mem_strdup(l->root);
    DIR  *dir  = path ? opendir(path) : NULL;
    if (!path)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    else if (!dir)
        rc = err_set(err, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "cannot list the folder %s: %s",
                     path, strerror(errno));
    else if (depth > MAX_DEPTH)
        rc = err_set(err, ERR_LIMIT, "%s is more than %d folders deep", path, MAX_DEPTH);
    for (struct dirent *entry; !rc && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        char *child = *below ? path_join(below, entry->d_name) : mem_strdup(entry->d_name);
        rc          = child ? see(l, child, depth, err) : err_set(err, ERR_NOMEM, "out of memory");
    }
    if (dir)
        closedir(dir);
    free(path);
    return rc;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int picture_files_list(const char *dir, struct picture_files *out, struct err *err)
{
    struct listing l  = {.root = dir};
    int            rc = walk(&l, "", 0, err);
    if (rc) {
        picture_files_release(&l.found);
        return rc;
    }
    if (l.found.n)
        qsort(l.found.paths, l.found.n, sizeof *l.found.paths, by_bytes);
    *out = l.found;
    return 0;
}

void picture_files_release(struct picture_files *files)
{
    if (!files)
        return;
    for (size_t i = 0; i < files->n; i++)
        free(files->paths[i]);
    free(files->paths);
    *files = (struct picture_files){0};
}
