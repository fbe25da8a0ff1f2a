/* Unit tests of core/learn/trainer*: made-up towers whose features share what a
 * picture and its captions have in common. Learning, stopping and going on, data that
 * cannot be learned from, distillation's gradient, recall. */
#include "learn/trainer.h"
#include "learn/trainer_state.h"

#include "base/file.h"
#include "base/half.h"
#include "base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define N         90 /* pictures, of which the last DEV are judged by */
#define DEV       30
#define VIEWS     2
#define TEXTS     2 /* of each picture */
#define LATENT    5
#define IMAGE     18
#define TEXT      11
#define CLASSES   7
#define PHRASINGS 3

static char             folder[64], checkpoint[96];
static struct head_data data;
static int              all[N];

/* to = a random matrix of that seed times from, and some noise. */
static void mix(uint64_t seed, struct random *noise, const float *from, int in, int out,
                uint16_t *to)
{
    struct random matrix;
    random_seed(&matrix, seed);
    for (int o = 0; o < out; o++) {
        float sum = 0.1f * (float)random_normal(noise);
        for (int i = 0; i < in; i++)
            sum += (float)random_normal(&matrix) * from[i];
        half_from_float(to + o, &sum, 1);
    }
}

static int make_data(void **state)
{
    (void)state;
    struct random r;
    random_seed(&r, 5);
    (void)snprintf(folder, sizeof folder, "/tmp/osprey-trainer-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint", folder);
    data             = (struct head_data){.n_images   = N,
                                          .n_texts    = N * TEXTS,
                                          .n_groups   = N,
                                          .views      = VIEWS,
                                          .whole      = VIEWS,
                                          .image_dim  = IMAGE,
                                          .text_dim   = TEXT,
                                          .classes_at = -1,
                                          .n_classes  = CLASSES,
                                          .phrasings  = PHRASINGS};
    data.images      = mem_array(N * VIEWS * IMAGE, sizeof *data.images);
    data.texts       = mem_array(N * TEXTS * TEXT, sizeof *data.texts);
    data.logits      = mem_array(N * CLASSES, sizeof *data.logits);
    data.class_texts = mem_array(CLASSES * PHRASINGS * TEXT, sizeof *data.class_texts);
    data.group       = mem_array(N, sizeof *data.group);
    data.first_text  = mem_array(N + 1, sizeof *data.first_text);
    data.text_of     = mem_array(N * TEXTS, sizeof *data.text_of);
    for (int i = 0; i < N; i++) {
        float z[LATENT];
        all[i]        = i;
        data.group[i] = i;
        for (int k = 0; k < LATENT; k++)
            z[k] = (float)random_normal(&r);
        for (int v = 0; v < VIEWS; v++)
            mix(1, &r, z, LATENT, IMAGE, data.images + (i * VIEWS + v) * IMAGE);
        mix(2, &r, z, LATENT, CLASSES, data.logits + i * CLASSES);
        data.first_text[i] = i * TEXTS;
        for (int k = 0; k < TEXTS; k++) {
            data.text_of[i * TEXTS + k] = i * TEXTS + k;
            mix(3, &r, z, LATENT, TEXT, data.texts + (i * TEXTS + k) * TEXT);
        }
    }
    data.first_text[N] = N * TEXTS;
    for (int i = 0; i < CLASSES * PHRASINGS; i++) {
        float z[LATENT]           = {0};
        z[i / PHRASINGS % LATENT] = 1;
        mix(3, &r, z, LATENT, TEXT, data.class_texts + i * TEXT);
    }
    return 0;
}

