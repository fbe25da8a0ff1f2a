/* Unit tests of core/learn/tagger and storage/library_tagger: calibration against plain
 * sums, choosing against the rules, and what a library does with labels as pictures come,
 * change and go. */
#include "learn/tagger.h"
#include "library_fixture.h"
#include "storage/library_impl.h"
#include "storage/library_tagger.h"

#include <math.h>

#define LABELS     6
#define BACKGROUND 40

/* ---- Calibration ---- */

struct labels {
    float              rows[LABELS * DIM], bias[LABELS], background[BACKGROUND * DIM];
    bool               known[LABELS];
    struct tagger_rows r;
};

static void make_labels(struct labels *l, uint64_t seed)
{
    uint64_t s = seed;
    for (int i = 0; i < LABELS; i++) {
        unit_vector(l->rows + (ptrdiff_t)i * DIM, DIM, seed * 100 + (uint64_t)i);
        l->bias[i]  = rng_float(&s);
        l->known[i] = true;
    }
    for (int i = 0; i < BACKGROUND; i++)
        unit_vector(l->background + (ptrdiff_t)i * DIM, DIM, 7000 + (uint64_t)i);
    l->r = (struct tagger_rows){LABELS, DIM, l->rows, l->bias, l->known};
}

static double score(const struct tagger_rows *r, size_t i, const float *x)
{
    double sum = (double)r->bias[i];
    for (size_t d = 0; d < r->dim; d++)
        sum += (double)r->rows[i * r->dim + d] * (double)x[d];
    return sum;
}

static void moments(const struct labels *l, size_t i, double *mean, double *deviation)
{
    double sum = 0, squares = 0;
    for (int k = 0; k < BACKGROUND; k++)
        sum += score(&l->r, i, l->background + (ptrdiff_t)k * DIM);
    *mean = sum / BACKGROUND;
    for (int k = 0; k < BACKGROUND; k++) {
        double d = score(&l->r, i, l->background + (ptrdiff_t)k * DIM) - *mean;
        squares += d * d;
    }
    *deviation = sqrt(squares / BACKGROUND);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* v as tagger.h has it, from the raw rows. */
static void calibration_is_what_it_says(void **state)
{
    (void)state;
    struct err    err = ERR_INIT;
    struct labels raw, l;
    double        mean[LABELS], deviation[LABELS], sorted[LABELS], centre = 0;
    float         x[DIM];
    make_labels(&raw, 3);
    make_labels(&l, 3);
    raw.known[4] = l.known[4] = false;
    int n                     = 0;
    for (size_t i = 0; i < LABELS; i++) {
        moments(&raw, i, &mean[i], &deviation[i]);
        if (raw.known[i])
            sorted[n++] = deviation[i];
    }
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    const struct tagger_background b = {l.background, BACKGROUND};
    assert_ok(tagger_calibrate(&l.r, NULL, 0, &b, 0.25, 1.5, &err), &err);
    unit_vector(x, DIM, 999);
    for (size_t i = 0; i < LABELS; i++)
        centre += raw.known[i] ? (score(&raw.r, i, x) - 0.25 * mean[i]) / n : 0;
    for (size_t i = 0; i < LABELS; i++) {
        double usual = sorted[n / 2];
        double scale = sqrt(0.25 * deviation[i] * deviation[i] + 0.75 * usual * usual);
        double v     = 1.5 * (score(&raw.r, i, x) - 0.25 * mean[i] - centre) / scale;
        if (raw.known[i])
            assert_float_equal(score(&l.r, i, x), v, 1e-4);
        else
            assert_memory_equal(l.rows + i * DIM, raw.rows + i * DIM, DIM * sizeof(float));
    }
}

/* What is added to all labels alike, or makes all numbers larger, changes nothing. */
static void scales_and_shifts_do_not_matter(void **state)
{
    (void)state;
    struct err    err = ERR_INIT;
    struct labels a, b;
    float         x[DIM];
    make_labels(&a, 5);
    make_labels(&b, 5);
    for (int i = 0; i < LABELS; i++) {
        for (int d = 0; d < DIM; d++)
            b.rows[i * DIM + d] *= 7;
        b.bias[i] = 7 * b.bias[i] + 11;
    }
    const struct tagger_background background = {a.background, BACKGROUND};
    assert_ok(tagger_calibrate(&a.r, NULL, 0, &background, 0, 1, &err), &err);
    assert_ok(tagger_calibrate(&b.r, NULL, 0, &background, 0, 1, &err), &err);
    unit_vector(x, DIM, 55);
    for (size_t i = 0; i < LABELS; i++)
        assert_float_equal(score(&a.r, i, x), score(&b.r, i, x), 1e-3);
}

static void mixing_keeps_the_scatter(void **state)
{
    (void)state;
    struct err    err = ERR_INIT;
    struct labels a, b;
    double        mean, before_a, before_b, after;
    make_labels(&a, 8);
    make_labels(&b, 9);
    a.known[2]                           = false;
    b.known[3]                           = false;
    struct labels                  old_a = a, old_b = b;
    const struct tagger_background background = {a.background, BACKGROUND};
    old_a.r.rows                              = old_a.rows;
    old_a.r.bias                              = old_a.bias;
    old_b.r.rows                              = old_b.rows;
    old_b.r.bias                              = old_b.bias;
    assert_ok(tagger_mix(&a.r, &b.r, &background, &err), &err);
    for (size_t i = 0; i < LABELS; i++) {
        moments(&old_a, i, &mean, &before_a);
        moments(&old_b, i, &mean, &before_b);
        moments(&a, i, &mean, &after);
        double expected = i == 2 ? before_b : i == 3 ? before_a : (before_a + before_b) / 2;
        assert_float_equal(after, expected, 1e-4);
        assert_true(a.known[i]);
    }
}

/* ---- Choosing ---- */

static const char *const names[LABELS] = {"animal",         "animal|cat", "animal|dog",
                                          "animal|dog|pug", "plant",      "stone"};

static struct tagger *make_tagger(double threshold, size_t top)
{
    struct err     err = ERR_INIT;
    struct tagger *t   = NULL;
    struct labels  l;
    make_labels(&l, 4);
    for (int i = 0; i < LABELS; i++) /* label i looks at number i alone */
        for (int d = 0; d < DIM; d++)
            l.rows[i * DIM + d] = i == d;
    memset(l.bias, 0, sizeof l.bias);
    l.known[0] = false; /* goes by what lies below it */
    assert_ok(tagger_new(names, &l.r, threshold, top, &t, &err), &err);
    return t;
}

/* The tags of a picture with these v as "label:score;". */
static const char *choose(const struct tagger *t, const float *v)
{
    static char       text[400];
    struct tagger_tag tags[LABELS];
    float             x[DIM] = {0}, out[LABELS];
    size_t            at     = 0;
    memcpy(x, v, LABELS * sizeof *v);
    tagger_score(t, x, 1, out);
    size_t n = tagger_choose(t, out, tags);
    text[0]  = '\0';
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s:%.2f;", t->labels[tags[i].label],
                               tags[i].score);
    return text;
}

