/* Encoding speed of CLIP's towers on synthetic pixels and token ids: one JSON
 * line, or, with --serve, one duration in seconds for each line read, so that a
 * script can alternate with a peer (benchmarks/peers/bench_clip.py) and both see
 * the same machine.
 *
 *     bench_clip DIR [--batch N] [--threads N] [--runs N] [--text TOKENS] [--serve] [--cpu]
 *         [--precision f32|bf16|int8]
 *
 * --cpu measures the process's time on processors instead, which other programs
 * on the machine disturb less; it says something with one thread only. DIR holds config.json and
 * model.safetensors; no other file is needed.
 */
#include "base/file.h"
#include "base/mem.h"
#include "model/clip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_RUNS 1000
#define WARM_UP  3
#define USAGE                                                                                      \
    "usage: bench_clip DIR [--batch N] [--threads N] [--runs N] [--text TOKENS] [--serve] "        \
    "[--cpu] [--precision f32|bf16|int8]\n"

struct bench {
    int                batch, threads, runs, tokens /* 0: pictures */, serve;
    clockid_t          clock;
    enum precision     precision;
    struct checkpoint *checkpoint;
    struct prepared   *prepared;
    struct clip       *clip;
    uint8_t           *pixels;
    int32_t           *ids;
    int               *starts;
    float             *out;
    void              *scratch;
};

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int open_model(struct bench *b, const char *dir, struct err *err)
{
    struct preprocess  pre = {.rescale = 1.0f / 255, .mean = {0.5f, 0.5f, 0.5f}, .std = {1, 1, 1}};
    struct clip_config config;
    struct jnode      *root = NULL;
    const char        *files[64];
    char              *path = path_join(dir, "config.json");
    int                rc   = jnode_parse_file(path, 1 << 20, &root, err);
    if (!rc)
        rc = clip_config_parse(root, path, &config, err);
    if (!rc)
        rc = checkpoint_open(dir, CHECKPOINT_HUGGING_FACE, &b->checkpoint, err);
    for (size_t i = 0; !rc && i < checkpoint_files(b->checkpoint); i++)
        files[i] = checkpoint_file(b->checkpoint, i);
    if (!rc)
        rc = prepared_open_as(precision_name(b->precision), files, checkpoint_files(b->checkpoint),
                              &b->prepared, err);
    if (!rc)
        rc = clip_load(b->checkpoint, &config, &pre, b->prepared, cpu_detect(), b->precision,
                       &b->clip, err);
    if (!rc)
        rc = prepared_finish(b->prepared, err);
    jnode_free(root);
    free(path);
    return rc;
}

static int make_input(struct bench *b, struct err *err)
{
    const struct clip_config *c      = clip_config_of(b->clip);
    size_t                    batch  = (size_t)b->batch;
    size_t                    bytes  = batch * (size_t)c->image_size * (size_t)c->image_size * 3;
    size_t                    tokens = batch * (size_t)b->tokens;
    size_t need = b->tokens ? clip_texts_scratch(b->clip, b->batch, (int)tokens, b->threads)
                            : clip_images_scratch(b->clip, b->batch, b->threads);
    b->pixels   = mem_array(bytes, 1);
    b->ids      = mem_array(tokens, sizeof *b->ids);
    b->starts   = mem_array(batch + 1, sizeof *b->starts);
    b->out      = mem_array(batch * (size_t)c->dim, sizeof *b->out);
    b->scratch  = mem_aligned(need, 1);
    if (!b->pixels || !b->ids || !b->starts || !b->out || !b->scratch)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < bytes; i++)
        b->pixels[i] = (uint8_t)((i * 2654435761u) >> 24);
    for (size_t i = 0; i < tokens; i++) {
        bool last = i % (size_t)b->tokens == (size_t)b->tokens - 1;
        b->ids[i] = last ? c->vocabulary - 1 : (int32_t)(i * 2654435761u % 40000);
    }
    for (int i = 0; i <= b->batch; i++)
        b->starts[i] = i * b->tokens;
    return 0;
}

static double run_once(const struct bench *b)
{
    double start = now(b->clock);
    if (b->tokens)
        clip_texts(b->clip, b->ids, b->starts, b->batch, b->threads, b->scratch, b->out);
    else
        clip_images(b->clip, b->pixels, b->batch, b->threads, b->scratch, b->out);
    return now(b->clock) - start;
}

static void measure(const struct bench *b)
{
    double times[MAX_RUNS];
    char   line[16];
    for (int i = 0; i < WARM_UP; i++)
        (void)run_once(b);
    while (b->serve && fgets(line, sizeof(line), stdin)) {
        printf("%.9f\n", run_once(b));
        fflush(stdout);
    }
    if (b->serve)
        return;
    for (int i = 0; i < b->runs; i++)
        times[i] = run_once(b);
    qsort(times, (size_t)b->runs, sizeof(*times), by_value);
    printf("{\"bench\": \"clip\", \"cpu\": \"%s\", \"precision\": \"%s\", \"tokens\": %d, "
           "\"batch\": %d, \"threads\": %d, "
           "\"ms_median\": %.3f, \"ms_min\": %.3f, \"per_s\": %.1f}\n",
           cpu_level_name(cpu_detect().level), precision_name(b->precision), b->tokens, b->batch,
           b->threads, 1e3 * times[b->runs / 2], 1e3 * times[0], b->batch / times[b->runs / 2]);
}

/* The number after an option, in [1, most]; 0 when it is none. */
static int number(const char *s, int most)
{
    char *end = NULL;
    long  n   = s ? strtol(s, &end, 10) : 0;
    return s && end != s && !*end && n >= 1 && n <= most ? (int)n : 0;
}

static int parse(struct bench *b, int argc, char **argv)
{
    *b = (struct bench){.batch = 1, .threads = 1, .runs = 30, .clock = CLOCK_MONOTONIC};
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        int         ok    = 1;
        if (!strcmp(argv[i], "--serve"))
            b->serve = 1;
        else if (!strcmp(argv[i], "--cpu"))
            b->clock = CLOCK_PROCESS_CPUTIME_ID;
        else if (!strcmp(argv[i], "--batch"))
            ok = (i++, b->batch = number(value, 1024));
        else if (!strcmp(argv[i], "--threads"))
            ok = (i++, b->threads = number(value, 64));
        else if (!strcmp(argv[i], "--runs"))
            ok = (i++, b->runs = number(value, MAX_RUNS));
        else if (!strcmp(argv[i], "--precision"))
            ok = value && precision_of(argv[++i], &b->precision) && b->precision != PRECISION_AUTO;
        else if (!strcmp(argv[i], "--text"))
            ok = (i++, b->tokens = number(value, 77));
        else
            ok = 0;
        if (!ok)
            return -1;
    }
    return argc >= 2 ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct bench b;
    struct err   err = ERR_INIT;
    if (parse(&b, argc, argv)) {
        fputs(USAGE, stderr);
        return 2;
    }
    int rc = open_model(&b, argv[1], &err);
    if (!rc)
        rc = make_input(&b, &err);
    if (!rc)
        measure(&b);
    else
        fprintf(stderr, "bench_clip: %s\n", err.msg);
    clip_free(b.clip);
    prepared_close(b.prepared);
    checkpoint_close(b.checkpoint);
    free(b.pixels);
    free(b.ids);
    free(b.starts);
    free(b.out);
    free(b.scratch);
    return rc ? 3 : 0;
}
