/* One file from a hub (hub.h): into NAME.HASH.part, which a later run goes on
 * with, and under its own name only when size and hash are what the hub states. */
#include "cli/hub.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct part {
    struct progress       *progress;
    const struct hub_file *file;
    const char            *path;
    int                    fd;
    int64_t                here; /* bytes of it */
};

static int part_begin(void *ctx, int64_t offset, struct err *err)
{
    struct part *p = ctx;
    if (ftruncate(p->fd, offset) || lseek(p->fd, offset, SEEK_SET) < 0)
        return err_set(err, ERR_IO, "cannot write %s: %s", p->path, strerror(errno));
    p->here = offset;
    return 0;
}

static int part_bytes(void *ctx, const void *data, size_t n, struct err *err)
{
    struct part   *p     = ctx;
    const uint8_t *bytes = data;
    if ((int64_t)n > p->file->size - p->here)
        return err_set(err, ERR_FORMAT,
                       "%s is longer than the %" PRId64 " bytes that the hub states", p->file->name,
                       p->file->size);
    while (n > 0) {
        ssize_t wrote = write(p->fd, bytes, n);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return err_set(err, ERR_IO, "cannot write %s: %s", p->path, strerror(errno));
        bytes += wrote;
        n -= (size_t)wrote;
        p->here += wrote;
        p->progress->arrived += wrote;
    }
    progress_show(p->progress, p->here);
    return 0;
}

/* 0 whole and right; ERR_FORMAT not what the hub states. */
static int check(const struct hub *hub, const struct hub_file *f, const char *path, struct err *err)
{
    char        hash[HASH_HEX_MAX];
    struct stat st;
    if (stat(path, &st))
        return err_set(err, ERR_IO, "cannot read %s: %s", path, strerror(errno));
    if (st.st_size != f->size)
        return err_set(err, ERR_FORMAT, "%s has %" PRId64 " bytes, and the hub states %" PRId64,
                       f->name, (int64_t)st.st_size, f->size);
    int rc = hash_file(path, f->kind, hub->stop, hash, err);
    if (!rc && strcmp(hash, f->hash) != 0)
        rc = err_set(err, ERR_FORMAT,
                     "%s is not what the hub states: its %s is %.16s..., and should be %.16s...",
                     f->name, f->kind == HASH_SHA256 ? "SHA-256" : "git hash", hash, f->hash);
    return rc;
}

/* Until the part is whole. */
static int fill(struct hub *hub, const struct model_id *id, struct part *p, const char *url,
                struct err *err)
{
    struct http_sink sink = {part_begin, part_bytes, p};
    int64_t          best = p->here;
    for (int tries = 0; p->here < p->file->size || (p->file->size == 0 && tries == 0); tries++) {
        int rc = hub_get(hub, id, url, &p->here, &sink, err);
        if (rc)
            return rc;
        if (p->here > best) {
            best  = p->here;
            tries = 0;
        } else if (tries == 2) {
            return err_set(err, ERR_FORMAT,
                           "%s ends after %" PRId64 " of the %" PRId64 " bytes that the hub states",
                           p->file->name, p->here, p->file->size);
        }
    }
    return 0;
}

static int part_open(struct part *p, struct err *err)
{
    struct stat st;
    p->fd = open(p->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (p->fd < 0 || fstat(p->fd, &st))
        return err_set(err, ERR_IO, "cannot write %s: %s", p->path, strerror(errno));
    return part_begin(p, st.st_size > p->file->size ? 0 : st.st_size, err);
}

/* Fills, checks and keeps the part. What a run began and another went on with may
 * disagree with the hub because of the first: it is fetched anew, once. */
static int fetch_part(struct hub *hub, const struct model_id *id, struct part *p, const char *url,
                      const char *final, struct err *err)
{
    bool resumed = p->here > 0;
    int  rc      = fill(hub, id, p, url, err);
    if (!rc)
        rc = check(hub, p->file, p->path, err);
    if (rc == ERR_FORMAT && resumed) {
        progress_note(hub->progress, "%s: what an earlier run left does not fit; fetching it anew",
                      p->file->name);
        rc = part_begin(p, 0, err);
        if (!rc)
            rc = fill(hub, id, p, url, err);
        if (!rc)
            rc = check(hub, p->file, p->path, err);
    }
    if (rc == ERR_FORMAT) {
        (void)unlink(p->path);
        return err_set(err, ERR_FORMAT, "%s (it was deleted; try again later)",
                       err ? err->msg : "");
    }
    if (!rc && fsync(p->fd))
        rc = err_set(err, ERR_IO, "cannot write %s: %s", p->path, strerror(errno));
    if (!rc && rename(p->path, final))
        rc = err_set(err, ERR_IO, "cannot name %s: %s", final, strerror(errno));
    return rc;
}

int hub_fetch(struct hub *hub, const struct model_id *id, const struct hub_repo *repo,
              const struct hub_file *f, const char *dir, struct err *err)
{
    struct part p    = {.progress = hub->progress, .file = f, .fd = -1};
    char       *path = NULL, *final = path_join(dir, f->name);
    struct buf  url;
    int         rc = 0;
    buf_init(&url, 4096);
    if (f->size < 0 || !f->hash[0]) {
        rc = err_set(err, ERR_FORMAT, "the hub states no size and hash of %s: it cannot be checked",
                     f->name);
        goto out;
    }
    if (!final || asprintf(&path, "%s/%s.%.16s.part", dir, f->name, f->hash) < 0) {
        path = NULL;
        rc   = err_set(err, ERR_NOMEM, "out of memory");
        goto out;
    }
    hub->progress->file = f->name;
    if (file_exists(final)) {
        rc = check(hub, f, final, err);
        if (rc != ERR_FORMAT)
            goto out;
        (void)unlink(final); /* of another commit */
    }
    p.path = path;
    rc     = part_open(&p, err);
    /* '+' is the one character of a safe name that a server may read otherwise */
    if (!rc)
        rc = buf_appendf(&url, err, "%s/%s/resolve/%s/", hub->endpoint, id->name, repo->commit);
    for (const char *c = f->name; *c && !rc; c++)
        rc = *c == '+' ? buf_append_str(&url, "%2B", err) : buf_append(&url, c, 1, err);
    if (!rc)
        rc = fetch_part(hub, id, &p, buf_str(&url), final, err);
out:
    if (!rc)
        hub->progress->whole += f->size;
    else if (rc != ERR_CANCELLED)
        rc = err_prefix(err, "cannot fetch %s", id->name);
    if (p.fd >= 0)
        close(p.fd);
    buf_release(&url);
    free(path);
    free(final);
    return rc;
}
