/* Pictures decoded for searchd: see picture.h. */
#include "searchd/picture.h"

#include "base/mem.h"
#include "image/decoder.h"
#include "image/encode_jpeg.h"
#include "image/resize.h"
#include "searchd/server.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define MOST_PLACES 16

struct darkroom {
    pthread_mutex_t lock;
    pthread_cond_t  left;
    struct decoder *free[MOST_PLACES];
    int             n_free;
};

int darkroom_open(int places, int ms, struct darkroom **out, struct err *err)
{
    const struct decoder_options options = {.ms = ms};
    pthread_condattr_t           monotonic;
    struct darkroom             *room = mem_zeroed(1, sizeof *room);
    int                          rc   = room ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    if (rc)
        return rc;
    pthread_mutex_init(&room->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&room->left, &monotonic);
    pthread_condattr_destroy(&monotonic);
    while (!rc && room->n_free < places && room->n_free < MOST_PLACES) {
        rc = decoder_open(&options, &room->free[room->n_free], err);
        room->n_free += !rc;
    }
    if (rc)
        darkroom_close(room);
    else
        *out = room;
    return rc;
}

void darkroom_close(struct darkroom *room)
{
    if (!room)
        return;
    for (int i = 0; i < room->n_free; i++)
        decoder_close(room->free[i]);
    pthread_mutex_destroy(&room->lock);
    pthread_cond_destroy(&room->left);
    free(room);
}

static int enter(struct darkroom *room, double deadline_ms, struct decoder **out, struct err *err)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ms / 1e3)};
    int             late  = 0;
    until.tv_nsec         = (long)((deadline_ms - (double)until.tv_sec * 1e3) * 1e6);
    pthread_mutex_lock(&room->lock);
    while (!late && room->n_free == 0)
        late = pthread_cond_timedwait(&room->left, &room->lock, &until);
    *out = late ? NULL : room->free[--room->n_free]; /* the last used: its worker runs */
    pthread_mutex_unlock(&room->lock);
    return late ? err_set(err, ERR_BUSY, "the request waited too long for its picture") : 0;
}

static void leave(struct darkroom *room, struct decoder *d)
{
    pthread_mutex_lock(&room->lock);
    room->free[room->n_free++] = d;
    pthread_cond_signal(&room->left);
    pthread_mutex_unlock(&room->lock);
}

static int check_size(const struct image_info *info, uint64_t max_pixels, struct err *err)
{
    if ((uint64_t)info->width * (uint64_t)info->height <= max_pixels)
        return 0;
    return err_set(err, ERR_LIMIT, "%d x %d pixels are more than the limit of %llu", info->width,
                   info->height, (unsigned long long)max_pixels);
}

int picture_to_pixels(struct darkroom *room, double deadline_ms, const struct encoder *enc,
                      const uint8_t *bytes, size_t n, uint64_t max_pixels, uint8_t **pixels,
                      struct image_info *info, struct err *err)
{
    const struct preprocess *pre     = &encoder_info(enc)->preprocess;
    struct decoder          *decoder = NULL;
    struct image             view    = {0}; /* the decoder's */
    struct image_info        head;
    uint8_t                 *out = mem_array((size_t)pre->out_w * (size_t)pre->out_h, 3);
    int rc = out ? 0 : err_set(err, ERR_NOMEM, "out of memory for the picture");
    if (!rc)
        rc = enter(room, deadline_ms, &decoder, err);
    if (rc)
        goto out;
    rc = decoder_probe(decoder, bytes, n, &head, err);
    if (!rc)
        rc = check_size(&head, max_pixels, err);
    if (!rc)
        rc = decoder_decode(decoder, bytes, n, preprocess_min_side(pre), &view, info, err);
    if (rc)
        err_prefix(err, "cannot decode the picture");
    else
        rc = preprocess_image(pre, &view, out, err);
    leave(room, decoder);
out:
    if (rc)
        free(out);
    else
        *pixels = out;
    return rc;
}

/* The picture is upright already. */
static int shrink(const struct image *view, const struct image_info *info, int side, uint8_t **out,
                  size_t *len, struct err *err)
{
    struct image small  = {0};
    int          longer = info->width > info->height ? info->width : info->height;
    int          rc     = 0;
    if (longer > side) {
        int w = (int)((int64_t)info->width * side / longer);
        int h = (int)((int64_t)info->height * side / longer);
        rc    = image_resize(view, w > 0 ? w : 1, h > 0 ? h : 1, RESAMPLE_BICUBIC, &small, err);
    }
    if (!rc)
        rc = image_encode_jpeg(small.data ? &small : view, THUMBNAIL_QUALITY, out, len, err);
    image_free(&small);
    return rc;
}

int picture_to_thumbnail(struct darkroom *room, double deadline_ms, const uint8_t *bytes, size_t n,
                         const struct image_part *part, int side, uint8_t **out, size_t *len,
                         struct err *err)
{
    struct decoder   *decoder = NULL;
    struct image      view    = {0}; /* the decoder's */
    struct image_info info;
    int               rc = enter(room, deadline_ms, &decoder, err);
    if (rc)
        return rc;
    /* A page may be larger than the first, which alone can be looked at beforehand. */
    rc = part ? decoder_decode_part(decoder, bytes, n, part, side, &view, &info, err)
              : decoder_probe(decoder, bytes, n, &info, err);
    if (!rc && !part) {
        int longer   = info.width > info.height ? info.width : info.height;
        int shorter  = info.width > info.height ? info.height : info.width;
        /* What the shorter side will have, so that a JPEG is decoded no larger than
         * needed. */
        int min_side = longer > side ? (int)((int64_t)shorter * side / longer) : 0;
        rc           = decoder_decode(decoder, bytes, n, min_side, &view, &info, err);
    }
    if (!rc)
        rc = shrink(&view, &info, side, out, len, err);
    leave(room, decoder);
    return rc;
}
