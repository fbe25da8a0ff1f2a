/* The end of the vector index's file. */
#include "storage/vindex_trailer.h"

#include "base/file.h"

#include <xxhash.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LISTS         3 /* VINDEX_IVF in a file; 2 once were lists of residuals */
#define RESIDUALS     2
#define METRIC_SHIFT  8
#define CHECK_ON_OPEN ((size_t)64 << 20) /* bytes; hashing these takes milliseconds */

static const char trailer_magic[8] = {'O', 's', 'p', 'r', 'V', 'e', 'c', '1'};

static uint64_t trailer_hash(const struct vindex_trailer *t)
{
    return XXH3_64bits(t, offsetof(struct vindex_trailer, hash));
}

int vindex_damaged(const char *path, const char *why, struct err *err)
{
    return err_set(err, ERR_DAMAGED, "vector index %s is damaged: %s", path, why);
}

static bool kind_is_sound(uint32_t kind)
{
    return kind == VINDEX_FLAT || kind == VINDEX_HNSW || kind == LISTS || kind == RESIDUALS ||
           kind == (VINDEX_FLAT | VINDEX_MANHATTAN << METRIC_SHIFT);
}

static int read_trailer(int fd, const char *path, struct vindex_trailer *t, struct stat *st,
                        struct err *err)
{
    if (fstat(fd, st) != 0)
        return err_set(err, ERR_IO, "cannot read vector index %s: %s", path, strerror(errno));
    off_t at = st->st_size - (off_t)sizeof(*t);
    if (at < 0 || pread(fd, t, sizeof(*t), at) != (ssize_t)sizeof(*t))
        return vindex_damaged(path, "too short", err);
    if (memcmp(t->magic, trailer_magic, sizeof(t->magic)) != 0)
        return vindex_damaged(path, "its end is missing", err);
    if (t->hash != trailer_hash(t) || t->body_bytes != (uint64_t)at || !kind_is_sound(t->kind) ||
        t->dim == 0 || t->dim > 65536 || t->count < 0)
        return vindex_damaged(path, "its end contradicts itself", err);
    if (t->kind == RESIDUALS)
        return err_set(err, ERR_DAMAGED,
                       "vector index %s is of a kind that an earlier version made; "
                       "`osprey index` makes it anew",
                       path);
    return 0;
}

static int hash_body(int fd, const char *path, const struct vindex_trailer *t, struct err *err)
{
    int    rc   = 0;
    size_t len  = t->body_bytes;
    void  *data = len ? mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    if (data == MAP_FAILED)
        return err_set(err, ERR_IO, "cannot map vector index %s: %s", path, strerror(errno));
    if (XXH3_64bits(data, len) != t->body_hash)
        rc = vindex_damaged(path, "its checksum differs", err);
    if (data)
        munmap(data, len);
    return rc;
}

static struct vindex_file file_of_stat(const struct stat *st)
{
    return (struct vindex_file){(uint64_t)st->st_dev, (uint64_t)st->st_ino,
                                (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec};
}

int vindex_trailer_open(const char *path, bool all, int *fd, struct vindex_trailer *out,
                        struct vindex_file *file, struct err *err)
{
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return errno == ENOENT
                   ? err_set(err, ERR_NOTFOUND, "there is no vector index %s", path)
                   : err_set(err, ERR_IO, "cannot open vector index %s: %s", path, strerror(errno));
    int rc = read_trailer(*fd, path, out, &st, err);
    if (rc == 0 && (all || out->body_bytes <= CHECK_ON_OPEN))
        rc = hash_body(*fd, path, out, err);
    if (rc) {
        close(*fd);
        *fd = -1;
        return rc;
    }
    *file = file_of_stat(&st);
    return 0;
}

void vindex_trailer_info(const struct vindex_trailer *t, struct vindex_info *out)
{
    *out = (struct vindex_info){.kind    = t->kind == LISTS ? VINDEX_IVF
                                                            : (enum vindex_kind)(t->kind & 0xff),
                                .metric  = (enum vindex_metric)(t->kind >> METRIC_SHIFT),
                                .dim     = (int)t->dim,
                                .seq     = t->seq,
                                .stamp   = t->stamp,
                                .count   = t->count,
                                .gone    = t->gone,
                                .trained = t->trained};
    memcpy(out->model_hash, t->model_hash, sizeof(t->model_hash));
}

int vindex_trailer_write(const struct vindex_info *info, FILE *f, const char *path, struct err *err)
{
    uint32_t              kind = info->kind == VINDEX_IVF ? LISTS : (uint32_t)info->kind;
    struct vindex_trailer t    = {.kind    = kind | (uint32_t)info->metric << METRIC_SHIFT,
                                  .dim     = (uint32_t)info->dim,
                                  .seq     = info->seq,
                                  .stamp   = info->stamp,
                                  .count   = info->count,
                                  .gone    = info->gone,
                                  .trained = info->trained};
    struct file_map       body;
    int                   rc = file_map(&body, path, err);
    if (rc)
        return rc;
    memcpy(t.magic, trailer_magic, sizeof(t.magic));
    memcpy(t.model_hash, info->model_hash, sizeof(t.model_hash));
    t.body_bytes = body.len;
    t.body_hash  = XXH3_64bits(body.data, body.len);
    t.hash       = trailer_hash(&t);
    file_unmap(&body);
    if (fwrite(&t, sizeof(t), 1, f) != 1 || fflush(f) != 0 || fsync(fileno(f)) != 0)
        return err_set(err, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    return 0;
}

static int look(const char *path, bool all, struct vindex_trailer *t, struct err *err)
{
    struct vindex_file file;
    int                fd, rc = vindex_trailer_open(path, all, &fd, t, &file, err);
    if (rc == 0)
        close(fd);
    return rc;
}

int vindex_check(const char *path, struct err *err)
{
    struct vindex_trailer t;
    return look(path, true, &t, err);
}

int vindex_peek(const char *path, struct vindex_info *out, struct err *err)
{
    struct vindex_trailer t;
    int                   rc = look(path, false, &t, err);
    if (rc == 0)
        vindex_trailer_info(&t, out);
    return rc;
}

struct vindex_file vindex_file_at(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? file_of_stat(&st) : (struct vindex_file){0};
}

bool vindex_file_equal(const struct vindex_file *a, const struct vindex_file *b)
{
    return a->device == b->device && a->inode == b->inode && a->changed == b->changed;
}
