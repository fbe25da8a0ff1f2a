/* The table of formats: see formats.h. */
#include "image/formats.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#ifndef OSPREY_HAVE_WEBP
#define OSPREY_HAVE_WEBP 0
#endif
#ifndef OSPREY_HAVE_GIF
#define OSPREY_HAVE_GIF 0
#endif
#ifndef OSPREY_HAVE_TIFF
#define OSPREY_HAVE_TIFF 0
#endif
#ifndef OSPREY_HAVE_HEIF
#define OSPREY_HAVE_HEIF 0
#endif
#ifndef OSPREY_HAVE_JXL
#define OSPREY_HAVE_JXL 0
#endif
#ifndef OSPREY_HAVE_RAW
#define OSPREY_HAVE_RAW 0
#endif
#ifndef OSPREY_HAVE_VIDEO
#define OSPREY_HAVE_VIDEO 0
#endif

#define MAX_EXTENSION 8 /* bytes of one, with its dot */

static const struct format formats[IMAGE_KINDS] = {
    [IMAGE_UNKNOWN] = {.name = "unknown", .extensions = " "},
    [IMAGE_JPEG]    = {.name       = "JPEG",
                       .mime       = "image/jpeg",
                       .extensions = " .jpg .jpeg .jpe .jfif ",
                       .built      = true},
    [IMAGE_PNG] = {.name = "PNG", .mime = "image/png", .extensions = " .png .apng ", .built = true},
    [IMAGE_WEBP] = {.name       = "WebP",
                    .mime       = "image/webp",
                    .extensions = " .webp ",
                    .module     = "webp",
                    .library    = "libwebp",
                    .built      = OSPREY_HAVE_WEBP},
    [IMAGE_GIF]  = {.name       = "GIF",
                    .mime       = "image/gif",
                    .extensions = " .gif ",
                    .module     = "gif",
                    .library    = "giflib",
                    .built      = OSPREY_HAVE_GIF},
    [IMAGE_TIFF] = {.name       = "TIFF",
                    .mime       = "image/tiff",
                    .extensions = " .tif .tiff ",
                    .module     = "tiff",
                    .library    = "libtiff",
                    .built      = OSPREY_HAVE_TIFF},
    [IMAGE_HEIC] = {.name       = "HEIC",
                    .mime       = "image/heic",
                    .extensions = " .heic .heif .hif ",
                    .module     = "heif",
                    .library    = "libheif",
                    .built      = OSPREY_HAVE_HEIF},
    [IMAGE_AVIF] = {.name       = "AVIF",
                    .mime       = "image/avif",
                    .extensions = " .avif ",
                    .module     = "heif",
                    .library    = "libheif",
                    .built      = OSPREY_HAVE_HEIF},
    [IMAGE_JXL]  = {.name       = "JPEG XL",
                    .mime       = "image/jxl",
                    .extensions = " .jxl ",
                    .module     = "jxl",
                    .library    = "libjxl",
                    .built      = OSPREY_HAVE_JXL},
    [IMAGE_RAW]  = {.name       = "RAW",
                    .mime       = "image/x-dcraw",
                    .extensions = " .dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .raf .orf .rw2 "
                                   ".rwl .pef .srw .erf .3fr .fff .iiq .mos .mef .mrw .kdc .dcr "
                                   ".x3f ",
                    .module     = "raw",
                    .library    = "libraw",
                    .built      = OSPREY_HAVE_RAW},
    [IMAGE_BMP]  = {.name = "BMP", .mime = "image/bmp", .extensions = " .bmp .dib ", .built = true},
    [IMAGE_PNM]  = {.name       = "PNM",
                    .mime       = "image/x-portable-anymap",
                    .extensions = " .pnm .ppm .pgm .pbm ",
                    .built      = true},
    [IMAGE_MP4]  = {.name       = "MP4",
                    .mime       = "video/mp4",
                    .extensions = " .mp4 .m4v .3gp ",
                    .module     = "video",
                    .library    = "FFmpeg",
                    .built      = OSPREY_HAVE_VIDEO},
    [IMAGE_MOV]  = {.name       = "MOV",
                    .mime       = "video/quicktime",
                    .extensions = " .mov .qt ",
                    .module     = "video",
                    .library    = "FFmpeg",
                    .built      = OSPREY_HAVE_VIDEO},
    [IMAGE_MATROSKA] = {.name       = "Matroska",
                        .mime       = "video/x-matroska",
                        .extensions = " .mkv ",
                        .module     = "video",
                        .library    = "FFmpeg",
                        .built      = OSPREY_HAVE_VIDEO},
    [IMAGE_WEBM]     = {.name       = "WebM",
                        .mime       = "video/webm",
                        .extensions = " .webm ",
                        .module     = "video",
                        .library    = "FFmpeg",
                        .built      = OSPREY_HAVE_VIDEO},
    [IMAGE_AVI]      = {.name       = "AVI",
                        .mime       = "video/x-msvideo",
                        .extensions = " .avi ",
                        .module     = "video",
                        .library    = "FFmpeg",
                        .built      = OSPREY_HAVE_VIDEO},
};

