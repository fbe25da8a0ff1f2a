/* XMP packets through libexempi: see xmp.h. Its schemas:
 * Dublin Core, XMP basic, Photoshop (its date), EXIF for XMP (ISO 16684-1, CIPA DC-010), IPTC Photo
 * Metadata Standard 2021.1 (alternative text), and those of Lightroom and digiKam as these write
 * them. Osprey's own has a property of the same name for each that it changes, and for lists
 * another one for what people said.
 */
#include "meta/xmp.h"

#include "base/mem.h"
#include "text/fold.h"
#include "text/utf8.h"

#include <exempi/xmp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_DC     "http://purl.org/dc/elements/1.1/"
#define NS_XMP    "http://ns.adobe.com/xap/1.0/"
#define NS_LR     "http://ns.adobe.com/lightroom/1.0/"
#define NS_IPTC   "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
#define NS_DK     "http://www.digikam.org/ns/1.0/"
#define NS_EXIF   "http://ns.adobe.com/exif/1.0/"
#define NS_EXIFEX "http://cipa.jp/exif/1.0/"
#define NS_AUX    "http://ns.adobe.com/exif/1.0/aux/"
#define NS_PS     "http://ns.adobe.com/photoshop/1.0/"
#define NS_NOTE   "http://ns.adobe.com/xmp/note/"
#define NS_OSPREY "http://ns.osprey/xmp/1.0/"

#define DEFAULT_ITEM "[?xml:lang=\"x-default\"]"
#define ITEM_ROOM    96 /* bytes of "hierarchicalSubject[4096]" and the like */

struct property {
    const char *schema, *name, *shown;
    uint32_t    form;
    const char *people; /* of a list: the name of their twin */
};

static const struct property lists[XMP_LISTS] = {
    [XMP_SUBJECT] = {NS_DC, "subject", "dc:subject", XMP_PROP_ARRAY_IS_UNORDERED, "peopleSubject"},
    [XMP_HIERARCHY] = {NS_LR, "hierarchicalSubject", "lr:hierarchicalSubject",
                       XMP_PROP_ARRAY_IS_UNORDERED, "peopleHierarchicalSubject"},
    [XMP_TAGS_LIST] = {NS_DK, "TagsList", "digiKam:TagsList",
                       XMP_PROP_VALUE_IS_ARRAY | XMP_PROP_ARRAY_IS_ORDERED, "peopleTagsList"},
};

static const struct property texts[XMP_TEXTS] = {
    [XMP_DESCRIPTION] = {NS_DC, "description", "dc:description", 0, NULL},
    [XMP_ALT_TEXT]    = {NS_IPTC, "AltTextAccessibility", "Iptc4xmpCore:AltTextAccessibility", 0,
                         NULL},
};

static const struct property simples[XMP_SIMPLES] = {
    [XMP_RATING]     = {NS_XMP, "Rating", "xmp:Rating", 0, NULL},
    [XMP_LENS_EX]    = {NS_EXIFEX, "LensModel", "exifEX:LensModel", 0, NULL},
    [XMP_LENS_AUX]   = {NS_AUX, "Lens", "aux:Lens", 0, NULL},
    [XMP_LATITUDE]   = {NS_EXIF, "GPSLatitude", "exif:GPSLatitude", 0, NULL},
    [XMP_LONGITUDE]  = {NS_EXIF, "GPSLongitude", "exif:GPSLongitude", 0, NULL},
    [XMP_TAKEN]      = {NS_PS, "DateCreated", "photoshop:DateCreated", 0, NULL},
    [XMP_TAKEN_EXIF] = {NS_EXIF, "DateTimeOriginal", "exif:DateTimeOriginal", 0, NULL},
    [XMP_MADE]       = {NS_XMP, "CreateDate", "xmp:CreateDate", 0, NULL},
    [XMP_MADE_EXIF]  = {NS_EXIF, "DateTimeDigitized", "exif:DateTimeDigitized", 0, NULL},
    [XMP_EXTENDED]   = {NS_NOTE, "HasExtendedXMP", "xmpNote:HasExtendedXMP", 0, NULL},
};

struct xmp {
    XmpPtr       packet;
    XmpStringPtr text; /* scratch */
};

const char *xmp_list_name(enum xmp_list list)
{
    return lists[list].shown;
}

const char *xmp_text_name(enum xmp_text text)
{
    return texts[text].shown;
}

bool xmp_is_here(void)
{
    return true;
}

static void start(void)
{
    static const char *const own[][2] = {
        {NS_LR, "lr"},        {NS_DK, "digiKam"},        {NS_EXIFEX, "exifEX"},
        {NS_NOTE, "xmpNote"}, {NS_IPTC, "Iptc4xmpCore"}, {NS_OSPREY, "osprey"}};
    xmp_init();
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        xmp_register_namespace(own[i][0], own[i][1], NULL);
}

static pthread_once_t started = PTHREAD_ONCE_INIT;

