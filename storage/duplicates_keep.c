/* Which copy to keep: see duplicates_keep.h. */
#include "storage/duplicates_keep.h"

#include <stdio.h>
#include <string.h>

const char *duplicate_reason_name(enum duplicate_reason reason)
{
    static const char *const names[] = {"file",   "resolution",  "colour", "metadata",
                                        "format", "compression", "date",   "first"};
    return names[reason];
}

static int64_t pixels(const struct duplicate_picture *p)
{
    return (int64_t)p->width * p->height;
}

/* What the file tells beside its pixels. */
static int metadata(const struct duplicate_picture *p)
{
    return (p->taken_at != 0) + p->camera;
}

/* What a camera wrote is above what loses nothing, that above what does. */
static int format(const struct duplicate_picture *p)
{
    static const char *const raw[]   = {"RAW", "DNG"};
    static const char *const exact[] = {"PNG", "TIFF", "BMP", "PNM"};
    for (size_t i = 0; i < sizeof raw / sizeof *raw; i++)
        if (strcmp(p->kind, raw[i]) == 0)
            return 2;
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        if (strcmp(p->kind, exact[i]) == 0)
            return 1;
    return 0;
}

static int64_t date(const struct duplicate_picture *p)
{
    return p->taken_at ? p->taken_at : p->mtime_ns / 1000000000;
}

static int more(int64_t a, int64_t b)
{
    return (a < b) - (a > b);
}

static int rank(const struct duplicate_picture *a, const struct duplicate_picture *b,
                enum duplicate_reason reason)
{
    switch (reason) {
    case REASON_FILE:
        return (int)a->link - (int)b->link;
    case REASON_RESOLUTION:
        return more(pixels(a), pixels(b));
    case REASON_COLOUR:
        return (int)b->colour - (int)a->colour;
    case REASON_METADATA:
        return metadata(b) - metadata(a);
    case REASON_FORMAT:
        return format(b) - format(a);
    case REASON_COMPRESSION:
        return strcmp(a->kind, b->kind) == 0 ? more(a->size, b->size) : 0;
    case REASON_DATE:
        return (date(a) > date(b)) - (date(a) < date(b));
    case REASON_FIRST:
    default:
        return (a->id > b->id) - (a->id < b->id);
    }
}

/* *why: what decided. */
static int decide(const struct duplicate_picture *a, const struct duplicate_picture *b,
                  enum duplicate_reason *why)
{
    int order = 0;
    for (*why = REASON_FILE; (order = rank(a, b, *why)) == 0 && *why < REASON_FIRST;)
        ++*why;
    return order;
}

int duplicate_rank(const struct duplicate_picture *a, const struct duplicate_picture *b)
{
    enum duplicate_reason why;
    return decide(a, b, &why);
}

static void explain(const struct duplicate_picture *best, const struct duplicate_picture *next,
                    enum duplicate_reason *reason, char *why, size_t size)
{
    decide(best, next, reason);
    switch (*reason) {
    case REASON_FILE:
        snprintf(why, size, "file: the next is a symbolic link");
        break;
    case REASON_RESOLUTION:
        snprintf(why, size, "resolution: %d x %d, the next has %d x %d", best->width, best->height,
                 next->width, next->height);
        break;
    case REASON_COLOUR:
        snprintf(why, size, "colour: the next is grey");
        break;
    case REASON_METADATA:
        snprintf(why, size, "metadata: it tells %s",
                 best->camera && best->taken_at ? "its camera and date"
                 : best->camera                 ? "its camera"
                                                : "its date");
        break;
    case REASON_FORMAT:
        snprintf(why, size, "format: %s rather than %s", best->kind, next->kind);
        break;
    case REASON_COMPRESSION:
        snprintf(why, size, "compression: %lld bytes of %s, the next has %lld",
                 (long long)best->size, best->kind, (long long)next->size);
        break;
    case REASON_DATE:
        snprintf(why, size, "date: it is the older one");
        break;
    case REASON_FIRST:
    default:
        snprintf(why, size, "it came into the library first");
    }
}

size_t duplicates_keep(const struct duplicate_picture *const *pictures, size_t n,
                       enum duplicate_reason *reason, char *why, size_t size)
{
    size_t best = 0, next = n;
    for (size_t i = 1; i < n; i++)
        if (duplicate_rank(pictures[i], pictures[best]) < 0)
            best = i;
    for (size_t i = 0; i < n; i++)
        if (i != best && (next == n || duplicate_rank(pictures[i], pictures[next]) < 0))
            next = i;
    explain(pictures[best], pictures[next], reason, why, size);
    return best;
}
