/* The losses of losses.h over a matrix of scores, in one precision: included by
 * losses_f32.c and losses_f64.c.
 *
 * Each works on rows of the matrix in ranges; what it adds up over rows is kept for
 * each row, in double precision, and added in order.
 */
#include "base/mem.h"
#include "learn/losses.h"
#include "learn/real_math_inl.h"

#include <stdint.h>
#include <string.h>

#define SOME 128 /* scores of a row or column that are looked at together */

/* A matrix of scores and all that its loss needs. */
struct scores {
    const struct loss *l;
    const int         *ga, *gb;
    int                na, nb;
    const real        *s;
    real              *ds; /* or NULL */
    real               scale, bias;
    /* Of each row, then of each column where there is such a thing: */
    double            *value, *dscale, *dbias; /* (na + nb), (na), (na) */
    real              *norm;      /* (na + nb) infonce: log of the sum of exponentials */
    int               *positives; /* (na + nb) */
    /* What a row's or a pair's share of the mean is: */
    double             share_rows, share_columns;
};

static bool candidate(const struct scores *m, int i, int j)
{
    return !(m->l->same && i == j);
}

/* Candidates of row i, or of column i: n is the length of the row. */
static int candidates(const struct scores *m, int i, int n)
{
    return m->l->same && i < n ? n - 1 : n;
}

/* Positives of each row and column; returns how many pairs they are. */
static int64_t count_positives(struct scores *m)
{
    int64_t pairs = 0;
    int    *rows = m->positives, *columns = m->positives + m->na;
    memset(rows, 0, (size_t)(m->na + m->nb) * sizeof *rows);
    for (int i = 0; i < m->na; i++) {
        int group = m->ga[i], n = 0;
        for (int j = 0; j < m->nb; j++) {
            int one = m->gb[j] == group;
            n += one;
            columns[j] += one;
        }
        rows[i] = n;
    }
    for (int i = 0; m->l->same && i < m->na && i < m->nb; i++) {
        if (m->ga[i] == m->gb[i]) {
            rows[i]--;
            columns[i]--;
        }
    }
    for (int i = 0; i < m->na; i++)
        pairs += rows[i];
    return pairs;
}

