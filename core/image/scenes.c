/* Where scenes change: see scenes.h. */
#include "image/scenes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SCENE_CHANGE 18 /* of 255 */
#define BLACK        48 /* the brightest of a black frame is darker */

static bool is_black(const uint8_t luma[SCENES_PIXELS])
{
    int most = 0;
    for (int i = 0; i < SCENES_PIXELS; i++)
        most = luma[i] > most ? luma[i] : most;
    return most < BLACK;
}

void scenes_take(struct scenes *s, int32_t ms, const uint8_t luma[SCENES_PIXELS])
{
    int apart = 0;
    if (is_black(luma) || s->n == SCENES_MAX || (s->n && ms <= s->ms[s->n - 1]))
        return;
    for (int i = 0; i < SCENES_PIXELS; i++)
        apart += abs((int)luma[i] - (int)s->last[i]);
    if (s->n && apart < SCENE_CHANGE * SCENES_PIXELS)
        return;
    s->ms[s->n++] = ms;
    memcpy(s->last, luma, sizeof s->last);
}

void scenes_spread(struct scenes *s, int most)
{
    int32_t gap[SCENES_MAX]; /* to the nearest chosen one; -1: chosen */
    int     at = 0, n = s->n, kept = 0;
    if (n <= most)
        return;
    for (int i = 0; i < n; i++)
        gap[i] = INT32_MAX;
    for (int k = 0; k < most; k++) {
        int next = 0;
        gap[at]  = -1;
        for (int i = 0; i < n; i++) {
            int32_t far = abs(s->ms[i] - s->ms[at]);
            gap[i]      = far < gap[i] ? far : gap[i];
            next        = gap[i] > gap[next] ? i : next;
        }
        at = next;
    }
    for (int i = 0; i < n; i++) {
        if (gap[i] < 0)
            s->ms[kept++] = s->ms[i];
    }
    s->n = kept;
}
