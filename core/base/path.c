/* Absolute forms of paths that need not exist (file.h). */
#include "base/file.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Appends the parts of rest to path, which is absolute or empty for the root;
 * "." and ".." are taken by their names. */
static int append_parts(struct buf *path, const char *rest, struct err *err)
{
    int rc = 0;
    while (!rc && *rest) {
        size_t n = strcspn(rest, "/");
        if (n == 2 && rest[0] == '.' && rest[1] == '.') {
            char *slash = path->data ? strrchr(path->data, '/') : NULL;
            path->len   = slash ? (size_t)(slash - path->data) : 0;
            if (path->data)
                path->data[path->len] = '\0';
        } else if (n > 0 && !(n == 1 && rest[0] == '.')) {
            rc = buf_append(path, "/", 1, err);
            if (!rc)
                rc = buf_append(path, rest, n, err);
        }
        rest += n + (rest[n] == '/');
    }
    return rc;
}

int path_absolute(const char *path, char **out, struct err *err)
{
    struct buf whole;
    char      *head = NULL, *real = NULL;
    int        rc = 0;
    if (!*path)
        return err_set(err, ERR_USAGE, "an empty path names nothing");
    buf_init(&whole, 1 << 16);
    head = *path == '/' ? mem_strdup(path) : path_join(".", path);
    if (!head) {
        rc = err_set(err, ERR_NOMEM, "out of memory");
        goto out;
    }
    /* Shorten head until it exists; what was cut off follows it in path. */
    size_t offset = strlen(head) - strlen(path);
    size_t cut    = strlen(head);
    while (!(real = realpath(head, NULL)) && cut > 1) {
        while (cut > 1 && head[cut - 1] == '/')
            cut--;
        while (cut > 1 && head[cut - 1] != '/')
            cut--;
        head[cut] = '\0';
    }
    if (!real) {
        rc = err_set(err, ERR_IO, "cannot resolve %s", path);
        goto out;
    }
    if (strcmp(real, "/") != 0)
        rc = buf_append_str(&whole, real, err);
    if (!rc && cut < offset + strlen(path))
        rc = append_parts(&whole, path + (cut > offset ? cut - offset : 0), err);
    if (!rc && whole.len == 0)
        rc = buf_append_str(&whole, "/", err);
    if (!rc && !(*out = buf_steal(&whole)))
        rc = err_set(err, ERR_NOMEM, "out of memory");
out:
    buf_release(&whole);
    free(head);
    free(real);
    return rc;
}

int path_written(const char *path, char **out, struct err *err)
{
    struct buf whole;
    char      *cwd = NULL;
    int        rc  = 0;
    buf_init(&whole, 1 << 16);
    if (!*path)
        return err_set(err, ERR_USAGE, "an empty path names nothing");
    if (*path != '/') {
        cwd = getcwd(NULL, 0);
        rc  = cwd ? append_parts(&whole, cwd, err)
                  : err_set(err, ERR_IO, "cannot tell the current folder: %s", strerror(errno));
    }
    if (!rc)
        rc = append_parts(&whole, path, err);
    if (!rc && whole.len == 0)
        rc = buf_append_str(&whole, "/", err);
    if (!rc && !(*out = buf_steal(&whole)))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    buf_release(&whole);
    free(cwd);
    return rc;
}
