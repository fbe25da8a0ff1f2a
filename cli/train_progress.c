/* What the user sees while something is trained (train_progress.h). */
#include "cli/train_progress.h"

#include "cli/output.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR_SECONDS   0.2
#define LINE_SECONDS  5.0
#define JSON_SECONDS  1.0
#define EPOCH_SECONDS 0.5
#define MOST_BROKEN   5 /* pictures that are named one by one */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    if (interrupted)
        _exit(EXIT_FAILED);
    interrupted = 1;
}

const volatile sig_atomic_t *train_stop_on_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &interrupted;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void clear(struct train_progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}

/* "0:25", or "1:02:03" */
static const char *clock_text(double seconds, char out[32])
{
    long s = seconds > 359999 ? 359999 : lround(seconds < 0 ? 0 : seconds);
    if (s >= 3600)
        (void)snprintf(out, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        (void)snprintf(out, 32, "%ld:%02ld", s / 60, s % 60);
    return out;
}

static void show_json(const struct train_progress *p, size_t done, size_t total, double rate,
                      double left)
{
    struct jnode *inner = jnode_object(), *outer = jnode_object();
    if (!inner || !outer) {
        jnode_free(inner);
        jnode_free(outer);
        return;
    }
    int bad = jnode_set_str(inner, "what", p->what);
    bad |= jnode_set_int(inner, "done", (int64_t)done);
    bad |= jnode_set_int(inner, "total", (int64_t)total);
    bad |= jnode_set_real(inner, "per_s", rate);
    bad |= jnode_set_real(inner, "seconds_left", left);
    bad |= jnode_set(outer, "progress", inner);
    if (!out_json(outer, bad, NULL))
        fflush(stdout);
}

static void on_features(void *ctx, size_t done, size_t total, size_t computed)
{
    struct train_progress *p = ctx;
    double                 t = now();
    double every = p->common->json ? JSON_SECONDS : p->terminal ? BAR_SECONDS : LINE_SECONDS;
    if (p->common->quiet || computed == 0 || t - p->shown < every)
        return;
    p->shown    = t;
    double rate = t > p->began ? (double)computed / (t - p->began) : 0;
    double left = rate > 0 ? (double)(total - done) / rate : 0;
    if (p->common->json) {
        show_json(p, done, total, rate, left);
        return;
    }
    char clock[32];
    clear(p);
    fprintf(stderr, "%s: %zu of %zu, %.0f/s, %s left%s", p->what, done, total, rate,
            clock_text(left, clock), p->terminal ? "" : "\n");
    fflush(stderr);
    p->drawn = p->terminal;
}

static void on_broken(void *ctx, const char *path, const char *why)
{
    struct train_progress *p = ctx;
    bool names = strstr(why, path) != NULL; /* some messages name the file, some do not */
    if (p->broken++ == 0)
        (void)snprintf(p->first_broken, sizeof p->first_broken, "%s%s%s", names ? "" : path,
                       names ? "" : ": ", why);
    clear(p);
    if (p->broken <= MOST_BROKEN)
        note(p->common, "left out: %s%s%s", names ? "" : path, names ? "" : ": ", why);
}

static struct jnode *recall_json(const struct recall *r)
{
    struct jnode *o   = jnode_object();
    int           bad = jnode_set_real(o, "r1", r->r1) | jnode_set_real(o, "r5", r->r5) |
              jnode_set_real(o, "r10", r->r10) | jnode_set_int(o, "n", r->n);
    if (bad) {
        jnode_free(o);
        return NULL;
    }
    return o;
}

struct jnode *train_dev_json(const struct trainer_dev *dev)
{
    struct jnode *o   = jnode_object();
    int           bad = !o;
    if (dev->t2i.n)
        bad |= jnode_set(o, "t2i", recall_json(&dev->t2i)) |
               jnode_set(o, "i2t", recall_json(&dev->i2t));
    if (dev->i2i.n)
        bad |= jnode_set(o, "i2i", recall_json(&dev->i2i));
    if (bad) {
        jnode_free(o);
        return NULL;
    }
    return o;
}

static void epoch_json(const struct train_progress *p, const struct trainer_epoch *e)
{
    struct jnode *o = jnode_object();
    int bad         = jnode_set_int(o, "epoch", e->epoch) | jnode_set_int(o, "epochs", p->epochs) |
              jnode_set_real(o, "loss", e->loss) | jnode_set_real(o, "rate", e->rate) |
              jnode_set(o, "dev", train_dev_json(&e->dev)) | jnode_set_bool(o, "best", e->best) |
              jnode_set_real(o, "seconds", e->seconds);
    if (!out_json(o, bad, NULL))
        fflush(stdout);
}

static void on_epoch(void *ctx, const struct trainer_epoch *history, int n)
{
    struct train_progress      *p = ctx;
    const struct trainer_epoch *e = &history[n - 1];
    char                        found[128], left[32];
    if (p->common->json) {
        epoch_json(p, e);
        return;
    }
    /* where epochs are short, some of them say enough */
    double t = now();
    if (t - p->shown < EPOCH_SECONDS && e->epoch > 1 && e->epoch < p->epochs)
        return;
    p->shown               = t;
    const struct recall *a = &e->dev.t2i, *b = &e->dev.i2t, *v = &e->dev.i2i;
    if (v->n)
        (void)snprintf(found, sizeof found, "view to picture %.1f/%.1f/%.1f", v->r1, v->r5, v->r10);
    else
        (void)snprintf(found, sizeof found,
                       "text to image %.1f/%.1f/%.1f, image to text %.1f/%.1f/%.1f", a->r1, a->r5,
                       a->r10, b->r1, b->r5, b->r10);
    note(p->common, "epoch %d of %d: loss %.4f, %s%s, %.1f s, %s left", e->epoch, p->epochs,
         e->loss, found, e->best ? " *" : "", e->seconds,
         clock_text(e->seconds * (p->epochs - e->epoch), left));
}

void train_progress_step(struct train_progress *p, int step, int steps, double loss, double seconds)
{
    char left[32];
    if (p->common->json) {
        struct jnode *o   = jnode_object();
        int           bad = jnode_set_int(o, "step", step) | jnode_set_int(o, "steps", steps) |
                  jnode_set_real(o, "loss", loss) | jnode_set_real(o, "seconds", seconds);
        if (!out_json(o, bad, NULL))
            fflush(stdout);
        return;
    }
    note(p->common, "step %d of %d: loss %.4f, %s left", step, steps, loss,
         clock_text(seconds / step * (steps - step), left));
}

void train_progress_init(struct train_progress *p, const struct common *common)
{
    *p          = (struct train_progress){.common = common};
    p->terminal = !common->json && isatty(STDERR_FILENO);
    p->features =
        (struct features_listener){.ctx = p, .progress = on_features, .broken = on_broken};
    p->trainer = (struct trainer_listener){.ctx = p, .epoch = on_epoch};
}

void train_progress_start(struct train_progress *p, const char *what)
{
    clear(p);
    p->what            = what;
    p->broken          = 0;
    p->first_broken[0] = '\0';
    p->began           = now();
    p->shown           = p->terminal ? 0 : p->began;
}

void train_progress_finish(struct train_progress *p)
{
    clear(p);
}
