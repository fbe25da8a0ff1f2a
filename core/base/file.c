/* Files and paths: see file.h. */
#include "base/file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opens a regular file for reading, without ever waiting on a FIFO or device. */
static int open_regular(const char *path, int *fd, size_t *size, struct err *err)
{
    int f = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (f < 0)
        return err_set(err, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "cannot open %s: %s", path,
                       strerror(errno));
    struct stat st;
    if (fstat(f, &st)) {
        int rc = err_set(err, ERR_IO, "cannot stat %s: %s", path, strerror(errno));
        close(f);
        return rc;
    }
    if (!S_ISREG(st.st_mode)) {
        close(f);
        return err_set(err, ERR_FORMAT, "cannot read %s: %s", path,
                       S_ISDIR(st.st_mode) ? "it is a folder" : "it is not a regular file");
    }
    *fd   = f;
    *size = (size_t)st.st_size;
    return 0;
}

int file_map(struct file_map *map, const char *path, struct err *err)
{
    int    fd;
    size_t size;
    int    rc = open_regular(path, &fd, &size, err);
    if (rc)
        return rc;
    *map = (struct file_map){0};
    if (size > 0) {
        void *p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
            rc = err_set(err, ERR_IO, "cannot map %s: %s", path, strerror(errno));
        else
            *map = (struct file_map){.data = p, .len = size};
    }
    close(fd);
    return rc;
}

void file_unmap(struct file_map *map)
{
    if (map && map->data)
        munmap((void *)(uintptr_t)map->data, map->len);
    if (map)
        *map = (struct file_map){0};
}

int file_read(const char *path, size_t max, uint8_t **data, size_t *len, struct err *err)
{
    int    fd;
    size_t size;
    int    rc = open_regular(path, &fd, &size, err);
    if (rc)
        return rc;
    uint8_t *bytes = NULL;
    if (size > max) {
        rc = err_set(err, ERR_LIMIT, "cannot read %s: %zu bytes are more than the limit of %zu",
                     path, size, max);
        goto out;
    }
    bytes = mem_array(size + 1, 1);
    if (!bytes) {
        rc = err_set(err, ERR_NOMEM, "cannot read %s: out of memory for %zu bytes", path, size);
        goto out;
    }
    size_t got = 0;
    while (got < size) {
        ssize_t n = read(fd, bytes + got, size - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            rc = err_set(err, ERR_IO, "cannot read %s: %s", path, strerror(errno));
            goto out;
        }
        if (n == 0)
            break; /* it shrank meanwhile; what is there is what it is */
        got += (size_t)n;
    }
    bytes[got] = '\0';
    *data      = bytes;
    *len       = got;
    bytes      = NULL;
out:
    free(bytes);
    close(fd);
    return rc;
}

int file_write_all(int fd, const void *bytes, size_t n)
{
    const uint8_t *data = bytes;
    while (n > 0) {
        ssize_t wrote = write(fd, data, n);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return -1;
        data += wrote;
        n -= (size_t)wrote;
    }
    return 0;
}

int file_replace(const char *path, const void *data, size_t n, struct err *err)
{
    struct file_part part = {.data = data, .len = n};
    return file_replace_parts(path, &part, 1, err);
}

int file_replace_parts(const char *path, const struct file_part *parts, size_t n, struct err *err)
{
    char aside[PATH_MAX];
    /* by thread, so that two threads of a process do not write into one file */
    int  len = snprintf(aside, sizeof aside, "%s.%ld.tmp", path, (long)gettid());
    if (len < 0 || (size_t)len >= sizeof aside)
        return err_set(err, ERR_LIMIT, "cannot write %s: the path is too long", path);
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot write %s: %s", aside, strerror(errno));
    int failed = 0;
    for (size_t i = 0; i < n && !failed; i++)
        failed = file_write_all(fd, parts[i].data, parts[i].len);
    failed  = failed || fsync(fd);
    int why = errno;
    if (close(fd) && !failed) {
        failed = 1;
        why    = errno;
    }
    if (!failed && rename(aside, path)) {
        failed = 1;
        why    = errno;
    }
    if (failed) {
        (void)unlink(aside);
        return err_set(err, ERR_IO, "cannot write %s: %s", path, strerror(why));
    }
    return file_sync_parent(path, err);
}

int64_t file_mtime_ns(const struct stat *st)
{
    int64_t ns;
    if (__builtin_mul_overflow((int64_t)st->st_mtim.tv_sec, INT64_C(1000000000), &ns) ||
        __builtin_add_overflow(ns, (int64_t)st->st_mtim.tv_nsec, &ns))
        return 0;
    return ns;
}

int file_sync(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot open %s: %s", path, strerror(errno));
    int rc = fsync(fd) ? err_set(err, ERR_IO, "cannot flush %s: %s", path, strerror(errno)) : 0;
    close(fd);
    return rc;
}

int file_sync_parent(const char *path, struct err *err)
{
    const char *base   = path_base(path);
    char       *parent = base == path ? mem_strdup(".") : mem_strndup(path, (size_t)(base - path));
    if (!parent)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = file_sync(parent, err);
    free(parent);
    return rc;
}

int file_mkdirs(const char *path, struct err *err)
{
    char *copy = mem_strdup(path);
    if (!copy)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = 0;
    for (char *p = copy + (*copy == '/'); !rc; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        char end = *p;
        *p       = '\0';
        if (*copy && mkdir(copy, 0777) && errno != EEXIST)
            rc = err_set(err, ERR_IO, "cannot make the folder %s: %s", copy, strerror(errno));
        *p = end;
        if (end == '\0')
            break;
    }
    if (!rc && !file_is_dir(path))
        rc = err_set(err, ERR_IO, "cannot make the folder %s: a file is in the way", path);
    free(copy);
    return rc;
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool file_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *path_join(const char *dir, const char *name)
{
    size_t d = strlen(dir);
    size_t n = strlen(name);
    char  *p = mem_array(d + n + 2, 1);
    if (!p)
        return NULL;
    memcpy(p, dir, d);
    if (d > 0 && dir[d - 1] != '/')
        p[d++] = '/';
    memcpy(p + d, name, n + 1);
    return p;
}

int path_real(const char *path, char **out, struct err *err)
{
    char *real = realpath(path, NULL);
    if (!real)
        return err_set(err, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "cannot find %s: %s", path,
                       strerror(errno));
    *out = real;
    return 0;
}

int path_of_program(char **dir, struct err *err)
{
    char *exe = NULL;
    int   rc  = path_real("/proc/self/exe", &exe, err);
    if (rc)
        return rc;
    char *slash         = strrchr(exe, '/');
    slash[slash == exe] = '\0';
    *dir                = exe;
    return 0;
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
