/* Where a folder lies that a person names: see library_places.h. */
#include "storage/library_places.h"

#include "base/buf.h"
#include "base/mem.h"
#include "storage/library_impl.h"
#include "text/fold.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST ((size_t)1 << 16) /* bytes of a path */

void library_places_release(struct library_places *p)
{
    for (size_t i = 0; i < p->n; i++)
        free((char *)(uintptr_t)p->places[i].below);
    free(p->places);
    *p = (struct library_places){0};
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "cannot look for a folder: out of memory");
}

/* below "": the whole folder. */
static int add(struct library_places *p, int64_t folder_id, const char *below, struct err *err)
{
    if (p->n == LIBRARY_PLACES_MAX)
        return err_set(err, ERR_LIMIT, "a folder that lies in more than %d of the library's",
                       LIBRARY_PLACES_MAX);
    struct library_place *to   = mem_regrow(p->places, p->n + 1, sizeof *to);
    char                 *copy = *below ? mem_strdup(below) : NULL;
    if (to)
        p->places = to;
    if (!to || (*below && !copy)) {
        free(copy);
        return no_memory(err);
    }
    p->places[p->n++] = (struct library_place){folder_id, copy};
    return 0;
}

/* ---- As it is written ---- */

/* What of a path lies below a folder, "" for the folder itself; NULL: it lies elsewhere. */
static const char *below_of(const char *path, const char *folder)
{
    size_t at = path_inside(path, folder);
    return at ? path + at : NULL;
}

static int find_written(struct library *lib, const char *dir, const struct library_folder *folders,
                        size_t n, struct library_places *out, struct err *err)
{
    bool whole = false, some = false;
    int  rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        const char *below = *dir == '/' ? below_of(dir, folders[i].path) : dir;
        if (below_of(folders[i].path, dir))
            below = "";
        if (!below)
            continue;
        whole = whole || !*below;
        rc    = add(out, folders[i].id, below, err);
        if (!rc && *below && !some)
            rc = catalog_folder_has(lib->cat, folders[i].id, below, &some, err);
    }
    out->empty = out->n > 0 && !whole && !some;
    return rc;
}

/* ---- As it might be written ---- */

struct spelling {
    struct library        *lib;
    int64_t                folder_id;
    struct buf             path; /* as far as it was found */
    struct library_places *out;
};

static int follow(struct spelling *s, const char *rest, struct err *err);

/* Goes on with one part more. */
static int step(struct spelling *s, const char *part, size_t n, const char *rest, struct err *err)
{
    size_t before = s->path.len;
    int    rc     = before ? buf_append(&s->path, "/", 1, err) : 0;
    if (!rc)
        rc = buf_append(&s->path, part, n, err);
    if (!rc)
        rc = follow(s, rest, err);
    s->path.len = before;
    if (s->path.data)
        s->path.data[before] = '\0';
    return rc;
}

/* A part of a path that was found, n bytes, if it is the one that is wanted. */
static int try_part(struct spelling *s, const char *part, size_t n, const char *wanted,
                    const char *rest, struct err *err)
{
    char *name = mem_strndup(part, n);
    int   rc   = name ? 0 : no_memory(err);
    if (!rc && text_same(name, wanted))
        rc = step(s, part, n, rest, err);
    free(name);
    return rc;
}

/* The names at this level, each once, by hopping through the index over paths from the end
 * of one to the next. Canonical equivalents have the same beginning in ASCII but for its last
 * letter, which may be a composed one's. */
