/* Encoding speed of the image tower: one JSON line for each batch size and
 * number of threads.
 *
 *     bench_encode [--weights FILE] [--batch N] [--threads N] [--runs N] [--serve]
 *         [--precision f32|bf16|int8]
 *
 * --serve measures one run for each line read from standard input, so that a
 * script can alternate with a peer (benchmarks/peers/bench_onnx.py) and both see
 * the same machine. The weights are the default model's.
 */
#include "base/file.h"
#include "base/mem.h"
#include "model/efficientnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIDE      224
#define MAX_BATCH 64
#define MAX_RUNS  1000
#define WARM_UP   3
#define WEIGHTS   "../../models/osprey-small/model.safetensors"
#define USAGE                                                                                      \
    "usage: bench_encode [--weights FILE] [--batch N] [--threads N] [--runs N] [--serve] "         \
    "[--precision f32|bf16|int8]\n"

struct bench {
    struct safetensors *st;
    struct prepared    *prepared;
    struct effnet      *net;
    uint8_t            *pixels; /* (MAX_BATCH, SIDE, SIDE, 3) */
    float              *pooled, *logits;
    enum precision      precision;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int bench_open(struct bench *b, const char *weights, struct err *err)
{
    static const float mean[3] = {0.5f, 0.5f, 0.5f}, std[3] = {0.5f, 0.5f, 0.5f};
    int                rc = safetensors_open(weights, &b->st, err);
    if (!rc)
        rc = prepared_open_as(precision_name(b->precision), &weights, 1, &b->prepared, err);
    if (!rc)
        rc = effnet_load(b->st, "vision_model.", b->prepared, cpu_detect(), b->precision, mean, std,
                         &b->net, err);
    if (!rc)
        rc = prepared_finish(b->prepared, err);
    if (rc)
        return rc;
    size_t picture = (size_t)SIDE * SIDE * 3;
    b->pixels      = mem_array(MAX_BATCH, picture);
    b->pooled      = mem_array(MAX_BATCH, sizeof(float) * (size_t)effnet_features(b->net));
    b->logits      = mem_array(MAX_BATCH, sizeof(float) * (size_t)effnet_classes(b->net));
    if (!b->pixels || !b->pooled || !b->logits)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < MAX_BATCH * picture; i++)
        b->pixels[i] = (uint8_t)((i * 2654435761u) >> 24);
    return 0;
}

static void bench_close(struct bench *b)
{
    free(b->pixels);
    free(b->pooled);
    free(b->logits);
    effnet_free(b->net);
    prepared_close(b->prepared);
    safetensors_close(b->st);
}

static double run_once(struct bench *b, void *scratch, int batch, int threads)
{
    double start = now();
    effnet_forward(b->net, b->pixels, batch, threads, scratch,
                   &(struct effnet_seen){.pooled = b->pooled, .logits = b->logits}, NULL);
    return now() - start;
}

/* Prints one line, or, serving, one duration in seconds a line read. */
static int measure(struct bench *b, int batch, int threads, int runs, int serve)
{
    void  *scratch = mem_aligned(effnet_scratch_size(b->net, batch, threads), 1);
    double times[MAX_RUNS];
    char   line[16];
    if (!scratch) {
        fprintf(stderr, "bench_encode: out of memory\n");
        return 3;
    }
    for (int i = 0; i < WARM_UP; i++)
        (void)run_once(b, scratch, batch, threads);
    while (serve && fgets(line, sizeof(line), stdin)) {
        printf("%.9f\n", run_once(b, scratch, batch, threads));
        fflush(stdout);
    }
    if (!serve) {
        for (int i = 0; i < runs; i++)
            times[i] = run_once(b, scratch, batch, threads);
        qsort(times, (size_t)runs, sizeof(*times), by_value);
        printf("{\"bench\": \"encode\", \"cpu\": \"%s\", \"precision\": \"%s\", \"batch\": %d, "
               "\"threads\": %d, "
               "\"ms_median\": %.3f, \"ms_min\": %.3f, \"images_per_s\": %.1f}\n",
               cpu_level_name(cpu_detect().level), precision_name(b->precision), batch, threads,
               1e3 * times[runs / 2], 1e3 * times[0], batch / times[runs / 2]);
        fflush(stdout);
    }
    free(scratch);
    return 0;
}

/* The number after an option, in [1, most]; 0 when it is none. */
static int number(const char *s, int most)
{
    char *end = NULL;
    long  n   = s ? strtol(s, &end, 10) : 0;
    return s && end != s && !*end && n >= 1 && n <= most ? (int)n : 0;
}

int main(int argc, char **argv)
{
    struct bench b     = {0};
    struct err   err   = ERR_INIT;
    int          batch = 0, threads = 0, runs = 50, serve = 0, rc = 0;
    const char  *given = NULL;
    char        *dir = NULL, *weights = NULL;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        int         ok    = 1;
        if (!strcmp(argv[i], "--serve"))
            serve = 1;
        else if (!strcmp(argv[i], "--weights"))
            ok = (given = argv[++i], value != NULL);
        else if (!strcmp(argv[i], "--batch"))
            ok = (i++, batch = number(value, MAX_BATCH));
        else if (!strcmp(argv[i], "--threads"))
            ok = (i++, threads = number(value, 64));
        else if (!strcmp(argv[i], "--precision"))
            ok = value && precision_of(argv[++i], &b.precision) && b.precision != PRECISION_AUTO;
        else if (!strcmp(argv[i], "--runs"))
            ok = (i++, runs = number(value, MAX_RUNS));
        else
            ok = 0;
        if (!ok) {
            fputs(USAGE, stderr);
            return 2;
        }
    }
    if (!given && !path_of_program(&dir, &err))
        weights = path_join(dir, WEIGHTS);
    if (bench_open(&b, given ? given : weights ? weights : WEIGHTS, &err)) {
        fprintf(stderr, "bench_encode: %s\n", err.msg);
        rc = 3;
        goto out;
    }
    static const int batches[] = {1, 16};
    for (int i = 0; i < (batch ? 1 : 2) && !rc; i++) {
        for (int t = threads ? threads : 1; t <= (threads ? threads : 2) && !rc; t++)
            rc = measure(&b, batch ? batch : batches[i], t, runs, serve);
    }
out:
    bench_close(&b);
    free(weights);
    free(dir);
    return rc;
}
