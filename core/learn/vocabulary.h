/* A vocabulary: the labels that pictures may be tagged with, and the words for each.
 *
 * A file of lines: a label, or a label, a tab and synonyms with commas between them. '#'
 * begins a comment line, empty lines count for nothing, spaces around names neither. A
 * label below another is written with a bar: "animal|dog", whose own word is "dog". What
 * lies above a label is a label too, also where no line names it; then it has no words
 * and goes by what lies below it. UTF-8.
 */
#ifndef OSPREY_LEARN_VOCABULARY_H
#define OSPREY_LEARN_VOCABULARY_H

#include "base/err.h"

#include <stddef.h>

#define VOCABULARY_MOST_WORDS 64   /* for one label */
#define VOCABULARY_LONGEST    1024 /* bytes of a label */

struct vocabulary_label {
    char  *name;    /* "animal|dog" */
    char **words;   /* (n_words) its last part, then synonyms */
    size_t n_words; /* 0: not in the file, but above one that is */
    size_t line;    /* of the file, from 1; 0: not in it */
};

struct vocabulary {
    struct vocabulary_label *labels; /* (n) sorted bytewise, each once */
    size_t                   n;
};

/* Reads a file; a name without a slash that is no file is one of those that come with
 * Osprey. ERR_NOTFOUND names them. */
int  vocabulary_read(const char *name, struct vocabulary *out, struct err *err);
/* Takes a text apart (len bytes, followed by a NUL; it is used up). what names it in
 * messages. */
int  vocabulary_parse(char *text, size_t len, const char *what, struct vocabulary *out,
                      struct err *err);
/* Adds a label without words, where it is not there yet, and what lies above it. */
int  vocabulary_add(struct vocabulary *v, const char *name, struct err *err);
/* Puts the labels in order and adds what lies above them; after vocabulary_add. */
int  vocabulary_settle(struct vocabulary *v, struct err *err);
/* The index of a label, or -1; settled. */
long vocabulary_find(const struct vocabulary *v, const char *name);
void vocabulary_release(struct vocabulary *v); /* NULL-safe */

#endif
