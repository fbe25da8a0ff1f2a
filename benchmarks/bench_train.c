/* A step of training heads at the default recipe's size: two heads (2688 and 768
 * inputs, 1024 hidden, 512 joint), batches of 1,000 pairs, a loss, AdamW with a moving
 * average, on random features.
 *
 *     bench_train [THREADS [STEPS [LOSS [DISTANCE]]]]
 *
 * One JSON line: milliseconds of each part of a step, the least over the steps, in
 * wall-clock time and in processor time. benchmarks/peers/bench_train.py compares.
 */
#include "base/mem.h"
#include "learn/adamw.h"
#include "learn/heads_net.h"
#include "learn/losses.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BATCH = 1000, IMAGE = 2688, TEXT = 768, HIDDEN = 1024, DIM = 512 };
enum { FORWARD, LOSS, BACKWARD, UPDATE, PARTS };

static const char *const parts[PARTS] = {"forward", "loss", "backward", "update"};

static double seconds(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *numbers(struct random *r, size_t n)
{
    float *x = mem_aligned(n, sizeof *x);
    if (!x)
        exit(1);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)random_normal(r);
    return x;
}

static void die(const struct err *err)
{
    fprintf(stderr, "bench_train: %s\n", err->msg);
    exit(1);
}

int main(int argc, char **argv)
{
    int           threads = argc > 1 ? atoi(argv[1]) : 1, steps = argc > 2 ? atoi(argv[2]) : 10;
    int           kind     = loss_by_name(argc > 3 ? argv[3] : "infonce");
    enum distance distance = DISTANCE_COSINE;
    struct err    err      = ERR_INIT;
    double     log_scale, bias, wall[PARTS], cpu[PARTS], step_wall = INFINITY, step_cpu = INFINITY;
    static int groups[BATCH];
    static float         da[BATCH * DIM], db[BATCH * DIM], a[BATCH * DIM], b[BATCH * DIM];
    static float         scores[BATCH * BATCH];
    struct head_shape    image  = {.in = IMAGE, .hidden = HIDDEN, .dim = DIM, .input_dropout = 0.6};
    struct head_shape    text   = {.in = TEXT, .hidden = HIDDEN, .dim = DIM, .input_dropout = 0.4};
    struct compute      *c      = NULL;
    struct head_net_f32 *images = NULL, *texts = NULL;
    struct adamw         adamw;
    struct adamw_options o = ADAMW_DEFAULT;
    struct random        r;
    if (kind < 0 || (argc > 4 && !distance_of(argv[4], &distance))) {
        fprintf(stderr, "usage: bench_train [THREADS [STEPS [LOSS [DISTANCE]]]]\n");
        return 2;
    }
    random_seed(&r, 1);
    o.ema            = 0.99;
    struct loss loss = loss_default((enum loss_kind)kind, distance, DIM, &log_scale, &bias);
    struct loss_scalars_f32 s = {(float)log_scale, (float)bias}, ds = {0};
    if (compute_new(cpu_detect(), threads, &c, &err) ||
        head_net_new_f32(&image, BATCH, &images, &err) ||
        head_net_new_f32(&text, BATCH, &texts, &err))
        die(&err);
    head_net_init_f32(images, &r);
    head_net_init_f32(texts, &r);
    struct param_f32 list[2 * HEAD_PARAMS];
    int              n = head_net_params_f32(images, list);
    n += head_net_params_f32(texts, list + n);
    if (adamw_init(&adamw, &o, list, n, &err))
        die(&err);
    float *x = numbers(&r, (size_t)BATCH * IMAGE), *t = numbers(&r, (size_t)BATCH * TEXT);
    for (int i = 0; i < BATCH; i++)
        groups[i] = i;
    for (int k = 0; k < PARTS; k++)
        wall[k] = cpu[k] = INFINITY;
    double value = 0;
    for (int i = 0; i < steps; i++) {
        double w[PARTS + 1], p[PARTS + 1];
        w[FORWARD] = seconds(CLOCK_MONOTONIC);
        p[FORWARD] = seconds(CLOCK_PROCESS_CPUTIME_ID);
        head_net_forward_f32(images, c, x, BATCH, &r, a);
        head_net_forward_f32(texts, c, t, BATCH, &r, b);
        w[LOSS]                   = seconds(CLOCK_MONOTONIC);
        p[LOSS]                   = seconds(CLOCK_PROCESS_CPUTIME_ID);
        struct loss_sets_f32 sets = {a, b, groups, groups, BATCH, BATCH, DIM};
        value                     = loss_run_f32(c, &loss, &sets, &s, scores, da, db, &ds);
        w[BACKWARD]               = seconds(CLOCK_MONOTONIC);
        p[BACKWARD]               = seconds(CLOCK_PROCESS_CPUTIME_ID);
        head_net_backward_f32(images, c, da);
        head_net_backward_f32(texts, c, db);
        w[UPDATE] = seconds(CLOCK_MONOTONIC);
        p[UPDATE] = seconds(CLOCK_PROCESS_CPUTIME_ID);
        adamw_step(&adamw, c, 1e-3);
        w[PARTS] = seconds(CLOCK_MONOTONIC);
        p[PARTS] = seconds(CLOCK_PROCESS_CPUTIME_ID);
        for (int k = 0; k < PARTS; k++) {
            wall[k] = fmin(wall[k], w[k + 1] - w[k]);
            cpu[k]  = fmin(cpu[k], p[k + 1] - p[k]);
        }
        step_wall = fmin(step_wall, w[PARTS] - w[FORWARD]);
        step_cpu  = fmin(step_cpu, p[PARTS] - p[FORWARD]);
    }
    if (compute_check(c, &err))
        die(&err);
    printf("{\"threads\": %d, \"loss\": \"%s\", \"distance\": \"%s\", \"value\": %.5f", threads,
           loss_name(loss.kind), distance_name(loss.distance), value);
    for (int k = 0; k < PARTS; k++)
        printf(", \"%s_ms\": %.2f, \"%s_cpu_ms\": %.2f", parts[k], 1e3 * wall[k], parts[k],
               1e3 * cpu[k]);
    printf(", \"step_ms\": %.2f, \"step_cpu_ms\": %.2f}\n", 1e3 * step_wall, 1e3 * step_cpu);
    adamw_release(&adamw);
    head_net_free_f32(images);
    head_net_free_f32(texts);
    compute_free(c);
    free(x);
    free(t);
    return 0;
}
