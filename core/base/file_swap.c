/* Putting a new version of a file in the old one's place: see file_swap.h. */
#include "base/file_swap.h"

#include "base/hash.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MOST_ATTRIBUTES 65536 /* bytes, of their names or of one's value: Linux has no more */
#define ASIDE_ROOM      64
#define FD_PATH         32 /* bytes of "/proc/self/fd/N" */

struct swap {
    const char        *path, *name; /* name: within its folder */
    const struct stat *seen;
    int                folder, old, new;
    char               aside[ASIDE_ROOM]; /* the name of the new one, while it has one */
    bool               named;
};

static int failed(const struct swap *s, const char *doing, struct err *err)
{
    return err_set(err, ERR_IO, "cannot write %s: %s: %s", s->path, doing, strerror(errno));
}

/* ---- Is it still the same? ---- */

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int check_seen(const struct swap *s, struct err *err)
{
    struct stat st;
    if (fstatat(s->folder, s->name, &st, AT_SYMLINK_NOFOLLOW)) {
        if (errno == ENOENT && !s->seen)
            return 0;
        return failed(s, "cannot look at it", err);
    }
    if (s->seen && is_same(&st, s->seen))
        return 0;
    return err_set(err, ERR_BUSY, "cannot write %s: another program changed it meanwhile", s->path);
}

static int check_writable(const struct swap *s, struct err *err)
{
    if (s->seen && (!(s->seen->st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)) ||
                    faccessat(s->folder, s->name, W_OK, AT_EACCESS)))
        return err_set(err, ERR_USAGE, "cannot write %s: it is read-only", s->path);
    return 0;
}

/* ---- The new one ---- */

static int failed_new(const struct swap *s, struct err *err)
{
    return failed(s, "cannot make a file in its folder", err);
}

/* Without a name; false: its file system, or kernel, has no such files. */
static bool open_nameless(struct swap *s, mode_t mode)
{
    s->new = openat(s->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
    return s->new >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT);
}

static int open_new(struct swap *s, struct err *err)
{
    mode_t mode = s->seen ? 0600 : 0666;
    if (!open_nameless(s, mode)) {
        (void)unlinkat(s->folder, s->aside, 0); /* of one that was killed */
        s->new   = openat(s->folder, s->aside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        s->named = s->new >= 0;
    }
    return s->new < 0 ? failed_new(s, err) : 0;
}

static bool has_attribute(int fd, const char *name, const void *value, size_t len)
{
    char   *there = mem_array(len + 1, 1);
    ssize_t got   = there ? fgetxattr(fd, name, there, len + 1) : -1;
    bool    same  = got >= 0 && (size_t)got == len && !memcmp(there, value, len);
    free(there);
    return same;
}

static int keep_attributes(const struct swap *s, struct err *err)
{
    char   *names = mem_array(2, MOST_ATTRIBUTES), *value = names ? names + MOST_ATTRIBUTES : NULL;
    ssize_t n  = names ? flistxattr(s->old, names, MOST_ATTRIBUTES) : -1;
    int     rc = 0;
    if (!names)
        return err_set(err, ERR_NOMEM, "out of memory for extended attributes");
    if (n < 0 && errno != ENOTSUP)
        rc = failed(s, "cannot list its extended attributes", err);
    for (const char *name = names; n > 0 && name < names + n && !rc; name += strlen(name) + 1) {
        ssize_t len = fgetxattr(s->old, name, value, MOST_ATTRIBUTES);
        if (len < 0)
            rc = failed(s, "cannot read an extended attribute", err);
        else if (fsetxattr(s->new, name, value, (size_t)len, 0) &&
                 !has_attribute(s->new, name, value, (size_t)len)) /* as labels often have */
            rc = err_set(err, ERR_USAGE, "cannot write %s: its attribute %s cannot be kept: %s",
                         s->path, name, strerror(errno));
    }
    free(names);
    return rc;
}

/* The owner first: changing it takes bits from the mode. */
static int keep_all(const struct swap *s, bool keep_times, struct err *err)
{
    const struct stat *seen = s->seen;
    if (fchown(s->new, seen->st_uid, seen->st_gid)) {
        struct stat st;
        if (fstat(s->new, &st) || st.st_uid != seen->st_uid || st.st_gid != seen->st_gid)
            return err_set(err, ERR_USAGE, "cannot write %s: it would not keep its owner: %s",
                           s->path, strerror(errno));
    }
    int rc = keep_attributes(s, err);
    if (!rc && fchmod(s->new, seen->st_mode & 07777))
        rc = failed(s, "cannot set its mode", err);
    const struct timespec times[2] = {seen->st_atim, seen->st_mtim};
    if (!rc && keep_times && futimens(s->new, times))
        rc = failed(s, "cannot set its times", err);
    return rc;
}

static int fill(const struct swap *s, const struct file_part *parts, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (file_write_all(s->new, parts[i].data, parts[i].len))
            return failed(s, "cannot write a copy", err);
    }
    return 0;
}

/* ---- The stroke ---- */

