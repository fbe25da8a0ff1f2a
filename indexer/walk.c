/* Walking a folder in order: see walk.h. The stack holds one level for each
 * folder on the way down; all but the deepest few are closed and are found
 * again through "..", checked by device and inode. */
#include "indexer/walk.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "meta/metadata.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_LEVELS   32            /* folders open at a time */
#define PATH_CEILING  (1u << 20)    /* bytes of one path */
#define NAMES_CEILING (1024u << 20) /* bytes of the names in one folder */
#define NAMED_FOLDER  0x7f          /* beside the DT_ types: the name of a folder "x.jpg" */
#define SIDECAR       0x7e          /* likewise: the name of what lies beside a picture */

struct name {
    uint32_t at; /* into names; names[at] is the type, the name follows */
};

struct level {
    int          fd; /* -1: closed meanwhile */
    dev_t        dev;
    ino_t        ino;
    size_t       path_len; /* of this folder's path with its slash */
    struct buf   names;
    struct name *entries; /* (n), sorted */
    size_t       n, next;
    size_t       seen; /* entries of any kind on the disk */
};

struct walk {
    struct walk_options options;
    struct level       *levels;
    size_t              depth, room;
    struct buf          path;
    char                reason[256];
    bool                root_empty;
};

bool walk_is_candidate(const char *name)
{
    static const char *const extensions[] = {".jpg", ".jpeg", ".jpe", ".jfif", ".png"};
    const char              *dot          = strrchr(name, '.');
    if (!dot)
        return false;
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
        if (!strcasecmp(dot, extensions[i]))
            return true;
    }
    return false;
}

int64_t walk_mtime_ns(const struct stat *st)
{
    return file_mtime_ns(st);
}

static void level_release(struct level *level)
{
    if (level->fd >= 0)
        close(level->fd);
    buf_release(&level->names);
    free(level->entries);
    *level = (struct level){.fd = -1};
}

/* Compares names, a type before each, as if those of folders ended in a slash. */
static int name_compare(const char *x, const char *y)
{
    char   x_end = *x == DT_DIR ? '/' : '\0';
    char   y_end = *y == DT_DIR ? '/' : '\0';
    size_t n     = 1;
    while (x[n] && x[n] == y[n])
        n++;
    unsigned char p = (unsigned char)(x[n] ? x[n] : x_end);
    unsigned char q = (unsigned char)(y[n] ? y[n] : y_end);
    return (p > q) - (p < q);
}

static int entry_compare(const void *a, const void *b, void *names)
{
    return name_compare((const char *)names + ((const struct name *)a)->at,
                        (const char *)names + ((const struct name *)b)->at);
}

/* The type of an entry whose folder did not tell. */
static unsigned char entry_type(int fd, const char *name)
{
    struct stat st;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW))
        return DT_REG; /* its own turn tells what is wrong */
    return S_ISDIR(st.st_mode) ? DT_DIR : S_ISLNK(st.st_mode) ? DT_LNK : DT_REG;
}

static int level_put(struct level *level, size_t *room, unsigned char type, const char *name,
                     struct err *err)
{
    if (level->n == *room) {
        size_t       more    = *room ? *room * 2 : 64;
        struct name *entries = mem_regrow(level->entries, more, sizeof *entries);
        if (!entries)
            return err_set(err, ERR_NOMEM, "out of memory for %zu names", more);
        level->entries = entries;
        *room          = more;
    }
    uint32_t at   = (uint32_t)level->names.len;
    char     kind = (char)type;
    int      rc   = buf_append(&level->names, &kind, 1, err);
    if (!rc)
        rc = buf_append(&level->names, name, strlen(name) + 1, err);
    if (!rc)
        level->entries[level->n++] = (struct name){at};
    return rc;
}

static bool is_sidecar(const char *name)
{
    size_t n = strlen(name), end = sizeof METADATA_SIDECAR - 1;
    char   picture[NAME_MAX + 1];
    if (n <= end || n > NAME_MAX || strcmp(name + n - end, METADATA_SIDECAR) != 0)
        return false;
    memcpy(picture, name, n - end);
    picture[n - end] = '\0';
    return walk_is_candidate(picture);
}

/* Keeps an entry if it can matter. */
static int level_add(struct level *level, const struct walk_options *options, size_t *room,
                     const struct dirent *d, struct err *err)
{
    const char *name = d->d_name;
    if (!strcmp(name, ".") || !strcmp(name, ".."))
        return 0;
    level->seen++;
    if (name[0] == '.' && !options->hidden)
        return 0;
    unsigned char type = d->d_type;
    if (type == DT_UNKNOWN)
        type = entry_type(level->fd, name);
    bool candidate = walk_is_candidate(name);
    int  rc        = 0;
    if (type == DT_DIR && candidate) /* two places in the order: its own, and its contents' */
        rc = level_put(level, room, NAMED_FOLDER, name, err);
    if (!rc && (type == DT_DIR || candidate))
        rc = level_put(level, room, type, name, err);
    else if (!rc && !options->count && is_sidecar(name))
        rc = level_put(level, room, SIDECAR, name, err);
    return rc;
}

