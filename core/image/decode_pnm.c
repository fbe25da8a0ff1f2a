/* PNM: PBM, PGM and PPM, as text and as bytes (Netpbm's manual pages pbm(5), pgm(5),
 * ppm(5)). Of several pictures in one file it is the first.
 *
 * Samples become round(v * 255 / maxval), as in Pillow; above maxval they are an
 * error. PAM and the floating-point PFM are not read.
 */
#include "image/rows.h"

#include "base/mem.h"

#include <stdlib.h>

#define MAX_SIDE 1000000 /* pixels */

struct pnm {
    const uint8_t *bytes;
    size_t         n, at;
    int            kind; /* 1 to 6, as in P1 */
    uint32_t       width, height, maxval;
};

static bool is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static void skip_space(struct pnm *p)
{
    while (p->at < p->n && (is_space(p->bytes[p->at]) || p->bytes[p->at] == '#')) {
        if (p->bytes[p->at] == '#') {
            while (p->at < p->n && p->bytes[p->at] != '\n' && p->bytes[p->at] != '\r')
                p->at++;
        } else {
            p->at++;
        }
    }
}

/* A number in decimals. most: no more digits are read than it has. False: none. */
static bool read_number(struct pnm *p, uint32_t most, uint32_t *out)
{
    uint64_t value = 0;
    skip_space(p);
    size_t from = p->at;
    while (p->at < p->n && p->bytes[p->at] >= '0' && p->bytes[p->at] <= '9' && value <= most)
        value = value * 10 + (p->bytes[p->at++] - '0');
    *out = (uint32_t)value;
    return p->at > from && value <= most;
}

static int read_header(struct pnm *p, struct err *err)
{
    p->kind   = p->bytes[1] - '0';
    p->at     = 2;
    p->maxval = 1;
    bool bits = p->kind == 1 || p->kind == 4;
    if (!read_number(p, INT32_MAX, &p->width) || !read_number(p, INT32_MAX, &p->height) ||
        (!bits && !read_number(p, 65535, &p->maxval)) || p->maxval < 1)
        return err_set(err, ERR_FORMAT, "%s in its header",
                       p->at >= p->n ? "truncated" : "corrupt");
    if (p->kind >= 4) { /* one white space, then bytes */
        if (p->at >= p->n || !is_space(p->bytes[p->at]))
            return err_set(err, ERR_FORMAT, "%s in its header",
                           p->at >= p->n ? "truncated" : "corrupt");
        p->at++;
    }
    return 0;
}

static uint8_t level(const struct pnm *p, uint32_t value)
{
    return (uint8_t)((value * 255 + p->maxval / 2) / p->maxval);
}

/* The next sample of a row: its x-th of those in bytes. 1: there is none; -1: it is
 * senseless. */
static int read_sample(struct pnm *p, uint32_t x, uint32_t *value)
{
    switch (p->kind) {
    case 1: /* digits that need no space between */
        skip_space(p);
        if (p->at >= p->n)
            return 1;
        *value = 1 - (uint32_t)(p->bytes[p->at] - '0');
        return p->bytes[p->at] == '0' || p->bytes[p->at] == '1' ? (p->at++, 0) : -1;
    case 4:
        if (p->at + x / 8 >= p->n)
            return 1;
        *value = !(p->bytes[p->at + x / 8] >> (7 - x % 8) & 1);
        return 0;
    case 2:
    case 3:
        if (!read_number(p, UINT16_MAX, value))
            return p->at >= p->n ? 1 : -1;
        return 0;
    default:
        if (p->n - p->at < (p->maxval > 255 ? 2u : 1u))
            return 1;
        *value = p->bytes[p->at++];
        if (p->maxval > 255)
            *value = *value << 8 | p->bytes[p->at++];
        return 0;
    }
}

static int read_row(struct pnm *p, int y, uint8_t *rgb, struct err *err)
{
    bool colours = p->kind == 3 || p->kind == 6;
    for (uint32_t x = 0; x < p->width; x++, rgb += 3) {
        for (uint32_t c = 0; c < (colours ? 3 : 1); c++) {
            char     done[COUNT_TEXT], all[COUNT_TEXT];
            uint32_t value = 0;
            int      bad   = read_sample(p, x, &value);
            if (bad || value > p->maxval)
                return err_set(err, ERR_FORMAT, "%s after %s of %s rows",
                               bad > 0 ? "truncated" : "corrupt", count_text(done, (unsigned)y),
                               count_text(all, p->height));
            rgb[c] = level(p, value);
        }
        if (!colours)
            rgb[1] = rgb[2] = rgb[0];
    }
    if (p->kind == 4)
        p->at += (p->width + 7) / 8;
    return 0;
}

int pnm_decode(struct decode_job *job, struct err *err)
{
    struct pnm  p    = {.bytes = job->bytes, .n = job->n};
    struct rows rows = {0};
    int         rc   = read_header(&p, err);
    if (rc)
        return rc;
    rc = decode_check_pixels(job, p.width, p.height, err);
    if (!rc && (p.width > MAX_SIDE || p.height > MAX_SIDE))
        rc = err_set(err, ERR_LIMIT, "a side is longer than %d pixels", MAX_SIDE);
    if (rc)
        return rc;
    job->width  = (int)p.width;
    job->height = (int)p.height;
    if (!job->out)
        return 0;
    rc = rows_open(&rows, job, job->width, job->height, ROWS_OPAQUE, NULL, err);
    for (int y = 0; y < job->height && !rc; y++) {
        uint8_t *row = rows_room(&rows, y);
        rc           = read_row(&p, y, row, err);
        if (!rc)
            rows_put(&rows, y, row);
    }
    rows_close(&rows);
    return rc;
}