static int try_names(struct spelling *s, const char *wanted, const char *rest, struct err *err)
{
    struct buf from;
    size_t     ascii = 0, head = s->path.len + (s->path.len > 0);
    int        rc = 0;
    while ((unsigned char)wanted[ascii] < 0x80)
        ascii++;
    buf_init(&from, LONGEST);
    if (head)
        rc = buf_appendf(&from, err, "%s/", buf_str(&s->path));
    if (!rc && ascii > 1)
        rc = buf_append(&from, wanted, ascii - 1, err);
    char *start = rc ? NULL : mem_strdup(buf_str(&from));
    while (start) {
        char *path = NULL;
        rc         = catalog_path_from(s->lib->cat, s->folder_id, buf_str(&from), &path, err);
        if (rc || !path || strncmp(path, start, strlen(start)) != 0) {
            free(path);
            break;
        }
        size_t n       = strcspn(path + head, "/");
        bool   is_file = path[head + n] == '\0';
        if (!is_file || !rest)
            rc = try_part(s, path + head, n, wanted, rest, err);
        from.len = 0;
        rc       = rc ? rc : buf_append(&from, path, head + n, err);
        rc       = rc ? rc : buf_append_str(&from, is_file ? "\x01" : "0", err); /* '/' + 1 */
        free(path);
        if (rc)
            break;
    }
    if (!rc && !start)
        rc = no_memory(err);
    free(start);
    buf_release(&from);
    return rc;
}

/* rest: what of the path is still to be found; NULL: nothing. */
static int follow(struct spelling *s, const char *rest, struct err *err)
{
    bool there = false;
    if (!rest) {
        int rc = catalog_folder_has(s->lib->cat, s->folder_id, buf_str(&s->path), &there, err);
        return rc || !there ? rc : add(s->out, s->folder_id, buf_str(&s->path), err);
    }
    size_t      n    = strcspn(rest, "/");
    const char *more = rest[n] ? rest + n + 1 : NULL;
    char       *part = mem_strndup(rest, n);
    int         rc   = part ? 0 : no_memory(err);
    if (!rc)
        rc = text_is_ascii(part) ? step(s, part, n, more, err) : try_names(s, part, more, err);
    free(part);
    return rc;
}

/* What of path is left without as many parts as dir has, which it begins with in another
 * spelling. */
static const char *skip_parts(const char *path, const char *dir)
{
    bool at_slash = dir[strlen(dir) - 1] == '/'; /* the root */
    for (const char *at = dir; path && (at = strchr(at, '/')); at++)
        path = strchr(path, '/') ? strchr(path, '/') + 1 : NULL;
    if (path && !at_slash)
        path = strchr(path, '/') ? strchr(path, '/') + 1 : NULL;
    return path ? path : "";
}

static int find_spelled(struct library *lib, const char *dir, const struct library_folder *folders,
                        size_t n, struct library_places *out, struct err *err)
{
    char *named = NULL;
    int   rc    = text_nfc(dir, &named, err);
    for (size_t i = 0; i < n && !rc; i++) {
        char       *folder = NULL;
        const char *below  = dir;
        rc                 = text_nfc(folders[i].path, &folder, err);
        if (!rc && *dir == '/')
            below = below_of(named, folder)   ? skip_parts(dir, folders[i].path)
                    : below_of(folder, named) ? ""
                                              : NULL;
        struct spelling s = {.lib = lib, .folder_id = folders[i].id, .out = out};
        buf_init(&s.path, LONGEST);
        if (!rc && below)
            rc = *below ? follow(&s, below, err) : add(out, folders[i].id, "", err);
        buf_release(&s.path);
        free(folder);
    }
    free(named);
    return rc;
}

/* ---- Both ---- */

int library_places_find(struct library *lib, const char *dir, struct library_places *out,
                        struct err *err)
{
    struct library_folder *folders = NULL;
    struct library_places  spelled = {0};
    size_t                 n = 0, len = strlen(dir);
    *out = (struct library_places){0};
    while (len > 1 && dir[len - 1] == '/')
        len--;
    char *path = mem_strndup(dir, len);
    int   rc   = path ? library_folders(lib, &folders, &n, err) : no_memory(err);
    if (!rc && len)
        rc = find_written(lib, path, folders, n, out, err);
    if (!rc && (out->n == 0 || out->empty) && !text_is_ascii(path))
        rc = find_spelled(lib, path, folders, n, &spelled, err);
    if (!rc && spelled.n) {
        library_places_release(out);
        *out    = spelled;
        spelled = (struct library_places){0};
    }
    library_places_release(&spelled);
    if (rc)
        library_places_release(out);
    library_folders_free(folders, n);
    free(path);
    return rc;
}
