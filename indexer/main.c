/* osprey-indexer: what `osprey index` runs. Options in, one or two runs of the
 * pipeline, a summary out. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "indexer/choice.h"
#include "indexer/plan.h"
#include "indexer/progress.h"
#include "indexer/run.h"
#include "indexer/watching.h"
#include "storage/library_tagger.h"

#include <getopt.h>
#include <omp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_DONE = 0, EXIT_USAGE = 2, EXIT_FAILED = 3 };

#define THREADS_CEILING 1024
#define EVERY_CEILING   31536000L /* a year */

struct options {
    const char    *library, *model;
    enum precision precision;
    const char    *reranker; /* a folder, or NULL: the model's own */
    bool           json, quiet, hidden, regions;
    int            threads; /* 0: as many as there are cores */
    int            frames;  /* of a video, at most */
    bool           watch;
    int            every, most; /* of watch: seconds, folders; 0: as it comes */
    char         **dirs;
    size_t         n_dirs;
};

/* What all runs of this process came to. */
struct outcome {
    struct tally tally;
    int64_t      unchanged, kept, offline;
    int64_t      judged, tagged; /* by the labels kept with the library */
    bool         stopped;
    bool         switched; /* another model answers from now on */
    double       seconds;
};

static volatile sig_atomic_t interrupted; /* set by the first signal */

static void on_signal(int number)
{
    (void)number;
    if (interrupted) /* the second: at once; the library survives that */
        _exit(EXIT_FAILED);
    interrupted = 1;
}

static const char help[] =
    "usage: osprey index [OPTION...] [DIR...]\n"
    "\n"
    "Adds the pictures below each DIR to the library, or brings it up to date; without\n"
    "DIR, all folders that the library knows. What has not changed (size and time) is\n"
    "skipped; moved and copied files are recognised by their content.\n"
    "\n"
    "Pictures are JPEG, PNG, WebP, GIF, TIFF, HEIC, AVIF, JPEG XL, camera RAW, BMP and\n"
    "PNM, and frames of videos in MP4, MOV, Matroska, WebM and AVI; osprey status says which of "
    "them can be read here.\n"
    "\n"
    "  --library DIR      the library ($OSPREY_LIBRARY, else ~/.local/share/osprey/library)\n"
    "  --model NAME|DIR   fill with this model; beside the present one until it is complete\n"
    "  --precision P      auto, f32, bf16 or int8\n" RUN_HELP
    "  --json             one JSON object a line on standard output, the summary last\n"
    "  -q, --quiet        no progress and no summary\n"
    "  -h, --help         this text\n"
    "\n"
    "Ctrl-C stops cleanly; the next run continues. A folder that is missing, empty or\n"
    "not mounted is marked offline and keeps its entries, and so does an empty folder\n"
    "below which more than 100 pictures are known. Symbolic links to files are followed,\n"
    "those to folders are not.\n"
    "\n"
    "Exit status: 0 done (broken pictures are listed, and do not count as failure),\n"
    "2 wrong usage, 3 failed or interrupted.\n";

static const char *command(const struct options *o)
{
    return o->watch ? "watch" : "index";
}

static int usage(const struct options *o, const char *text, const char *what)
{
    fprintf(stderr, "osprey %s: %s%s (see osprey %s --help)\n", command(o), text, what, command(o));
    return EXIT_USAGE;
}

static bool parse_count(const char *text, long max, int *out)
{
    char *end;
    long  n = strtol(text, &end, 10);
    if (end == text || *end || n < 1 || n > max)
        return false;
    *out = (int)n;
    return true;
}

