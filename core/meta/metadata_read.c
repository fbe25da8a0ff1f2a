/* What a picture says of itself: see metadata.h.
 *
 * Places in order of their weight: the sidecar's XMP, the file's XMP, IPTC-IIM, EXIF; of
 * tags the file's XMP and IIM are taken together. Metadata Working Group, Guidelines for
 * handling image metadata 2.0, section 5, without its digests: who wrote last is not told
 * by what many programs leave stale.
 *
 * Of a place, a lens and a date EXIF counts before the file's XMP and IIM: cameras write it,
 * and the rest is made of it (guidelines, same section; ExifTool and digiKam read so, too).
 * Departures: the sidecar, which the guidelines do not know, counts first; a date that is
 * coarse gives way to a finer one within it, so that a year does not hide a day.
 */
#include "meta/metadata.h"

#include "base/file.h"
#include "base/moment.h"
#include "meta/iim.h"
#include "meta/layer.h"
#include "meta/tiff_fields.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

int64_t metadata_sidecar_ns(const struct stat *st)
{
    int64_t ns = file_mtime_ns(st);
    if (!S_ISREG(st->st_mode))
        return 0;
    return ns == 0 || ns == -1 ? 1 : ns;
}

void metadata_release(struct metadata *m)
{
    strings_release(&m->tags);
    strings_release(&m->people);
    free(m->caption);
    free(m->alt_text);
    *m = (struct metadata){0};
}

/* ---- EXIF ---- */

/* What cameras put there that is nobody's caption. */
static bool is_junk(const char *caption)
{
    static const char *const junk[] = {"OLYMPUS DIGITAL CAMERA",
                                       "SONY DSC",
                                       "SAMSUNG DIGITAL CAMERA",
                                       "SAMSUNG CAMERA PICTURES",
                                       "MINOLTA DIGITAL CAMERA",
                                       "KONICA MINOLTA DIGITAL CAMERA",
                                       "KODAK Digital Still Camera",
                                       "DIGITAL CAMERA",
                                       "Exif_JPEG_PICTURE",
                                       "Created with GIMP",
                                       "DCIM\\",
                                       "default",
                                       "untitled"};
    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++) {
        size_t n = strlen(junk[i]);
        if (!strncasecmp(caption, junk[i], n) && (!caption[n] || junk[i][n - 1] == '\\'))
            return true;
    }
    return false;
}

static char *exif_string(const struct tiff *t, uint64_t directory, uint16_t tag, size_t max)
{
    struct tiff_field f;
    if (!tiff_find(t, directory, tag, &f) || (f.type != 2 && f.type != 1 && f.type != 129))
        return NULL;
    char *text = text_clean((const char *)f.value, strnlen((const char *)f.value, f.len), max);
    if (text && *text)
        return text;
    free(text);
    return NULL;
}

/* Degrees, minutes, seconds, and the letter of the half of the globe. */
static bool exif_angle(const struct tiff *t, uint64_t gps, uint16_t tag, char negative, double *out)
{
    struct tiff_field f, ref;
    double            part[3] = {0};
    if (!tiff_find(t, gps, tag, &f) || !tiff_find(t, gps, (uint16_t)(tag - 1), &ref) ||
        ref.len == 0 || !tiff_rational(t, &f, 0, &part[0]))
        return false;
    (void)tiff_rational(t, &f, 1, &part[1]); /* may be 0/0 */
    (void)tiff_rational(t, &f, 2, &part[2]);
    *out = part[0] + part[1] / 60 + part[2] / 3600;
    if (ref.value[0] == negative)
        *out = -*out;
    return true;
}

