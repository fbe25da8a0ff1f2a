/* What one place says: see layer.h. */
#include "meta/layer.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void layer_release(struct layer *layer)
{
    for (int i = 0; i < XMP_LISTS; i++) {
        strings_release(&layer->list[i]);
        strings_release(&layer->own[i]);
        strings_release(&layer->people[i]);
    }
    for (int i = 0; i < XMP_TEXTS; i++)
        free(layer->text[i]);
    *layer = (struct layer){0};
}

struct span packet_trim(struct span packet)
{
    while (packet.len && packet.data[packet.len - 1] == '\0')
        packet.len--;
    return packet;
}

static int read_text(struct layer *layer, struct xmp *x, enum xmp_text text, struct err *err)
{
    char *value = NULL, *own = NULL;
    bool  foreign;
    int   rc = layer->text[text] ? 0 : xmp_text_get(x, text, &value, &foreign, err);
    if (!rc && value)
        rc = xmp_text_get_own(x, text, &own, err);
    if (!rc && value && !(own && !strcmp(value, own))) {
        layer->text[text] = value;
        value             = NULL;
    }
    free(value);
    free(own);
    return rc;
}

static void read_simple(struct xmp *x, enum xmp_simple simple, char *out, size_t size)
{
    if (!*out && !xmp_simple_get(x, simple, out, size))
        *out = '\0';
}

int layer_read(struct layer *layer, const struct span *packet, struct err *err)
{
    struct xmp *x   = NULL;
    struct span p   = packet_trim(*packet);
    struct err  why = ERR_INIT;
    if (!p.len)
        return 0;
    int rc = xmp_open(p.data, p.len, &x, &why);
    for (int i = 0; i < XMP_LISTS && !rc; i++) {
        bool there;
        if (layer->has_list[i])
            continue;
        rc = xmp_list_get(x, (enum xmp_list)i, XMP_ALL, &layer->list[i], &there, &why);
        if (!rc)
            rc = xmp_list_get(x, (enum xmp_list)i, XMP_OWN, &layer->own[i], NULL, &why);
        if (!rc)
            rc = xmp_list_get(x, (enum xmp_list)i, XMP_PEOPLE, &layer->people[i], NULL, &why);
        layer->has_list[i] = there;
        rc                 = rc == ERR_LIMIT ? 0 : rc; /* as many as were taken */
    }
    for (int i = 0; i < XMP_TEXTS && !rc; i++)
        rc = read_text(layer, x, (enum xmp_text)i, &why);
    if (!rc) {
        read_simple(x, XMP_RATING, layer->rating, sizeof layer->rating);
        read_simple(x, XMP_LENS_EX, layer->lens, sizeof layer->lens);
        read_simple(x, XMP_LENS_AUX, layer->lens, sizeof layer->lens);
        read_simple(x, XMP_LATITUDE, layer->latitude, sizeof layer->latitude);
        read_simple(x, XMP_LONGITUDE, layer->longitude, sizeof layer->longitude);
        read_simple(x, XMP_TAKEN, layer->taken, sizeof layer->taken);
        read_simple(x, XMP_TAKEN_EXIF, layer->taken_exif, sizeof layer->taken_exif);
        read_simple(x, XMP_MADE, layer->made, sizeof layer->made);
        read_simple(x, XMP_MADE_EXIF, layer->made_exif, sizeof layer->made_exif);
    }
    xmp_close(x);
    return rc == ERR_NOMEM ? err_set(err, rc, "%s", why.msg) : 0;
}

int layer_others(const struct layer *layer, enum xmp_list list, bool noted, struct strings *out,
                 struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < layer->list[list].n && !rc; i++) {
        const char *item = layer->list[list].list[i];
        if (noted ? strings_have(&layer->people[list], item)
                  : !strings_have(&layer->own[list], item))
            rc = strings_add_new(out, item, err);
    }
    return rc;
}

int layer_item(enum xmp_list list, const char *tag, struct strings *to, struct err *err)
{
    const char *last = strrchr(tag, '|');
    if (list == XMP_SUBJECT)
        return strings_add_new(to, last ? last + 1 : tag, err);
    char *path = mem_strdup(tag);
    if (!path)
        return err_set(err, ERR_NOMEM, "out of memory for a tag");
    for (char *at = path; list == XMP_TAGS_LIST && *at; at++)
        *at = *at == '/' ? '\\' : *at == '|' ? '/' : *at;
    int rc = strings_add_new(to, path, err);
    free(path);
    return rc;
}
