/* EXIF through libexif: orientation, when the picture was taken, the camera.
 *
 * Not for writing EXIF, nor for other tags yet. Tags and their formats:
 * CIPA DC-008 (Exif 2.32), section 4.6. What is there is often wrong: anything
 * senseless is left out rather than reported.
 */
#include "image/decode.h"

#include "base/mem.h"
#include "base/moment.h"
#include "text/utf8.h"

#include <libexif/exif-data.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define EXIF_MAX_BYTES ((size_t)1 << 20) /* a JPEG segment holds 64 KiB; PNG sets no bound */
#define EXIF_TEXT      64                /* bytes kept of one string */

static const char exif_header[6] = {'E', 'x', 'i', 'f', 0, 0};

/* The tag's bytes as far as the first NUL, NUL-terminated; "" when absent. */
static void exif_bytes(ExifData *data, ExifIfd ifd, ExifTag tag, char *out, size_t size)
{
    const ExifEntry *entry = exif_content_get_entry(data->ifd[ifd], tag);
    size_t           n     = 0;
    if (entry && entry->data) {
        while (n < entry->size && n + 1 < size && entry->data[n])
            n++;
        memcpy(out, entry->data, n);
    }
    out[n] = '\0';
}

static void clean_text(const char *raw, char out[EXIF_TEXT])
{
    utf8_tidy(raw, strnlen(raw, EXIF_TEXT - 1), false, out, EXIF_TEXT - 1);
}

static void read_orientation(ExifData *data, struct image_info *info)
{
    const ExifEntry *entry = exif_content_get_entry(data->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
    if (!entry || !entry->data || entry->components < 1)
        return;
    ExifByteOrder order = exif_data_get_byte_order(data);
    unsigned      value = 0;
    if (entry->format == EXIF_FORMAT_SHORT && entry->size >= 2)
        value = exif_get_short(entry->data, order);
    else if (entry->format == EXIF_FORMAT_LONG && entry->size >= 4)
        value = exif_get_long(entry->data, order);
    if (value >= 1 && value <= 8)
        info->orientation = (int)value;
}

void exif_take(const char *make_raw, const char *model_raw, const char *date, const char *offset,
               struct image_info *info)
{
    char make[EXIF_TEXT], model[EXIF_TEXT];
    clean_text(make_raw ? make_raw : "", make);
    clean_text(model_raw ? model_raw : "", model);
    struct moment taken;
    (void)moment_parse(date, offset, &taken);
    info->taken_at = taken.from;
    size_t n       = strlen(make);
    /* "Canon" + "Canon EOS 5D" would say it twice. */
    if (n && !strncasecmp(make, model, n) && (!model[n] || model[n] == ' '))
        make[0] = '\0';
    char both[2 * EXIF_TEXT];
    (void)snprintf(both, sizeof both, "%s%s%s", make, make[0] && model[0] ? " " : "", model);
    n = strlen(both);
    if (n >= sizeof info->camera) {
        n = sizeof info->camera - 1;
        while (n && ((unsigned char)both[n] & 0xC0) == 0x80) /* not within a character */
            n--;
    }
    memcpy(info->camera, both, n);
    info->camera[n] = '\0';
}

void exif_read(const uint8_t *tiff, size_t len, struct image_info *info)
{
    if (len < 8 || len > EXIF_MAX_BYTES)
        return;
    ExifData *data  = exif_data_new();
    uint8_t  *block = mem_array(len + sizeof exif_header, 1);
    if (data && block) {
        memcpy(block, exif_header, sizeof exif_header);
        memcpy(block + sizeof exif_header, tiff, len);
        /* Left on, it would "repair" entries and invent missing ones. */
        exif_data_unset_option(data, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
        exif_data_load_data(data, block, (unsigned)(len + sizeof exif_header));
        char date[24], offset[8], make[EXIF_TEXT], model[EXIF_TEXT];
        exif_bytes(data, EXIF_IFD_0, EXIF_TAG_MAKE, make, sizeof make);
        exif_bytes(data, EXIF_IFD_0, EXIF_TAG_MODEL, model, sizeof model);
        exif_bytes(data, EXIF_IFD_EXIF, EXIF_TAG_DATE_TIME_ORIGINAL, date, sizeof date);
        exif_bytes(data, EXIF_IFD_EXIF, EXIF_TAG_OFFSET_TIME_ORIGINAL, offset, sizeof offset);
        exif_take(make, model, date, offset, info);
        read_orientation(data, info);
    }
    free(block);
    if (data)
        exif_data_unref(data);
}