void xmp_warm_up(void)
{
    struct xmp *x = NULL;
    char       *text;
    size_t      n;
    struct err  err = ERR_INIT;
    if (!xmp_open(NULL, 0, &x, &err) && !xmp_text_put(x, XMP_DESCRIPTION, "-", &err) &&
        !xmp_text_of(x, &text, &n, &err))
        free(text);
    xmp_close(x);
}

/* ---- Packets ---- */

int xmp_open(const void *packet, size_t n, struct xmp **out, struct err *err)
{
    *out = NULL;
    if (n > XMP_PACKET_MAX)
        return err_set(err, ERR_LIMIT, "an XMP packet of %zu bytes is longer than the limit of %zu",
                       n, XMP_PACKET_MAX);
    pthread_once(&started, start);
    struct xmp *x = mem_zeroed(1, sizeof *x);
    if (!x)
        return err_set(err, ERR_NOMEM, "out of memory for an XMP packet");
    x->text   = xmp_string_new();
    x->packet = n ? xmp_new(packet, n) : xmp_new_empty();
    if (!x->text || !x->packet) {
        int why = xmp_get_error();
        xmp_close(x);
        return n ? err_set(err, ERR_FORMAT, "its XMP cannot be parsed (libexempi's error %d)", why)
                 : err_set(err, ERR_NOMEM, "out of memory for an XMP packet");
    }
    *out = x;
    return 0;
}

void xmp_close(struct xmp *x)
{
    if (!x)
        return;
    if (x->packet)
        xmp_free(x->packet);
    if (x->text)
        xmp_string_free(x->text);
    free(x);
}

bool xmp_is_empty(struct xmp *x)
{
    XmpIteratorPtr all = xmp_iterator_new(x->packet, NULL, NULL, XMP_ITER_JUSTLEAFNODES);
    bool           any = all && xmp_iterator_next(all, NULL, NULL, NULL, NULL);
    if (all)
        xmp_iterator_free(all);
    return !any;
}

bool xmp_names_osprey(const void *packet, size_t n)
{
    return n && memmem(packet, n, NS_OSPREY, sizeof NS_OSPREY - 1);
}

int xmp_text_of(struct xmp *x, char **out, size_t *n, struct err *err)
{
    if (!xmp_serialize_and_format(x->packet, x->text,
                                  XMP_SERIAL_OMITPACKETWRAPPER | XMP_SERIAL_USECOMPACTFORMAT, 0,
                                  "\n", " ", 0))
        return err_set(err, ERR_FAILED, "cannot write XMP (libexempi's error %d)", xmp_get_error());
    *n   = xmp_string_len(x->text);
    *out = mem_strndup(xmp_string_cstr(x->text), *n);
    if (!*out)
        return err_set(err, ERR_NOMEM, "out of memory for XMP");
    struct xmp *again = NULL; /* names with control characters, say, are read but not escaped */
    struct err  why   = ERR_INIT;
    int         rc    = *n ? xmp_open(*out, *n, &again, &why) : 0;
    xmp_close(again);
    if (rc) {
        free(*out);
        *out = NULL;
        return err_set(err, rc, "what would be written could not be read again: %s", why.msg);
    }
    return 0;
}

static int cannot(const struct property *p, struct err *err)
{
    return err_set(err, ERR_FORMAT, "cannot change %s in its XMP (libexempi's error %d)", p->shown,
                   xmp_get_error());
}

/* ---- Lists ---- */

/* How many items a property has as a list; *is_there also with none. */
static int32_t list_size(struct xmp *x, const char *schema, const char *name, bool *is_there)
{
    uint32_t bits = 0;
    int32_t  n    = 0;
    *is_there     = xmp_get_property(x->packet, schema, name, x->text, &bits);
    if (*is_there && XMP_IS_PROP_ARRAY(bits)) {
        while (xmp_get_array_item(x->packet, schema, name, n + 1, x->text, NULL))
            n++;
    }
    return n;
}

/* The item's text, NULL when it is none; x's until the next call. */
static const char *list_item(struct xmp *x, const char *schema, const char *name, int32_t at)
{
    uint32_t bits = 0;
    if (!xmp_get_array_item(x->packet, schema, name, at, x->text, &bits) ||
        !XMP_IS_PROP_SIMPLE(bits))
        return NULL;
    const char *text = xmp_string_cstr(x->text);
    return text && *text && utf8_valid(text, strlen(text)) ? text : NULL;
}

int xmp_list_get(struct xmp *x, enum xmp_list list, enum xmp_whose whose, struct strings *out,
                 bool *is_there, struct err *err)
{
    const char *schema = whose == XMP_ALL ? lists[list].schema : NS_OSPREY;
    const char *name   = whose == XMP_PEOPLE ? lists[list].people : lists[list].name;
    bool        there;
    int32_t     n  = list_size(x, schema, name, &there);
    int         rc = 0;
    for (int32_t i = 1; i <= n && !rc; i++) {
        const char *text = list_item(x, schema, name, i);
        rc               = text ? strings_add(out, text, err) : 0;
    }
    if (is_there)
        *is_there = there;
    return rc;
}

