/* The filters of the command line: what search and similar let pass. */
#ifndef OSPREY_CLI_FILTERS_H
#define OSPREY_CLI_FILTERS_H

#include "base/err.h"
#include "base/json.h"
#include "cli/options.h"
#include "storage/library.h"

#include <stdbool.h>

struct filters {
    /* As they were given; NULL: not. */
    const char *after, *before, *in, *camera, *lens, *rating, *near, *orientation, *min_size, *type,
        *caption;
    struct option_list    tags, not_tags;
    struct library_filter filter; /* what they say, but for `in` */
};

#define FILTER_OPTIONS(f)                                                                          \
    {.name = "--after", .kind = OPTION_TEXT, .target = &(f).after},                                \
        {.name = "--before", .kind = OPTION_TEXT, .target = &(f).before},                          \
        {.name = "--in", .kind = OPTION_TEXT, .target = &(f).in},                                  \
        {.name = "--camera", .kind = OPTION_TEXT, .target = &(f).camera},                          \
        {.name = "--lens", .kind = OPTION_TEXT, .target = &(f).lens},                              \
        {.name = "--tag", .kind = OPTION_LIST, .target = &(f).tags},                               \
        {.name = "--not-tag", .kind = OPTION_LIST, .target = &(f).not_tags},                       \
        {.name = "--rating", .kind = OPTION_TEXT, .target = &(f).rating},                          \
        {.name = "--near", .kind = OPTION_TEXT, .target = &(f).near},                              \
        {.name = "--orientation", .kind = OPTION_TEXT, .target = &(f).orientation},                \
        {.name = "--min-size", .kind = OPTION_TEXT, .target = &(f).min_size},                      \
        {.name = "--type", .kind = OPTION_TEXT, .target = &(f).type},                              \
    {                                                                                              \
        .name = "--caption", .kind = OPTION_TEXT, .target = &(f).caption                           \
    }

#define HELP_FILTERS                                                                               \
    "  --after DATE        only pictures taken from then on: 2024, 2024-05 or 2024-05-01\n"        \
    "  --before DATE       ... until then, with the whole of that year, month or day\n"            \
    "  --in DIR            only pictures below this folder\n"                                      \
    "  --camera NAME       only of cameras with this in their name\n"                              \
    "  --lens NAME         only of lenses with this in their name\n"                               \
    "  --tag TAG           only with this tag, or one below it; may be repeated: all of them\n"    \
    "  --not-tag TAG       only without it; may be repeated\n"                                     \
    "  --rating N          only with N stars or more; 2-4, unrated, rejected\n"                    \
    "  --near LAT,LON,KM   only within so many kilometres of a place\n"                            \
    "  --orientation WAY   only landscape, portrait or square ones\n"                              \
    "  --min-size SIZE     only from 2M bytes, or from 1920x1080 pixels on\n"                      \
    "  --type KIND         only of this kind of file, such as jpeg or png; raw, video\n"           \
    "  --caption WORDS     only with all these words in their captions\n"

/* Reads them into f->filter, which points into f. */
int  filters_parse(struct filters *f, struct err *err);
bool filters_given(const struct filters *f);
/* The same as fields of a question to a daemon; 0, or -1 when out of memory. */
int  filters_to_json(const struct filters *f, const char *folder, struct jnode *node);

#endif