static void read_exif(const struct span *block, bool rated, struct metadata *m, char **caption)
{
    enum { GPS_LATITUDE = 2, GPS_LONGITUDE = 4 };
    struct tiff       t;
    struct tiff_field f;
    if (!tiff_open(&t, block->data, block->len))
        return;
    *caption = exif_string(&t, t.first, TIFF_DESCRIPTION, METADATA_TEXT_MAX);
    if (*caption && is_junk(*caption)) {
        free(*caption);
        *caption = NULL;
    }
    if (!rated && tiff_find(&t, t.first, TIFF_RATING, &f)) {
        uint64_t stars = tiff_integer(&t, &f, 0);
        m->rating      = stars <= 5 ? (int)stars : 0;
    }
    uint64_t exif = tiff_directory_at(&t, TIFF_EXIF), gps = tiff_directory_at(&t, TIFF_GPS);
    char    *lens = m->lens[0] ? NULL : exif_string(&t, exif, TIFF_LENS_MODEL, sizeof m->lens - 1);
    if (lens && strspn(lens, "- ") != strlen(lens)) /* "----": none is known */
        (void)snprintf(m->lens, sizeof m->lens, "%s", lens);
    free(lens);
    if (!m->has_place)
        m->has_place = exif_angle(&t, gps, GPS_LATITUDE, 'S', &m->latitude) &&
                       exif_angle(&t, gps, GPS_LONGITUDE, 'W', &m->longitude);
}

/* ---- Dates ---- */

struct dates {
    struct moment taken, made;           /* what is shown, and the file made of it */
    char          zone[8], made_zone[8]; /* EXIF's, for whoever tells none */
};

static void weigh(struct moment *so_far, const char *text, const char *zone)
{
    struct moment m;
    if (moment_parse(text, zone, &m))
        *so_far = moment_of_two(so_far, &m);
}

static void exif_text(const struct tiff *t, uint64_t directory, uint16_t tag, char *out,
                      size_t size)
{
    char *text = exif_string(t, directory, tag, size - 1);
    (void)snprintf(out, size, "%s", text ? text : "");
    free(text);
}

static void dates_of_layer(struct dates *d, const struct layer *layer)
{
    weigh(&d->taken, layer->taken, d->zone);
    weigh(&d->taken, layer->taken_exif, d->zone);
    weigh(&d->made, layer->made, d->made_zone);
    weigh(&d->made, layer->made_exif, d->made_zone);
}

static void dates_of_iim(struct dates *d, const struct span *iim)
{
    char text[IIM_DATE];
    iim_date(iim->data, iim->len, IIM_CREATED, text);
    weigh(&d->taken, text, d->zone);
    iim_date(iim->data, iim->len, IIM_DIGITIZED, text);
    weigh(&d->made, text, d->made_zone);
}

static void read_dates(const struct container *c, const struct layer *file,
                       const struct layer *sidecar, struct metadata *m)
{
    struct dates d         = {0};
    char         taken[32] = "", made[32] = "";
    struct tiff  t;
    if (c->exif.data && tiff_open(&t, c->exif.data, c->exif.len)) {
        uint64_t exif = tiff_directory_at(&t, TIFF_EXIF);
        exif_text(&t, exif, TIFF_TAKEN, taken, sizeof taken);
        exif_text(&t, exif, TIFF_TAKEN_ZONE, d.zone, sizeof d.zone);
        exif_text(&t, exif, TIFF_MADE, made, sizeof made);
        exif_text(&t, exif, TIFF_MADE_ZONE, d.made_zone, sizeof d.made_zone);
    }
    dates_of_layer(&d, sidecar);
    weigh(&d.taken, taken, d.zone);
    weigh(&d.made, made, d.made_zone);
    dates_of_layer(&d, file);
    if (c->iim.data)
        dates_of_iim(&d, &c->iim);
    m->is_made  = !d.taken.span && d.made.span;
    m->taken_at = m->is_made ? d.made.from : d.taken.from;
}

int64_t metadata_taken_at(const struct metadata *m, int64_t decoded)
{
    return m->taken_at && (!m->is_made || !decoded) ? m->taken_at : decoded;
}

/* ---- XMP ---- */

/* "52,30.5N" or "52,30,30N". */
static bool xmp_angle(const char *text, char negative, double *out)
{
    double      scale = 1;
    const char *at    = text;
    *out              = 0;
    for (int i = 0; i < 3; i++, scale *= 60) {
        char  *end;
        double part = strtod(at, &end);
        if (end == at || !isfinite(part) || part < 0)
            return false;
        *out += part / scale;
        at = end;
        if (*at != ',')
            break;
        at++;
    }
    if (!strchr("NSEW", *at) || !*at || at[1])
        return false;
    if (*at == negative)
        *out = -*out;
    return true;
}