static double add_up(const double *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

/* Of n logits, stride apart, in a row or column of `of` positives: the log of the sum
 * of their exponentials. With t the target over candidates, the loss is that minus
 * sum t z: t is (1 - smoothing) / of on positives plus smoothing / candidates on all. */
static double cross_entropy(const struct scores *m, int at, bool column, real *norm)
{
    int         n = column ? m->na : m->nb, of = m->positives[column ? m->na + at : at];
    ptrdiff_t   step   = column ? m->nb : 1;
    const real *s      = m->s + (column ? at : (ptrdiff_t)at * m->nb);
    const int  *groups = column ? m->ga : m->gb;
    int         group = column ? m->gb[at] : m->ga[at], skip = m->l->same ? at : -1;
    real        most = -INFINITY, sum = 0;
    double      all = 0, good = 0;
    for (int j = 0; j < n; j++) {
        real z = m->scale * s[j * step];
        most   = j != skip && z > most ? z : most;
    }
    for (int j = 0; j < n; j++) {
        real z = m->scale * s[j * step];
        if (j == skip)
            continue;
        sum += real_exp(z - most);
        all += (double)z;
        good += groups[j] == group ? (double)z : 0;
    }
    *norm = most + real_log(sum);
    if (of == 0)
        return 0;
    double smoothing = m->l->smoothing;
    return (double)*norm - (1 - smoothing) * good / of - smoothing * all / candidates(m, at, n);
}

static void infonce_rows(void *arg, size_t from, size_t to)
{
    const struct scores *m = arg;
    for (size_t i = from; i < to; i++)
        m->value[i] = cross_entropy(m, (int)i, false, &m->norm[i]);
}

static void infonce_columns(void *arg, size_t from, size_t to)
{
    const struct scores *m = arg;
    for (size_t j = from; j < to; j++)
        m->value[(size_t)m->na + j] = cross_entropy(m, (int)j, true, &m->norm[(size_t)m->na + j]);
}

/* dz = (softmax of the row - target) * its share + the same of the column. */
static void infonce_slope(void *arg, size_t from, size_t to)
{
    const struct scores *m        = arg;
    const int           *column   = m->positives + m->na;
    const real          *norms    = m->norm + m->na;
    real                 smooth   = (real)m->l->smoothing;
    real                 of_row_1 = 0, share_columns = (real)m->share_columns;
    for (size_t row = from; row < to; row++) {
        int         i = (int)row, group = m->ga[i], of = m->positives[i];
        real        share = of > 0 ? (real)m->share_rows : 0, norm = m->norm[i];
        real        even   = smooth / (real)candidates(m, i, m->nb);
        const real *s      = m->s + row * (size_t)m->nb;
        real       *ds     = m->ds + row * (size_t)m->nb;
        double      dscale = 0;
        of_row_1           = of > 0 ? (1 - smooth) / (real)of : 0;
        for (int j = 0; j < m->nb; j++) {
            real z        = m->scale * s[j];
            real same     = m->gb[j] == group ? 1 : 0;
            real share_j  = column[j] > 0 ? share_columns : 0;
            real of_col_1 = (1 - smooth) / (real)(column[j] > 0 ? column[j] : 1);
            real even_j   = smooth / (real)candidates(m, j, m->na);
            real dz       = share * (real_exp(z - norm) - even - same * of_row_1) +
                      share_j * (real_exp(z - norms[j]) - even_j - same * of_col_1);
            ds[j] = dz;
        }
        if (m->l->same && i < m->nb)
            ds[i] = 0;
        dscale = (double)(m->scale * real_dot(ds, s, m->nb));
        for (int j = 0; j < m->nb; j++)
            ds[j] *= m->scale;
        m->dscale[i] = dscale;
    }
}

static double infonce(struct compute *c, struct scores *m, struct FN(loss_scalars) *ds)
{
    int rows = 0, columns = 0;
    count_positives(m);
    for (int i = 0; i < m->na; i++)
        rows += m->positives[i] > 0;
    for (int j = 0; j < m->nb; j++)
        columns += m->positives[m->na + j] > 0;
    m->share_rows    = rows > 0 ? 0.5 / rows : 0;
    m->share_columns = columns > 0 ? 0.5 / columns : 0;
    compute_ranges(c, (size_t)m->na, (size_t)m->nb * 4, infonce_rows, m);
    compute_ranges(c, (size_t)m->nb, (size_t)m->na * 4, infonce_columns, m);
    if (m->ds) {
        compute_ranges(c, (size_t)m->na, (size_t)m->nb * 8, infonce_slope, m);
        ds->log_scale += (real)add_up(m->dscale, m->na);
    }
    return m->share_rows * add_up(m->value, m->na) +
           m->share_columns * add_up(m->value + m->na, m->nb);
}

/* One anchor: a row or a column of the matrix. */
struct anchor {
    const real *s;      /* its scores, step apart */
    real       *ds;     /* their gradients, or NULL */
    const int  *groups; /* (n) of the others */
    ptrdiff_t   step;
    int         n, group, skip; /* skip: no candidate, or -1 */
};

static struct anchor anchor_of(const struct scores *m, int at, bool column)
{
    ptrdiff_t first = column ? at : (ptrdiff_t)at * m->nb;
    return (struct anchor){.s      = m->s + first,
                           .ds     = m->ds ? m->ds + first : NULL,
                           .groups = column ? m->ga : m->gb,
                           .step   = column ? m->nb : 1,
                           .n      = column ? m->na : m->nb,
                           .group  = column ? m->gb[at] : m->ga[at],
                           .skip   = m->l->same ? at : -1};
}

/* Some of an anchor's scores, side by side. */
struct some {
    int  n, at[SOME];
    real s[SOME], hits[SOME];
};

/* Takes the next of the anchor's positives, or negatives, from *next on; false when
 * there are none left. */
static bool take_some(const struct anchor *a, bool positive, int *next, struct some *some)
{
    int n = 0;
    for (; *next < a->n && n < SOME; ++*next) {
        if ((a->groups[*next] == a->group) != positive || *next == a->skip)
            continue;
        some->at[n]   = *next;
        some->s[n]    = a->s[*next * a->step];
        some->hits[n] = 0;
        n++;
    }
    some->n = n;
    return n > 0;
}

/* The negative with the highest score alone. */
static bool take_hardest(const struct anchor *a, struct some *some)
{
    int hardest = -1;
    for (int j = 0; j < a->n; j++) {
        if (a->groups[j] != a->group &&
            (hardest < 0 || a->s[j * a->step] > a->s[hardest * a->step]))
            hardest = j;
    }
    some->n       = hardest >= 0;
    some->at[0]   = hardest;
    some->s[0]    = hardest >= 0 ? a->s[hardest * a->step] : 0;
    some->hits[0] = 0;
    return hardest >= 0;
}

static double hinge_pairs(real margin, struct some *good, struct some *bad)
{
    real   h[SOME], hit[SOME];
    double value = 0;
    for (int p = 0; p < good->n; p++) {
        real least = margin - good->s[p];
        for (int j = 0; j < bad->n; j++) {
            h[j]   = least + bad->s[j];
            hit[j] = h[j] > 0 ? 1 : 0;
            h[j]   = h[j] > 0 ? h[j] : 0;
            bad->hits[j] += hit[j];
        }
        value += (double)real_sum(h, bad->n);
        good->hits[p] += real_sum(hit, bad->n);
    }
    return value;
}

static void add_hits(const struct anchor *a, const struct some *some, real share)
{
    for (int i = 0; a->ds && i < some->n; i++)
        a->ds[some->at[i] * a->step] += share * some->hits[i];
}

/* An anchor's hinges over all pairs of a positive and a negative; adds to the gradient. */
static double hinges(const struct scores *m, int at, bool column)
{
    struct anchor a      = anchor_of(m, at, column);
    real          margin = (real)m->l->margin, share = (real)m->share_rows;
    double        value = 0;
    struct some   good, bad;
    for (int p = 0; take_some(&a, true, &p, &good);) {
        int next = 0;
        while (m->l->hardest ? next++ == 0 && take_hardest(&a, &bad)
                             : take_some(&a, false, &next, &bad)) {
            value += hinge_pairs(margin, &good, &bad);
            add_hits(&a, &bad, share);
        }
        add_hits(&a, &good, -share);
    }
    return value;
}

static void triplet_rows(void *arg, size_t from, size_t to)
{
    const struct scores *m = arg;
    if (m->ds)
        memset(m->ds + from * (size_t)m->nb, 0, (to - from) * (size_t)m->nb * sizeof *m->ds);
    for (size_t i = from; i < to; i++)
        m->value[i] = hinges(m, (int)i, false);
}

static void triplet_columns(void *arg, size_t from, size_t to)
{
    const struct scores *m = arg;
    for (size_t j = from; j < to; j++)
        m->value[(size_t)m->na + j] = hinges(m, (int)j, true);
}

static double triplet(struct compute *c, struct scores *m)
{
    int64_t pairs = count_positives(m);
    m->share_rows = pairs > 0 ? 0.5 / (double)pairs : 0;
    compute_ranges(c, (size_t)m->na, (size_t)m->nb * 4, triplet_rows, m);
    compute_ranges(c, (size_t)m->nb, (size_t)m->na * 4, triplet_columns, m);
    return m->share_rows * add_up(m->value, m->na + m->nb);
}

static void siglip_rows(void *arg, size_t from, size_t to)
{
    const struct scores *m = arg;
    for (size_t i = from; i < to; i++) {
        const real *s     = m->s + i * (size_t)m->nb;
        real       *ds    = m->ds ? m->ds + i * (size_t)m->nb : NULL;
        double      value = 0, dscale = 0, dbias = 0;
        for (int j = 0; j < m->nb; j++) {
            real sign = m->ga[i] == m->gb[j] ? 1 : -1;
            real x    = sign * (m->scale * s[j] + m->bias);
            if (!candidate(m, (int)i, j)) {
                if (ds)
                    ds[j] = 0;
                continue;
            }
            value += (double)real_softplus(-x);
            real slope = -sign * real_sigmoid(-x) * (real)m->share_rows;
            if (ds)
                ds[j] = slope * m->scale;
            dscale += (double)(slope * m->scale * s[j]);
            dbias += (double)slope;
        }
        m->value[i]  = value;
        m->dscale[i] = dscale;
        m->dbias[i]  = dbias;
    }
}

static double siglip(struct compute *c, struct scores *m, struct FN(loss_scalars) *ds)
{
    m->share_rows = 1.0 / m->na;
    compute_ranges(c, (size_t)m->na, (size_t)m->nb * 16, siglip_rows, m);
    if (m->ds) {
        ds->log_scale += (real)add_up(m->dscale, m->na);
        ds->bias += (real)add_up(m->dbias, m->na);
    }
    return m->share_rows * add_up(m->value, m->na);
}

static void contrastive_rows(void *arg, size_t from, size_t to)
{
    const struct scores *m    = arg;
    real                 zero = m->l->distance == DISTANCE_COSINE ? 1 : 0; /* the score of D = 0 */
    real                 margin = (real)m->l->margin;
    for (size_t i = from; i < to; i++) {
        const real *s     = m->s + i * (size_t)m->nb;
        real       *ds    = m->ds ? m->ds + i * (size_t)m->nb : NULL;
        double      value = 0;
        for (int j = 0; j < m->nb; j++) {
            bool good = m->ga[i] == m->gb[j];
            real d = zero - s[j], below = margin - d > 0 ? margin - d : 0;
            real share = (real)(good ? m->share_rows : m->share_columns);
            if (!candidate(m, (int)i, j))
                share = 0;
            value += (double)(share * (good ? d * d : below * below) / 2);
            if (ds)
                ds[j] = share * (good ? -d : below);
        }
        m->value[i] = value;
    }
}

static double contrastive(struct compute *c, struct scores *m)
{
    int64_t pairs = 0, good = count_positives(m);
    for (int i = 0; i < m->na; i++)
        pairs += candidates(m, i, m->nb);
    m->share_rows    = good > 0 ? 1.0 / (double)good : 0;
    m->share_columns = pairs > good ? 1.0 / (double)(pairs - good) : 0;
    compute_ranges(c, (size_t)m->na, (size_t)m->nb * 4, contrastive_rows, m);
    return add_up(m->value, m->na);
}

double FN(loss_of_scores)(struct compute *c, const struct loss *l, const struct FN(loss_sets) *sets,
                          const struct FN(loss_scalars) *s, const real *scores, real *dscores,
                          struct FN(loss_scalars) *ds)
{
    size_t        na = (size_t)sets->na, both = na + (size_t)sets->nb;
    struct scores m = {.l     = l,
                       .ga    = sets->groups_a,
                       .gb    = sets->groups_b,
                       .na    = sets->na,
                       .nb    = sets->nb,
                       .s     = scores,
                       .ds    = dscores,
                       .scale = (real)exp((double)s->log_scale),
                       .bias  = s->bias};
    m.value         = compute_shared(c, COMPUTE_TEMP,
                                     (both + 2 * na) * sizeof *m.value +
                                         both * (sizeof *m.norm + sizeof *m.positives));
    if (!m.value || compute_failed(c) || sets->na <= 0 || sets->nb <= 0)
        return 0;
    m.dscale    = m.value + both;
    m.dbias     = m.dscale + na;
    m.norm      = (real *)(m.dbias + na);
    m.positives = (int *)(m.norm + both);
    switch (l->kind) {
    case LOSS_TRIPLET:
        return triplet(c, &m);
    case LOSS_SIGLIP:
        return siglip(c, &m, ds);
    case LOSS_CONTRASTIVE:
        return contrastive(c, &m);
    case LOSS_INFONCE:
    case LOSS_KINDS:
    default:
        return infonce(c, &m, ds);
    }
}

double FN(loss_run)(struct compute *c, const struct loss *l, const struct FN(loss_sets) *sets,
                    const struct FN(loss_scalars) *s, real *scores, real *da, real *db,
                    struct FN(loss_scalars) *ds)
{
    real *dscores = NULL;
    if (da) {
        dscores = compute_shared(c, COMPUTE_SCORES,
                                 (size_t)sets->na * (size_t)sets->nb * sizeof *dscores);
        if (!dscores)
            return 0;
    }
    FN(similarity_forward)(c, l->distance, sets, scores);
    double value = FN(loss_of_scores)(c, l, sets, s, scores, dscores, ds);
    if (da)
        FN(similarity_backward)(c, l->distance, sets, scores, dscores, da, db);
    return value;
}

struct distil {
    const real *s, *targets;
    real       *ds;    /* or NULL */
    double     *value; /* (na) */
    int         n;
    real        scale, share;
};

static void distil_rows(void *arg, size_t from, size_t to)
{
    const struct distil *d = arg;
    for (size_t i = from; i < to; i++) {
        const real *s = d->s + i * (size_t)d->n, *t = d->targets + i * (size_t)d->n;
        real        most = d->scale * real_max(s, d->n), sums[REAL_LANES] = {0};
        for (int j0 = 0; j0 < d->n; j0 += REAL_LANES) {
            int n = d->n - j0 < REAL_LANES ? d->n - j0 : REAL_LANES;
            for (int l = 0; l < n; l++)
                sums[l] += real_exp(d->scale * s[j0 + l] - most);
        }
        real norm = most + real_log(real_sum(sums, REAL_LANES)), total = real_sum(t, d->n);
        d->value[i] = (double)(norm * total - d->scale * real_dot(t, s, d->n));
        if (!d->ds)
            continue;
        real *ds = d->ds + i * (size_t)d->n, slope = d->scale * d->share;
        for (int j = 0; j < d->n; j++)
            ds[j] = slope * (total * real_exp(d->scale * s[j] - norm) - t[j]);
    }
}

double FN(loss_distil)(struct compute *c, enum distance d, const struct FN(loss_sets) *sets,
                       real scale, real weight, const real *targets, real *scores, real *da,
                       real *db)
{
    size_t na = (size_t)sets->na, nb = (size_t)sets->nb;
    if (na == 0 || nb == 0)
        return 0;
    FN(similarity_forward)(c, d, sets, scores);
    struct distil r = {
        .s = scores, .targets = targets, .n = sets->nb, .scale = scale, .share = weight / (real)na};
    r.ds    = da ? compute_shared(c, COMPUTE_SCORES, na * nb * sizeof *r.ds) : NULL;
    r.value = compute_shared(c, COMPUTE_TEMP, na * sizeof *r.value);
    if (compute_failed(c))
        return 0;
    compute_ranges(c, na, nb * 8, distil_rows, &r);
    double value = (double)weight * add_up(r.value, sets->na) / sets->na;
    if (da)
        FN(similarity_backward)(c, d, sets, scores, r.ds, da, db);
    return value;
}

double FN(loss_list_softmax)(const real *scores, int lists, int negatives, real *dscores)
{
    double value = 0;
    for (int i = 0; i < lists; i++, scores += 1 + negatives) {
        real most = real_max(scores, 1 + negatives), sum = 0;
        for (int j = 0; j <= negatives; j++)
            sum += real_exp(scores[j] - most);
        real norm = most + real_log(sum);
        value += (double)(norm - scores[0]);
        for (int j = 0; dscores && j <= negatives; j++)
            *dscores++ = (real_exp(scores[j] - norm) - (j == 0 ? 1 : 0)) / (real)lists;
    }
    return lists > 0 ? value / lists : 0;
}

double FN(loss_list_triplet)(const real *scores, int lists, int negatives, double margin,
                             bool hardest, real *dscores)
{
    double value = 0;
    for (int i = 0; i < lists; i++, scores += 1 + negatives) {
        int worst = 1;
        for (int j = 2; j <= negatives; j++)
            worst = scores[j] > scores[worst] ? j : worst;
        int hit = 0;
        for (int j = 1; j <= negatives; j++) {
            real h  = (real)margin - scores[0] + scores[j];
            bool is = h > 0 && (!hardest || j == worst);
            value += is ? (double)h : 0;
            hit += is;
            if (dscores)
                dscores[j] = is ? 1 / (real)lists : 0;
        }
        if (dscores) {
            dscores[0] = -(real)hit / (real)lists;
            dscores += 1 + negatives;
        }
    }
    return lists > 0 ? value / lists : 0;
}