static int remove_data(void **state)
{
    (void)state;
    char command[128];
    head_data_release(&data);
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static const struct trainer_part train = {.data = &data, .images = all, .n = N - DEV};
static const struct trainer_part dev   = {.data = &data, .images = all + N - DEV, .n = DEV};

static struct trainer_options options(enum supervision supervision)
{
    return (struct trainer_options){.loss           = {.kind = LOSS_INFONCE},
                                    .log_scale      = 2.3,
                                    .log_scale_most = 4,
                                    .supervision    = supervision,
                                    .semi_weight    = 0.5,
                                    .epochs         = 25,
                                    .batch          = 25,
                                    .rate           = 5e-3,
                                    .warmup         = 5,
                                    .weight_decay   = 0.01,
                                    .ema            = 0.9,
                                    .dim            = 8,
                                    .hidden         = 12,
                                    .image_dropout  = 0.1,
                                    .mix            = 0.5,
                                    .seed           = 3,
                                    .threads        = 1};
}

static struct trained run(const struct trainer_options *o)
{
    struct trained out = {0};
    struct err     err = ERR_INIT;
    if (trainer_run(o, &train, &dev, NULL, NULL, &out, &err))
        fail_msg("%s", err.msg);
    return out;
}

static void refuse(const struct trainer_options *o, const struct trainer_part *part,
                   enum err_code code, const char *says)
{
    struct trained out = {0};
    struct err     err = ERR_INIT;
    int            rc  = trainer_run(o, part, &dev, NULL, NULL, &out, &err);
    if (rc != (int)code || !strstr(err.msg, says))
        fail_msg("%d \"%s\" does not say \"%s\"", rc, err.msg, says);
}

static void assert_same_heads(const struct heads *a, const struct heads *b)
{
    assert_int_equal(a->n_params, b->n_params);
    for (int i = 0; i < a->n_params; i++) {
        assert_string_equal(a->params[i].name, b->params[i].name);
        assert_memory_equal(a->params[i].value, b->params[i].value,
                            heads_numbers(&a->params[i]) * sizeof(float));
    }
}

static void each_supervision_learns(void **state)
{
    (void)state;
    for (int s = 0; s < 3; s++) {
        struct trainer_options o = options((enum supervision)s);
        struct trained         t = run(&o);
        assert_int_equal(t.n_epochs, 25);
        assert_false(t.early);
        assert_true(t.history[24].loss < 0.7 * t.history[0].loss);
        const struct trainer_dev *best = &t.history[t.best].dev;
        const struct recall      *r    = s == SELF_SUPERVISED ? &best->i2i : &best->t2i;
        assert_int_equal(r->n, s == SELF_SUPERVISED ? DEV : DEV * TEXTS);
        assert_true(r->r5 > 70); /* chance: 17 */
        assert_true(r->r1 <= r->r5 && r->r5 <= r->r10);
        assert_int_equal(t.heads.net[HEADS_TEXT] == NULL, s == SELF_SUPERVISED);
        for (int i = 0; i < t.n_epochs; i++)
            assert_true(t.history[i].dev.score <= best->score);
        trained_release(&t);
    }
}

/* Which share of what pictures vary by the rows of a matrix take in: rows of length 1
 * at right angles. */
static double share_of_variance(const struct trained *t, const struct param_f32 *w)
{
    float *mean, *scale;
    double all_of_it = 0, inside = 0;
    head_net_standard_f32(t->heads.net[HEADS_IMAGE], &mean, &scale);
    for (size_t i = 0; i < train.n; i++) {
        float x[IMAGE];
        half_to_float(x, head_data_image(&data, all[i], 0), IMAGE);
        for (int d = 0; d < IMAGE; d++) {
            x[d] = (x[d] - mean[d]) * scale[d];
            all_of_it += (double)x[d] * (double)x[d];
        }
        for (int row = 0; row < w->rows; row++) {
            double sum = 0;
            for (int d = 0; d < IMAGE; d++)
                sum += (double)x[d] * (double)w->value[row * IMAGE + d];
            inside += sum * sum;
        }
    }
    return inside / all_of_it;
}

static void heads_begin_at_principal_directions(void **state)
{
    (void)state;
    struct trainer_options o  = options(SELF_SUPERVISED);
    o.principal               = true;
    o.dim                     = LATENT;
    o.epochs                  = 1;
    o.rate                    = 1e-12; /* changes nothing */
    struct trained          t = run(&o);
    const struct param_f32 *w = &t.heads.params[0], *b = &t.heads.params[1];
    assert_string_equal(w->name, "image.linear.weight");
    assert_string_equal(b->name, "image.linear.bias");
    for (int i = 0; i < w->rows; i++) {
        for (int k = 0; k <= i; k++) {
            double sum = 0;
            for (int d = 0; d < w->cols; d++)
                sum += (double)w->value[i * w->cols + d] * (double)w->value[k * w->cols + d];
            assert_float_equal(sum, i == k, 1e-4);
        }
        assert_float_equal(b->value[i], 0, 1e-9);
    }
    /* As many as what pictures were made from: all but the noise. LATENT random
     * directions of IMAGE would take in 28%. */
    assert_true(share_of_variance(&t, w) > 0.98);
    trained_release(&t);
}

/* Views that show little of a picture stand beside no caption. */
static void captions_stand_beside_whole_views(void **state)
{
    (void)state;
    struct trainer_options o     = options(SUPERVISED);
    struct head_data       other = data;
    struct trained         heads[2];
    o.epochs     = 2;
    other.whole  = 1;
    other.images = mem_array(N * VIEWS * IMAGE, sizeof *other.images);
    for (int k = 0; k < 2; k++) {
        struct err                err     = ERR_INIT;
        const struct trainer_part learned = {.data = &other, .images = all, .n = N - DEV};
        const struct trainer_part judged  = {.data = &other, .images = all + N - DEV, .n = DEV};
        memcpy(other.images, data.images, N * VIEWS * IMAGE * sizeof *other.images);
        for (int i = 0; i < N * IMAGE && k; i++)
            other.images[i / IMAGE * VIEWS * IMAGE + IMAGE + i % IMAGE] = 0x7000; /* 8192 */
        if (trainer_run(&o, &learned, &judged, NULL, NULL, &heads[k], &err))
            fail_msg("%s", err.msg);
    }
    assert_same_heads(&heads[0].heads, &heads[1].heads);
    trained_release(&heads[0]);
    trained_release(&heads[1]);
    free(other.images);
}

static void threads_change_nothing_seeds_do(void **state)
{
    (void)state;
    struct trainer_options o = options(SEMI_SUPERVISED);
    o.distil                 = 0.5;
    struct trained one       = run(&o);
    o.threads                = 3;
    struct trained three     = run(&o);
    o.seed                   = 4;
    struct trained other     = run(&o);
    assert_same_heads(&one.heads, &three.heads);
    assert_true(one.heads.params[0].value[0] != other.heads.params[0].value[0]);
    trained_release(&one);
    trained_release(&three);
    trained_release(&other);
}

static volatile sig_atomic_t stop;

static void stop_after(void *ctx, const struct trainer_epoch *history, int n)
{
    (void)history;
    stop = n == *(int *)ctx;
}

/* Stops after so many epochs; the rest is another run's. */
static void stopped_and_resumed(enum supervision supervision, int after, double distil)
{
    struct trainer_options  o = options(supervision);
    struct trained          part, whole;
    struct err              err      = ERR_INIT;
    struct trainer_listener listener = {.ctx = &after, .epoch = stop_after};
    o.distil                         = distil;
    whole                            = run(&o);
    o.checkpoint                     = checkpoint;
    stop                             = 0;
    assert_int_equal(trainer_run(&o, &train, &dev, &listener, &stop, &part, &err), ERR_CANCELLED);
    o.resume  = true;
    o.threads = 2;
    part      = run(&o);
    assert_same_heads(&part.heads, &whole.heads);
    assert_int_equal(part.best, whole.best);
    for (int i = 0; i < whole.n_epochs; i++) {
        assert_true(part.history[i].loss == whole.history[i].loss);
        assert_true(part.history[i].dev.score == whole.history[i].dev.score);
    }
    trained_release(&part);
    trained_release(&whole);
}

static void stopping_changes_nothing(void **state)
{
    (void)state;
    stopped_and_resumed(SUPERVISED, 1, 0);
    stopped_and_resumed(SUPERVISED, 24, 0.5);
    stopped_and_resumed(SELF_SUPERVISED, 7, 0);
    stopped_and_resumed(SEMI_SUPERVISED, 13, 0.5);
}

static void stopping_before_the_first_step_changes_nothing(void **state)
{
    (void)state;
    struct trainer_options o     = options(SUPERVISED);
    struct trained         whole = run(&o), part;
    struct err             err   = ERR_INIT;
    o.checkpoint                 = checkpoint;
    stop                         = 1;
    assert_int_equal(trainer_run(&o, &train, &dev, NULL, &stop, &part, &err), ERR_CANCELLED);
    o.resume = true;
    part     = run(&o);
    assert_same_heads(&part.heads, &whole.heads);
    trained_release(&part);
    trained_release(&whole);
}

static void what_cannot_be_resumed(void **state)
{
    (void)state;
    struct trainer_options o = options(SUPERVISED);
    struct trained         t;
    struct err             err = ERR_INIT;
    uint8_t               *bytes;
    size_t                 len;
    o.checkpoint = checkpoint;
    o.resume     = true;
    (void)unlink(checkpoint);
    refuse(&o, &train, ERR_NOTFOUND, "there is no");
    o.resume = false;
    stop     = 1;
    assert_int_equal(trainer_run(&o, &train, &dev, NULL, &stop, &t, &err), ERR_CANCELLED);
    o.resume = true;
    o.rate *= 2;
    refuse(&o, &train, ERR_USAGE, "made with learning rate 0.005 instead of 0.01:");
    o.rate /= 2;
    o.seed++;
    o.loss.kind = LOSS_SIGLIP;
    refuse(&o, &train, ERR_USAGE, "made with loss infonce instead of siglip, another seed:");
    o.seed--;
    o.loss.kind               = LOSS_INFONCE;
    struct trainer_part fewer = train;
    fewer.n--;
    refuse(&o, &fewer, ERR_USAGE, "made with another set of pictures or captions:");
    o.model = "some model";
    refuse(&o, &train, ERR_USAGE, "made with model any instead of some model:");
    o.model = NULL;
    assert_int_equal(file_read(checkpoint, 1 << 24, &bytes, &len, NULL), 0);
    for (size_t at = len / 64 * 64 - 64; at > len / 2; at -= 64 * 31) {
        for (size_t i = 0; i < 64; i++) /* a whole line: some of it is not padding */
            bytes[at + i] ^= 8;
        assert_int_equal(file_replace(checkpoint, bytes, len, NULL), 0);
        refuse(&o, &train, ERR_DAMAGED, "checksum");
        for (size_t i = 0; i < 64; i++)
            bytes[at + i] ^= 8;
    }
    for (size_t cut = 0; cut < len; cut += len / 7) {
        assert_int_equal(file_replace(checkpoint, bytes, cut, NULL), 0);
        refuse(&o, &train, ERR_DAMAGED, "without --resume the training begins anew");
    }
    assert_int_equal(file_replace(checkpoint, bytes, len, NULL), 0);
    t = run(&o);
    trained_release(&t);
    free(bytes);
}

static void what_cannot_be_learned_from(void **state)
{
    (void)state;
    struct trainer_options o    = options(SUPERVISED);
    struct head_data       bad  = data;
    struct trainer_part    part = {.data = &bad, .images = all, .n = 1};
    refuse(&o, &part, ERR_USAGE, "too few pictures");
    part.n    = N - DEV;
    bad.group = mem_zeroed(N, sizeof *bad.group);
    refuse(&o, &part, ERR_USAGE, "one class");
    free(bad.group);
    bad            = data;
    bad.first_text = mem_zeroed(N + 1, sizeof *bad.first_text);
    refuse(&o, &part, ERR_USAGE, "no caption");
    o.supervision = SEMI_SUPERVISED;
    refuse(&o, &part, ERR_USAGE, "no captions");
    free(bad.first_text);
    bad           = data;
    bad.views     = 1;
    o.supervision = SELF_SUPERVISED;
    refuse(&o, &part, ERR_USAGE, "two views");
    bad           = data;
    bad.n_classes = 0;
    o.supervision = SUPERVISED;
    o.distil      = 1;
    refuse(&o, &part, ERR_USAGE, "names of classes");
}

static void divergence_is_told(void **state)
{
    (void)state;
    struct trainer_options o = options(SUPERVISED);
    o.rate                   = 1e6;
    o.weight_decay           = 10;
    refuse(&o, &train, ERR_FAILED, "diverged");
}

static void patience_ends(void **state)
{
    (void)state;
    struct trainer_options o = options(SUPERVISED);
    o.epochs                 = 500;
    o.patience               = 6;
    struct trained t         = run(&o);
    assert_true(t.early);
    assert_int_equal(t.n_epochs, t.best + 1 + 6);
    trained_release(&t);
}

/* ---- Distillation ---- */

/* A trainer with nothing but what trainer_distil looks at. */
static double distil(struct trainer *t, const float *logits)
{
    memcpy(t->batch.p, logits, (size_t)(t->batch.n * CLASSES) * sizeof *logits);
    return trainer_distil(t);
}

static void distillation_has_its_gradient(void **state)
{
    (void)state;
    enum { ROWS = 6, CAPTIONS = 4, DIM = 5 };
    for (int distance = 0; distance < DISTANCES; distance++) {
        struct trainer_options o = options(SUPERVISED);
        o.dim                    = DIM;
        o.distil                 = 0.7;
        o.distil_scale           = 4;
        o.loss.distance          = (enum distance)distance;
        float          y0[ROWS * DIM], y1[(CAPTIONS + CLASSES) * DIM], d[4][(ROWS + CLASSES) * DIM];
        float          p[ROWS * CLASSES], s[2 * ROWS * CLASSES], logits[ROWS * CLASSES];
        struct random  r;
        struct trainer t = {
            .o = &o, .train = &train, .y = {y0, y1}, .dy = {d[0], d[1], d[2], d[3]}};
        t.batch = (struct trainer_batch){.n = ROWS, .captions = CAPTIONS, .p = p, .s = s};
        random_seed(&r, 9);
        assert_int_equal(compute_new(cpu_detect(), 1, &t.compute, NULL), 0);
        for (int i = 0; i < ROWS * DIM; i++)
            y0[i] = (float)random_normal(&r);
        for (int i = 0; i < (CAPTIONS + CLASSES) * DIM; i++)
            y1[i] = (float)random_normal(&r);
        for (int i = 0; i < ROWS * CLASSES; i++)
            logits[i] = (float)random_normal(&r);
        memset(d, 0, sizeof d);
        for (int i = 0; i < ROWS * DIM; i++)
            d[0][i] = 100; /* it is added to */
        assert_true(distil(&t, logits) > 0);
        float dy0[ROWS * DIM], dy1[(CAPTIONS + CLASSES) * DIM];
        memcpy(dy0, d[0], sizeof dy0);
        memcpy(dy1, d[1], sizeof dy1);
        for (int i = 0; i < ROWS * DIM + CLASSES * DIM; i++) {
            bool   image = i < ROWS * DIM;
            int    at    = image ? i : CAPTIONS * DIM + i - ROWS * DIM;
            float *x = image ? y0 + at : y1 + at, kept = *x, step = 5e-3f;
            *x          = kept + step;
            double up   = distil(&t, logits);
            *x          = kept - step;
            double down = distil(&t, logits);
            *x          = kept;
            double want = (up - down) / (2 * (double)step);
            double got  = image ? (double)dy0[at] - 100 : (double)dy1[at];
            if (fabs(want - got) > 2e-3 + 0.01 * fabs(want))
                fail_msg("distance %d, number %d: %g instead of %g", distance, i, got, want);
        }
        compute_free(t.compute);
    }
}

/* ---- Recall ---- */

static void recall_counts_ranks(void **state)
{
    (void)state;
    /* queries on a line, items at 0, 1, ... 19; equal ones rank by position */
    enum { ITEMS = 20, QUERIES = 4 };
    float                items[ITEMS], queries[QUERIES] = {0.2f, 5.4f, 18.9f, 7.0f};
    int                  groups[ITEMS], wanted[QUERIES] = {0, 8, 5, 99};
    float               *scores = mem_array(ITEMS * QUERIES, sizeof *scores);
    struct recall        forth, back;
    struct compute      *c;
    struct loss_sets_f32 sets = {.a        = queries,
                                 .b        = items,
                                 .groups_a = wanted,
                                 .groups_b = groups,
                                 .na       = QUERIES,
                                 .nb       = ITEMS,
                                 .dim      = 1};
    for (int i = 0; i < ITEMS; i++) {
        items[i]  = (float)i;
        groups[i] = i;
    }
    assert_int_equal(compute_new(cpu_detect(), 2, &c, NULL), 0);
    assert_int_equal(recall_both(c, DISTANCE_MANHATTAN, &sets, scores, &forth, &back, NULL), 0);
    /* ranks 1; 5, 6, 4, 7, 3, 8: the sixth; the fifteenth; nothing to be found */
    assert_int_equal(forth.n, 3);
    assert_true(fabs(forth.r1 - 100 / 3.0) < 1e-9);
    assert_true(fabs(forth.r5 - 100 / 3.0) < 1e-9);
    assert_true(fabs(forth.r10 - 200 / 3.0) < 1e-9);
    assert_int_equal(back.n, 3); /* items 0, 8 and 5 have a query of their own */
    assert_true(fabs(back.r1 - 100 / 3.0) < 1e-9);
    assert_true(fabs(back.r5 - 100) < 1e-9);
    assert_true(fabs(recall_mean(&back) - (100 / 3.0 + 200) / 3) < 1e-9);
    compute_free(c);
    free(scores);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_supervision_learns),
        cmocka_unit_test(heads_begin_at_principal_directions),
        cmocka_unit_test(captions_stand_beside_whole_views),
        cmocka_unit_test(threads_change_nothing_seeds_do),
        cmocka_unit_test(stopping_changes_nothing),
        cmocka_unit_test(stopping_before_the_first_step_changes_nothing),
        cmocka_unit_test(what_cannot_be_resumed),
        cmocka_unit_test(what_cannot_be_learned_from),
        cmocka_unit_test(divergence_is_told),
        cmocka_unit_test(patience_ends),
        cmocka_unit_test(distillation_has_its_gradient),
        cmocka_unit_test(recall_counts_ranks),
    };
    return cmocka_run_group_tests(tests, make_data, remove_data);
}
