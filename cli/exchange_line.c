/* Lines of an export (exchange_line.h). */
#include "cli/exchange_line.h"

#include "base/hash.h"
#include "base/mem.h"
#include "cli/exchange.h"
#include "image/formats.h"
#include "storage/library_tags.h"

#include <stdlib.h>
#include <string.h>

#define MOST_LINE  ((size_t)1 << 20) /* bytes */
#define MOST_PARTS (1 << 20)         /* of one picture */

/* ---- Writing ---- */

static int set_captions(struct jnode *o, const struct strings *captions)
{
    struct jnode *list   = jnode_array();
    int           failed = list ? 0 : -1;
    for (size_t i = 0; i < captions->n && !failed; i++)
        failed = jnode_push_str(list, captions->list[i]);
    return failed | jnode_set(o, "captions", list);
}

struct jnode *exchange_line_make(const struct library_whole *whole, const struct strings *captions,
                                 size_t i, int64_t row)
{
    const struct library_image *image = &whole->image;
    char                        hash[HASH_HEX];
    struct jnode               *o = jnode_object();
    if (!o)
        return NULL;
    hash_hex(image->hash, hash);
    int failed =
        jnode_set_int(o, "row", row) | jnode_set_int(o, "id", image->id) |
        jnode_set_path(o, "folder", image->folder) | jnode_set_path(o, "path", image->path) |
        jnode_set_str(o, "hash", hash) | jnode_set_int(o, "size", image->size) |
        jnode_set_int(o, "mtime_ns", image->mtime_ns) | jnode_set_int(o, "width", image->width) |
        jnode_set_int(o, "height", image->height) | jnode_set_str(o, "kind", image->kind) |
        jnode_set_int(o, "orientation", image->orientation) |
        jnode_set_int(o, "taken_at", image->taken_at) | jnode_set_str(o, "camera", image->camera);
    if (whole->n > 1 || whole->times || format_has_parts(image->kind)) {
        failed |= jnode_set_int(o, "parts", (int64_t)whole->n) |
                  jnode_set_int(o, whole->times ? "frame" : "page", whole->pages[i]);
        if (whole->times)
            failed |= jnode_set_int(o, "time_ms", whole->times[i]);
    }
    if (captions && captions->n && i == 0)
        failed |= set_captions(o, captions);
    if (!failed)
        return o;
    jnode_free(o);
    return NULL;
}

/* ---- Reading ---- */

