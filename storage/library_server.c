/* A library's daemon: see library_server.h. */
#include "storage/library_server.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK_NAME "searchd.lock"
#define MAX_URL   1024

static int open_lock(const char *library_dir, int flags, struct err *err)
{
    char *path = path_join(library_dir, LOCK_NAME);
    if (!path)
        return err_set(err, ERR_NOMEM, "out of memory");
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (fd < 0)
        fd = err_set(err, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "cannot open %s: %s", path,
                     strerror(errno));
    free(path);
    return fd;
}

int library_server_announce(const char *library_dir, const char *url, int *fd, struct err *err)
{
    int f = open_lock(library_dir, O_RDWR | O_CREAT, err);
    if (f < 0)
        return f;
    int rc = 0;
    if (flock(f, LOCK_EX | LOCK_NB) != 0)
        rc = err_set(err, ERR_BUSY, "another daemon serves the library in %s", library_dir);
    else if (ftruncate(f, 0) != 0 || pwrite(f, url, strlen(url), 0) != (ssize_t)strlen(url))
        rc = err_set(err, ERR_IO, "cannot leave the address in %s: %s", library_dir,
                     strerror(errno));
    if (rc)
        close(f);
    else
        *fd = f;
    return rc;
}

static bool starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

/* Somebody who may write to the folder must not be able to send queries elsewhere. */
static bool is_here(const char *url)
{
    static const char loopback[] = "http://127.0.0.1:";
    return starts(url, "unix:/") || starts(url, "http://[::1]:") ||
           (starts(url, loopback) && strchr("0123456789", url[sizeof loopback - 1]) &&
            !strchr(url, '@'));
}

int library_server_find(const char *library_dir, char **url, struct err *err)
{
    char text[MAX_URL + 1];
    int  f = open_lock(library_dir, O_RDONLY, err);
    if (f < 0)
        return f;
    /* Shared: those who look do not keep one another from looking, and a daemon
     * that starts this moment goes on without having left its address. */
    bool    served = flock(f, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    ssize_t n      = served ? pread(f, text, MAX_URL, 0) : 0;
    close(f);
    text[n > 0 ? n : 0] = '\0';
    if (n <= 0 || !is_here(text))
        return err_set(err, ERR_NOTFOUND, "no daemon serves the library in %s", library_dir);
    *url = mem_strdup(text);
    return *url ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}
