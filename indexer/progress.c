/* What the user sees: see progress.h. */
#include "indexer/progress.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "storage/library_progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BAR_SECONDS  0.1
#define LINE_SECONDS 5.0
#define JSON_SECONDS 2.0
#define FILE_SECONDS 0.5
#define RATE_SECONDS 10.0 /* over which the rate is averaged */

struct progress {
    bool    json, quiet, terminal;
    bool    drawn;       /* a bar stands on the current line */
    char   *dir;         /* of the library */
    double  shown, left; /* when others were told */
    double  rate_at;     /* when rate was taken, seconds */
    int64_t rate_done;
    double  rate; /* files a second */
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int progress_new(const char *library_dir, bool json, bool quiet, struct progress **out,
                 struct err *err)
{
    struct progress *p = mem_zeroed(1, sizeof *p);
    if (p)
        p->dir = mem_strdup(library_dir);
    if (!p || !p->dir) {
        free(p);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    library_progress_remove(library_dir); /* of one that was killed */
    p->json     = json;
    p->quiet    = quiet;
    p->terminal = isatty(STDERR_FILENO) && !json;
    p->shown = p->rate_at = now();
    *out                  = p;
    return 0;
}

static void bar_clear(struct progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}

void progress_free(struct progress *p)
{
    if (!p)
        return;
    bar_clear(p);
    library_progress_remove(p->dir);
    free(p->dir);
    free(p);
}

/* Averages over the last seconds, so that a run that skips what is known and
 * then comes to new pictures tells the truth soon. */
static void rate_update(struct progress *p, int64_t done, double t)
{
    double span = t - p->rate_at;
    if (span < 0.5)
        return;
    double recent = (double)(done - p->rate_done) / span;
    double weight = p->rate > 0 ? 1.0 - exp(-span / RATE_SECONDS) : 1.0;
    p->rate += weight * (recent - p->rate);
    p->rate_at   = t;
    p->rate_done = done;
}

/* "1:02:03", or "2:03". */
static void time_text(double seconds, char *out, size_t n)
{
    long s = seconds > 359999 ? 359999 : lround(seconds);
    if (s >= 3600)
        (void)snprintf(out, n, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        (void)snprintf(out, n, "%ld:%02ld", s / 60, s % 60);
}

static int terminal_columns(void)
{
    struct winsize size;
    return !ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col > 0 ? size.ws_col : 80;
}

static void text_show(struct progress *p, const struct library_progress *s)
{
    char numbers[256];
    char time_left[32] = "";
    char eta[48]       = "";
    if (s->seconds_left >= 0) {
        time_text(s->seconds_left, time_left, sizeof time_left);
        (void)snprintf(eta, sizeof eta, ", %s left", time_left);
    }
    int n = snprintf(numbers, sizeof numbers, "%lld of %lld%s, %.1f/s%s, %lld error%s",
                     (long long)s->done, (long long)s->total, s->counting ? " found so far" : "",
                     s->per_s, eta, (long long)s->errors, s->errors == 1 ? "" : "s");
    if (!p->terminal) {
        fprintf(stderr, "indexing: %s\n", numbers);
        return;
    }
    int width = terminal_columns() - n - 5;
    if (width > 40)
        width = 40;
    fputs("\r\033[K", stderr);
    if (width >= 8) {
        double part = s->total > 0 && !s->counting ? (double)s->done / (double)s->total : 0.0;
        int    full = part >= 1.0 ? width : (int)(part * width);
        fputc('[', stderr);
        for (int i = 0; i < width; i++)
            fputc(i < full ? '#' : '.', stderr);
        fputs("] ", stderr);
    }
    fputs(numbers, stderr);
    fflush(stderr);
    p->drawn = true;
}

static void json_print(struct jnode *object, int failed)
{
    char *line = failed ? NULL : jnode_write(object);
    if (line) {
        puts(line);
        fflush(stdout);
    }
    free(line);
    jnode_free(object);
}

static void json_show(const struct library_progress *s)
{
    struct jnode *outer = jnode_object();
    json_print(outer, jnode_set(outer, "progress", library_progress_node(s)));
}

void progress_show(struct progress *p, const struct progress_state *state)
{
    double t                  = now();
    double every              = p->json ? JSON_SECONDS : p->terminal ? BAR_SECONDS : LINE_SECONDS;
    struct library_progress s = {.done         = state->done,
                                 .total        = state->total,
                                 .counting     = state->counting,
                                 .errors       = state->errors,
                                 .seconds_left = -1};
    rate_update(p, state->done, t);
    s.per_s = p->rate;
    if (!state->counting && p->rate > 0)
        s.seconds_left = (double)(state->total - state->done) / p->rate;
    if (t - p->left >= FILE_SECONDS) {
        p->left = t;
        (void)library_progress_write(p->dir, &s, NULL); /* nothing depends on it */
    }
    if (p->quiet || t - p->shown < every)
        return;
    p->shown = t;
    if (p->json)
        json_show(&s);
    else
        text_show(p, &s);
}

/* Writes names from outside, which must not steer the terminal. */
static void text_print(const char *text)
{
    for (; *text; text++)
        fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, stderr);
}

void progress_note(struct progress *p, const char *text)
{
    if (p->quiet)
        return;
    bar_clear(p);
    fputs("osprey index: ", stderr);
    text_print(text);
    fputc('\n', stderr);
}

void progress_error(struct progress *p, const char *root, const char *path, const char *reason)
{
    char *whole = root ? path_join(root, path) : mem_strdup(path);
    if (!whole)
        return;
    if (p->json) {
        struct jnode *object = jnode_object();
        int           bad    = jnode_set_str(object, "error", reason);
        bad |= jnode_set_path(object, "path", whole);
        json_print(object, bad);
    } else if (!p->quiet) {
        bar_clear(p);
        fputs("osprey index: ", stderr);
        text_print(whole);
        fputs(": ", stderr);
        text_print(reason);
        fputc('\n', stderr);
    }
    free(whole);
}

void progress_old_error(struct progress *p, const char *path, const char *reason)
{
    if (p->json)
        progress_error(p, NULL, path, reason);
}