void exchange_line_release(struct exchange_line *line)
{
    free(line->folder);
    free(line->path);
    free(line->kind);
    free(line->camera);
    strings_release(&line->captions);
    *line = (struct exchange_line){0};
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static bool read_hash(const char *text, uint8_t *out)
{
    for (int i = 0; i < LIBRARY_HASH_BYTES; i++) {
        int high = hex_digit(text[2 * i]), low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * LIBRARY_HASH_BYTES] == '\0';
}

/* Below its folder, and nowhere else. */
static bool stays_below(const char *path)
{
    if (!*path || *path == '/')
        return false;
    for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            return false;
    return true;
}

static bool read_number(const struct jnode *o, const char *key, int64_t least, int64_t most,
                        int64_t *out)
{
    return jnode_to_int(jnode_get(o, key), out) && *out >= least && *out <= most;
}

static bool read_size(const struct jnode *o, const char *key, int *out)
{
    int64_t v     = 0;
    bool    sound = read_number(o, key, 1, (1 << 30) - 1, &v);
    *out          = sound ? (int)v : 0;
    return sound;
}

/* Which page or frame it is, where it tells. */
static int read_part(const struct jnode *o, struct exchange_line *out, struct err *err)
{
    bool    frame = jnode_get(o, "frame") != NULL, page = jnode_get(o, "page") != NULL;
    bool    timed = jnode_get(o, "time_ms") != NULL;
    int64_t parts = 0, number = 1, ms = -1;
    if (jnode_get(o, "parts") == NULL) {
        if (frame || page || timed)
            return err_set(err, ERR_FORMAT, "it is of a page or a frame, but has no \"parts\"");
    } else if (!read_number(o, "parts", 1, MOST_PARTS, &parts) || frame == page ||
               !read_number(o, frame ? "frame" : "page", 1, INT32_MAX, &number) || frame != timed ||
               (timed && !read_number(o, "time_ms", 0, INT32_MAX, &ms))) {
        return err_set(err, ERR_FORMAT,
                       "its \"parts\", \"page\", \"frame\" or \"time_ms\" is missing or senseless");
    }
    out->parts   = (size_t)parts;
    out->page    = (int)number;
    out->time_ms = (int32_t)ms;
    return 0;
}

static int read_captions(const struct jnode *o, struct strings *out, struct err *err)
{
    const struct jnode *list = jnode_get(o, "captions");
    int                 rc   = 0;
    if (list && !jnode_is_array(list))
        rc = err_set(err, ERR_FORMAT, "its \"captions\" are no list");
    for (size_t i = 0; i < jnode_len(list) && !rc; i++) {
        const char *text = NULL;
        if (!jnode_to_str(jnode_at(list, i), &text))
            return err_set(err, ERR_FORMAT, "a caption is no text");
        char *clean = text_clean(text, strlen(text), LIBRARY_CAPTION_MAX);
        if (!clean)
            return err_set(err, ERR_NOMEM, "out of memory");
        if (*clean)
            rc = strings_add(out, clean, err);
        free(clean);
    }
    return rc;
}

int exchange_line_read(const char *text, size_t len, size_t row, struct exchange_line *out,
                       struct err *err)
{
    struct jnode        *o    = NULL;
    struct library_item *item = &out->item;
    const char          *hash = NULL, *kind = NULL, *camera = "";
    int64_t              at = -1, orientation = 1;
    *out   = (struct exchange_line){0};
    int rc = len > MOST_LINE ? err_set(err, ERR_LIMIT, "it is too long")
                             : jnode_parse(text, len, "it", &o, err);
    if (!rc)
        rc = exchange_path(o, "folder", &out->folder, err);
    if (!rc)
        rc = exchange_path(o, "path", &out->path, err);
    if (!rc && (*out->folder != '/' || !stays_below(out->path)))
        rc = err_set(err, ERR_FORMAT, "its path does not lie below its folder");
    if (!rc && (!jnode_to_int(jnode_get(o, "row"), &at) || at != (int64_t)row))
        rc = err_set(err, ERR_FORMAT, "its \"row\" is not %zu", row);
    if (!rc && !(jnode_to_str(jnode_get(o, "hash"), &hash) && read_hash(hash, item->hash)))
        rc = err_set(err, ERR_FORMAT, "its \"hash\" is not one");
    if (!rc && !(jnode_to_int(jnode_get(o, "size"), &item->size) && item->size >= 0 &&
                 jnode_to_int(jnode_get(o, "mtime_ns"), &item->mtime_ns) &&
                 read_size(o, "width", &item->width) && read_size(o, "height", &item->height) &&
                 jnode_to_str(jnode_get(o, "kind"), &kind) && *kind && strlen(kind) < 16))
        rc = err_set(err, ERR_FORMAT,
                     "its \"size\", \"mtime_ns\", \"width\", \"height\" or \"kind\" is missing or "
                     "senseless");
    if (!rc)
        rc = read_part(o, out, err);
    if (!rc)
        rc = read_captions(o, &out->captions, err);
    if (!rc) {
        jnode_to_int(jnode_get(o, "orientation"), &orientation);
        jnode_to_int(jnode_get(o, "taken_at"), &item->taken_at);
        jnode_to_str(jnode_get(o, "camera"), &camera);
        item->orientation = orientation >= 1 && orientation <= 8 ? (int)orientation : 1;
        out->kind         = mem_strdup(kind);
        out->camera       = mem_strdup(camera);
        if (!out->kind || !out->camera)
            rc = err_set(err, ERR_NOMEM, "out of memory");
    }
    jnode_free(o);
    if (rc)
        exchange_line_release(out);
    return rc;
}

/* ---- The order ---- */

static const char *part_name(const struct exchange_line *line)
{
    return line->time_ms >= 0 ? "frame" : "page";
}

static bool same_file(const struct exchange_line *a, const struct exchange_line *b)
{
    return strcmp(a->path, b->path) == 0 && strcmp(a->folder, b->folder) == 0;
}

/* The next page of the picture that is being read. */
static int check_next(const struct exchange_line *last, const struct exchange_line *line,
                      struct err *err)
{
    const struct library_item *a = &last->item, *b = &line->item;
    if (memcmp(a->hash, b->hash, sizeof a->hash) != 0 || a->size != b->size ||
        a->mtime_ns != b->mtime_ns || last->parts != line->parts ||
        strcmp(last->kind, line->kind) != 0 || (last->time_ms < 0) != (line->time_ms < 0))
        return err_set(err, ERR_FORMAT, "it is not of the same file as the line before it");
    if (line->page <= last->page)
        return err_set(err, ERR_FORMAT, "its %s %d comes after %s %d", part_name(line), line->page,
                       part_name(last), last->page);
    if (line->time_ms >= 0 && line->time_ms <= last->time_ms)
        return err_set(err, ERR_FORMAT, "its \"time_ms\" %d comes after %d", line->time_ms,
                       last->time_ms);
    return 0;
}

int exchange_order_take(struct exchange_order *order, const struct exchange_line *line,
                        struct err *err)
{
    const struct exchange_line *last = &order->last;
    bool                        more = last->path && order->seen < last->parts;
    int                         rc   = 0;
    if (more && !same_file(last, line))
        return err_set(err, ERR_FORMAT,
                       "it comes after %zu of the %zu %ss of %s, before the others", order->seen,
                       last->parts, part_name(last), last->path);
    if (more)
        rc = check_next(last, line, err);
    else if (line->page != 1 && last->path && same_file(last, line))
        rc = err_set(err, ERR_FORMAT, "its %s %d comes after all of its %zu %ss", part_name(line),
                     line->page, last->parts ? last->parts : 1, part_name(line));
    else if (line->page != 1)
        rc = err_set(err, ERR_FORMAT, "its %s %d comes without its first", part_name(line),
                     line->page);
    if (rc)
        return rc;
    char *folder = mem_strdup(line->folder), *path = mem_strdup(line->path);
    char *kind = mem_strdup(line->kind);
    exchange_line_release(&order->last);
    order->seen        = more ? order->seen + 1 : 1;
    order->last        = *line;
    order->last.folder = folder;
    order->last.path   = path;
    order->last.kind   = kind;
    order->last.camera = NULL;
    memset(&order->last.captions, 0, sizeof order->last.captions);
    return folder && path && kind ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

int exchange_order_end(const struct exchange_order *order, struct err *err)
{
    const struct exchange_line *last = &order->last;
    if (!last->path || order->seen >= last->parts)
        return 0;
    return err_set(err, ERR_FORMAT, "it ends after %zu of the %zu %ss of %s", order->seen,
                   last->parts, part_name(last), last->path);
}

void exchange_order_release(struct exchange_order *order)
{
    exchange_line_release(&order->last);
    *order = (struct exchange_order){0};
}