/* -1 to go on, else an exit status. */
static int options_parse(int argc, char **argv, struct options *o)
{
    enum {
        LIBRARY = 256,
        MODEL,
        PRECISION,
        THREADS,
        FRAMES,
        HIDDEN,
        REGIONS,
        RERANKER,
        JSON,
        QUIET,
        WATCH,
        EVERY,
        MOST,
        HELP
    };
    static const struct option known[] = {
        {"library", required_argument, NULL, LIBRARY},
        {"model", required_argument, NULL, MODEL},
        {"precision", required_argument, NULL, PRECISION},
        {"threads", required_argument, NULL, THREADS},
        {"frames", required_argument, NULL, FRAMES},
        {"hidden", no_argument, NULL, HIDDEN},
        {"regions", no_argument, NULL, REGIONS},
        {"reranker", required_argument, NULL, RERANKER},
        {"watch", no_argument, NULL, WATCH},
        {"every", required_argument, NULL, EVERY},
        {"max-watches", required_argument, NULL, MOST},
        {"json", no_argument, NULL, JSON},
        {"quiet", no_argument, NULL, QUIET},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    int ignored;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":k:qh", known, NULL)) != -1;) {
        switch (c) {
        case LIBRARY:
        case MODEL:
            if (!*optarg)
                return usage(o,
                             "an option lacks its value: ", c == MODEL ? "--model" : "--library");
            *(c == MODEL ? &o->model : &o->library) = optarg;
            break;
        case PRECISION:
            if (!precision_of(optarg, &o->precision))
                return usage(o, "--precision takes auto, f32, bf16 or int8, not ", optarg);
            break;
        case THREADS:
            if (!parse_count(optarg, THREADS_CEILING, &o->threads))
                return usage(o, "--threads takes a number from 1 to 1024, not ", optarg);
            break;
        case FRAMES:
            if (!parse_count(optarg, IMAGE_FRAMES_MAX, &o->frames))
                return usage(o, "--frames takes a number from 1 to 64, not ", optarg);
            break;
        case 'k': /* understood everywhere; there is nothing to limit here */
            if (!parse_count(optarg, 1L << 30, &ignored))
                return usage(o, "-k takes a number from 1 on, not ", optarg);
            break;
        case HIDDEN:
            o->hidden = true;
            break;
        case REGIONS:
            o->regions = true;
            break;
        case RERANKER:
            if (!*optarg)
                return usage(o, "an option lacks its value: ", "--reranker");
            o->reranker = optarg;
            break;
        case WATCH:
            o->watch = true;
            break;
        case EVERY:
            if (!parse_count(optarg, EVERY_CEILING, &o->every))
                return usage(o, "--every takes seconds, from 1 to 31536000, not ", optarg);
            break;
        case MOST:
            if (!parse_count(optarg, 1L << 30, &o->most))
                return usage(o, "--max-watches takes a number from 1 on, not ", optarg);
            break;
        case JSON:
            o->json = true;
            break;
        case QUIET:
        case 'q':
            o->quiet = true;
            break;
        case HELP:
        case 'h':
            fputs(o->watch ? watching_help : help, stdout);
            return EXIT_DONE;
        case ':':
            return usage(o, "an option lacks its value: ", argv[optind - 1]);
        default:
            return usage(o, "unknown option ", argv[optind - 1]);
        }
    }
    o->dirs   = argv + optind;
    o->n_dirs = (size_t)(argc - optind);
    if (o->reranker && !o->regions)
        return usage(o, "--reranker goes with --regions", "");
    if (!o->watch && (o->every || o->most))
        return usage(o, "--every and --max-watches are osprey watch's", "");
    return -1;
}