/* Reads and sorts the folder open at fd, which the level takes over. */
static int level_read(struct level *level, int fd, const struct walk_options *options,
                      struct err *err)
{
    struct stat st;
    int         rc   = 0;
    size_t      room = 0;
    DIR        *dir  = NULL;
    *level           = (struct level){.fd = fd};
    buf_init(&level->names, NAMES_CEILING);
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* closedir would close the original */
    if (copy < 0 || fstat(fd, &st) || !(dir = fdopendir(copy))) {
        rc = err_set(err, ERR_IO, "%s", strerror(errno));
        if (copy >= 0 && !dir)
            close(copy);
        goto out;
    }
    level->dev = st.st_dev;
    level->ino = st.st_ino;
    for (;;) {
        errno                  = 0;
        const struct dirent *d = readdir(dir);
        if (!d && errno)
            rc = err_set(err, ERR_IO, "%s", strerror(errno));
        if (!d)
            break;
        if ((rc = level_add(level, options, &room, d, err)))
            break;
    }
    if (!rc && level->n)
        qsort_r(level->entries, level->n, sizeof *level->entries, entry_compare, level->names.data);
out:
    if (dir)
        closedir(dir);
    if (rc)
        level_release(level);
    return rc;
}

/* Makes room for one more level and closes the one that is now too far up. */
static int walk_deepen(struct walk *w, struct err *err)
{
    if (w->depth == w->room) {
        size_t        more   = w->room ? w->room * 2 : 16;
        struct level *levels = mem_regrow(w->levels, more, sizeof *levels);
        if (!levels)
            return err_set(err, ERR_NOMEM, "out of memory for %zu folders", more);
        w->levels = levels;
        w->room   = more;
    }
    if (w->depth > OPEN_LEVELS) {
        struct level *far = &w->levels[w->depth - OPEN_LEVELS];
        if (far->fd >= 0)
            close(far->fd);
        far->fd = -1;
    }
    return 0;
}

