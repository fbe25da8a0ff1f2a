/* Options of the command line: the common ones, each command's own, and what
 * is left as arguments.
 *
 * Options may stand anywhere before a lone `--`; their values follow after a
 * space or `=` (short ones: attached or after a space). A lone `-` is an
 * argument, not an option: it is the sign of a term (terms.h).
 */
#ifndef OSPREY_CLI_OPTIONS_H
#define OSPREY_CLI_OPTIONS_H

#include "base/err.h"
#include "nn/precision.h"

#include <stdbool.h>
#include <stddef.h>

/* Exit statuses, a contract with scripts. */
enum { EXIT_FOUND = 0, EXIT_NOTHING = 1, EXIT_USAGE = 2, EXIT_FAILED = 3 };

struct common {
    const char    *library; /* --library, or NULL: library_default_dir */
    const char    *model;   /* --model, or NULL */
    const char    *precision_text;
    enum precision precision; /* --precision, or auto */
    size_t         k;         /* 0 when not given */
    bool           json, quiet, help;
};

enum option_kind {
    OPTION_FLAG,  /* target: bool */
    OPTION_TEXT,  /* target: const char * */
    OPTION_LIST,  /* target: struct option_list *; may be given again and again */
    OPTION_MAYBE, /* target: const char *; "" when given without "=value" */
    OPTION_COUNT, /* target: size_t, at least 1 */
    OPTION_REAL,  /* target: double, finite */
    OPTION_IMAGE  /* no target: becomes an argument of kind ARG_IMAGE */
};

#define OPTION_LIST_MAX 64

struct option_list {
    const char *items[OPTION_LIST_MAX];
    size_t      n;
};

struct option_spec {
    const char      *name;  /* "--min-score" */
    char             brief; /* 'k' for -k, or 0 */
    enum option_kind kind;
    void            *target;
    bool            *given; /* set when it was, or NULL */
};

enum arg_kind {
    ARG_WORD,    /* as the command reads it */
    ARG_IMAGE,   /* the value of an OPTION_IMAGE */
    ARG_LITERAL, /* what followed `--` */
    ARG_END      /* the `--` itself */
};

struct arg {
    enum arg_kind kind;
    const char   *text;
};

struct args {
    struct arg *items; /* in the order given */
    size_t      n;
};

/* Parses argv[1..] of a command. own: n_own options of the command besides the
 * common ones. ERR_USAGE names the option and, for a typing mistake, the one
 * that was probably meant. With --help the rest isn't checked. */
int  options_parse(int argc, char **argv, const struct option_spec *own, size_t n_own,
                   struct common *common, struct args *args, struct err *err);
void args_release(struct args *args);

/* The arguments of a command that takes n of them, described by what ("one
 * picture"); a `--` among them is skipped. ERR_USAGE for another number. */
int args_exactly(const struct args *args, size_t n, const char *what, const char **out,
                 struct err *err);

/* All arguments but `--`, as a list (*n) that is freed by the caller; the texts stay argv's. */
int args_folders(const struct args *args, const char ***out, size_t *n, struct err *err);

/* How many of argv[1..] are common options (with their values) before the
 * first argument: what stands before the command's name. */
int options_leading(int argc, char **argv);

/* Whole numbers from 1 on. */
int parse_count(const char *text, const char *what, size_t *out, struct err *err);
int parse_real(const char *text, const char *what, double *out, struct err *err);

/* The candidate nearest to word by edits, if near enough to be a typing
 * mistake, else NULL. */
const char *nearest_word(const char *word, const char *const *candidates, size_t n);

#endif
