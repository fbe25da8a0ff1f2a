/* Opening below a folder: see beneath.h. */
#include "searchd/beneath.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

static int open_folder(const char *folder, int *fd, struct err *err)
{
    *fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *fd >= 0 ? 0 : err_set(err, ERR_NOTFOUND, "the picture's folder is not there now");
}

static int check(int fd, const char *path, struct stat *st, struct err *err)
{
    if (fd < 0)
        return err_set(err, ERR_NOTFOUND, "the picture's file is not there now");
    if (fstat(fd, st) || !S_ISREG(st->st_mode)) {
        close(fd);
        return err_set(err, ERR_NOTFOUND, "%s is no regular file now", path_base(path));
    }
    return 0;
}

/* One part of a path after another; links and ".." are refused. */
static int open_parts(int folder, const char *path)
{
    char part[NAME_MAX + 1];
    int  at = dup(folder);
    while (at >= 0 && *path) {
        size_t n    = strcspn(path, "/");
        bool   last = path[n] == '\0';
        if (n == 0 || n > NAME_MAX || (n == 1 && path[0] == '.') ||
            (n == 2 && path[0] == '.' && path[1] == '.')) {
            close(at);
            return -1;
        }
        memcpy(part, path, n);
        part[n] = '\0';
        int next =
            openat(at, part, (last ? FILE_FLAGS : O_PATH | O_DIRECTORY | O_CLOEXEC) | O_NOFOLLOW);
        close(at);
        at = next;
        path += n + !last;
        if (!last && !*path) { /* a slash at the end names no file */
            if (at >= 0)
                close(at);
            return -1;
        }
    }
    return at;
}

int beneath_open_stepwise(const char *folder, const char *path, int *fd, struct stat *st,
                          struct err *err)
{
    int at, rc = open_folder(folder, &at, err);
    if (rc)
        return rc;
    *fd = *path ? open_parts(at, path) : -1;
    close(at);
    return check(*fd, path, st, err);
}

int beneath_open(const char *folder, const char *path, int *fd, struct stat *st, struct err *err)
{
    struct open_how how = {.flags = FILE_FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int             at, rc = open_folder(folder, &at, err);
    if (rc)
        return rc;
    long opened = syscall(SYS_openat2, at, path, &how, sizeof how);
    int  why    = errno;
    close(at);
    if (opened < 0 && (why == ENOSYS || why == EPERM || why == EAGAIN))
        return beneath_open_stepwise(folder, path, fd, st, err);
    *fd = (int)opened;
    return check(*fd, path, st, err);
}
