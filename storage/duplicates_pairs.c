/* Candidates for copies, and what confirms them: see duplicates_pairs.h. */
#include "storage/duplicates_pairs.h"

#include "base/mem.h"
#include "image/alike.h"
#include "storage/library_neighbours.h"
#include "storage/vindex.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NEIGHBOURS   8     /* by the model, of each picture */
#define SHAPES       8     /* by the fingerprints' shapes, in each turn */
#define SHAPE_LEAST  0.80f /* cosine of shapes below which two are no copies */
#define SHAPE_TURNED 0.92f /* ... when one is turned, and not cut */
#define SHAPE_TURNS  3     /* none, one and two quarters; three are the other's one */
#define FLAT_MAX     4000  /* contents up to which shapes are compared one by one */
#define BLOCK        4096  /* shapes that are asked about at once */
#define WORST_SAME   0.75f /* alike.h: a square that differs so is something that moved */
#define LOOKS_NEAR   0.5f  /* correlation that near ones have at least */
#define AT_ONCE      16384 /* candidates between two questions whether to go on */

/* Shares of all the work, roughly, that are done after each part. */
#define MODEL_DONE  0.5
#define SHAPES_DONE 0.9

static const uint8_t *print_of(const struct duplicate_pairs *p, uint32_t i)
{
    return p->prints + (size_t)i * FINGERPRINT_BYTES;
}

/* ---- Confirming ---- */

/* Whether the fingerprints say the same; *look: how much alike they are. */
static bool looks_same(const struct duplicate_pairs *p, uint32_t a, uint32_t b, float *look)
{
    struct alike alike;
    *look = 0;
    if (!p->sees[a] || !p->sees[b])
        return false;
    alike_compare(print_of(p, a), print_of(p, b), (float)p->options->same, &alike);
    *look = alike.score;
    return alike.within && alike.score >= (float)p->options->same && alike.worst <= WORST_SAME;
}

/* nearness: distance_score of their embeddings. */
static bool looks_near(const struct duplicate_pairs *p, uint32_t a, uint32_t b, float nearness,
                       float look, float *score)
{
    double one   = library_match_of(&p->matches[a], nearness);
    double other = library_match_of(&p->matches[b], nearness);
    *score       = (float)fmin(one, other);
    return look >= LOOKS_NEAR && (double)*score >= p->options->near;
}

static int kind_of(const struct duplicate_pairs *p, uint32_t a, uint32_t b, bool known,
                   float nearness, float *score)
{
    float look;
    if (looks_same(p, a, b, &look)) {
        *score = fminf(look, 1);
        return p->options->kinds[DUPLICATE_SAME] ? DUPLICATE_SAME : DUPLICATE_KINDS;
    }
    if (known && p->options->kinds[DUPLICATE_NEAR] && looks_near(p, a, b, nearness, look, score))
        return DUPLICATE_NEAR;
    return DUPLICATE_KINDS;
}

int duplicate_pair_kind(const struct duplicate_pairs *p, uint32_t a, uint32_t b, float *score,
                        struct err *err)
{
    struct err why      = ERR_INIT;
    float      nearness = 0;
    int        kind     = kind_of(p, a, b, false, 0, score);
    if (kind != DUPLICATE_KINDS || !p->options->kinds[DUPLICATE_NEAR])
        return kind;
    int rc = library_nearness(p->lib, p->ids[a], p->ids[b], &nearness, &why);
    if (rc == ERR_NOTFOUND || rc == ERR_DAMAGED) /* went meanwhile; of the latter verify tells */
        return DUPLICATE_KINDS;
    return rc ? err_set(err, why.code, "%s", why.msg) : kind_of(p, a, b, true, nearness, score);
}

/* ---- Candidates ---- */

struct candidate {
    uint32_t a, b;
    float    nearness;
    bool     known; /* nearness is */
};

struct candidates {
    struct candidate *list;
    size_t            n, room;
};

static int candidate_add(struct candidates *c, uint32_t a, uint32_t b, bool known, float nearness,
                         struct err *err)
{
    if (c->n == c->room) {
        size_t            room  = c->room ? c->room * 2 : 4096;
        struct candidate *grown = mem_regrow(c->list, room, sizeof *grown);
        if (!grown)
            return err_set(err, ERR_NOMEM, "out of memory for %zu pairs of pictures", room);
        c->list = grown;
        c->room = room;
    }
    c->list[c->n++] = (struct candidate){a < b ? a : b, a < b ? b : a, nearness, known};
    return 0;
}

static int by_places(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->a != y->a)
        return x->a < y->a ? -1 : 1;
    if (x->b != y->b)
        return x->b < y->b ? -1 : 1;
    return (int)y->known - (int)x->known;
}

static void candidates_unite(struct candidates *c)
{
    size_t kept = 0;
    if (c->n)
        qsort(c->list, c->n, sizeof *c->list, by_places);
    for (size_t i = 0; i < c->n; i++)
        if (kept == 0 || c->list[kept - 1].a != c->list[i].a || c->list[kept - 1].b != c->list[i].b)
            c->list[kept++] = c->list[i];
    c->n = kept;
}

static int by_model(struct duplicate_pairs *p, struct candidates *c, struct err *err)
{
    struct library_pair *pairs;
    size_t               n;
    struct go_on         part = go_on_part(&p->options->go_on, DUPLICATE_PAIRS_BEGIN, MODEL_DONE);
    int                  rc =
        library_neighbours(p->lib, p->ids, p->n, NEIGHBOURS, &pairs, &n, p->matches, &part, err);
    for (size_t i = 0; i < n && !rc; i++)
        rc = candidate_add(c, pairs[i].a, pairs[i].b, true, pairs[i].score, err);
    free(pairs);
    return rc;
}