/* Gives it a name: the one aside, or (where nothing is to be replaced) its own. */
static int give_name(struct swap *s, const char *name, struct err *err)
{
    char path[FD_PATH];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", s->new);
    int bad = linkat(AT_FDCWD, path, s->folder, name, AT_SYMLINK_FOLLOW);
    if (bad && errno == EEXIST && s->seen) { /* of one that was killed */
        (void)unlinkat(s->folder, name, 0);
        bad = linkat(AT_FDCWD, path, s->folder, name, AT_SYMLINK_FOLLOW);
    }
    if (bad && errno == EEXIST)
        return err_set(err, ERR_BUSY, "cannot write %s: another program made it meanwhile",
                       s->path);
    return bad ? failed(s, "cannot name a copy", err) : 0;
}

static int put_in_place(struct swap *s, struct err *err)
{
    int rc = check_seen(s, err);
    if (!rc && !s->seen && !s->named)
        return give_name(s, s->name, err);
    if (!rc && !s->named) {
        rc       = give_name(s, s->aside, err);
        s->named = !rc;
    }
    if (!rc && renameat2(s->folder, s->aside, s->folder, s->name, s->seen ? 0 : RENAME_NOREPLACE))
        rc = failed(s, "cannot rename a copy", err);
    s->named = s->named && rc;
    return rc;
}

/* A hidden name that is the same each time. */
static void name_aside(struct swap *s)
{
    uint8_t hash[HASH_BYTES];
    char    hex[HASH_HEX];
    hash_bytes(s->name, strlen(s->name), hash);
    hash_hex(hash, hex);
    (void)snprintf(s->aside, sizeof s->aside, ".osprey-%.16s.new", hex);
}

static int open_folder(struct swap *s, struct err *err)
{
    char folder[PATH_MAX];
    s->name    = path_base(s->path);
    size_t len = (size_t)(s->name - s->path);
    if (len >= sizeof folder)
        return err_set(err, ERR_LIMIT, "cannot write %s: the path is too long", s->path);
    memcpy(folder, len ? s->path : "./", len ? len : 2);
    folder[len ? len : 2] = '\0';
    s->folder             = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    name_aside(s);
    return s->folder < 0 ? failed(s, "cannot open its folder", err) : 0;
}

static int open_old(struct swap *s, struct err *err)
{
    struct stat st;
    s->old = openat(s->folder, s->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (s->old < 0 || fstat(s->old, &st))
        return failed(s, "cannot open it", err);
    if (!is_same(&st, s->seen))
        return err_set(err, ERR_BUSY, "cannot write %s: another program changed it meanwhile",
                       s->path);
    return 0;
}

/* The folder and the old one, which may be written. */
static int begin(struct swap *s, struct err *err)
{
    int rc = open_folder(s, err);
    if (!rc && s->seen)
        rc = open_old(s, err);
    return rc ? rc : check_writable(s, err);
}

static void close_all(struct swap *s)
{
    if (s->new >= 0)
        close(s->new);
    if (s->old >= 0)
        close(s->old);
    if (s->folder >= 0)
        close(s->folder);
}

#define SWAP_INIT(path_, seen_)                                                                    \
    {                                                                                              \
        .path = (path_), .seen = (seen_), .folder = -1, .old = -1, .new = -1                       \
    }

int file_swap(const char *path, const struct stat *seen, bool keep_times,
              const struct file_part *parts, size_t n, struct stat *now, struct err *err)
{
    struct swap s  = SWAP_INIT(path, seen);
    int         rc = begin(&s, err);
    if (!rc)
        rc = open_new(&s, err);
    if (!rc)
        rc = fill(&s, parts, n, err);
    if (!rc && seen)
        rc = keep_all(&s, keep_times, err);
    if (!rc && fsync(s.new))
        rc = failed(&s, "cannot flush a copy", err);
    if (!rc)
        rc = put_in_place(&s, err);
    if (s.named)
        (void)unlinkat(s.folder, s.aside, 0);
    if (!rc && now && fstat(s.new, now))
        rc = failed(&s, "cannot look at it", err);
    if (!rc && fsync(s.folder))
        rc = failed(&s, "cannot flush its folder", err);
    close_all(&s);
    return rc;
}

/* A file without a name shows whether there may be one, with the old one's owner and
 * attributes. Where there are no such files, permission to make one must do. */
int file_swap_check(const char *path, const struct stat *seen, bool remove, struct err *err)
{
    struct swap s  = SWAP_INIT(path, seen);
    int         rc = begin(&s, err);
    if (!rc && faccessat(s.folder, ".", W_OK | X_OK, AT_EACCESS))
        rc = remove ? failed(&s, "cannot remove it", err) : failed_new(&s, err);
    if (!rc && !remove && open_nameless(&s, 0600)) {
        rc = s.new < 0 ? failed_new(&s, err) : 0;
        if (!rc && seen)
            rc = keep_all(&s, true, err);
    }
    close_all(&s);
    return rc;
}

int file_remove_seen(const char *path, const struct stat *seen, struct err *err)
{
    struct swap s  = SWAP_INIT(path, seen);
    int         rc = open_folder(&s, err);
    if (!rc)
        rc = check_writable(&s, err);
    if (!rc)
        rc = check_seen(&s, err);
    if (!rc && unlinkat(s.folder, s.name, 0))
        rc = failed(&s, "cannot remove it", err);
    if (!rc && fsync(s.folder))
        rc = failed(&s, "cannot flush its folder", err);
    close_all(&s);
    return rc;
}
