/* What shall be said, as a packet that says it: see metadata.h.
 *
 * A tag is written thrice, as other programs look for it: its last level in dc:subject,
 * all of it in lr:hierarchicalSubject and, with slashes, in digiKam:TagsList. Of each
 * list two twins name what is not another program's: Osprey's own items, and those that
 * a person said through Osprey. The latter go only when a library says that its person
 * took them away; any library may be asked, and most know nothing of that person. An item
 * that a twin names and the list lacks was taken out by another program: a tag of Osprey's
 * stays out then, everywhere, as long as Osprey says it, and the twin remembers.
 * Earlier versions had one twin for both, so what this library's person says is a
 * person's, whatever twin it stands in.
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
    strings_release(&wish->people);
    strings_release(&wish->taken);
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

/* A list as it is, and what shall be in it of Osprey's and of people. */
struct list_state {
    struct strings there, own, people; /* the twins, whether or not in the list */
    struct strings others;             /* there, and in no twin */
    struct strings base;               /* what it would hide */
    struct strings target, keep;       /* Osprey's; people's */
    struct strings noted;              /* Osprey's twin: the target, and what was taken out */
    bool           is_there;
};

struct change {
    const struct metadata_wish *wish;
    struct xmp                 *x;        /* that is changed */
    struct layer                file;     /* what the file's own XMP says; of a sidecar alone */
    struct strings              keywords; /* IIM's */
    char                       *caption;  /* IIM's */
    struct list_state           lists[XMP_LISTS];
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

static void list_release(struct list_state *s)
{
    struct strings *const all[] = {&s->there, &s->own,    &s->people, &s->others,
                                   &s->base,  &s->target, &s->keep,   &s->noted};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        strings_release(all[i]);
}

/* Some tags as a list has them. */
static int items_of(enum xmp_list list, const struct strings *tags, struct strings *to,
                    struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < tags->n && !rc; i++)
        rc = layer_item(list, tags->list[i], to, err);
    return rc;
}

/* What the list hides once it is there: but for what a person took away there, too. */
static int list_base(struct change *c, enum xmp_list list, const struct strings *taken,
                     struct strings *base, struct err *err)
{
    struct strings all = {0};
    int            rc  = layer_others(&c->file, list, false, &all, err);
    for (size_t i = 0; i < all.n && !rc; i++) {
        if (!strings_have(taken, all.list[i]) || !strings_have(&c->file.people[list], all.list[i]))
            rc = strings_add_new(base, all.list[i], err);
    }
    if (!rc && list == XMP_SUBJECT)
        rc = strings_join(base, &c->keywords, err);
    strings_release(&all);
    return rc;
}

static int list_look(struct change *c, enum xmp_list list, struct err *err)
{
    struct list_state *s  = &c->lists[list];
    int                rc = xmp_list_get(c->x, list, XMP_ALL, &s->there, &s->is_there, err);
    if (!rc)
        rc = xmp_list_get(c->x, list, XMP_OWN, &s->own, NULL, err);
    if (!rc)
        rc = xmp_list_get(c->x, list, XMP_PEOPLE, &s->people, NULL, err);
    for (size_t i = 0; i < s->there.n && !rc; i++) {
        const char *item = s->there.list[i];
        if (!strings_have(&s->own, item) && !strings_have(&s->people, item))
            rc = strings_add_new(&s->others, item, err);
    }
    return rc;
}

/* Whether another program has taken a tag of Osprey's out of a list. */
static int was_taken_out(const struct change *c, const char *tag, bool *out, struct err *err)
{
    int rc = 0;
    *out   = false;
    for (int i = 0; i < XMP_LISTS && !rc && !*out; i++) {
        const struct list_state *s    = &c->lists[i];
        struct strings           item = {0};
        rc                            = layer_item((enum xmp_list)i, tag, &item, err);
        *out = !rc && strings_have(&s->own, item.list[0]) && !strings_have(&s->there, item.list[0]);
        strings_release(&item);
    }
    return rc;
}

/* Whether a tag in the hierarchy, left there and not Osprey's, ends in a word. */
static int is_end(const struct change *c, const char *word, bool *out, struct err *err)
{
    const struct list_state *left = &c->lists[XMP_HIERARCHY];
    struct strings           ends = {0};
    int                      rc   = items_of(XMP_SUBJECT, &left->others, &ends, err);
    if (!rc)
        rc = items_of(XMP_SUBJECT, &left->keep, &ends, err);
    *out = strings_have(&ends, word);
    strings_release(&ends);
    return rc;
}