static void labels_are_chosen(void **state)
{
    (void)state;
    struct tagger *t = make_tagger(0.5, 0);
    /* 0.5 lies at 2.5; nothing pushes where the best is no further */
    assert_string_equal(choose(t, (float[]){0, 0, 0, 0, 2.5F, 2.4F}), "plant:0.50;");
    assert_string_equal(choose(t, (float[]){0, 1, 2, 2.4F, 2.4F, 2.4F}), "");
    assert_string_equal(choose(t, (float[]){9, 0, 0, 0, 0, 0}), ""); /* it has no row of its own */
    /* the best at 4.5 pushes by 1: 3.5 stays at 2.5, 3.4 goes; those above come along */
    assert_string_equal(choose(t, (float[]){0, 3.4F, 4.5F, 0, 3.5F, 0}),
                        "animal|dog:0.88;animal:0.88;plant:0.50;");
    assert_string_equal(choose(t, (float[]){0, 0, 0, 3, 0, 0}),
                        "animal|dog|pug:0.62;animal|dog:0.62;animal:0.62;");
    tagger_free(t);
    t = make_tagger(0.1, 2); /* at most two, and what lies above them */
    assert_string_equal(choose(t, (float[]){0, 2, 2.3F, 2.5F, 2.4F, 2.45F}),
                        "animal|dog|pug:0.50;animal|dog:0.50;animal:0.50;stone:0.48;");
    tagger_free(t);
    t = make_tagger(0, 0);
    assert_string_equal(choose(t, (float[]){0, -9, -9, -9, -9, -9}),
                        "animal|dog|pug:0.00;animal|cat:0.00;animal|dog:0.00;animal:0.00;"
                        "plant:0.00;stone:0.00;");
    tagger_free(t);
    t = make_tagger(1, 0);
    assert_string_equal(choose(t, (float[]){0, 9, 9, 9, 9, 9}), "");
    tagger_free(t);
}

