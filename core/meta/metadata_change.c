/* What shall be said, as a packet that says it: see metadata.h.
 *
 * A tag is written thrice, as other programs look for it: its last level in dc:subject,
 * all of it in lr:hierarchicalSubject and, with slashes, in digiKam:TagsList. Of each
 * list Osprey's items are those that its twin names and that are still there.
 *
 * A list in XMP hides what says the same elsewhere: IIM's keywords, and the file's own
 * lists once there is a sidecar. So where Osprey begins such a list, that is copied into
 * it, counted as Osprey's, and goes with its tags; unless another program has added to the
 * list meanwhile.
 */
#include "meta/metadata.h"

#include "base/mem.h"
#include "meta/iim.h"
#include "meta/layer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void metadata_wish_release(struct metadata_wish *wish)
{
    strings_release(&wish->tags);
    free(wish->caption);
    free(wish->alt_text);
    *wish = (struct metadata_wish){0};
}

void metadata_edit_release(struct metadata_edit *edit)
{
    strings_release(&edit->changes);
    free(edit->packet);
    *edit = (struct metadata_edit){0};
}

struct change {
    const struct metadata_wish *wish;
    struct xmp                 *x;        /* that is changed */
    struct layer                file;     /* what the file's own XMP says; of a sidecar alone */
    struct strings              keywords; /* IIM's */
    char                       *caption;  /* IIM's */
    struct metadata_edit       *out;
    bool                        noted; /* a twin changed */
};

