/* Comparing fingerprints: see alike.h. */
#include "image/alike.h"

#include <math.h>
#include <string.h>

#define SIDE      FINGERPRINT_SIDE
#define HALF      (SIDE / 2)
#define UNKNOWNS  6    /* gain, offset, and the frame's four */
#define FLAT      3.0f /* grey levels of standard deviation below which there is too little to see */
#define FAR       0.45f  /* correlation in place below which no small shift makes two one */
#define BEHIND    0.25f  /* and so far behind the best turn */
#define CLEAR     0.998f /* correlation in place that no other frame betters */
#define HOPELESS  0.2f   /* this far below what is wanted after two steps of the coarse fit */
#define SHIFT_MAX 0.16f  /* of the frame */
#define SCALE_MAX 0.24f
#define OUTSIDE   0.016f /* of the frame: half a pixel of the fingerprint */
#define COVERED   0.6f   /* share of the pixels that both must have */
#define DAMPING   2e-3   /* of the frame's unknowns, for pictures with slopes alone */
#define SETTLED   4e-4f  /* of the frame */

/* A window onto a: where the frame of b lies. u' = 0.5 + (1 + sx) (u - 0.5) + tx. */
struct frame {
    float sx, tx, sy, ty;
};

/* ---- In place ---- */

struct sums {
    int32_t a, b, aa, bb, ab;
};

/* Whole numbers: exact, in any order. */
static struct sums sums_of(const uint8_t *a, const uint8_t *b)
{
    struct sums s = {0};
    for (int i = 0; i < FINGERPRINT_PIXELS; i++) {
        int32_t p = a[i], q = b[i];
        s.a += p;
        s.b += q;
        s.aa += p * p;
        s.bb += q * q;
        s.ab += p * q;
    }
    return s;
}

static float deviation(int32_t sum, int32_t squares)
{
    double n = FINGERPRINT_PIXELS, mean = sum / n;
    return (float)sqrt(fmax(0, squares / n - mean * mean));
}

static float correlation(const struct sums *s)
{
    double n = FINGERPRINT_PIXELS;
    double a = s->aa - (double)s->a * s->a / n, b = s->bb - (double)s->b * s->b / n;
    return a > 0 && b > 0 ? (float)((s->ab - (double)s->a * s->b / n) / sqrt(a * b)) : 0;
}

/* A quarter turn clockwise. */
static void turn(const uint8_t *in, uint8_t *out)
{
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            out[x * SIDE + (SIDE - 1 - y)] = in[y * SIDE + x];
}

/* ---- Finding the frame ---- */

static void halve(const float *in, float *out)
{
    for (int y = 0; y < HALF; y++)
        for (int x = 0; x < HALF; x++) {
            const float *p    = in + 2 * y * SIDE + 2 * x;
            out[y * HALF + x] = (p[0] + p[1] + p[SIDE] + p[SIDE + 1]) / 4;
        }
}

/* One axis of the window: where a pixel of b falls in a, for all of a row or column. */
struct axis {
    int   at[SIDE], next[SIDE];
    float part[SIDE], u[SIDE];
    bool  in[SIDE];
};

static void axis_init(struct axis *axis, int n, float scale, float shift)
{
    for (int i = 0; i < n; i++) {
        float u       = ((float)i + 0.5f) / (float)n - 0.5f;
        float to      = 0.5f + (1 + scale) * u + shift;
        float p       = to * (float)n - 0.5f;
        axis->u[i]    = u;
        axis->in[i]   = to > 0 && to < 1;
        p             = p < 0 ? 0 : p > (float)(n - 1) ? (float)(n - 1) : p;
        axis->at[i]   = (int)p;
        axis->part[i] = p - (float)axis->at[i];
        axis->next[i] = axis->at[i] + 1 < n ? axis->at[i] + 1 : axis->at[i];
    }
}

