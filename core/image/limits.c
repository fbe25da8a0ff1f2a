/* What all decoders share: pictures as memory, and what one may cost (image.h,
 * decode.h).
 */
#include "image/decode.h"

#include <stdio.h>
#include <stdlib.h>

void image_free(struct image *img)
{
    if (!img)
        return;
    free(img->data);
    *img = (struct image){0};
}

struct image_limits image_limits_default(void)
{
    return (struct image_limits){.max_pixels = 512000000, .max_bytes = (uint64_t)2 << 30};
}

const char *count_text(char buf[COUNT_TEXT], uint64_t count)
{
    char digits[COUNT_TEXT];
    int  n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    int  k = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            buf[k++] = ',';
        buf[k++] = digits[i];
    }
    buf[k] = '\0';
    return buf;
}

int decode_check_pixels(const struct decode_job *job, uint64_t width, uint64_t height,
                        struct err *err)
{
    if (width < 1 || height < 1)
        return err_set(err, ERR_FORMAT, "it has no pixels (%llu x %llu)", (unsigned long long)width,
                       (unsigned long long)height);
    if (width > job->limits->max_pixels / height) {
        char w[COUNT_TEXT], h[COUNT_TEXT], max[COUNT_TEXT];
        return err_set(err, ERR_LIMIT, "%s x %s pixels are more than the limit of %s",
                       count_text(w, width), count_text(h, height),
                       count_text(max, job->limits->max_pixels));
    }
    return 0;
}

int decode_check_bytes(const struct decode_job *job, uint64_t bytes, struct err *err)
{
    char need[COUNT_TEXT], max[COUNT_TEXT];
    if (bytes <= job->limits->max_bytes)
        return 0;
    return err_set(err, ERR_LIMIT, "decoding it takes %s bytes, more than the limit of %s",
                   count_text(need, bytes), count_text(max, job->limits->max_bytes));
}