static void many_pictures_at_once_are_the_same(void **state)
{
    (void)state;
    enum { M = 37 };
    struct err           err = ERR_INIT;
    struct tagger       *t   = NULL;
    static struct labels l;
    static float         x[M * DIM], v[M * LABELS];
    make_labels(&l, 12);
    assert_ok(tagger_new(names, &l.r, 0.5, 5, &t, &err), &err);
    for (int i = 0; i < M; i++)
        unit_vector(x + (ptrdiff_t)i * DIM, DIM, 300 + (uint64_t)i);
    tagger_score(t, x, M, v);
    for (size_t i = 0; i < M; i++)
        for (size_t k = 0; k < LABELS; k++)
            assert_float_equal(v[i * LABELS + k], score(&l.r, k, x + i * DIM), 1e-5);
    tagger_free(t);
}

static void a_tagger_comes_back(void **state)
{
    (void)state;
    struct err     err = ERR_INIT;
    struct tagger *t = make_tagger(0.25, 3), *back = NULL;
    uint8_t       *bytes = NULL;
    size_t         len   = 0;
    assert_ok(tagger_pack(t, &bytes, &len, &err), &err);
    assert_ok(tagger_unpack(bytes, len, &back, &err), &err);
    assert_int_equal(back->n, LABELS);
    assert_int_equal(back->top, 3);
    assert_true(back->threshold == 0.25);
    for (int i = 0; i < LABELS; i++)
        assert_string_equal(back->labels[i], names[i]);
    assert_int_equal(back->parent[3], 2);
    assert_memory_equal(back->rows, t->rows, sizeof(float) * LABELS * DIM);
    assert_memory_equal(back->bias, t->bias, sizeof(float) * LABELS);
    tagger_free(back);
    t->top        = SIZE_MAX; /* as many as there are */
    uint8_t *more = NULL;
    size_t   n    = 0;
    assert_ok(tagger_pack(t, &more, &n, &err), &err);
    assert_ok(tagger_unpack(more, n, &back, &err), &err);
    assert_true(back->top == SIZE_MAX);
    tagger_free(back);
    free(more);
    for (size_t cut = 0; cut < len; cut++) { /* whatever is cut off is missed */
        uint8_t *part = malloc(cut + 1);     /* a heap block of its own, for sanitizers */
        memcpy(part, bytes, cut);
        assert_int_equal(tagger_unpack(part, cut, &back, &err), ERR_DAMAGED);
        free(part);
    }
    for (size_t at = 0; at < 48; at++) { /* the header: refused or read, never beyond the end */
        uint8_t old = bytes[at];
        bytes[at]   = 0xff;
        if (tagger_unpack(bytes, len, &back, &err) == 0)
            tagger_free(back);
        bytes[at] = old;
    }
    free(bytes);
    tagger_free(t);
}

static void disorder_is_refused(void **state)
{
    (void)state;
    static const char *const twice[LABELS] = {"a", "b", "b", "c", "d", "e"};
    struct err               err           = ERR_INIT;
    struct tagger           *t             = NULL;
    struct labels            l;
    make_labels(&l, 4);
    assert_int_equal(tagger_new(twice, &l.r, 0.5, 5, &t, &err), ERR_DAMAGED);
    l.r.n = 0;
    assert_int_equal(tagger_new(twice, &l.r, 0.5, 5, &t, &err), ERR_LIMIT);
    assert_null(t);
}

/* ---- In a library ---- */

/* Osprey's tags of an image, with bars between them. */
static const char *tags_of(struct library *lib, int64_t id)
{
    static char          text[400];
    struct err           err  = ERR_INIT;
    struct library_said *said = NULL;
    size_t               n = 0, at = 0;
    assert_ok(library_tags_get(lib, id, &said, &n, &err), &err);
    text[0] = '\0';
    for (size_t i = 0; i < n; i++)
        if (said[i].source == LIBRARY_OSPREY)
            at += (size_t)snprintf(text + at, sizeof text - at, "%s ", said[i].text);
    library_said_free(said, n);
    return text;
}

/* A picture that is all label `which`, and far out. */
static struct library_item item_of(int64_t folder, const char *path, int which, float *embedding)
{
    struct library_item item = picture(folder, path, 50 + (uint64_t)which, embedding);
    memset(embedding, 0, DIM * sizeof *embedding);
    embedding[which] = 1;
    item.hash[15]    = (uint8_t)path[0];
    return item;
}

static struct tagger *strong_tagger(void)
{
    struct err     err = ERR_INIT;
    struct tagger *t = make_tagger(0.5, 5), *out = NULL;
    struct labels  l;
    make_labels(&l, 4);
    for (int i = 0; i < LABELS * DIM; i++)
        l.rows[i] = t->rows[i] * 4;
    memset(l.bias, 0, sizeof l.bias);
    assert_ok(tagger_new(names, &l.r, 0.5, 5, &out, &err), &err);
    tagger_free(t);
    return out;
}

