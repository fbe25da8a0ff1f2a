/* AdamW, its schedule, clipping, averages: see adamw.h. */
#include "learn/adamw.h"

#include "base/mem.h"

#include "learn/real_f32.h"

#include "learn/real_math_inl.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK 65536 /* gradients whose squares are summed together, whatever the threads */
#define BLOCK 1024  /* of those, in single precision */

static size_t size_of(const struct param_f32 *p)
{
    return (size_t)p->rows * (size_t)p->cols;
}

/* One zeroed array for each parameter. */
static float **arrays_new(const struct param_f32 *params, int n)
{
    float **arrays = mem_zeroed((size_t)n, sizeof *arrays);
    for (int i = 0; arrays && i < n; i++) {
        arrays[i] = mem_aligned(size_of(&params[i]), sizeof **arrays);
        if (!arrays[i]) {
            while (i-- > 0)
                free(arrays[i]);
            free(arrays);
            return NULL;
        }
        memset(arrays[i], 0, size_of(&params[i]) * sizeof **arrays);
    }
    return arrays;
}

static void arrays_free(float **arrays, int n)
{
    for (int i = 0; arrays && i < n; i++)
        free(arrays[i]);
    free(arrays);
}

int adamw_init(struct adamw *a, const struct adamw_options *o, const struct param_f32 *params,
               int n, struct err *err)
{
    *a        = (struct adamw){.o = *o, .n = n};
    a->params = mem_array((size_t)n, sizeof *a->params);
    a->m      = arrays_new(params, n);
    a->v      = arrays_new(params, n);
    if (o->ema > 0)
        a->ema = arrays_new(params, n);
    if (!a->params || !a->m || !a->v || (o->ema > 0 && !a->ema)) {
        adamw_release(a);
        return err_set(err, ERR_NOMEM, "out of memory for the optimiser of %d parameters", n);
    }
    for (int i = 0; i < n; i++) {
        a->params[i] = params[i];
        if (a->ema)
            memcpy(a->ema[i], params[i].value, size_of(&params[i]) * sizeof(float));
    }
    return 0;
}

void adamw_release(struct adamw *a)
{
    if (!a)
        return;
    arrays_free(a->m, a->n);
    arrays_free(a->v, a->n);
    arrays_free(a->ema, a->n);
    free(a->params);
    *a = (struct adamw){0};
}

struct squares {
    const float *x;
    size_t       n;
    double      *sums; /* one for each chunk */
};

static void square_item(void *arg, int item, int thread)
{
    const struct squares *s     = arg;
    size_t                first = (size_t)item * CHUNK;
    size_t                last  = s->n - first < CHUNK ? s->n : first + CHUNK;
    double                sum   = 0;
    (void)thread;
    for (size_t i = first; i < last; i += BLOCK) {
        int n = last - i < BLOCK ? (int)(last - i) : BLOCK;
        sum += (double)real_dot(s->x + i, s->x + i, n);
    }
    s->sums[item] = sum;
}

/* The length of all gradients taken as one vector. */
static double gradient_norm(struct adamw *a, struct compute *c)
{
    double total = 0;
    for (int i = 0; i < a->n; i++) {
        struct squares s      = {.x = a->params[i].grad, .n = size_of(&a->params[i])};
        int            chunks = (int)((s.n + CHUNK - 1) / CHUNK);
        s.sums = compute_shared(c, COMPUTE_TEMP, (size_t)(chunks + 1) * sizeof *s.sums);
        if (!s.sums)
            return NAN;
        compute_each(c, chunks, square_item, &s);
        for (int k = 0; k < chunks; k++)
            total += s.sums[k];
    }
    return sqrt(total);
}

struct update {
    float *w, *g, *m, *v, *ema;
    float  beta1, beta2, clip, keep; /* keep: what decay leaves of a weight */
    float  rate, root, eps;          /* the two bias corrections are in rate and in root */
    float  ema_decay;
};

static void update_range(void *arg, size_t from, size_t to)
{
    const struct update u = *(const struct update *)arg;
    for (size_t i = from; i < to; i++) {
        float g = u.g[i] * u.clip;
        float m = u.m[i] + (1 - u.beta1) * (g - u.m[i]);
        float v = u.beta2 * u.v[i] + (1 - u.beta2) * g * g;
        u.m[i]  = m;
        u.v[i]  = v;
        u.w[i]  = u.w[i] * u.keep - u.rate * m / (sqrtf(v) * u.root + u.eps);
        u.g[i]  = 0;
    }
    for (size_t i = from; u.ema && i < to; i++)
        u.ema[i] += (1 - u.ema_decay) * (u.w[i] - u.ema[i]);
}

double adamw_step(struct adamw *a, struct compute *c, double rate)
{
    const struct adamw_options *o    = &a->o;
    double                      norm = gradient_norm(a, c);
    if (!isfinite(norm) || compute_failed(c)) {
        for (int i = 0; i < a->n; i++)
            memset(a->params[i].grad, 0, size_of(&a->params[i]) * sizeof(float));
        return norm;
    }
    a->steps++;
    for (int i = 0; i < a->n; i++) {
        struct param_f32 *p = &a->params[i];
        struct update     u = {
                .w         = p->value,
                .g         = p->grad,
                .m         = a->m[i],
                .v         = a->v[i],
                .ema       = a->ema ? a->ema[i] : NULL,
                .beta1     = (float)o->beta1,
                .beta2     = (float)o->beta2,
                .clip      = (float)(o->clip > 0 && norm > o->clip ? o->clip / norm : 1),
                .keep      = (float)(p->decay ? 1 - rate * o->weight_decay : 1),
                .rate      = (float)(rate / (1 - pow(o->beta1, (double)a->steps))),
                .root      = (float)(1 / sqrt(1 - pow(o->beta2, (double)a->steps))),
                .eps       = (float)o->eps,
                .ema_decay = (float)fmin(o->ema, (double)a->steps / (double)(a->steps + 9)),
        };
        compute_ranges(c, size_of(p), 4, update_range, &u);
    }
    return norm;
}

void adamw_swap_ema(struct adamw *a)
{
    for (int i = 0; a->ema && i < a->n; i++) {
        float *w = a->params[i].value, *ema = a->ema[i];
        for (size_t k = 0; k < size_of(&a->params[i]); k++) {
            float t = w[k];
            w[k]    = ema[k];
            ema[k]  = t;
        }
    }
}

double schedule_rate(const struct schedule *s, int64_t step)
{
    double warm = step < s->warmup ? (double)(step + 1) / (double)s->warmup : 1;
    double done = s->total > 0 && step < s->total ? (double)step / (double)s->total : 1;
    return s->peak * warm * (s->last + (1 - s->last) * 0.5 * (1 + cos(3.14159265358979324 * done)));
}
