/* Reading a picture's file: see source.h. */
#include "indexer/source.h"

#include "base/mem.h"
#include "indexer/walk.h"
#include "meta/metadata.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Follows path down to its last piece that fits a system call: *fd is the
 * folder that *rest lies in. *fd is to be closed if it is not dir_fd. */
static int path_descend(int dir_fd, const char *path, int *fd, const char **rest)
{
    int at = dir_fd;
    while (strlen(path) >= PATH_MAX) {
        char        piece[PATH_MAX];
        const char *slash = memrchr(path, '/', PATH_MAX - 1);
        int         next  = -1;
        errno             = ENAMETOOLONG;
        if (slash && slash > path) {
            memcpy(piece, path, (size_t)(slash - path));
            piece[slash - path] = '\0';
            next                = openat(at, piece, O_PATH | O_DIRECTORY | O_CLOEXEC);
        }
        int why = errno;
        if (at != dir_fd)
            close(at);
        if (next < 0)
            return why;
        at   = next;
        path = slash + 1;
    }
    *fd   = at;
    *rest = path;
    return 0;
}

int source_stat(int dir_fd, const char *path, struct stat *st)
{
    int         at;
    const char *rest;
    int         why = path_descend(dir_fd, path, &at, &rest);
    if (why)
        return why;
    why = fstatat(at, rest, st, 0) ? errno : 0;
    if (at != dir_fd)
        close(at);
    return why;
}

int source_open(int dir_fd, const char *path, struct source *src, struct err *err)
{
    int         at;
    const char *rest;
    struct stat st;
    *src    = (struct source){.fd = -1};
    int why = path_descend(dir_fd, path, &at, &rest);
    if (!why) {
        src->fd = openat(at, rest, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        why     = src->fd < 0 ? errno : 0;
        if (at != dir_fd)
            close(at);
    }
    if (!why && fstat(src->fd, &st))
        why = errno;
    if (why == ENOENT || why == ENOTDIR)
        return err_set(err, ERR_NOTFOUND, "it is not there any more");
    if (why)
        return err_set(err, ERR_IO, "cannot open it: %s", strerror(why));
    src->size     = (int64_t)st.st_size;
    src->mtime_ns = walk_mtime_ns(&st);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_FORMAT, "not a regular file");
    if ((uint64_t)st.st_size > SOURCE_CEILING)
        return err_set(err, ERR_LIMIT, "%lld bytes are more than the limit of %llu",
                       (long long)st.st_size, (unsigned long long)SOURCE_CEILING);
    return 0;
}

void source_open_sidecar(int dir_fd, const char *path, struct source *src, int64_t *sidecar_ns)
{
    size_t      room = strlen(path) + sizeof METADATA_SIDECAR;
    char       *name = mem_array(room, 1);
    struct stat st;
    *src        = (struct source){.fd = -1};
    *sidecar_ns = 0;
    if (!name)
        return;
    (void)snprintf(name, room, "%s%s", path, METADATA_SIDECAR);
    int rc = source_open(dir_fd, name, src, NULL);
    /* One that cannot be read is known by its time as well, or it were news each time. */
    if (rc == ERR_NOTFOUND || (rc ? source_stat(dir_fd, name, &st) : fstat(src->fd, &st)))
        src->size = 0;
    else
        *sidecar_ns = metadata_sidecar_ns(&st);
    free(name);
    if (rc || !*sidecar_ns || src->size > (int64_t)METADATA_SIDECAR_MAX)
        src->size = 0;
}

void source_close(struct source *src)
{
    if (src->fd >= 0)
        close(src->fd);
    src->fd = -1;
}

int source_read(struct source *src, uint8_t *bytes, struct err *err)
{
    size_t got = 0;
    size_t len = (size_t)src->size;
    while (got < len) {
        ssize_t n = pread(src->fd, bytes + got, len - got, (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_IO, "cannot read it: %s", strerror(errno));
        if (n == 0)
            return err_set(err, ERR_CANCELLED, "it shrank while it was read");
        got += (size_t)n;
    }
    struct stat st;
    if (fstat(src->fd, &st))
        return err_set(err, ERR_IO, "cannot stat it: %s", strerror(errno));
    if ((int64_t)st.st_size != src->size || walk_mtime_ns(&st) != src->mtime_ns)
        return err_set(err, ERR_CANCELLED, "it changed while it was read");
    return 0;
}
