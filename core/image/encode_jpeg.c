/* JPEG out, through libjpeg-turbo: see encode_jpeg.h. */
#include "image/encode_jpeg.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

struct catcher {
    struct jpeg_error_mgr base;
    jmp_buf               jump;
};

static void leave(j_common_ptr info)
{
    struct catcher *catcher = (struct catcher *)info->err;
    longjmp(catcher->jump, 1);
}

static void say_nothing(j_common_ptr info)
{
    (void)info;
}

/* All that longjmp could clobber lives in the caller's frame. */
static int encode(struct jpeg_compress_struct *c, const struct image *img, int quality,
                  unsigned char **bytes, unsigned long *len)
{
    struct catcher *catcher = (struct catcher *)c->err;
    if (setjmp(catcher->jump))
        return -1;
    jpeg_create_compress(c);
    jpeg_mem_dest(c, bytes, len);
    c->image_width      = (JDIMENSION)img->width;
    c->image_height     = (JDIMENSION)img->height;
    c->input_components = 3;
    c->in_color_space   = JCS_RGB;
    jpeg_set_defaults(c);
    jpeg_set_quality(c, quality, TRUE);
    c->optimize_coding = TRUE;
    jpeg_start_compress(c, TRUE);
    while (c->next_scanline < c->image_height) {
        JSAMPROW row = img->data + (size_t)c->next_scanline * (size_t)img->width * 3;
        jpeg_write_scanlines(c, &row, 1);
    }
    jpeg_finish_compress(c);
    return 0;
}

int image_encode_jpeg(const struct image *img, int quality, uint8_t **out, size_t *n,
                      struct err *err)
{
    struct jpeg_compress_struct c = {0};
    struct catcher              catcher;
    unsigned char              *bytes = NULL;
    unsigned long               len   = 0;
    if (img->width < 1 || img->height < 1 || img->width > JPEG_MAX_DIMENSION ||
        img->height > JPEG_MAX_DIMENSION)
        return err_set(err, ERR_LIMIT, "a JPEG cannot have %d x %d pixels", img->width,
                       img->height);
    c.err                       = jpeg_std_error(&catcher.base);
    catcher.base.error_exit     = leave;
    catcher.base.output_message = say_nothing;
    int failed                  = encode(&c, img, quality, &bytes, &len);
    jpeg_destroy_compress(&c);
    if (failed) {
        char why[JMSG_LENGTH_MAX] = "";
        catcher.base.format_message((j_common_ptr)&c, why);
        free(bytes);
        return err_set(err, ERR_FAILED, "cannot make a JPEG of %d x %d pixels: %s", img->width,
                       img->height, why);
    }
    *out = bytes;
    *n   = len;
    return 0;
}
