/* Saying in pictures what the library says of them: see library_write.h. */
#include "storage/library_write.h"

#include "base/file_swap.h"
#include "base/hash.h"
#include "base/mem.h"
#include "meta/container.h"
#include "storage/library_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define PICTURE_MAX (INT64_C(1) << 30) /* bytes, as the indexer has it */

/* A file as it was when it was read. */
struct seen {
    char       *path; /* where no link leads on */
    struct stat st;
    bool        there;
};

struct writing {
    struct library             *lib;
    const struct library_image *image;
    struct library_image        fresh; /* what image points to, where the caller's was old */
    const struct metadata_wish *wish;
    struct seen                 picture, sidecar;
    const uint8_t              *bytes; /* of the picture, then of the sidecar */
};

void library_written_release(struct library_written *w)
{
    strings_release(&w->changes);
    free(w->file);
    *w = (struct library_written){0};
}

/* ---- Reading ---- */

/* Where a path leads; that it leads nowhere is no error. */
static int look(const char *path, struct seen *out, struct err *err)
{
    struct stat st;
    out->there = !lstat(path, &st);
    if (!out->there && errno != ENOENT && errno != ENOTDIR)
        return err_set(err, ERR_IO, "cannot look at %s: %s", path, strerror(errno));
    if (out->there)
        return path_real(path, &out->path, err);
    out->path = mem_strdup(path);
    return out->path ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

static int open_seen(struct seen *s, int64_t most, int *fd, struct err *err)
{
    *fd = open(s->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (*fd < 0 || fstat(*fd, &s->st))
        return err_set(err, ERR_IO, "cannot read %s: %s", s->path, strerror(errno));
    if (!S_ISREG(s->st.st_mode))
        return err_set(err, ERR_FORMAT, "cannot read %s: not a regular file", s->path);
    if (s->st.st_size > most)
        return err_set(err, ERR_LIMIT, "cannot read %s: it is longer than %lld bytes", s->path,
                       (long long)most);
    return 0;
}

static int read_seen(const struct seen *s, int fd, uint8_t *to, struct err *err)
{
    size_t got = 0, n = (size_t)s->st.st_size;
    while (got < n) {
        ssize_t more = pread(fd, to + got, n - got, (off_t)got);
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            return err_set(err, ERR_IO, "cannot read %s: %s", s->path, strerror(errno));
        if (more == 0)
            return err_set(err, ERR_BUSY, "cannot read %s: it shrank meanwhile", s->path);
        got += (size_t)more;
    }
    return 0;
}

static bool is_as_indexed(const struct writing *w)
{
    return w->picture.st.st_size == w->image->size &&
           file_mtime_ns(&w->picture.st) == w->image->mtime_ns;
}

/* The picture is what was indexed, as the caller has it or, where it was written by
 * another of its names meanwhile, as the catalogue has it now. */
static int check_indexed(struct writing *w, const char *path, struct err *err)
{
    struct err why = ERR_INIT;
    if (is_as_indexed(w))
        return 0;
    int rc = catalog_image_get(w->lib->cat, w->image->id, &w->fresh, &why);
    if (rc && rc != ERR_NOTFOUND)
        return err_set(err, why.code, "%s", why.msg);
    if (!rc)
        w->image = &w->fresh;
    if (!rc && is_as_indexed(w))
        return 0;
    return err_set(err, ERR_BUSY,
                   "cannot write %s: it changed since it was indexed (osprey index looks again)",
                   path);
}

/* Finds both files and reads them into the decoder's room. */
static int read_both(struct writing *w, struct decoder *decoder, struct err *err)
{
    int      picture = -1, sidecar = -1, rc;
    uint8_t *room  = NULL;
    char    *path  = path_join(w->image->folder, w->image->path);
    size_t   len   = path ? strlen(path) + sizeof METADATA_SIDECAR : 0;
    char    *other = path ? mem_array(len, 1) : NULL;
    if (!other) {
        free(path);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    (void)snprintf(other, len, "%s%s", path, METADATA_SIDECAR);
    rc = look(path, &w->picture, err);
    if (!rc && !w->picture.there)
        rc = err_set(err, ERR_NOTFOUND, "cannot write %s: it is not there any more", path);
    if (!rc)
        rc = open_seen(&w->picture, PICTURE_MAX, &picture, err);
    if (!rc)
        rc = check_indexed(w, path, err);
    if (!rc && w->wish->sidecar)
        rc = look(other, &w->sidecar, err);
    if (!rc && w->sidecar.there)
        rc = open_seen(&w->sidecar, (int64_t)METADATA_SIDECAR_MAX, &sidecar, err);
    size_t n = (size_t)w->picture.st.st_size, beside = (size_t)w->sidecar.st.st_size;
    if (!rc)
        rc = decoder_input(decoder, n + beside + DECODER_WISH_ROOM, &room, err);
    if (!rc)
        rc = read_seen(&w->picture, picture, room, err);
    if (!rc && w->sidecar.there)
        rc = read_seen(&w->sidecar, sidecar, room + n, err);
    w->bytes = room;
    if (picture >= 0)
        close(picture);
    if (sidecar >= 0)
        close(sidecar);
    free(path);
    free(other);
    return rc;
}

/* ---- Writing ---- */

/* Raw files of cameras are TIFF in all but name, with more in them than TIFF tells. */
static int check_kind(const struct writing *w, struct err *err)
{
    const char *dot = strrchr(path_base(w->picture.path), '.');
    if (container_kind_of(w->bytes, (size_t)w->picture.st.st_size) != CONTAINER_TIFF ||
        (dot && (!strcasecmp(dot, ".tif") || !strcasecmp(dot, ".tiff"))))
        return 0;
    return err_set(err, ERR_UNSUPPORTED,
                   "cannot write %s: raw files are not written into; write beside it instead "
                   "(--write sidecar)",
                   w->picture.path);
}

static bool is_file(const struct library_image *image, const struct stat *now)
{
    struct stat st;
    char       *path = path_join(image->folder, image->path);
    bool is = path && !stat(path, &st) && st.st_dev == now->st_dev && st.st_ino == now->st_ino;
    free(path);
    return is;
}

/* The picture's row, and those of links to it: of what was the same, what is this very
 * file. (Hard links keep the old version.) */
static int tell_names(struct writing *w, const uint8_t *hash, const struct stat *now,
                      struct err *err)
{
    struct catalog             *cat = w->lib->cat;
    const struct library_image *old = w->image;
    int64_t                     id  = 0;
    int                         rc  = 0;
    do {
        struct library_image image = {0};
        rc = catalog_image_same(cat, old->hash, old->mtime_ns, id, &id, err);
        if (!rc && id)
            rc = catalog_image_get(cat, id, &image, err);
        if (!rc && id && (id == old->id || is_file(&image, now)))
            rc = catalog_image_rewritten(cat, id, old->hash, hash, (int64_t)now->st_size,
                                         file_mtime_ns(now), err);
        library_image_release(&image);
    } while (!rc && id);
    return rc;
}

static int tell_picture(struct writing *w, const struct container_parts *parts,
                        const struct stat *now, struct err *err)
{
    uint8_t hash[HASH_BYTES];
    if (!hash_parts(parts->part, parts->n, hash))
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = catalog_begin_write(w->lib->cat, err);
    return rc ? rc : catalog_finish(w->lib->cat, tell_names(w, hash, now, err), err);
}

static int write_picture(struct writing *w, const struct metadata_edit *edit, bool dry,
                         struct err *err)
{
    struct container_parts parts = {0};
    struct stat            now;
    int                    rc = check_kind(w, err);
    if (rc)
        return rc;
    rc = container_splice(w->bytes, (size_t)w->picture.st.st_size,
                          edit->outcome == METADATA_PUT ? edit->packet : NULL, edit->len, &parts,
                          err);
    if (rc)
        err_prefix(err, "cannot write %s", w->picture.path);
    if (!rc && dry)
        rc = file_swap_check(w->picture.path, &w->picture.st, false, err);
    else if (!rc)
        rc = file_swap(w->picture.path, &w->picture.st, true, parts.part, parts.n, &now, err);
    if (!rc && !dry)
        rc = tell_picture(w, &parts, &now, err);
    container_parts_release(&parts);
    return rc;
}

static int tell_sidecar(struct writing *w, int64_t now_ns, struct err *err)
{
    int64_t old_ns = w->sidecar.there ? metadata_sidecar_ns(&w->sidecar.st) : 0;
    int     rc     = catalog_begin_write(w->lib->cat, err);
    if (rc)
        return rc;
    rc = catalog_sidecar_rewritten(w->lib->cat, w->image->id, old_ns, now_ns, err);
    return catalog_finish(w->lib->cat, rc, err);
}

/* Its times tell other programs that it is new. */
static int write_sidecar(struct writing *w, const struct metadata_edit *edit, bool dry,
                         struct err *err)
{
    static const char      head[]  = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    const struct file_part parts[] = {
        {head, sizeof head - 1}, {edit->packet, edit->len}, {"\n", 1}};
    const struct stat *seen = w->sidecar.there ? &w->sidecar.st : NULL;
    struct stat        now  = {0};
    int                rc;
    if (dry)
        return file_swap_check(w->sidecar.path, seen, edit->outcome == METADATA_DROP, err);
    if (edit->outcome == METADATA_DROP)
        rc = file_remove_seen(w->sidecar.path, seen, err);
    else
        rc = file_swap(w->sidecar.path, seen, false, parts, 3, &now, err);
    return rc ? rc
              : tell_sidecar(w, edit->outcome == METADATA_DROP ? 0 : metadata_sidecar_ns(&now),
                             err);
}

int library_write(struct library *lib, struct decoder *decoder, const struct library_image *image,
                  const struct metadata_wish *wish, bool dry, struct library_written *out,
                  struct err *err)
{
    struct writing       w    = {.lib = lib, .image = image, .wish = wish};
    struct metadata_edit edit = {0};
    *out                      = (struct library_written){0};
    int rc                    = read_both(&w, decoder, err);
    if (!rc) {
        rc = decoder_change(decoder, (size_t)w.picture.st.st_size, (size_t)w.sidecar.st.st_size,
                            wish, &edit, err);
        if (rc)
            err_prefix(err, "cannot write %s", wish->sidecar ? w.sidecar.path : w.picture.path);
    }
    if (!rc && edit.outcome != METADATA_SAME && !wish->sidecar)
        rc = write_picture(&w, &edit, dry, err);
    if (!rc && edit.outcome != METADATA_SAME && wish->sidecar)
        rc = write_sidecar(&w, &edit, dry, err);
    if (!rc) {
        struct seen *target = wish->sidecar ? &w.sidecar : &w.picture;
        *out                = (struct library_written){
                           .outcome = edit.outcome, .changes = edit.changes, .file = target->path};
        edit.changes = (struct strings){0};
        target->path = NULL;
    }
    metadata_edit_release(&edit);
    library_image_release(&w.fresh);
    free(w.picture.path);
    free(w.sidecar.path);
    return rc;
}