/* False where it says nothing; 0 is a word, too. */
static bool read_rating(const struct layer *layer, struct metadata *m)
{
    char  *end;
    double stars = strtod(layer->rating, &end);
    if (end == layer->rating || !(stars >= -1 && stars <= 5))
        return false;
    m->rating = (int)lround(stars);
    return true;
}

static void read_layer(const struct layer *layer, struct metadata *m)
{
    if (!m->lens[0]) {
        char *lens = text_clean(layer->lens, strlen(layer->lens), sizeof m->lens - 1);
        (void)snprintf(m->lens, sizeof m->lens, "%s", lens ? lens : "");
        free(lens);
    }
    if (!m->has_place)
        m->has_place = xmp_angle(layer->latitude, 'S', &m->latitude) &&
                       xmp_angle(layer->longitude, 'W', &m->longitude);
}

/* ---- Tags ---- */

/* Names of what programs keep for themselves. */
static bool is_internal(const char *tag)
{
    return !strcmp(tag, "darktable") || !strncmp(tag, "darktable|", 10) ||
           !strncmp(tag, "_Digikam_", 9);
}

/* slash: what parts the levels of it. Levels are trimmed, empty ones go. */
static int add_tag(struct strings *tags, const char *text, char slash, struct err *err)
{
    char  *clean = text_clean(text, strlen(text), METADATA_TAG_MAX);
    size_t k     = 0;
    int    rc    = 0;
    if (!clean)
        return err_set(err, ERR_NOMEM, "out of memory for a tag");
    for (const char *at = clean; *at;) {
        size_t n = 0, next;
        while (at[n] && at[n] != '|' && (!slash || at[n] != slash))
            n++;
        next = n + (at[n] != '\0');
        while (n && *at == ' ') {
            at++;
            n--;
            next--;
        }
        size_t len = n;
        while (len && at[len - 1] == ' ')
            len--;
        if (len && k)
            clean[k++] = '|';
        memmove(clean + k, at, len);
        k += len;
        at += next;
    }
    clean[k] = '\0';
    if (k && !is_internal(clean) && tags->n < METADATA_TAGS)
        rc = strings_add_new(tags, clean, err);
    free(clean);
    return rc;
}

/* Whether a word is a level of one of the tags that have some. */
static bool is_level(const struct strings *tags, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i < tags->n; i++) {
        const char *at = strchr(tags->list[i], '|') ? tags->list[i] : NULL;
        while (at) {
            if (!strncmp(at, word, n) && (!at[n] || at[n] == '|'))
                return true;
            at = strchr(at, '|');
            at = at ? at + 1 : NULL;
        }
    }
    return false;
}

/* What is looked at: of people, what they said by way of Osprey alone. */
struct places {
    const struct layer   *file, *sidecar;
    const struct strings *keywords; /* IIM's */
    bool                  people;
};

/* Of one list, what counts: the sidecar's where it has that list, else the file's. What
 * Osprey copied from the file into the sidecar is the file's. */
static int effective(const struct places *p, enum xmp_list list, struct strings *out,
                     struct err *err)
{
    const struct layer *sidecar = p->sidecar;
    struct strings      base    = {0};
    int                 rc      = layer_others(p->file, list, p->people, &base, err);
    if (!rc && list == XMP_SUBJECT && !p->people)
        rc = strings_join(&base, p->keywords, err);
    if (!rc && !sidecar->has_list[list])
        rc = strings_join(out, &base, err);
    for (size_t i = 0; i < sidecar->list[list].n && !rc; i++) {
        const char *item   = sidecar->list[list].list[i];
        bool        counts = p->people ? strings_have(&sidecar->people[list], item)
                                       : !strings_have(&sidecar->own[list], item);
        if (counts || strings_have(&base, item))
            rc = strings_add_new(out, item, err);
    }
    strings_release(&base);
    return rc;
}