const struct format *format_of(enum image_kind kind)
{
    return &formats[kind > IMAGE_UNKNOWN && kind < IMAGE_KINDS ? kind : IMAGE_UNKNOWN];
}

const char *image_kind_name(enum image_kind kind)
{
    return format_of(kind)->name;
}

static enum image_kind kind_named(const char *name)
{
    for (int kind = IMAGE_JPEG; kind < IMAGE_KINDS; kind++) {
        if (!strcasecmp(name, formats[kind].name))
            return (enum image_kind)kind;
    }
    return IMAGE_UNKNOWN;
}

const char *format_mime(const char *name)
{
    enum image_kind kind = kind_named(name);
    return kind == IMAGE_UNKNOWN ? "application/octet-stream" : formats[kind].mime;
}

bool format_has_parts(const char *name)
{
    enum image_kind kind = kind_named(name);
    return kind == IMAGE_TIFF || format_is_video(kind);
}

bool format_names_video(const char *name)
{
    return format_is_video(kind_named(name));
}

/* How a file ends as it stands in the table, between spaces: false: it is no such ending.
 * dot: begins with one. */
static bool ending(const char *dot, char out[MAX_EXTENSION + 3])
{
    size_t n = strlen(dot);
    if (n < 2 || n > MAX_EXTENSION || strchr(dot, ' '))
        return false;
    out[0] = ' ';
    for (size_t i = 0; i < n; i++)
        out[i + 1] = (char)tolower((unsigned char)dot[i]);
    memcpy(out + n + 1, " ", 2);
    return true;
}

bool format_is_candidate(const char *name)
{
    const char *dot = strrchr(name, '.');
    char        wanted[MAX_EXTENSION + 3];
    if (!dot || !ending(dot, wanted))
        return false;
    for (int kind = IMAGE_JPEG; kind < IMAGE_KINDS; kind++) {
        if (strstr(formats[kind].extensions, wanted))
            return true;
    }
    return false;
}

unsigned format_kinds(const char *word)
{
    char     dotted[MAX_EXTENSION + 1], wanted[MAX_EXTENSION + 3];
    bool     video = !strcasecmp(word, "video");
    unsigned kinds = 0;
    int      n     = snprintf(dotted, sizeof dotted, ".%s", word);
    bool     ends  = n < (int)sizeof dotted && ending(dotted, wanted);
    for (int kind = IMAGE_JPEG; kind < IMAGE_KINDS; kind++) {
        if (!strcasecmp(word, formats[kind].name) ||
            (ends && strstr(formats[kind].extensions, wanted)) ||
            (video && format_is_video((enum image_kind)kind)))
            kinds |= format_bit((enum image_kind)kind);
    }
    return kinds;
}

bool format_is_among(const char *name, unsigned kinds)
{
    return kinds & format_bit(kind_named(name));
}