/* ---- By shape ---- */

/* A vector index of the shapes of all that have one; NULL where none has. */
static int shapes_index(const struct duplicate_pairs *p, struct vindex **out, struct err *err)
{
    float   *shapes = mem_array(p->n * FINGERPRINT_SHAPE + 1, sizeof *shapes);
    int64_t *ids    = mem_array(p->n + 1, sizeof *ids);
    size_t   n      = 0;
    int      rc = shapes && ids ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu shapes", p->n);
    *out        = NULL;
    for (size_t i = 0; i < p->n && !rc; i++) {
        if (!p->sees[i])
            continue;
        fingerprint_shape(print_of(p, (uint32_t)i), 0, shapes + n * FINGERPRINT_SHAPE);
        ids[n++] = (int64_t)i;
    }
    if (!rc && n > 0)
        rc = vindex_new(n > FLAT_MAX ? VINDEX_IVF : VINDEX_FLAT, VINDEX_PRODUCT, FINGERPRINT_SHAPE,
                        (int64_t)n, out, err);
    if (!rc && *out) {
        size_t train = vindex_training_size(*out);
        if (train > 0) /* pictures come in the order of folders: all of them, then */
            rc = vindex_train(*out, n, shapes, err);
        if (!rc)
            rc = vindex_add(*out, n, ids, shapes, err);
    }
    free(shapes);
    free(ids);
    if (rc) {
        vindex_free(*out);
        *out = NULL;
    }
    return rc;
}

struct shapes_block {
    float    query[BLOCK * FINGERPRINT_SHAPE];
    uint32_t of[BLOCK];
    int64_t  found[BLOCK * SHAPES];
    float    scores[BLOCK * SHAPES];
};

static int shapes_ask(struct vindex *ix, struct shapes_block *b, size_t n, float least,
                      struct candidates *c, struct err *err)
{
    int rc = vindex_search_many(ix, b->query, n, SHAPES, 1, b->found, b->scores, err);
    for (size_t i = 0; i < n * SHAPES && !rc; i++) {
        uint32_t of = b->of[i / SHAPES];
        if (b->found[i] < 0 || b->found[i] == (int64_t)of || b->scores[i] < least)
            continue;
        rc = candidate_add(c, of, (uint32_t)b->found[i], false, 0, err);
    }
    return rc;
}

static int by_shape(const struct duplicate_pairs *p, struct candidates *c, struct err *err)
{
    struct go_on         part = go_on_part(&p->options->go_on, MODEL_DONE, SHAPES_DONE);
    struct vindex       *ix;
    struct shapes_block *b = mem_array(1, sizeof *b);
    if (!b)
        return err_set(err, ERR_NOMEM, "out of memory for comparing shapes");
    int rc = shapes_index(p, &ix, err);
    for (int turns = 0; turns < SHAPE_TURNS && !rc && ix; turns++) {
        float  least = turns ? SHAPE_TURNED : SHAPE_LEAST;
        size_t held  = 0;
        for (size_t i = 0; i < p->n && !rc; i++) {
            if (!p->sees[i])
                continue;
            fingerprint_shape(print_of(p, (uint32_t)i), turns, b->query + held * FINGERPRINT_SHAPE);
            b->of[held++] = (uint32_t)i;
            if (held == BLOCK) {
                rc   = shapes_ask(ix, b, held, least, c, err);
                held = 0;
                if (!rc)
                    rc = go_on_ask(&part, (turns + (double)i / (double)p->n) / SHAPE_TURNS, err);
            }
        }
        if (!rc)
            rc = shapes_ask(ix, b, held, least, c, err);
    }
    vindex_free(ix);
    free(b);
    return rc;
}

/* ---- All of it ---- */

/* The kind of each candidate, some at a time. */
static int confirm(const struct duplicate_pairs *p, const struct candidates *c,
                   struct duplicate_edge *found, struct err *err)
{
    struct go_on part = go_on_part(&p->options->go_on, SHAPES_DONE, 1);
    int          rc   = 0;
    for (size_t from = 0; from < c->n && !rc; from += AT_ONCE) {
        size_t to = c->n - from < AT_ONCE ? c->n : from + AT_ONCE;
#pragma omp parallel for schedule(dynamic, 64)
        for (size_t i = from; i < to; i++) {
            const struct candidate *this = &c->list[i];
            found[i]                     = (struct duplicate_edge){.a = this->a, .b = this->b};
            found[i].kind =
                kind_of(p, this->a, this->b, this->known, this->nearness, &found[i].score);
        }
        rc = go_on_ask(&part, (double)to / (double)c->n, err);
    }
    return rc;
}

int duplicate_pairs_find(struct duplicate_pairs *p, struct duplicate_edge **edges, size_t *n,
                         struct err *err)
{
    struct candidates      c     = {0};
    struct duplicate_edge *found = NULL;
    size_t                 kept  = 0;
    int                    rc    = by_model(p, &c, err);
    if (!rc)
        rc = by_shape(p, &c, err);
    if (!rc) {
        candidates_unite(&c);
        found = mem_array(c.n + 1, sizeof *found);
        if (!found)
            rc = err_set(err, ERR_NOMEM, "out of memory for %zu pairs of pictures", c.n);
    }
    if (!rc) {
        rc = confirm(p, &c, found, err);
        for (size_t i = 0; i < c.n && !rc; i++)
            if (found[i].kind != DUPLICATE_KINDS)
                found[kept++] = found[i];
    }
    free(c.list);
    if (rc) {
        free(found);
        return rc;
    }
    *edges = found;
    *n     = kept;
    return 0;
}