/* People's: what this library's say, and what is there of others' but for what is taken. */
static int target_people(struct change *c, enum xmp_list list, const struct strings *taken,
                         struct err *err)
{
    struct list_state *s    = &c->lists[list];
    struct strings     said = {0};
    int                rc   = items_of(list, &c->wish->people, &said, err);
    for (size_t i = 0; i < said.n && !rc; i++) {
        const char *item = said.list[i];
        if (!strings_have(&s->others, item) &&
            (!c->wish->only_out || strings_have(&s->there, item)))
            rc = strings_add_new(&s->keep, item, err);
    }
    for (size_t i = 0; i < s->people.n && !rc; i++) {
        const char *item = s->people.list[i];
        bool        stay = !strings_have(taken, item);
        if (!strings_have(&s->there, item))
            continue;
        if (!stay && list == XMP_SUBJECT)
            rc = is_end(c, item, &stay, err);
        if (!rc && stay)
            rc = strings_add_new(&s->keep, item, err);
    }
    strings_release(&said);
    return rc;
}

static bool is_anothers(const struct list_state *s, const char *item)
{
    return strings_have(&s->others, item) || strings_have(&s->keep, item);
}

/* Osprey's: the tags, and the copies that go with them. tags, out: those that are
 * written, those that another program took out. */
static int target_own(struct change *c, enum xmp_list list, const struct strings *tags,
                      const struct strings *out, struct err *err)
{
    struct list_state *s     = &c->lists[list];
    struct strings     items = {0}, gone = {0};
    int                rc = items_of(list, tags, &items, err);
    if (!rc)
        rc = items_of(list, out, &gone, err);
    for (size_t i = 0; i < s->own.n && !rc && c->wish->keep_own; i++)
        rc = strings_add_new(strings_have(&s->there, s->own.list[i]) ? &items : &gone,
                             s->own.list[i], err);
    for (size_t i = 0; i < items.n && !rc; i++) {
        if (!is_anothers(s, items.list[i]))
            rc = strings_add_new(&s->target, items.list[i], err);
    }
    bool any = s->target.n || s->others.n || s->keep.n;
    for (size_t i = 0; i < s->base.n && !rc && any; i++) {
        const char *item = s->base.list[i];
        if (!is_anothers(s, item) && (!s->is_there || strings_have(&s->there, item)))
            rc = strings_add_new(&s->target, item, err);
    }
    if (!rc)
        rc = strings_join(&s->noted, &s->target, err);
    for (size_t i = 0; i < gone.n && !rc; i++) {
        if (strings_have(&s->own, gone.list[i]) && !is_anothers(s, gone.list[i]))
            rc = strings_add_new(&s->noted, gone.list[i], err);
    }
    strings_release(&items);
    strings_release(&gone);
    return rc;
}

/* Of a twin, what is there and shall not be. */
static int list_take_out(struct change *c, enum xmp_list list, const struct strings *twin,
                         struct err *err)
{
    const struct list_state *s  = &c->lists[list];
    int                      rc = 0;
    for (size_t i = 0; i < twin->n && !rc; i++) {
        const char *item = twin->list[i];
        if (!strings_have(&s->there, item) || strings_have(&s->target, item) ||
            strings_have(&s->keep, item))
            continue;
        rc = xmp_list_remove(c->x, list, item, err);
        if (!rc)
            rc = note(c, err, "- %s: %s", xmp_list_name(list), item);
    }
    return rc;
}

static int list_put_in(struct change *c, enum xmp_list list, const struct strings *items,
                       struct err *err)
{
    const struct list_state *s  = &c->lists[list];
    int                      rc = 0;
    for (size_t i = 0; i < items->n && !rc; i++) {
        const char *item = items->list[i];
        if (strings_have(&s->there, item))
            continue;
        rc = xmp_list_add(c->x, list, item, err);
        if (!rc)
            rc = note(c, err, "+ %s: %s", xmp_list_name(list), item);
    }
    return rc;
}