/* n is a multiple of 4; the sum is the same on every machine. */
static float dot(const float *a, const float *b, int n)
{
    float s[4] = {0};
    for (int i = 0; i < n; i += 4)
        for (int l = 0; l < 4; l++)
            s[l] += a[i + l] * b[i + l];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* What one row of pixels brings, zero where a has none. */
enum { VALUE, ONE, SCALE_X, SHIFT_X, SHIFT_Y, ROW_PARTS };

static int row_parts(const float *a, int n, const struct axis *ax, const struct axis *ay, int y,
                     float v[ROW_PARTS][SIDE])
{
    const float *p = a + ay->at[y] * n, *q = a + ay->next[y] * n;
    float        fy   = ay->part[y];
    int          used = 0;
    for (int x = 0; x < n; x++) {
        int   l = ax->at[x], k = ax->next[x];
        float one = ax->in[x] ? 1 : 0, fx = ax->part[x];
        float top = p[l] + (p[k] - p[l]) * fx, low = q[l] + (q[k] - q[l]) * fx;
        float gx      = one * (float)n * ((p[k] - p[l]) * (1 - fy) + (q[k] - q[l]) * fy);
        v[VALUE][x]   = one * (top + (low - top) * fy);
        v[ONE][x]     = one;
        v[SCALE_X][x] = gx * ax->u[x];
        v[SHIFT_X][x] = gx;
        v[SHIFT_Y][x] = one * (float)n * (low - top);
        used += ax->in[x];
    }
    return used;
}

/* The normal equations of b = g a(W) + o + g da/dW dW, over the pixels that both have. The
 * unknowns: gain, offset, scale and shift across, scale and shift down; the scale down goes
 * with the shift down times the row's place. */
static int equations(const float *a, const float *b, int n, const struct axis *ax,
                     const struct axis *ay, double m[UNKNOWNS][UNKNOWNS], double r[UNKNOWNS])
{
    int used = 0;
    memset(m, 0, sizeof(double[UNKNOWNS][UNKNOWNS]));
    memset(r, 0, sizeof(double[UNKNOWNS]));
    for (int y = 0; y < n; y++) {
        float v[ROW_PARTS][SIDE];
        if (!ay->in[y])
            continue;
        used += row_parts(a, n, ax, ay, y, v);
        for (int i = 0; i < ROW_PARTS; i++) {
            double down  = i == SHIFT_Y ? (double)ay->u[y] : 0,
                   right = (double)dot(v[i], b + y * n, n);
            int to       = i == SHIFT_Y ? 5 : i;
            r[to] += right;
            r[4] += down * right;
            for (int j = 0; j <= i; j++) {
                double sum = (double)dot(v[i], v[j], n);
                m[to][j == SHIFT_Y ? 5 : j] += sum;
                if (i != SHIFT_Y)
                    continue;
                m[4][j == SHIFT_Y ? 4 : j] += down * (j == SHIFT_Y ? down : 1) * sum;
                if (j == SHIFT_Y)
                    m[5][4] += down * sum;
            }
        }
    }
    for (int i = 0; i < UNKNOWNS; i++)
        for (int j = i + 1; j < UNKNOWNS; j++)
            m[i][j] = m[j][i];
    return used;
}

/* Gauss's elimination; false where the equations say too little. r becomes the answer. */
static bool solve(double m[UNKNOWNS][UNKNOWNS], double r[UNKNOWNS])
{
    for (int i = 0; i < UNKNOWNS; i++) {
        if (!(m[i][i] > 1e-9)) /* positive definite but for rounding: no pivoting */
            return false;
        for (int k = i + 1; k < UNKNOWNS; k++) {
            double f = m[k][i] / m[i][i];
            for (int j = i; j < UNKNOWNS; j++)
                m[k][j] -= f * m[i][j];
            r[k] -= f * r[i];
        }
    }
    for (int i = UNKNOWNS - 1; i >= 0; i--) {
        for (int j = i + 1; j < UNKNOWNS; j++)
            r[i] -= m[i][j] * r[j];
        r[i] /= m[i][i];
    }
    return true;
}

/* Moves the frame to where it fits best; false where it runs away. */
static bool fit(const float *a, const float *b, int n, int steps, struct frame *f)
{
    double m[UNKNOWNS][UNKNOWNS], r[UNKNOWNS];
    for (int step = 0; step < steps; step++) {
        struct axis ax, ay;
        axis_init(&ax, n, f->sx, f->tx);
        axis_init(&ay, n, f->sy, f->ty);
        if (equations(a, b, n, &ax, &ay, m, r) < COVERED * (float)(n * n))
            return false;
        double size = m[2][2] + m[3][3] + m[4][4] + m[5][5];
        for (int i = 2; i < UNKNOWNS; i++)
            m[i][i] += DAMPING * size / 4;
        if (!solve(m, r) || !(r[0] > 0.05))
            return false;
        float d[4], most = 0;
        for (int i = 0; i < 4; i++) {
            d[i] = (float)(r[2 + i] / r[0]);
            most = fmaxf(most, fabsf(d[i]));
        }
        f->sx += d[0];
        f->tx += d[1];
        f->sy += d[2];
        f->ty += d[3];
        if (!(fabsf(f->sx) < SCALE_MAX && fabsf(f->sy) < SCALE_MAX && fabsf(f->tx) < SHIFT_MAX &&
              fabsf(f->ty) < SHIFT_MAX))
            return false;
        if (most < SETTLED)
            break;
    }
    return true;
}

/* ---- Judging it ---- */

/* a as it is seen through the frame, beside b: correlation, gain and worst square. */
static bool judge(const float *a, const float *b, int n, const struct frame *f, struct alike *out)
{
    struct axis ax, ay;
    float       seen[SIDE * SIDE];
    double      s = 0, t = 0, ss = 0, tt = 0, st = 0;
    int         used = 0;
    axis_init(&ax, n, f->sx, f->tx);
    axis_init(&ay, n, f->sy, f->ty);
    for (int y = 0; y < n; y++)
        for (int x = 0; x < n; x++) {
            const float *p = a + ay.at[y] * n, *q = a + ay.next[y] * n;
            int          l = ax.at[x], k = ax.next[x];
            float        top = p[l] + (p[k] - p[l]) * ax.part[x];
            float        low = q[l] + (q[k] - q[l]) * ax.part[x];
            float        v = top + (low - top) * ay.part[y], w = b[y * n + x];
            seen[y * n + x] = v;
            if (!ax.in[x] || !ay.in[y])
                continue;
            s += (double)v;
            t += (double)w;
            ss += (double)(v * v);
            tt += (double)(w * w);
            st += (double)(v * w);
            used++;
        }
    if ((float)used < COVERED * (float)(n * n))
        return false;
    double va = ss / used - s / used * (s / used), vb = tt / used - t / used * (t / used);
    double both = st / used - s / used * (t / used);
    if (!(va > FLAT * FLAT / 4) || !(vb > FLAT * FLAT / 4))
        return false;
    out->score = (float)(both / sqrt(va * vb));
    out->gain  = (float)(both / va);
    out->worst = 0;
    for (int by = 0; by < n; by += 4)
        for (int bx = 0; bx < n; bx += 4) {
            double sum = 0;
            int    m   = 0;
            for (int y = by; y < by + 4; y++)
                for (int x = bx; x < bx + 4; x++) {
                    if (!ax.in[x] || !ay.in[y])
                        continue;
                    double e = ((double)b[y * n + x] - t / used) / sqrt(vb) -
                               ((double)seen[y * n + x] - s / used) / sqrt(va);
                    sum += e * e;
                    m++;
                }
            if (m >= 8)
                out->worst = fmaxf(out->worst, (float)sqrt(sum / m));
        }
    return true;
}

static void to_float(const uint8_t *in, float *out)
{
    for (int i = 0; i < FINGERPRINT_PIXELS; i++)
        out[i] = (float)in[i];
}

/* Whether the span from `from`, so long, lies in 0..1, or holds it. */
static bool lies_in(float from, float length)
{
    return from >= -OUTSIDE && from + length <= 1 + OUTSIDE;
}

static bool holds(float from, float length)
{
    return from <= OUTSIDE && from + length >= 1 - OUTSIDE;
}

static void describe(const struct frame *f, struct alike *out)
{
    out->w      = 1 + f->sx;
    out->h      = 1 + f->sy;
    out->x      = 0.5f + f->tx - out->w / 2;
    out->y      = 0.5f + f->ty - out->h / 2;
    out->within = (lies_in(out->x, out->w) && lies_in(out->y, out->h)) ||
                  (holds(out->x, out->w) && holds(out->y, out->h));
}

static bool better(const struct alike *a, const struct alike *b)
{
    return a->within != b->within && fabsf(a->score - b->score) < 0.05f ? a->within
                                                                        : a->score > b->score;
}

/* a against b, turned already; in_place: their correlation. */
static void compare_turned(const uint8_t *a, const uint8_t *b, float in_place, float least,
                           struct alike *out)
{
    float        fa[SIDE * SIDE], fb[SIDE * SIDE], ha[HALF * HALF], hb[HALF * HALF];
    struct frame f    = {0};
    struct alike here = {.turns = out->turns}, moved = here;
    to_float(a, fa);
    to_float(b, fb);
    if (in_place >= least - 0.05f) {
        if (!judge(fa, fb, SIDE, &f, &here))
            return;
    } else { /* as far as anyone will want to know */
        here.score = in_place;
        here.gain  = 1;
        here.worst = INFINITY;
    }
    describe(&f, &here);
    *out = here;
    if (in_place >= CLEAR)
        return;
    halve(fa, ha);
    halve(fb, hb);
    if (!fit(ha, hb, HALF, 2, &f) || !judge(ha, hb, HALF, &f, &moved) ||
        moved.score < least - HOPELESS || !fit(ha, hb, HALF, 4, &f))
        return;
    if (!judge(ha, hb, HALF, &f, &moved) || moved.score < least - 0.1f || moved.score < in_place)
        return;
    if (!fit(fa, fb, SIDE, 5, &f) || !judge(fa, fb, SIDE, &f, &moved))
        return;
    describe(&f, &moved);
    if (better(&moved, &here))
        *out = moved;
}

void alike_compare(const uint8_t a[FINGERPRINT_BYTES], const uint8_t b[FINGERPRINT_BYTES],
                   float least, struct alike *out)
{
    uint8_t        turned[4][FINGERPRINT_PIXELS];
    float          near[4], best = -1;
    bool           have = false;
    const uint8_t *la   = fingerprint_luma(a);
    memset(out, 0, sizeof *out);
    memcpy(turned[0], fingerprint_luma(b), FINGERPRINT_PIXELS);
    struct sums s = sums_of(la, turned[0]);
    if (deviation(s.a, s.aa) < FLAT || deviation(s.b, s.bb) < FLAT)
        return;
    for (int t = 0; t < 4; t++) {
        if (t > 0) {
            turn(turned[t - 1], turned[t]);
            s = sums_of(la, turned[t]);
        }
        near[t] = correlation(&s);
        best    = fmaxf(best, near[t]);
    }
    out->score = fmaxf(best, 0);
    out->w = out->h = 1;
    for (int t = 0; t < 4; t++) {
        struct alike this = {.turns = t};
        if (near[t] < FAR || near[t] < best - BEHIND)
            continue;
        compare_turned(la, turned[t], near[t], least, &this);
        if (this.score <= 0 || (have && !better(&this, out)))
            continue;
        *out = this;
        have = true;
    }
}
