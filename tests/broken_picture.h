/* What holds for a picture of whatever bytes, for the tests that damage them. */
#ifndef OSPREY_TESTS_BROKEN_PICTURE_H
#define OSPREY_TESTS_BROKEN_PICTURE_H

#include "image/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Decoding must end, with pixels or with an error that says something. */
static inline void try_broken(const uint8_t *bytes, size_t n, int *good, int *bad)
{
    struct image_limits limits = {.max_pixels = 4000000, .max_bytes = 64 << 20};
    struct err          err    = ERR_INIT;
    struct image        img;
    struct image_info   info;
    int                 rc = image_decode(bytes, n, n % 3 == 0 ? 8 : 0, &limits, &img, &info, &err);
    if (rc) {
        assert_true(rc < 0);
        assert_true(err.msg[0] != '\0');
        assert_null(img.data);
        (*bad)++;
    } else {
        assert_non_null(img.data);
        assert_true(img.width > 0 && img.height > 0);
        assert_true(info.orientation >= 1 && info.orientation <= 8);
        (*good)++;
    }
    image_free(&img);
}

#endif