static int list_note(struct change *c, enum xmp_list list, enum xmp_whose whose,
                     const struct strings *was, const struct strings *now, struct err *err)
{
    if (strings_match(now, was))
        return 0;
    c->noted = true;
    return xmp_list_put_twin(c->x, list, whose, now, err);
}

static int change_list(struct change *c, enum xmp_list list, const struct strings *tags,
                       const struct strings *out, struct err *err)
{
    struct list_state *s     = &c->lists[list];
    struct strings     taken = {0};
    int                rc    = items_of(list, &c->wish->taken, &taken, err);
    if (!rc)
        rc = list_base(c, list, &taken, &s->base, err);
    if (!rc)
        rc = target_people(c, list, &taken, err);
    if (!rc)
        rc = target_own(c, list, tags, out, err);
    if (!rc)
        rc = list_take_out(c, list, &s->own, err);
    if (!rc)
        rc = list_take_out(c, list, &s->people, err);
    if (!rc)
        rc = list_put_in(c, list, &s->keep, err);
    if (!rc)
        rc = list_put_in(c, list, &s->target, err);
    if (!rc)
        rc = list_note(c, list, XMP_OWN, &s->own, &s->noted, err);
    if (!rc)
        rc = list_note(c, list, XMP_PEOPLE, &s->people, &s->keep, err);
    strings_release(&taken);
    return rc;
}

static int change_tags(struct change *c, struct err *err)
{
    const struct strings *wished = &c->wish->tags;
    struct strings        tags = {0}, out = {0};
    int                   rc = 0;
    for (int i = 0; i < XMP_LISTS && !rc; i++)
        rc = list_look(c, (enum xmp_list)i, err);
    for (size_t i = 0; i < wished->n && !rc; i++) {
        bool gone = false;
        rc        = was_taken_out(c, wished->list[i], &gone, err);
        if (!rc)
            rc = strings_add_new(gone ? &out : &tags, wished->list[i], err);
    }
    for (int i = XMP_LISTS - 1; i >= 0 && !rc; i--) /* the flat list last */
        rc = change_list(c, (enum xmp_list)i, &tags, &out, err);
    strings_release(&tags);
    strings_release(&out);
    return rc;
}

/* ---- Texts ---- */

/* elsewhere: what says the same outside the packet, and would be hidden. A person's text is
 * not noted, and so another's from then on. */
static int change_text(struct change *c, enum xmp_text text, const char *wished,
                       const char *elsewhere, struct err *err)
{
    char *there = NULL, *own = NULL;
    bool  foreign;
    int   rc = xmp_text_get(c->x, text, &there, &foreign, err);
    if (!rc)
        rc = xmp_text_get_own(c->x, text, &own, err);
    bool ours   = own && there && !foreign && !strcmp(own, there);
    bool theirs = (there || foreign) && !ours;
    if (!wished && ours && c->wish->keep_own)
        wished = there;
    else if (wished && c->wish->only_out && !(ours && !strcmp(there, wished)))
        wished = NULL;
    bool out =
        own && !there && !foreign && wished && !c->wish->people_texts && !strcmp(own, wished);
    const char *become = theirs || elsewhere || out ? NULL : wished; /* another's word stays */
    if (!rc && ours && !become) {
        rc = xmp_text_put(c->x, text, NULL, err);
        if (!rc)
            rc = note(c, err, "- %s: %s", xmp_text_name(text), there);
    } else if (!rc && become && !(ours && !strcmp(there, become))) {
        rc = xmp_text_put(c->x, text, become, err);
        if (!rc)
            rc = note(c, err, "%s %s: %s", ours ? "=" : "+", xmp_text_name(text), become);
    }
    const char *noted = out ? own : c->wish->people_texts ? NULL : become;
    bool        same  = noted ? own && !strcmp(own, noted) : !own;
    if (!rc && !same) {
        c->noted = true;
        rc       = xmp_text_put_own(c->x, text, noted, err);
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
    int                         rc   = wish->set_tags ? change_tags(c, err) : 0;
    const char                 *elsewhere =
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
    for (int i = 0; i < XMP_LISTS; i++)
        list_release(&c.lists[i]);
    layer_release(&c.file);
    strings_release(&c.keywords);
    free(c.caption);
    container_release(&places);
    if (rc)
        metadata_edit_release(out);
    return rc;
}
