/* Duplicates as a page (dupes.h): one file, small pictures inside, nothing from elsewhere. */
#include "cli/dupes.h"

#include "base/base64.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/output.h"
#include "image/decoder.h"
#include "image/encode_jpeg.h"
#include "image/resize.h"
#include "storage/query.h"
#include "text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CEILING      ((size_t)1 << 30) /* bytes of the page */
#define SMALL        200               /* pixels, the longer side */
#define QUALITY      75
#define PICTURES_MAX 5000 /* that are shown; others are named alone */

const char dupes_html_head[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Duplicates</title>\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<meta http-equiv=\"Content-Security-Policy\""
    " content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
    "<style>\n"
    ":root{color-scheme:light dark}body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;"
    "max-width:70rem;padding:0 1rem}\n"
    "section{border-top:1px solid #8885;padding:1rem 0}h2{font-size:1rem;margin:0 0 .6rem}\n"
    "ul{display:flex;flex-wrap:wrap;gap:1rem;list-style:none;margin:0;padding:0}\n"
    "li{width:210px;overflow-wrap:anywhere;font-size:.85rem}\n"
    "img{display:block;max-width:200px;max-height:200px;margin-bottom:.3rem}\n"
    ".none{width:200px;height:120px;background:#8883;margin-bottom:.3rem}\n"
    ".keep{outline:3px solid #2a8f4d;outline-offset:6px;border-radius:2px}\n"
    "</style>\n<h1>Duplicates</h1>\n";

/* Text for people; bytes that are not UTF-8, and control characters, become U+FFFD. */
static int put_text(struct buf *out, const char *text, struct err *err)
{
    const char *p   = text;
    size_t      len = strlen(text);
    int         rc  = 0;
    while (len > 0 && !rc) {
        uint32_t c;
        size_t   n = utf8_decode(p, len, &c);
        bool sound = c >= 0x20 && c != 0x7f && !(c >= 0x80 && c < 0xa0) && c != UTF8_REPLACEMENT;
        if (!sound)
            rc = buf_append_str(out, "\xef\xbf\xbd", err);
        else if (c == '<' || c == '>' || c == '&' || c == '"')
            rc = buf_appendf(out, err, "&#%u;", (unsigned)c);
        else
            rc = buf_append(out, p, n, err);
        p += n;
        len -= n;
    }
    return rc;
}

/* A JPEG of the file, small; NULL where it cannot be had. */
static char *small_picture(struct decoder *decoder, const char *path)
{
    uint8_t     *bytes = NULL, *jpeg = NULL;
    size_t       n = 0, len  = 0;
    struct image view, small = {0};
    char        *text = NULL;
    int          rc   = file_read(path, QUERY_MAX_IMAGE_BYTES, &bytes, &n, NULL);
    if (!rc)
        rc = decoder_decode(decoder, bytes, n, SMALL, &view, NULL, NULL);
    if (!rc) {
        int longer = view.width > view.height ? view.width : view.height;
        int side   = longer < SMALL ? longer : SMALL;
        int width = view.width * side / longer, height = view.height * side / longer;
        rc = image_resize(&view, width > 0 ? width : 1, height > 0 ? height : 1, RESAMPLE_BICUBIC,
                          &small, NULL);
    }
    if (!rc)
        rc = image_encode_jpeg(&small, QUALITY, &jpeg, &len, NULL);
    if (!rc)
        text = base64_encode(jpeg, len);
    image_free(&small);
    free(jpeg);
    free(bytes);
    return text;
}

static int put_picture(struct buf *out, struct decoder *decoder, const struct duplicates_picture *p,
                       bool show, struct err *err)
{
    char  when[32];
    char *small = show ? small_picture(decoder, p->path) : NULL;
    int   rc = buf_appendf(out, err, "<li%s>", p->kind == DUPLICATE_KEEP ? " class=\"keep\"" : "");
    if (!rc)
        rc = small ? buf_append_str(out, "<img alt=\"\" src=\"data:image/jpeg;base64,", err)
                   : buf_append_str(out, "<div class=\"none\"></div>", err);
    if (!rc && small)
        rc = buf_append_str(out, small, err);
    if (!rc && small)
        rc = buf_append_str(out, "\">", err);
    free(small);
    if (!rc)
        rc = p->kind == DUPLICATE_KEEP
                 ? buf_append_str(out, "<b>keep</b><br>", err)
                 : buf_appendf(out, err, "<b>%s</b> %.3f<br>", duplicate_kind_name(p->kind),
                               (double)p->score);
    if (!rc)
        rc = buf_appendf(out, err, "%d &times; %d, %s, %lld bytes", p->image.width, p->image.height,
                         p->image.kind, (long long)p->image.size);
    if (!rc && p->image.taken_at)
        rc = buf_appendf(out, err, "<br>%s", time_text(p->image.taken_at, when));
    if (!rc)
        rc = buf_append_str(out, "<br>", err);
    if (!rc)
        rc = put_text(out, p->path, err);
    return rc ? rc : buf_append_str(out, "\n", err);
}

static int put_group(struct library *lib, struct buf *out, struct decoder *decoder,
                     const struct duplicates_group *group, size_t *shown, struct err *err)
{
    struct duplicates_picture *pictures;
    size_t                     n;
    int                        rc = duplicates_pictures(lib, group, SIZE_MAX, &pictures, &n, err);
    if (!rc && n > 0)
        rc = buf_append_str(out, "<section><h2>The first is to be kept. ", err);
    if (!rc && n > 0)
        rc = put_text(out, group->why, err);
    if (!rc && n > 0)
        rc = buf_append_str(out, "</h2><ul>\n", err);
    for (size_t i = 0; i < n && !rc; i++)
        rc = put_picture(out, decoder, &pictures[i], (*shown)++ < PICTURES_MAX, err);
    if (!rc && n > 0)
        rc = buf_append_str(out, "</ul></section>\n", err);
    duplicates_pictures_free(pictures, n);
    return rc;
}

int dupes_html(struct library *lib, const struct duplicates *found, const char *file,
               struct err *err)
{
    struct decoder *decoder = NULL;
    struct buf      out;
    size_t          shown = 0;
    buf_init(&out, CEILING);
    int rc = decoder_open(NULL, &decoder, err);
    if (!rc)
        rc = buf_append_str(&out, dupes_html_head, err);
    if (!rc)
        rc = buf_appendf(&out, err, "<p>%zu groups among %zu pictures.</p>\n", found->n,
                         found->pictures);
    for (size_t i = 0; i < found->n && !rc; i++)
        rc = put_group(lib, &out, decoder, &found->groups[i], &shown, err);
    if (!rc && shown > PICTURES_MAX)
        rc = buf_appendf(&out, err, "<p>Only the first %d pictures are shown.</p>\n", PICTURES_MAX);
    if (!rc)
        rc = file_replace(file, buf_str(&out), out.len, err);
    decoder_close(decoder);
    buf_release(&out);
    return rc;
}
