/* Pages after the first: see pages.h. */
#include "indexer/pages.h"

#include "base/mem.h"
#include "image/formats.h"
#include "image/preprocess.h"

#include <stdio.h>
#include <stdlib.h>

#define AT_A_TIME 8 /* pages of one encoder call */

struct run {
    const struct pages_tools *tools;
    const uint8_t            *bytes; /* (n) */
    size_t                    n;
    struct item              *item;
    pages_tell               *tell;
    void                     *ctx;
    size_t                    dim, pixel_bytes;
    uint8_t                  *pixels; /* (AT_A_TIME, size, size, 3) */
    int                       held;
};

static void tell(const struct run *r, int page, const char *why)
{
    char        text[1400];
    const char *what = r->item->part_times ? "frame" : "page";
    (void)snprintf(text, sizeof text, "%s/%s: %s %d is left out: %s", r->item->root, r->item->path,
                   what, page, why);
    r->tell(r->ctx, text);
}

/* Encodes the pages held; their numbers are there already. */
static int flush(struct run *r, struct err *err)
{
    size_t first = r->item->n_parts - (size_t)r->held;
    int    held  = r->held;
    r->held      = 0;
    return held ? encoder_images(r->tools->encoder, r->tools->scratch, r->pixels, held,
                                 r->item->part_embeddings + first * r->dim, err)
                : 0;
}

static int take_page(struct run *r, int page, struct err *err)
{
    const struct preprocess *p   = &encoder_info(r->tools->encoder)->preprocess;
    struct decoder          *d   = r->tools->decoder;
    struct err               why = ERR_INIT;
    struct image             view;
    struct image_part        part = {.page = page - 1, .time_ms = IMAGE_ANY_TIME};
    if (r->item->part_times)
        part.time_ms = r->item->info.times_ms[page - 1];
    int rc =
        decoder_decode_part(d, r->bytes, r->n, &part, preprocess_min_side(p), &view, NULL, &why);
    if (rc && decoder_is_broken(d))
        return err_set(err, why.code, "%s", why.msg);
    if (!rc)
        rc = preprocess_image(p, &view, r->pixels + (size_t)r->held * r->pixel_bytes, &why);
    if (rc) {
        tell(r, page, why.msg);
        return 0;
    }
    if (r->item->part_times)
        r->item->part_times[r->item->n_parts] = part.time_ms;
    r->item->part_pages[r->item->n_parts++] = page;
    return ++r->held == AT_A_TIME ? flush(r, err) : 0;
}

int pages_encode(const struct pages_tools *tools, const uint8_t *bytes, size_t n, struct item *item,
                 pages_tell *tell_of, void *ctx, struct err *err)
{
    const struct encoder_info *info  = encoder_info(tools->encoder);
    int                        pages = item->info.pages;
    bool                       video = format_is_video(item->info.kind);
    struct run                 r     = {.tools = tools,
                                        .bytes = bytes,
                                        .n     = n,
                                        .item  = item,
                                        .tell  = tell_of,
                                        .ctx   = ctx,
                                        .dim   = (size_t)info->dim};
    r.pixel_bytes = (size_t)info->preprocess.out_w * (size_t)info->preprocess.out_h * 3;
    if (video && pages > IMAGE_FRAMES_MAX)
        pages = IMAGE_FRAMES_MAX;
    if (pages > PAGES_CEILING) {
        tell(&r, PAGES_CEILING + 1, "it and what follows are more pages than Osprey looks at");
        pages = PAGES_CEILING;
    }
    if (pages < 2)
        return 0;
    int rc                = 0;
    r.pixels              = mem_aligned(AT_A_TIME * r.pixel_bytes, 1);
    item->part_pages      = mem_array((size_t)pages, sizeof *item->part_pages);
    item->part_embeddings = mem_array((size_t)pages * r.dim, sizeof *item->part_embeddings);
    if (video)
        item->part_times = mem_array((size_t)pages, sizeof *item->part_times);
    if (!r.pixels || !item->part_pages || !item->part_embeddings || (video && !item->part_times))
        rc = err_set(err, ERR_NOMEM, "out of memory for %d pages", pages);
    for (int page = 2; page <= pages && !rc; page++)
        rc = take_page(&r, page, err);
    if (!rc)
        rc = flush(&r, err);
    free(r.pixels);
    return rc;
}
