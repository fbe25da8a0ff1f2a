/* What the user sees of a transfer (hub_progress.h). */
#include "cli/hub_progress.h"

#include "cli/output.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BAR_SECONDS  0.1
#define LINE_SECONDS 5.0
#define JSON_SECONDS 1.0
#define RATE_SECONDS 5.0 /* over which the rate is averaged */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void progress_init(struct progress *p, const struct common *common)
{
    *p          = (struct progress){.common = common};
    p->terminal = !common->json && isatty(STDERR_FILENO);
    p->rate_at  = now();
    p->shown    = p->terminal ? 0 : p->rate_at;
}

static void bar_clear(struct progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}

void progress_finish(struct progress *p)
{
    bar_clear(p);
}

const char *bytes_text(int64_t bytes, char out[32])
{
    if (bytes < 1000000)
        (void)snprintf(out, 32, "%.1f kB", (double)bytes * 1e-3);
    else if (bytes < 10000000000)
        (void)snprintf(out, 32, "%.1f MB", (double)bytes * 1e-6);
    else
        (void)snprintf(out, 32, "%.1f GB", (double)bytes * 1e-9);
    return out;
}

static void rate_update(struct progress *p, double t)
{
    double span = t - p->rate_at;
    if (span < 0.5)
        return;
    double recent = (double)(p->arrived - p->rate_bytes) / span;
    double weight = p->rate > 0 ? 1.0 - exp(-span / RATE_SECONDS) : 1.0;
    p->rate += weight * (recent - p->rate);
    p->rate_at    = t;
    p->rate_bytes = p->arrived;
}

static void text_show(struct progress *p, int64_t done, double left)
{
    char numbers[256], speed[40] = "", eta[40] = "", here[32], total[32], rate[32];
    long s = left > 359999 ? 359999 : lround(left < 0 ? 0 : left);
    if (left >= 0 && s >= 3600)
        (void)snprintf(eta, sizeof eta, ", %ld:%02ld:%02ld left", s / 3600, s / 60 % 60, s % 60);
    else if (left >= 0)
        (void)snprintf(eta, sizeof eta, ", %ld:%02ld left", s / 60, s % 60);
    if (p->rate > 0)
        (void)snprintf(speed, sizeof speed, ", %s/s", bytes_text((int64_t)p->rate, rate));
    int n = snprintf(numbers, sizeof numbers, "%s of %s%s%s  %.60s", bytes_text(done, here),
                     bytes_text(p->total, total), speed, eta, p->file);
    if (!p->terminal) {
        fprintf(stderr, "fetching: %s\n", numbers);
        return;
    }
    struct winsize size;
    bool           known = !ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col > 0;
    int            width = (known ? size.ws_col : 80) - n - 5;
    fputs("\r\033[K", stderr);
    if (width > 40)
        width = 40;
    if (width >= 8) {
        double part = p->total > 0 ? (double)done / (double)p->total : 0.0;
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

static void json_show(const struct progress *p, int64_t done, double left)
{
    struct jnode *inner = jnode_object(), *outer = jnode_object();
    int           bad = !inner || !outer;
    if (bad) {
        jnode_free(inner);
        jnode_free(outer);
        return;
    }
    bad |= jnode_set_str(inner, "file", p->file);
    bad |= jnode_set_int(inner, "done", done);
    bad |= jnode_set_int(inner, "total", p->total);
    bad |= jnode_set_real(inner, "per_s", p->rate);
    if (left >= 0)
        bad |= jnode_set_real(inner, "seconds_left", left);
    bad |= jnode_set(outer, "progress", inner);
    if (!out_json(outer, bad, NULL))
        fflush(stdout);
}

void progress_show(struct progress *p, int64_t done)
{
    double t     = now();
    double every = p->common->json ? JSON_SECONDS : p->terminal ? BAR_SECONDS : LINE_SECONDS;
    if (p->common->quiet)
        return;
    rate_update(p, t);
    if (t - p->shown < every)
        return;
    p->shown = t;
    done += p->whole;
    double left = p->rate > 0 && p->total >= done ? (double)(p->total - done) / p->rate : -1;
    if (p->common->json)
        json_show(p, done, left);
    else
        text_show(p, done, left);
}

void progress_note(struct progress *p, const char *fmt, ...)
{
    char    text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    bar_clear(p);
    note(p->common, "%s", text);
}