__attribute__((format(printf, 3, 4))) static int note(struct change *c, struct err *err,
                                                      const char *fmt, ...)
{
    char    line[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    char *clean = text_clean(line, strlen(line), sizeof line);
    int   rc    = clean ? strings_add(&c->out->changes, clean, err)
                        : err_set(err, ERR_NOMEM, "out of memory");
    free(clean);
    return rc == ERR_LIMIT ? 0 : rc; /* enough to look at */
}

/* ---- Lists ---- */

/* A wished tag as this list has it. */
static int wished_item(enum xmp_list list, const char *tag, struct strings *to, struct err *err)
{
    const char *last = strrchr(tag, '|');
    if (list == XMP_SUBJECT)
        return strings_add_new(to, last ? last + 1 : tag, err);
    char *path = mem_strdup(tag);
    if (!path)
        return err_set(err, ERR_NOMEM, "out of memory for a tag");
    for (char *at = path; list == XMP_TAGS_LIST && (at = strchr(at, '|'));)
        *at = '/';
    int rc = strings_add_new(to, path, err);
    free(path);
    return rc;
}

struct list_state {
    struct strings there, own, others, base, target;
    bool           is_there;
};

/* What the list shall hold of Osprey's: the tags, and the copies that go with them. */
static int list_target(struct change *c, enum xmp_list list, struct list_state *s, struct err *err)
{
    const struct strings *tags = &c->wish->tags;
    int                   rc   = 0;
    for (size_t i = 0; i < s->there.n && !rc; i++) {
        if (!strings_have(&s->own, s->there.list[i]))
            rc = strings_add_new(&s->others, s->there.list[i], err);
    }
    if (!rc)
        rc = layer_others(&c->file, list, &s->base, err);
    if (!rc && list == XMP_SUBJECT)
        rc = strings_join(&s->base, &c->keywords, err);
    for (size_t i = 0; i < s->base.n && !rc && (tags->n || s->others.n); i++) {
        if (!s->is_there || strings_have(&s->there, s->base.list[i]))
            rc = strings_add_new(&s->target, s->base.list[i], err);
    }
    for (size_t i = 0; i < tags->n && !rc; i++)
        rc = wished_item(list, tags->list[i], &s->target, err);
    return rc;
}

static int list_apply(struct change *c, enum xmp_list list, struct list_state *s, struct err *err)
{
    const char    *name = xmp_list_name(list);
    struct strings own  = {0};
    int            rc   = 0;
    for (size_t i = 0; i < s->own.n && !rc; i++) {
        const char *item = s->own.list[i];
        if (!strings_have(&s->there, item) || strings_have(&s->target, item))
            continue;
        rc = xmp_list_remove(c->x, list, item, err);
        if (!rc)
            rc = note(c, err, "- %s: %s", name, item);
    }
    for (size_t i = 0; i < s->target.n && !rc; i++) {
        const char *item = s->target.list[i];
        if (strings_have(&s->others, item))
            continue;
        rc = strings_add(&own, item, err);
        if (rc || strings_have(&s->there, item))
            continue;
        rc = xmp_list_add(c->x, list, item, err);
        if (!rc)
            rc = note(c, err, "+ %s: %s", name, item);
    }
    if (!rc && !strings_match(&own, &s->own)) {
        c->noted = true;
        rc       = xmp_list_put_own(c->x, list, &own, err);
    }
    strings_release(&own);
    return rc;
}

static int change_list(struct change *c, enum xmp_list list, struct err *err)
{
    struct list_state s  = {0};
    int               rc = xmp_list_get(c->x, list, false, &s.there, &s.is_there, err);
    if (!rc)
        rc = xmp_list_get(c->x, list, true, &s.own, NULL, err);
    if (!rc)
        rc = list_target(c, list, &s, err);
    if (!rc)
        rc = list_apply(c, list, &s, err);
    strings_release(&s.there);
    strings_release(&s.own);
    strings_release(&s.others);
    strings_release(&s.base);
    strings_release(&s.target);
    return rc;
}

/* ---- Texts ---- */

/* elsewhere: what says the same outside the packet, and would be hidden. */
static int change_text(struct change *c, enum xmp_text text, const char *wished,
                       const char *elsewhere, struct err *err)
{
    char *there = NULL, *own = NULL;
    bool  foreign;
    int   rc = xmp_text_get(c->x, text, &there, &foreign, err);
    if (!rc)
        rc = xmp_text_get_own(c->x, text, &own, err);
    bool  ours   = own && there && !foreign && !strcmp(own, there);
    bool  theirs = (there || foreign) && !ours;
    char *become = theirs || elsewhere ? NULL : (char *)wished; /* another's word stays */
    if (!rc && ours && !become) {
        rc = xmp_text_put(c->x, text, NULL, err);
        if (!rc)
            rc = note(c, err, "- %s: %s", xmp_text_name(text), there);
    } else if (!rc && become && !(ours && !strcmp(there, become))) {
        rc = xmp_text_put(c->x, text, become, err);
        if (!rc)
            rc = note(c, err, "%s %s: %s", ours ? "=" : "+", xmp_text_name(text), become);
    }
    bool same = become ? own && !strcmp(own, become) : !own;
    if (!rc && !same) {
        c->noted = true;
        rc       = xmp_text_put_own(c->x, text, become, err);
    }
    free(there);
    free(own);
    return rc;
}

/* ---- All of it ---- */

/* Whether the part of a packet that lies apart has anything that would be changed. */
static int check_extended(const struct container *c, struct err *err)
{
    struct layer apart = {0};
    bool         any   = false;
    int          rc    = c->extended.data ? layer_read(&apart, &c->extended, err) : 0;
    for (int i = 0; i < XMP_LISTS; i++)
        any = any || apart.has_list[i];
    for (int i = 0; i < XMP_TEXTS; i++)
        any = any || apart.text[i];
    layer_release(&apart);
    if (rc || !any)
        return rc;
    return err_set(err, ERR_UNSUPPORTED,
                   "its tags lie in an extended XMP packet: write beside it instead (--write "
                   "sidecar)");
}

static int change_all(struct change *c, struct err *err)
{
    const struct metadata_wish *wish = c->wish;
    int                         rc   = 0;
    for (int i = 0; i < XMP_LISTS && !rc && wish->set_tags; i++)
        rc = change_list(c, (enum xmp_list)i, err);
    const char *elsewhere =
        c->file.text[XMP_DESCRIPTION] ? c->file.text[XMP_DESCRIPTION] : c->caption;
    if (!rc && wish->set_caption)
        rc = change_text(c, XMP_DESCRIPTION, wish->caption, elsewhere, err);
    if (!rc && wish->set_alt_text)
        rc = change_text(c, XMP_ALT_TEXT, wish->alt_text, c->file.text[XMP_ALT_TEXT], err);
    if (rc || (!c->out->changes.n && !c->noted))
        return rc;
    if (xmp_is_empty(c->x)) {
        c->out->outcome = METADATA_DROP;
        return 0;
    }
    c->out->outcome = METADATA_PUT;
    return xmp_text_of(c->x, &c->out->packet, &c->out->len, err);
}

/* Where something is to be said. */
static bool says_anything(const struct metadata_wish *wish)
{
    return (wish->set_tags && wish->tags.n) || (wish->set_caption && wish->caption) ||
           (wish->set_alt_text && wish->alt_text);
}

/* A broken packet of another program's is no obstacle where Osprey's words are taken out:
 * c->x stays NULL then, and nothing changes. */
static int open_packet(struct change *c, const struct span *packet, struct err *err)
{
    struct err why = ERR_INIT;
    int        rc  = xmp_open(packet->data, packet->len, &c->x, &why);
    if (rc == ERR_FORMAT && !says_anything(c->wish) && !xmp_names_osprey(packet->data, packet->len))
        return 0;
    return rc ? err_set(err, why.code, "%s", why.msg) : 0;
}

int metadata_change(const struct metadata_files *files, const struct metadata_wish *wish,
                    struct metadata_edit *out, struct err *err)
{
    struct container places = {0};
    struct change    c      = {.wish = wish, .out = out};
    *out                    = (struct metadata_edit){.outcome = METADATA_SAME};
    if (!xmp_is_here())
        return err_set(err, ERR_UNSUPPORTED,
                       "this Osprey was built without libexempi: it writes no XMP");
    int rc = container_look(files->picture, files->picture_n, &places, err);
    if (!rc && places.iim.data)
        rc = iim_read(places.iim.data, places.iim.len, &c.keywords, &c.caption, err);
    if (!rc && wish->sidecar)
        rc = layer_read(&c.file, &places.xmp, err);
    if (!rc && wish->sidecar)
        rc = layer_read(&c.file, &places.extended, err);
    if (!rc && !wish->sidecar)
        rc = check_extended(&places, err);
    struct span packet =
        packet_trim(wish->sidecar ? (struct span){files->sidecar, files->sidecar_n} : places.xmp);
    if (!rc)
        rc = open_packet(&c, &packet, err);
    if (!rc && c.x)
        rc = change_all(&c, err);
    xmp_close(c.x);
    layer_release(&c.file);
    strings_release(&c.keywords);
    free(c.caption);
    container_release(&places);
    if (rc)
        metadata_edit_release(out);
    return rc;
}
