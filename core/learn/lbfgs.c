/* L-BFGS: see lbfgs.h. */
#include "learn/lbfgs.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DECREASE 1e-4 /* Armijo's constant, as in the book */
#define HALVINGS 30

struct state {
    size_t n;
    float *g, *direction, *x_new, *g_new;     /* (n) each */
    float *s[LBFGS_MEMORY], *y[LBFGS_MEMORY]; /* (n) differences, in a ring */
    double rho[LBFGS_MEMORY];                 /* 1 / (s y) */
    int    newest, kept;
};

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static void add(float *to, double scale, const float *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += (float)(scale * (double)from[i]);
}

static double largest(const float *a, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++) {
        float size = fabsf(a[i]); /* in double, GCC 12 for aarch64 fails on this loop */
        most       = size > most ? size : most;
    }
    return (double)most;
}

/* The two loops of algorithm 7.4: direction = -H g. */
static void choose_direction(struct state *st)
{
    double alpha[LBFGS_MEMORY];
    float *d = st->direction;
    for (size_t i = 0; i < st->n; i++)
        d[i] = -st->g[i];
    for (int k = 0; k < st->kept; k++) {
        int j    = (st->newest - k + LBFGS_MEMORY) % LBFGS_MEMORY;
        alpha[j] = st->rho[j] * dot(st->s[j], d, st->n);
        add(d, -alpha[j], st->y[j], st->n);
    }
    if (st->kept) {
        int    j     = st->newest;
        double scale = 1 / (st->rho[j] * dot(st->y[j], st->y[j], st->n));
        for (size_t i = 0; i < st->n; i++)
            d[i] = (float)(scale * (double)d[i]);
    }
    for (int k = st->kept - 1; k >= 0; k--) {
        int j = (st->newest - k + LBFGS_MEMORY) % LBFGS_MEMORY;
        add(d, alpha[j] - st->rho[j] * dot(st->y[j], d, st->n), st->s[j], st->n);
    }
}

static void keep_pair(struct state *st, const float *x)
{
    int    j = (st->newest + 1) % LBFGS_MEMORY;
    float *s = st->s[j], *y = st->y[j];
    for (size_t i = 0; i < st->n; i++) {
        s[i] = st->x_new[i] - x[i];
        y[i] = st->g_new[i] - st->g[i];
    }
    double curvature = dot(s, y, st->n);
    if (!(curvature > 1e-12 * dot(y, y, st->n)))
        return;
    st->rho[j] = 1 / curvature;
    st->newest = j;
    if (st->kept < LBFGS_MEMORY)
        st->kept++;
}

/* Goes along the direction; 0 where no step makes the function smaller. */
static int step(const struct lbfgs *l, struct state *st, float *x, double *value)
{
    choose_direction(st);
    double slope = dot(st->g, st->direction, st->n);
    if (!(slope < 0)) { /* rounding: begin anew, straight down */
        st->kept = 0;
        choose_direction(st);
        slope = dot(st->g, st->direction, st->n);
    }
    double length = st->kept ? 1 : fmin(1, 1 / sqrt(-slope));
    for (int i = 0; i < HALVINGS; i++, length /= 2) {
        memcpy(st->x_new, x, st->n * sizeof *x);
        add(st->x_new, length, st->direction, st->n);
        double now = l->function(l->ctx, st->x_new, st->g_new);
        if (now <= *value + DECREASE * length * slope) {
            keep_pair(st, x);
            memcpy(x, st->x_new, st->n * sizeof *x);
            memcpy(st->g, st->g_new, st->n * sizeof *x);
            *value = now;
            return 1;
        }
    }
    return 0;
}

int lbfgs_minimise(const struct lbfgs *l, float *x, int *steps, struct err *err)
{
    struct state st     = {.n = l->n, .newest = -1};
    size_t       room   = 0;
    float       *memory = NULL;
    if (steps)
        *steps = 0;
    if (l->n == 0)
        return 0;
    if (!size_mul(l->n, 4 + 2 * LBFGS_MEMORY, &room) || !(memory = mem_array(room, sizeof *memory)))
        return err_set(err, ERR_NOMEM, "out of memory for %zu variables", l->n);
    st.g         = memory;
    st.direction = memory + l->n;
    st.x_new     = memory + 2 * l->n;
    st.g_new     = memory + 3 * l->n;
    for (size_t i = 0; i < LBFGS_MEMORY; i++) {
        st.s[i] = memory + (4 + 2 * i) * l->n;
        st.y[i] = memory + (5 + 2 * i) * l->n;
    }
    double value = l->function(l->ctx, x, st.g);
    int    rc    = isfinite(value)
                       ? 0
                       : err_set(err, ERR_FAILED,
                                 "cannot minimise a function that is not finite to begin with");
    int    done  = 0;
    while (!rc && done < l->most_steps && largest(st.g, l->n) > l->tolerance &&
           step(l, &st, x, &value))
        done++;
    if (steps)
        *steps = done;
    free(memory);
    return rc;
}