static int count_told(void *ctx, int64_t id, const struct library_said *tags, size_t n,
                      struct err *err)
{
    (void)err;
    int64_t *told = ctx;
    told[0]++;
    told[1] += (int64_t)n;
    assert_true(id > 0);
    for (size_t i = 1; i < n; i++)
        assert_true(tags[i].score <= tags[i - 1].score);
    return 0;
}

static void a_library_is_tagged(void **state)
{
    (void)state;
    enum { N = 2500 }; /* more than two blocks */
    struct err               err = ERR_INIT;
    struct library          *lib;
    struct library_tag_tally tally;
    char                    *dir        = temporary_dir();
    struct tagger           *t          = strong_tagger();
    int64_t                  told[2]    = {0, 0};
    struct library_item     *items      = calloc(N, sizeof *items);
    float                   *embeddings = calloc((size_t)N * DIM, sizeof *embeddings);
    static char              paths[N][16];
    assert_ok(library_open(dir, LIBRARY_CREATE, &lib, &err), &err);
    int64_t model = fill_model(lib, "h1", true), folder = add_folder(lib, "/a"), kept = 0;
    for (int i = 0; i < N; i++) {
        snprintf(paths[i], sizeof paths[i], "%c/%d.jpg", i % 2 ? 'x' : 'y', i);
        items[i] = item_of(folder, paths[i], 3 + i % 4, embeddings + (ptrdiff_t)i * DIM);
    }
    assert_ok(library_add(lib, model, items, N, &err), &err);

    struct library_tagging job = {.tagger = t, .dry_run = true, .tell = count_told, .ctx = told};
    assert_ok(library_tag(lib, &job, &tally, &err), &err);
    assert_int_equal(tally.images, N);
    assert_int_equal(tally.tagged, N / 4 * 3); /* number 6 is no label's */
    assert_int_equal(tally.changed, 0);
    assert_int_equal(told[0], N);
    assert_int_equal(told[1], N / 4 * (3 + 1 + 1)); /* a pug is a dog is an animal */
    assert_ok(library_tagged_count(lib, &kept, &err), &err);
    assert_int_equal(kept, 0);

    const struct library_filter filter = {.folder_id = folder, .below = "x"};
    job = (struct library_tagging){.tagger = t, .filters = &filter, .n_filters = 1};
    assert_ok(library_tag(lib, &job, &tally, &err), &err);
    assert_int_equal(tally.images, N / 2);
    assert_ok(library_tagged_count(lib, &kept, &err), &err);
    assert_int_equal(kept, N / 4);
    assert_string_equal(tags_of(lib, items[0].id), "");
    assert_string_equal(tags_of(lib, items[1].id), "plant ");

    job.n_filters = 0;
    assert_ok(library_tag(lib, &job, &tally, &err), &err);
    assert_int_equal(tally.changed, N / 2); /* y's pugs and stones */
    assert_string_equal(tags_of(lib, items[0].id), "animal animal|dog animal|dog|pug ");
    assert_ok(library_tag(lib, &job, &tally, &err), &err);
    assert_int_equal(tally.changed, 0);
    tagger_free(t);
    free(items);
    free(embeddings);
    library_close(lib);
    remove_dir(dir);
}

static void add(struct library *lib, int64_t model, int64_t folder, const char *path, int which,
                int64_t *id)
{
    struct err          err = ERR_INIT;
    float               embedding[DIM];
    struct library_item item = item_of(folder, path, which, embedding);
    assert_ok(library_add(lib, model, &item, 1, &err), &err);
    *id = item.id;
}

static int64_t catch_up(struct library *lib)
{
    struct err               err = ERR_INIT;
    struct library_tag_tally tally;
    assert_ok(library_tagger_catch_up(lib, &tally, &err), &err);
    return tally.images;
}