static int fail(const struct options *o, const struct err *err)
{
    fprintf(stderr, "osprey %s: %s\n", command(o), err->msg);
    return err->code == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

/* Opens the library; makes one only when there is something to put into it. */
static int open_library(const struct options *o, struct library **lib, struct err *err)
{
    char *dir     = NULL;
    bool  missing = false;
    int   rc      = 0;
    for (size_t i = 0; i < o->n_dirs; i++) {
        if (!*o->dirs[i]) /* a script's unset variable: not the current folder */
            return err_set(err, ERR_USAGE, "an empty path names no folder");
        if (file_exists(o->dirs[i]) && !file_is_dir(o->dirs[i]))
            return err_set(err, ERR_USAGE, "cannot index %s: it is not a folder", o->dirs[i]);
        missing = missing || !file_exists(o->dirs[i]);
    }
    if (!o->library)
        rc = library_default_dir(&dir, err);
    if (!rc)
        rc = library_open(o->library ? o->library : dir,
                          o->n_dirs && !missing ? LIBRARY_CREATE : LIBRARY_EXISTING, lib, err);
    if (rc == ERR_NOTFOUND && missing)
        rc = err_set(err, ERR_USAGE, "cannot index: there is no folder %s", o->dirs[o->n_dirs - 1]);
    free(dir);
    return rc;
}

static void outcome_add(struct outcome *sum, const struct ingest *run, const struct plan *plan,
                        bool first)
{
    const struct tally *t = &run->tally;
    sum->tally.added += t->added;
    sum->tally.updated += t->updated;
    sum->tally.moved += t->moved;
    sum->tally.copied += t->copied;
    sum->tally.removed += t->removed;
    sum->tally.errors += t->errors;
    sum->tally.skipped += t->skipped;
    sum->tally.encoded += t->encoded;
    sum->tally.regions += t->regions;
    sum->stopped = sum->stopped || run->stopped;
    if (!first)
        return;
    sum->unchanged = run->unchanged;
    sum->kept      = run->kept;
    for (size_t i = 0; i < plan->n; i++)
        sum->offline += plan->targets[i].offline;
}

static int tag_new(struct library *lib, struct progress *progress, struct outcome *sum,
                   struct err *err)
{
    struct library_tag_tally tagged;
    int                      rc = run_tag(lib, progress, &tagged, err);
    if (!rc) {
        sum->judged += tagged.images;
        sum->tagged += tagged.tagged;
    }
    return rc;
}

/* One run with one model. */
static int run_model(const struct options *o, struct library *lib, struct choice *choice,
                     struct progress *progress, bool first, struct outcome *sum, struct err *err)
{
    struct plan plan;
    struct run  run = {.lib         = lib,
                       .choice      = choice,
                       .plan        = &plan,
                       .hidden      = o->hidden,
                       .threads     = o->threads,
                       .frames      = o->frames,
                       .progress    = progress,
                       .interrupted = &interrupted};
    int         rc  = plan_make(lib, o->dirs, o->n_dirs, choice->filling, &plan, err);
    if (rc)
        return rc;
    rc = run_plan(&run, err);
    if (!rc) {
        outcome_add(sum, &run.ingest, &plan, first);
        sum->switched = sum->switched || run.switched;
    }
    if (!rc)
        rc = tag_new(lib, progress, sum, err);
    plan_release(&plan);
    return rc;
}

/* A library goes on with the model that filled it; whoever wants another says so. */
static void note_newer(struct progress *progress, const struct library_model *model)
{
    char text[512];
    (void)snprintf(
        text, sizeof text,
        "this library goes on with the %s that filled it (%.12s); the model of that name "
        "is a newer one now: `osprey index --model %s` embeds the pictures again with it",
        model->name, model->hash, model->name);
    progress_note(progress, text);
}

/* The run that was asked for, and the rest of one that was interrupted. */
static int run_all(const struct options *o, struct library *lib, struct progress *progress,
                   struct choice *choice, struct outcome *sum, struct err *err)
{
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    if (choice->newer)
        note_newer(progress, &choice->model);
    int rc = run_model(o, lib, choice, progress, true, sum, err);
    if (!rc && !sum->stopped && !o->model) {
        struct choice filling;
        struct err    why  = ERR_INIT;
        int           more = choice_filling(lib, &filling, &why);
        struct err    none = ERR_INIT;
        /* the model to come may lack a re-ranker, which is for its own run to say */
        if (!more)
            rc = library_regions_want(lib, 0, NULL, 0, err);
        if (!more && !rc && o->regions && choice_rerank(lib, NULL, &filling, &none))
            progress_note(progress, none.msg);
        if (!more && !rc)
            rc = run_model(o, lib, &filling, progress, false, sum, err);
        else if (more != ERR_NOTFOUND || filling.model.id)
            progress_note(progress, why.msg);
        choice_release(&filling);
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    sum->seconds =
        (double)(ended.tv_sec - begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec) * 1e-9;
    return rc;
}

static double rate_of(const struct outcome *sum)
{
    return sum->seconds > 0 ? (double)sum->tally.encoded / sum->seconds : 0.0;
}

static int print_json(const struct outcome *sum, const struct library_stats *stats,
                      const struct choice *choice)
{
    const struct tally *t   = &sum->tally;
    struct jnode       *out = jnode_object();
    int                 bad = jnode_set_int(out, "images", stats->images);
    bad |= jnode_set_int(out, "errors", stats->errors);
    bad |= jnode_set_int(out, "added", t->added);
    bad |= jnode_set_int(out, "updated", t->updated);
    bad |= jnode_set_int(out, "moved", t->moved);
    bad |= jnode_set_int(out, "copied", t->copied);
    bad |= jnode_set_int(out, "removed", t->removed);
    bad |= jnode_set_int(out, "unchanged", sum->unchanged);
    bad |= jnode_set_int(out, "encoded", t->encoded);
    if (choice->reranker)
        bad |= jnode_set_int(out, "regions", t->regions);
    if (sum->judged)
        bad |= jnode_set_int(out, "tagged", sum->tagged);
    bad |= jnode_set_int(out, "skipped", t->skipped);
    bad |= jnode_set_int(out, "kept", sum->kept);
    bad |= jnode_set_int(out, "offline", sum->offline);
    bad |= jnode_set_real(out, "seconds", sum->seconds);
    bad |= jnode_set_real(out, "images_per_s", rate_of(sum));
    bad |= jnode_set_str(out, "model", choice->model.name);
    bad |= jnode_set_bool(out, "newer_model", choice->newer);
    bad |= jnode_set_bool(out, "interrupted", sum->stopped);
    char *line = bad ? NULL : jnode_write(out);
    if (line)
        puts(line);
    free(line);
    jnode_free(out);
    return line ? 0 : -1;
}

static void print_text(const struct outcome *sum, const struct library_stats *stats,
                       const struct choice *choice)
{
    const struct tally *t = &sum->tally;
    printf("%lld added, %lld updated, %lld moved, %lld copied, %lld removed, %lld unchanged",
           (long long)t->added, (long long)t->updated, (long long)t->moved, (long long)t->copied,
           (long long)t->removed, (long long)sum->unchanged);
    printf(" in %.1f s", sum->seconds);
    if (t->encoded)
        printf(" (%lld encoded, %.1f/s)", (long long)t->encoded, rate_of(sum));
    printf("\n");
    if (choice->reranker)
        printf("%lld picture%s given regions for re-ranking\n", (long long)t->regions,
               t->regions == 1 ? "" : "s");
    if (sum->judged)
        printf("%lld of %lld pictures tagged by the library's labels\n", (long long)sum->tagged,
               (long long)sum->judged);
    if (t->skipped)
        printf("%lld went or changed while they were read; the next run sees to them\n",
               (long long)t->skipped);
    if (sum->switched)
        printf("The model %s answers from now on.\n", choice->model.name);
    printf("The library holds %lld picture%s", (long long)stats->images,
           stats->images == 1 ? "" : "s");
    if (stats->errors)
        printf("; %lld cannot be read (osprey status --errors lists them)", (long long)stats->errors);
    printf(".\n");
}

static void signals_catch(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* osprey watch: closes the library. */
static int watch(const struct options *o, struct library *lib)
{
    struct err      err      = ERR_INIT;
    struct watching watching = {.lib         = lib,
                                .model       = o->model,
                                .precision   = o->precision,
                                .regions     = o->regions,
                                .reranker    = o->reranker,
                                .hidden      = o->hidden,
                                .threads     = o->threads,
                                .frames      = o->frames,
                                .dirs        = o->dirs,
                                .n_dirs      = o->n_dirs,
                                .every       = o->every,
                                .most        = (size_t)o->most,
                                .json        = o->json,
                                .quiet       = o->quiet,
                                .interrupted = &interrupted};
    int             rc       = watching_run(&watching, &err);
    library_close(lib);
    if (rc)
        return fail(o, &err);
    return fflush(stdout) || ferror(stdout) ? EXIT_FAILED : EXIT_DONE;
}

int main(int argc, char **argv)
{
    struct options       o        = {.precision = PRECISION_AUTO};
    struct err           err      = ERR_INIT;
    struct library      *lib      = NULL;
    struct progress     *progress = NULL;
    struct choice        choice   = {0};
    struct outcome       sum      = {0};
    struct library_stats stats    = {0};
    int                  status   = options_parse(argc, argv, &o);
    if (status >= 0)
        return status;
    if (!o.threads)
        o.threads = parallel_cores();
    omp_set_num_threads(o.threads);
    mem_stay_flat(o.threads + 2);
    signals_catch();
    int rc = open_library(&o, &lib, &err);
    if (!rc && o.watch)
        return watch(&o, lib);
    if (!rc)
        rc = library_lock(lib, &err);
    if (!rc)
        rc = progress_new(library_dir(lib), o.json, o.quiet, &progress, &err);
    if (!rc)
        rc = choice_make(lib, o.model, o.precision, &choice, &err);
    if (!rc && o.regions)
        rc = choice_rerank(lib, o.reranker, &choice, &err);
    if (!rc)
        rc = run_all(&o, lib, progress, &choice, &sum, &err);
    if (!rc)
        rc = library_stats(lib, &stats, &err);
    progress_free(progress);
    status = rc ? fail(&o, &err) : sum.stopped ? EXIT_FAILED : EXIT_DONE;
    if (!rc && o.json && print_json(&sum, &stats, &choice))
        status = EXIT_FAILED;
    if (!rc && !o.json && !o.quiet)
        print_text(&sum, &stats, &choice);
    if (!rc && sum.stopped && !o.quiet)
        fputs("osprey index: interrupted; what was finished is kept, the next run continues\n",
              stderr);
    choice_release(&choice);
    library_close(lib);
    if (fflush(stdout) || ferror(stdout))
        status = EXIT_FAILED;
    return status;
}
