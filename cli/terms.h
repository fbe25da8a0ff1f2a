/* The terms of a search, as they stand on the command line.
 *
 *     osprey search 2:a dog + ./beach.jpg - people
 *
 * Words join into one text with spaces. A lone `+` or `-` starts another term,
 * wanted or not wanted. `2:` before a term weighs it. A term that has a '/' and
 * names a file is a picture; so is the value of --image, which fills a term
 * just begun by a sign or a weight and else is a wanted term of its own. After
 * `--` everything is one literal text, a term of its own or the one just begun.
 *
 * Pure: what the file system says comes from is_file.
 */
#ifndef OSPREY_CLI_TERMS_H
#define OSPREY_CLI_TERMS_H

#include "cli/options.h"

#include <stdbool.h>
#include <stddef.h>

struct term {
    float weight; /* below zero: not wanted */
    bool  is_image;
    char *text; /* the text, or the picture's path */
};

struct terms {
    struct term *items;
    size_t       n;
};

/* ERR_USAGE for an empty term, one too many, or a weight out of range. */
int  terms_parse(const struct args *args, bool (*is_file)(const char *path), struct terms *out,
                 struct err *err);
void terms_release(struct terms *terms); /* NULL-safe */

/* Literal text from arguments: joined by spaces, nothing read into it. *text is
 * freed by the caller; ERR_USAGE when nothing but space is in it. */
int terms_literal(const struct args *args, char **text, struct err *err);

#endif