int xmp_list_put_twin(struct xmp *x, enum xmp_list list, enum xmp_whose whose,
                      const struct strings *items, struct err *err)
{
    const struct property *p    = &lists[list];
    const char            *name = whose == XMP_PEOPLE ? p->people : p->name;
    xmp_delete_property(x->packet, NS_OSPREY, name);
    for (size_t i = 0; i < items->n; i++) {
        if (!xmp_append_array_item(x->packet, NS_OSPREY, name, XMP_PROP_ARRAY_IS_UNORDERED,
                                   items->list[i], 0))
            return cannot(p, err);
    }
    return 0;
}

int xmp_list_add(struct xmp *x, enum xmp_list list, const char *item, struct err *err)
{
    const struct property *p = &lists[list];
    bool ok = xmp_append_array_item(x->packet, p->schema, p->name, p->form, item, 0);
    return ok ? 0 : cannot(p, err);
}

int xmp_list_remove(struct xmp *x, enum xmp_list list, const char *item, struct err *err)
{
    const struct property *p = &lists[list];
    char                   path[ITEM_ROOM];
    bool                   there;
    int32_t                n = list_size(x, p->schema, p->name, &there);
    for (int32_t i = n; i >= 1; i--) {
        const char *text = list_item(x, p->schema, p->name, i);
        if (!text || !text_same(text, item))
            continue;
        (void)snprintf(path, sizeof path, "%s[%d]", p->name, i);
        bool ok = xmp_delete_property(x->packet, p->schema, n == 1 ? p->name : path);
        return ok ? 0 : cannot(p, err);
    }
    return 0;
}

/* ---- Texts ---- */

static int text_copy(struct xmp *x, char **out, struct err *err)
{
    const char *text = xmp_string_cstr(x->text);
    if (!text || !*text || !utf8_valid(text, strlen(text)))
        return 0;
    *out = mem_strdup(text);
    return *out ? 0 : err_set(err, ERR_NOMEM, "out of memory for a text");
}

int xmp_text_get(struct xmp *x, enum xmp_text text, char **out, bool *foreign, struct err *err)
{
    const struct property *p = &texts[text];
    char                   path[ITEM_ROOM];
    bool                   there;
    *out      = NULL;
    int32_t n = list_size(x, p->schema, p->name, &there);
    (void)snprintf(path, sizeof path, "%s" DEFAULT_ITEM, p->name);
    bool found = there && n > 0 && xmp_get_property(x->packet, p->schema, path, x->text, NULL);
    int  rc    = found ? text_copy(x, out, err) : 0;
    *foreign   = there && n > 0 && !*out;
    if (there && n == 0 && !rc && xmp_get_property(x->packet, p->schema, p->name, x->text, NULL))
        *foreign = *xmp_string_cstr(x->text) != '\0'; /* a plain text, which it should not be */
    if (rc || *out || !*foreign)
        return rc;
    /* Better in whatever language than nothing. */
    if (n == 0 || xmp_get_array_item(x->packet, p->schema, p->name, 1, x->text, NULL))
        rc = text_copy(x, out, err);
    return rc;
}

int xmp_text_get_own(struct xmp *x, enum xmp_text text, char **out, struct err *err)
{
    *out = NULL;
    return xmp_get_property(x->packet, NS_OSPREY, texts[text].name, x->text, NULL)
               ? text_copy(x, out, err)
               : 0;
}

int xmp_text_put(struct xmp *x, enum xmp_text text, const char *value, struct err *err)
{
    const struct property *p = &texts[text];
    char                   path[ITEM_ROOM];
    bool                   there;
    int32_t                n = list_size(x, p->schema, p->name, &there);
    (void)snprintf(path, sizeof path, "%s" DEFAULT_ITEM, p->name);
    bool item = n > 0 && xmp_get_property(x->packet, p->schema, path, x->text, NULL);
    bool ok   = true;
    if (value && item)
        ok = xmp_set_property(x->packet, p->schema, path, value, 0);
    else if (value)
        ok = xmp_set_localized_text(x->packet, p->schema, p->name, NULL, "x-default", value, 0);
    else if (item)
        ok = xmp_delete_property(x->packet, p->schema, n == 1 ? p->name : path);
    return ok ? 0 : cannot(p, err);
}

int xmp_text_put_own(struct xmp *x, enum xmp_text text, const char *value, struct err *err)
{
    const struct property *p = &texts[text];
    bool                   ok;
    xmp_delete_property(x->packet, NS_OSPREY, p->name);
    ok = !value || xmp_set_property(x->packet, NS_OSPREY, p->name, value, 0);
    return ok ? 0 : cannot(p, err);
}

bool xmp_simple_get(struct xmp *x, enum xmp_simple simple, char *out, size_t size)
{
    const struct property *p    = &simples[simple];
    uint32_t               bits = 0;
    if (!xmp_get_property(x->packet, p->schema, p->name, x->text, &bits) ||
        !XMP_IS_PROP_SIMPLE(bits))
        return false;
    const char *text = xmp_string_cstr(x->text);
    size_t      n    = text ? strlen(text) : 0;
    if (n == 0 || n >= size || !utf8_valid(text, n))
        return false;
    memcpy(out, text, n + 1);
    return true;
}