static void new_pictures_are_tagged(void **state)
{
    (void)state;
    struct err               err = ERR_INIT;
    struct library          *lib;
    struct library_tag_tally tally;
    struct tagger           *t = strong_tagger(), *back = NULL;
    char                    *dir = temporary_dir();
    int64_t                  a, b, c;
    assert_ok(library_open(dir, LIBRARY_CREATE, &lib, &err), &err);
    assert_int_equal(library_tagger_get(lib, &back, &err), ERR_NOTFOUND);
    assert_int_equal(catch_up(lib), 0);
    int64_t model = fill_model(lib, "h1", true), folder = add_folder(lib, "/a");
    add(lib, model, folder, "a.jpg", 4, &a);
    assert_int_equal(catch_up(lib), 0); /* nothing is kept yet */
    const struct library_tagging job = {.tagger = t};
    assert_ok(library_tagger_keep(lib, &job, &tally, &err), &err);
    assert_int_equal(tally.tagged, 1);
    assert_int_equal(catch_up(lib), 0);

    add(lib, model, folder, "b.jpg", 5, &b);
    assert_string_equal(tags_of(lib, b), "");
    assert_int_equal(catch_up(lib), 1);
    assert_string_equal(tags_of(lib, b), "stone ");
    add(lib, model, folder, "a.jpg", 5, &c); /* another picture in its place */
    assert_int_equal(c, a);
    assert_int_equal(catch_up(lib), 1);
    assert_string_equal(tags_of(lib, a), "stone ");

    /* Changes that were trimmed: all are judged again. */
    assert_ok(library_tags_remove(lib, LIBRARY_OSPREY, NULL, &c, &err), &err);
    add(lib, model, folder, "c.jpg", 4, &c);
    for (int i = 0; i < 3; i++) {
        assert_ok(library_index_maintain(lib, true, &err), &err);
        add(lib, model, folder, "d.jpg", 4 + i % 2, &b);
    }
    assert_ok(library_index_maintain(lib, true, &err), &err);
    assert_int_equal(catch_up(lib), 4);
    assert_string_equal(tags_of(lib, a), "stone ");
    assert_string_equal(tags_of(lib, c), "plant ");
    assert_sound(lib);

    assert_ok(library_tagger_get(lib, &back, &err), &err);
    assert_int_equal(back->n, LABELS);
    tagger_free(back);
    fill_model(lib, "h2", true); /* another model answers: its numbers mean something else */
    assert_int_equal(library_tagger_get(lib, &back, &err), ERR_NOTFOUND);
    fill_model(lib, "h1", true);
    assert_ok(library_tagger_keep(lib, &job, &tally, &err), &err);
    assert_ok(library_tagger_forget(lib, &err), &err);
    assert_int_equal(library_tagger_get(lib, &back, &err), ERR_NOTFOUND);
    tagger_free(t);
    library_close(lib);
    remove_dir(dir);
}

/* A damaged tagger judges nothing, and is told; verify finds it and forgets it. */
static void damage_is_found(void **state)
{
    (void)state;
    struct err               err = ERR_INIT;
    struct library          *lib;
    struct library_tag_tally tally;
    struct tagger           *t = strong_tagger(), *back = NULL;
    char                    *dir = temporary_dir();
    int64_t                  a, damage = -1;
    assert_ok(library_open(dir, LIBRARY_CREATE, &lib, &err), &err);
    int64_t model = fill_model(lib, "h1", true), folder = add_folder(lib, "/a");
    add(lib, model, folder, "a.jpg", 4, &a);
    const struct library_tagging job = {.tagger = t};
    assert_ok(library_tagger_keep(lib, &job, &tally, &err), &err);
    assert_sound(lib);
    struct kept_tagger kept;
    assert_ok(catalog_tagger_get(lib->cat, model, &kept, &err), &err);
    kept.len -= 5;
    assert_ok(catalog_tagger_put(lib->cat, model, &kept, &err), &err);
    free(kept.data);
    add(lib, model, folder, "b.jpg", 5, &a);
    assert_int_equal(library_tagger_catch_up(lib, &tally, &err), ERR_DAMAGED);
    assert_int_equal(tally.images, 0);
    assert_non_null(strstr(err.msg, dir));
    assert_non_null(strstr(err.msg, "--vocab"));
    assert_int_equal(library_tagger_get(lib, &back, &err), ERR_DAMAGED);
    assert_ok(library_verify(lib, false, NULL, NULL, &damage, &err), &err);
    assert_int_equal(damage, 1);
    assert_ok(library_verify(lib, true, NULL, NULL, &damage, &err), &err);
    assert_int_equal(damage, 0);
    assert_int_equal(library_tagger_get(lib, &back, &err), ERR_NOTFOUND);
    assert_sound(lib);
    tagger_free(t);
    library_close(lib);
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calibration_is_what_it_says),
        cmocka_unit_test(scales_and_shifts_do_not_matter),
        cmocka_unit_test(mixing_keeps_the_scatter),
        cmocka_unit_test(labels_are_chosen),
        cmocka_unit_test(many_pictures_at_once_are_the_same),
        cmocka_unit_test(a_tagger_comes_back),
        cmocka_unit_test(disorder_is_refused),
        cmocka_unit_test(a_library_is_tagged),
        cmocka_unit_test(new_pictures_are_tagged),
        cmocka_unit_test(damage_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
