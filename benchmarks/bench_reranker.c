/* A step of training the cross-attention re-ranker (rerank/mmca_trainer.h) at the recipe's
 * size on osprey-small: 16 groups of 8 pictures of 7 x 7 cells with 1,280 numbers each,
 * texts of 6 to 18 words with 384 numbers, made up.
 *
 *     bench_reranker [THREADS [STEPS [GROUPS [SIZE]]]]
 *
 * One JSON line: milliseconds of a step with all that belongs to it, the mean over all
 * steps, in wall-clock time and in processor time (this with what comes before them).
 * benchmarks/peers/bench_train.py compares.
 */
#include "base/half.h"
#include "base/mem.h"
#include "rerank/mmca_trainer.h"
#include "rerank/rows8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PICTURES = 400, TEXTS = 5, CELLS = 49, REGION = 1280, WORD = 384, NEAR = 30 };
enum { FEWEST = 6, WORDS = 13 }; /* of a text: FEWEST .. FEWEST + WORDS - 1 */

/* Of processor time. */
static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *need(void *memory)
{
    if (!memory) {
        fprintf(stderr, "bench_reranker: out of memory\n");
        exit(1);
    }
    return memory;
}

static void make_regions(struct mmca_data *d, struct random *r)
{
    size_t view = rows8_bytes(CELLS, REGION);
    d->regions  = need(mem_array((size_t)PICTURES * MMCA_DATA_VIEWS, view));
    for (size_t v = 0; v < (size_t)PICTURES * MMCA_DATA_VIEWS; v++) {
        int8_t *rows = (int8_t *)(d->regions + v * view + CELLS * sizeof(uint16_t));
        for (size_t c = 0; c < CELLS; c++) {
            float    x[REGION];
            uint16_t step;
            for (int j = 0; j < REGION; j++)
                x[j] = (float)random_uniform(r);
            (void)rows8_pack(x, REGION, &step, rows + c * REGION);
            memcpy(d->regions + v * view + c * sizeof step, &step, sizeof step);
        }
    }
}

static void make_data(struct mmca_data *d, struct random *r)
{
    *d = (struct mmca_data){
        .n = PICTURES, .cells = CELLS, .region = REGION, .word = WORD, .n_near = NEAR};
    make_regions(d, r);
    d->starts = need(mem_zeroed(PICTURES * TEXTS + 1, sizeof *d->starts));
    d->first  = need(mem_zeroed(PICTURES + 1, sizeof *d->first));
    d->group  = need(mem_array(PICTURES, sizeof *d->group));
    d->near   = need(mem_array((size_t)PICTURES * NEAR, sizeof *d->near));
    for (int i = 0; i < PICTURES; i++) {
        d->group[i]     = i;
        d->first[i + 1] = (i + 1) * TEXTS;
        for (int k = 0; k < NEAR; k++)
            d->near[i * NEAR + k] = (i + 1 + 13 * k) % PICTURES;
    }
    for (int t = 0; t < PICTURES * TEXTS; t++)
        d->starts[t + 1] = d->starts[t] + FEWEST + (int)random_below(r, WORDS);
    size_t n = (size_t)d->starts[PICTURES * TEXTS] * WORD;
    d->words = need(mem_array(n, sizeof *d->words));
    for (size_t i = 0; i < n; i++) {
        float x = (float)random_normal(r);
        half_from_float(d->words + i, &x, 1);
    }
}

static void on_step(void *ctx, int step, int steps, double loss, double since)
{
    if (!isfinite(loss))
        exit(1);
    if (step == steps)
        *(double *)ctx = since;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 1, steps = argc > 2 ? atoi(argv[2]) : 20;
    int groups = argc > 3 ? atoi(argv[3]) : 16, size = argc > 4 ? atoi(argv[4]) : 8;
    const struct mmca_config          config = mmca_config_pooled(CELLS, REGION, WORD);
    const struct mmca_trainer_options o      = {.steps        = steps,
                                                .groups       = groups,
                                                .size         = size,
                                                .rate         = 1e-3,
                                                .weight_decay = 0.1,
                                                .clip         = 1,
                                                .ema          = 0.995,
                                                .smoothing    = 0.05,
                                                .warmup       = 100,
                                                .dropout = {.region = 0.2, .word = 0.2, .hidden = 0.1},
                                                .seed    = 1,
                                                .threads = threads};
    double                            wall   = 0, cpu;
    struct mmca_data                  data;
    struct random                     r;
    struct mmca_fit_f32              *net = NULL;
    struct err                        err = ERR_INIT;

    const struct mmca_trainer_listener listener = {.ctx = &wall, .step = on_step};
    random_seed(&r, 1);
    make_data(&data, &r);
    cpu = seconds();
    if (mmca_trainer_run(&config, &o, &data, &listener, NULL, &net, &err)) {
        fprintf(stderr, "bench_reranker: %s\n", err.msg);
        return 1;
    }
    cpu = seconds() - cpu;
    printf("{\"threads\": %d, \"groups\": %d, \"group_size\": %d, \"step_ms\": %.2f, "
           "\"step_cpu_ms\": %.2f}\n",
           threads, groups, size, 1e3 * wall / steps, 1e3 * cpu / steps);
    mmca_fit_free_f32(net);
    mmca_data_release(&data);
    return 0;
}
