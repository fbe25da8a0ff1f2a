/* Random views of a picture: see views.h. */
#include "learn/views.h"

#include "base/mem.h"
#include "base/splitmix.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define TRIES 10 /* then the crop keeps the picture's shape */

struct rect {
    int x, y, width, height; /* pixels */
};

static int at_least_one(double side)
{
    return side < 1.5 ? 1 : (int)(side + 0.5);
}

static struct rect choose(const struct image *in, const struct view *view, uint64_t *state)
{
    double share = 1;
    for (int i = 0; i < TRIES; i++) {
        share        = view->area_low + (view->area_high - view->area_low) * splitmix_unit(state);
        double area  = share * in->width * in->height;
        double ratio = exp(log(VIEWS_WIDEST_RATIO) * (2 * splitmix_unit(state) - 1));
        int    w     = at_least_one(sqrt(area * ratio));
        int    h     = at_least_one(sqrt(area / ratio));
        if (w <= in->width && h <= in->height)
            return (struct rect){(int)splitmix_below(state, (size_t)(in->width - w) + 1),
                                 (int)splitmix_below(state, (size_t)(in->height - h) + 1), w, h};
    }
    int w = at_least_one(in->width * sqrt(share));
    int h = at_least_one(in->height * sqrt(share));
    return (struct rect){(in->width - w) / 2, (in->height - h) / 2, w, h};
}

int view_make(const struct image *in, const struct view *view, uint64_t *state, struct image *out,
              struct err *err)
{
    if (!in->data || in->width < 1 || in->height < 1)
        return err_set(err, ERR_USAGE, "cannot make a view of a picture without pixels");
    struct rect  r        = choose(in, view, state);
    bool         mirrored = splitmix_unit(state) < view->mirrored;
    size_t       row      = (size_t)r.width * 3;
    struct image made     = {.width = r.width, .height = r.height};
    made.data             = mem_array((size_t)r.height, row);
    if (!made.data)
        return err_set(err, ERR_NOMEM, "out of memory for a view of %d x %d", r.width, r.height);
    for (int y = 0; y < r.height; y++) {
        const uint8_t *from = in->data + ((size_t)(r.y + y) * (size_t)in->width + (size_t)r.x) * 3;
        uint8_t       *to   = made.data + (size_t)y * row;
        if (!mirrored)
            memcpy(to, from, row);
        for (int x = 0; mirrored && x < r.width; x++)
            memcpy(to + (size_t)x * 3, from + (size_t)(r.width - 1 - x) * 3, 3);
    }
    *out = made;
    return 0;
}
