/* A picture file: its header, its EXIF, its pixels at full and reduced scale. A PNG
 * also with its checksums made right, which no mutation would hit. */
#include "tests/fuzz/fuzz.h"

#include "image/image.h"
#include "image/preprocess.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

static const struct image_limits LIMITS = {.max_pixels = 1 << 20, .max_bytes = 32 << 20};

static void use(const struct image *img)
{
    static const struct preprocess p   = {.shortest_edge = 20,
                                          .resample      = RESAMPLE_BICUBIC,
                                          .crop_w        = 16,
                                          .crop_h        = 16,
                                          .out_w         = 16,
                                          .out_h         = 16,
                                          .rescale       = 1.0f / 255,
                                          .std           = {1, 1, 1}};
    struct err                     err = ERR_INIT;
    uint8_t                       *out = malloc(16 * 16 * 3);
    uint8_t                        sum = 0;
    fuzz_check(out && img->width > 0 && img->height > 0 && img->data);
    for (size_t i = 0; i < (size_t)img->width * (size_t)img->height * 3; i++)
        sum = (uint8_t)(sum + img->data[i]);
    (void)sum;
    fuzz_check_err(preprocess_image(&p, img, out, &err), &err);
    free(out);
}

static void decode(const uint8_t *data, size_t size)
{
    struct image_info header = {0}, info = {0};
    struct err        err    = ERR_INIT;
    int               probed = image_probe(data, size, &header, &err);
    fuzz_check_err(probed, &err);
    if (!probed) {
        fuzz_check(header.width > 0 && header.height > 0);
        fuzz_check(header.orientation >= 1 && header.orientation <= 8);
        fuzz_check(memchr(header.camera, 0, sizeof header.camera));
        fuzz_check(utf8_valid(header.camera, strlen(header.camera)));
    }
    for (int min_side = 0; min_side <= 24; min_side += 12) {
        struct image img = {0};
        err              = (struct err)ERR_INIT;
        int rc           = image_decode(data, size, min_side, &LIMITS, &img, &info, &err);
        fuzz_check_err(rc, &err);
        fuzz_check(rc || !probed);
        if (!rc) {
            fuzz_check(info.width == header.width && info.height == header.height);
            /* A camera's raw file may come at half its size, or as its preview. */
            fuzz_check(min_side || info.kind == IMAGE_RAW ||
                       (img.width == info.width && img.height == info.height));
            fuzz_check(info.pages >= 1 && info.colours < IMAGE_COLOURS_KINDS);
            use(&img);
        }
        image_free(&img);
    }
}

/* PNG (Second Edition), annex D. */
static uint32_t crc_of(const uint8_t *bytes, size_t n)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

/* Puts the right checksum behind each chunk. */
static void mend_png(uint8_t *png, size_t n)
{
    for (size_t at = 8; n - at >= 12;) {
        size_t len = (size_t)png[at] << 24 | (size_t)png[at + 1] << 16 | (size_t)png[at + 2] << 8 |
                     png[at + 3];
        if (len > n - at - 12)
            return;
        uint32_t crc = crc_of(png + at + 4, len + 4);
        for (size_t i = 0; i < 4; i++)
            png[at + 8 + len + i] = (uint8_t)(crc >> (24 - 8 * i));
        at += len + 12;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode(data, size);
    if (size < 20 || image_kind_of(data, size) != IMAGE_PNG)
        return 0;
    uint8_t *mended = fuzz_exact(data, size);
    mend_png(mended, size);
    decode(mended, size);
    free(mended);
    return 0;
}