static int read_tags(const struct places *p, struct strings *tags, struct err *err)
{
    static const char slashes[XMP_LISTS] = {[XMP_HIERARCHY] = '|', [XMP_TAGS_LIST] = '/'};
    struct strings    list[XMP_LISTS] = {0}, slashed = {0}; /* as TagsList has the hierarchy's */
    int               rc = 0;
    for (int i = 0; i < XMP_LISTS && !rc; i++)
        rc = effective(p, (enum xmp_list)i, &list[i], err);
    for (size_t k = 0; k < list[XMP_HIERARCHY].n && !rc; k++)
        rc = layer_item(XMP_TAGS_LIST, list[XMP_HIERARCHY].list[k], &slashed, err);
    for (int i = XMP_LISTS - 1; i >= 0 && !rc; i--) { /* the flat list last */
        for (size_t k = 0; k < list[i].n && !rc; k++) {
            const char *item = list[i].list[k];
            bool        told = i == XMP_SUBJECT     ? is_level(tags, item)
                               : i == XMP_TAGS_LIST ? strchr(item, '\\') && strings_have(&slashed, item)
                                                    : false;
            if (!told)
                rc = add_tag(tags, item, slashes[i], err);
        }
    }
    for (int i = 0; i < XMP_LISTS; i++)
        strings_release(&list[i]);
    strings_release(&slashed);
    return rc;
}

/* ---- All of it ---- */

static char *clean_copy(const char *text)
{
    char *clean = text_clean(text, strlen(text), METADATA_TEXT_MAX);
    if (clean && *clean)
        return clean;
    free(clean);
    return NULL;
}

static void first_of(char **to, char *const from[], size_t n)
{
    for (size_t i = 0; i < n && !*to; i++)
        *to = from[i] ? clean_copy(from[i]) : NULL;
}

int metadata_read(const struct metadata_files *files, struct metadata *out, struct err *err)
{
    struct container c    = {0};
    struct layer     file = {0}, sidecar = {0};
    struct strings   keywords = {0};
    struct places    places   = {.file = &file, .sidecar = &sidecar, .keywords = &keywords};
    struct span      beside   = {files->sidecar, files->sidecar_n};
    char            *iim = NULL, *exif = NULL;
    *out   = (struct metadata){0};
    int rc = container_look(files->picture, files->picture_n, &c, err);
    if (!rc)
        rc = layer_read(&file, &c.xmp, err);
    if (!rc)
        rc = layer_read(&file, &c.extended, err);
    if (!rc && beside.data)
        rc = layer_read(&sidecar, &beside, err);
    if (!rc && c.iim.data)
        rc = iim_read(c.iim.data, c.iim.len, &keywords, &iim, err);
    if (!rc)
        rc = read_tags(&places, &out->tags, err);
    places.people = true;
    if (!rc)
        rc = read_tags(&places, &out->people, err);
    if (!rc) {
        bool rated = read_rating(&sidecar, out) || read_rating(&file, out);
        read_layer(&sidecar, out);
        if (c.exif.data) /* whose place and lens are those that the file's XMP was made of */
            read_exif(&c.exif, rated, out, &exif);
        if (c.has_place && !out->has_place) {
            out->has_place = true;
            out->latitude  = c.latitude;
            out->longitude = c.longitude;
        }
        read_layer(&file, out);
        read_dates(&c, &file, &sidecar, out);
        first_of(
            &out->caption,
            (char *const[]){sidecar.text[XMP_DESCRIPTION], file.text[XMP_DESCRIPTION], iim, exif},
            4);
        first_of(&out->alt_text,
                 (char *const[]){sidecar.text[XMP_ALT_TEXT], file.text[XMP_ALT_TEXT]}, 2);
    }
    bool sane = out->has_place && fabs(out->latitude) <= 90 && fabs(out->longitude) <= 180 &&
                (out->latitude != 0 || out->longitude != 0); /* what has no fix says 0, 0 */
    if (!sane) {
        out->has_place = false;
        out->latitude = out->longitude = 0;
    }
    free(iim);
    free(exif);
    strings_release(&keywords);
    layer_release(&file);
    layer_release(&sidecar);
    container_release(&c);
    if (rc)
        metadata_release(out);
    return rc;
}