int walk_open(const char *dir, const char *prefix, const struct walk_options *options,
              struct walk **out, struct err *err)
{
    struct walk *w = mem_zeroed(1, sizeof *w);
    if (!w)
        return err_set(err, ERR_NOMEM, "out of memory");
    w->options = *options;
    buf_init(&w->path, PATH_CEILING);
    int rc = buf_append_str(&w->path, prefix, err);
    if (!rc)
        rc = walk_deepen(w, err);
    int fd = -1;
    if (!rc && (fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        rc = err_set(err, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "cannot open %s: %s", dir,
                     strerror(errno));
    if (!rc && (rc = level_read(&w->levels[0], fd, options, err)))
        err_prefix(err, "cannot read the folder %s", dir);
    if (rc) {
        walk_close(w);
        return rc;
    }
    w->depth              = 1;
    w->levels[0].path_len = w->path.len;
    w->root_empty         = w->levels[0].seen == 0;
    *out                  = w;
    return 0;
}

void walk_close(struct walk *w)
{
    if (!w)
        return;
    while (w->depth > 0)
        level_release(&w->levels[--w->depth]);
    free(w->levels);
    buf_release(&w->path);
    free(w);
}

bool walk_is_empty(const struct walk *w)
{
    return w->root_empty;
}

static void path_cut(struct walk *w, size_t len)
{
    if (len < w->path.len) {
        w->path.len       = len;
        w->path.data[len] = '\0';
    }
}

static void entry_fill(struct walk *w, struct walk_entry *entry, enum walk_kind kind,
                       const char *reason)
{
    if (reason)
        (void)snprintf(w->reason, sizeof w->reason, "%s", reason);
    *entry = (struct walk_entry){.kind     = kind,
                                 .path     = buf_str(&w->path),
                                 .mtime_ns = -1,
                                 .reason   = reason ? w->reason : NULL};
}

/* Leaves the deepest folder. True, with an entry, when the one above cannot be
 * found again. */
static bool walk_rise(struct walk *w, struct walk_entry *entry)
{
    struct level *done = &w->levels[w->depth - 1];
    bool          lost = false;
    if (w->depth > 1) {
        struct level *up = done - 1;
        path_cut(w, up->path_len);
        if (up->fd < 0) {
            struct stat st;
            int         fd = -1;
            if (done->fd >= 0)
                fd = openat(done->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (fd >= 0 && (fstat(fd, &st) || st.st_dev != up->dev || st.st_ino != up->ino)) {
                close(fd);
                fd = -1;
            }
            up->fd = fd;
            lost   = fd < 0 && up->next < up->n;
        }
        if (lost) {
            up->next = up->n;
            entry_fill(w, entry, WALK_VANISHED, "it was moved while it was scanned");
        }
    }
    level_release(done);
    w->depth--;
    return lost;
}

/* Goes down into a folder of the deepest level; path already names it. False:
 * down there the walk goes on; true: entry says what is to be told first. */
static bool walk_enter(struct walk *w, const char *name, struct walk_entry *entry)
{
    struct err    err = ERR_INIT;
    struct stat   st;
    struct level *top = &w->levels[w->depth - 1];
    int           fd  = openat(top->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        int why = errno;
        if (fd >= 0)
            close(fd);
        bool gone = why == ENOENT || why == ENOTDIR || why == ELOOP;
        entry_fill(w, entry, gone ? WALK_VANISHED : WALK_UNREADABLE, strerror(why));
        return true;
    }
    if (w->options.has_skip && st.st_dev == w->options.skip_dev &&
        st.st_ino == w->options.skip_ino) {
        close(fd);
        return false;
    }
    for (size_t i = 0; i < w->depth; i++) {
        if (w->levels[i].dev == st.st_dev && w->levels[i].ino == st.st_ino) {
            close(fd);
            entry_fill(w, entry, WALK_UNREADABLE, "a loop: the folder contains itself");
            return true;
        }
    }
    if (walk_deepen(w, &err)) {
        close(fd);
        entry_fill(w, entry, WALK_UNREADABLE, err.msg);
        return true;
    }
    struct level *level = &w->levels[w->depth];
    if (level_read(level, fd, &w->options, &err)) {
        entry_fill(w, entry, WALK_UNREADABLE, err.msg);
        return true;
    }
    level->path_len = w->path.len;
    w->depth++;
    if (level->seen > 0)
        return false;
    entry_fill(w, entry, WALK_EMPTY, NULL);
    return true;
}

static const char *special_reason(mode_t mode)
{
    if (S_ISFIFO(mode))
        return "not a regular file: a FIFO";
    if (S_ISSOCK(mode))
        return "not a regular file: a socket";
    return "not a regular file: a device";
}

/* The mtime of a picture's sidecar, 0 when it has none that can be read. */
static int64_t sidecar_time(const struct level *level, const char *name)
{
    char   wanted[NAME_MAX + 2];
    size_t low = 0, high = level->n;
    if (snprintf(wanted, sizeof wanted, "%c%s%s", SIDECAR, name, METADATA_SIDECAR) >=
        (int)sizeof wanted)
        return 0;
    while (low < high) {
        size_t      mid   = low + (high - low) / 2;
        const char *other = level->names.data + level->entries[mid].at;
        int         order = name_compare(other, wanted);
        if (!order && *other == SIDECAR) {
            struct stat st;
            return fstatat(level->fd, other + 1, &st, 0) ? 0 : metadata_sidecar_ns(&st);
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return 0;
}

/* Looks at a candidate. False when there is nothing to tell of it. */
static bool walk_look(struct walk *w, unsigned char type, const char *name,
                      struct walk_entry *entry)
{
    struct stat st;
    if (w->options.count && type == DT_REG) {
        entry_fill(w, entry, WALK_FILE, NULL);
        return true;
    }
    if (type == NAMED_FOLDER) {
        entry_fill(w, entry, WALK_BAD, "a folder, not a picture: what is in it is looked at");
        return true;
    }
    int fd = w->levels[w->depth - 1].fd;
    if (fstatat(fd, name, &st, 0)) {
        int why = errno;
        if (why == ENOENT && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW))
            return false; /* went while we looked */
        entry_fill(w, entry, WALK_BAD,
                   why == ENOENT  ? "a symbolic link to nothing"
                   : why == ELOOP ? "a symbolic link that leads to itself"
                                  : strerror(why));
        return true;
    }
    if (S_ISDIR(st.st_mode) && type != DT_LNK)
        return false; /* the file was replaced by a folder: next time */
    if (S_ISDIR(st.st_mode)) {
        entry_fill(w, entry, WALK_BAD, "a symbolic link to a folder: those are not followed");
        return true;
    }
    if (S_ISREG(st.st_mode))
        entry_fill(w, entry, WALK_FILE, NULL);
    else
        entry_fill(w, entry, WALK_BAD, special_reason(st.st_mode));
    entry->size       = (int64_t)st.st_size;
    entry->mtime_ns   = walk_mtime_ns(&st);
    entry->sidecar_ns = sidecar_time(&w->levels[w->depth - 1], name);
    return true;
}

int walk_next(struct walk *w, struct walk_entry *entry, struct err *err)
{
    while (w->depth > 0) {
        struct level *top = &w->levels[w->depth - 1];
        if (top->next == top->n) {
            if (walk_rise(w, entry))
                return 0;
            continue;
        }
        const char   *name = top->names.data + top->entries[top->next++].at;
        unsigned char type = (unsigned char)*name++;
        if (type == SIDECAR)
            continue;
        path_cut(w, top->path_len);
        int rc = buf_append_str(&w->path, name, err);
        if (!rc && type == DT_DIR)
            rc = buf_append_str(&w->path, "/", err);
        if (rc == ERR_LIMIT && type == DT_DIR) {
            path_cut(w, top->path_len); /* "dir/" whose contents are too deep to name */
            top->next = top->n;
            entry_fill(w, entry, WALK_UNREADABLE, "the paths below it are too long");
            return 0;
        }
        if (rc == ERR_LIMIT)
            continue;
        if (rc)
            return rc;
        if (type == DT_DIR ? walk_enter(w, name, entry) : walk_look(w, type, name, entry))
            return 0;
    }
    *entry = (struct walk_entry){.kind = WALK_END, .path = ""};
    return 0;
}
