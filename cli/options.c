/* Options of the command line (options.h).
 *
 * Not getopt_long: it permutes away the order of `+`, `-` and --image, which
 * terms depend on, and prints its own messages.
 */
#include "cli/options.h"

#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define N_COMMON 7

static void common_specs(struct common *c, struct option_spec specs[N_COMMON])
{
    const struct option_spec table[N_COMMON] = {
        {.name = "--library", .kind = OPTION_TEXT, .target = &c->library},
        {.name = "--model", .kind = OPTION_TEXT, .target = &c->model},
        {.name = "--precision", .kind = OPTION_TEXT, .target = &c->precision_text},
        {.name = "-k", .brief = 'k', .kind = OPTION_COUNT, .target = &c->k},
        {.name = "--json", .kind = OPTION_FLAG, .target = &c->json},
        {.name = "--quiet", .brief = 'q', .kind = OPTION_FLAG, .target = &c->quiet},
        {.name = "--help", .brief = 'h', .kind = OPTION_FLAG, .target = &c->help},
    };
    memcpy(specs, table, sizeof table);
}

int parse_count(const char *text, const char *what, size_t *out, struct err *err)
{
    char *end                = NULL;
    errno                    = 0;
    unsigned long long value = strtoull(text, &end, 10);
    /* strtoull takes signs and leading spaces; a count has neither. */
    if (*text < '0' || *text > '9' || *end || value == 0)
        return err_set(err, ERR_USAGE, "%s takes a whole number from 1 on, not '%s'", what, text);
    if (errno == ERANGE || value > (unsigned long long)INT64_MAX)
        return err_set(err, ERR_USAGE, "%s %s is too large", what, text);
    *out = (size_t)value;
    return 0;
}

int parse_real(const char *text, const char *what, double *out, struct err *err)
{
    char  *end   = NULL;
    double value = strtod(text, &end);
    if (end == text || *end || *text == ' ' || !isfinite(value))
        return err_set(err, ERR_USAGE, "%s takes a number, not '%s'", what, text);
    *out = value;
    return 0;
}

#define WORD_MAX 32

/* Edits (insert, delete, replace, swap neighbours) from a to b, both shorter
 * than WORD_MAX: the restricted Damerau-Levenshtein distance. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    size_t d[WORD_MAX + 1][WORD_MAX + 1];
    if (n > WORD_MAX || m > WORD_MAX)
        return SIZE_MAX;
    for (size_t i = 0; i <= n; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        for (size_t j = 1; j <= m; j++) {
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

const char *nearest_word(const char *word, const char *const *candidates, size_t n)
{
    const char *best   = NULL;
    size_t      length = strlen(word);
    size_t      least  = length < 6 ? 2 : length / 3 + 1; /* first distance that is too far */
    for (size_t i = 0; i < n; i++) {
        size_t d = edit_distance(word, candidates[i]);
        if (d < least && d < strlen(candidates[i])) {
            least = d;
            best  = candidates[i];
        }
    }
    return best;
}

static int unknown_option(const char *arg, const struct option_spec *specs, size_t n,
                          struct err *err)
{
    const char *names[64];
    size_t      n_names = 0;
    char        name[WORD_MAX + 1];
    size_t      length = strcspn(arg, "=");
    for (size_t i = 0; i < n && n_names < 64; i++)
        names[n_names++] = specs[i].name;
    if (length <= WORD_MAX && arg[1] == '-') {
        memcpy(name, arg, length);
        name[length]     = '\0';
        const char *near = nearest_word(name, names, n_names);
        if (near)
            return err_set(err, ERR_USAGE, "unknown option %s; did you mean %s?", name, near);
    }
    return err_set(err, ERR_USAGE, "unknown option %s (a text that starts with '-' goes after --)",
                   arg);
}

static const struct option_spec *spec_find(const struct option_spec *specs, size_t n,
                                           const char *arg, const char **value)
{
    *value = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct option_spec *s = &specs[i];
        if (arg[1] == '-') {
            size_t length = strlen(s->name);
            if (strncmp(arg, s->name, length) == 0 && (arg[length] == '\0' || arg[length] == '=')) {
                if (arg[length] == '=')
                    *value = arg + length + 1;
                return s;
            }
        } else if (s->brief && arg[1] == s->brief) {
            if (arg[2] && s->kind == OPTION_FLAG)
                return NULL;
            if (arg[2])
                *value = arg + 2;
            return s;
        }
    }
    return NULL;
}

static bool takes_value(const struct option_spec *s)
{
    return s->kind != OPTION_FLAG && s->kind != OPTION_MAYBE;
}

static int option_store(const struct option_spec *s, const char *value, struct err *err)
{
    switch (s->kind) {
    case OPTION_FLAG:
        if (value)
            return err_set(err, ERR_USAGE, "%s takes no value", s->name);
        *(bool *)s->target = true;
        return 0;
    case OPTION_MAYBE:
        *(const char **)s->target = value ? value : "";
        return 0;
    case OPTION_TEXT:
        if (!*value)
            return err_set(err, ERR_USAGE, "%s needs a value", s->name);
        *(const char **)s->target = value;
        return 0;
    case OPTION_LIST: {
        struct option_list *list = s->target;
        if (!*value)
            return err_set(err, ERR_USAGE, "%s needs a value", s->name);
        if (list->n == OPTION_LIST_MAX)
            return err_set(err, ERR_USAGE, "%s is given more than %d times", s->name,
                           OPTION_LIST_MAX);
        list->items[list->n++] = value;
        return 0;
    }
    case OPTION_COUNT:
        return parse_count(value, s->name, (size_t *)s->target, err);
    case OPTION_REAL:
        return parse_real(value, s->name, (double *)s->target, err);
    case OPTION_IMAGE:
        return *value ? 0 : err_set(err, ERR_USAGE, "%s needs a file", s->name);
    }
    return 0;
}

static int precision_check(struct common *common, struct err *err)
{
    if (precision_of(common->precision_text, &common->precision))
        return 0;
    return err_set(err, ERR_USAGE, "unknown precision '%s': use auto, f32, bf16 or int8",
                   common->precision_text);
}

int options_parse(int argc, char **argv, const struct option_spec *own, size_t n_own,
                  struct common *common, struct args *args, struct err *err)
{
    memset(common, 0, sizeof *common);
    common->precision_text    = "auto";
    args->n                   = 0;
    args->items               = mem_array((size_t)argc + 1, sizeof *args->items);
    size_t              n     = N_COMMON + n_own;
    struct option_spec *specs = mem_array(n, sizeof *specs);
    bool                ended = false;
    int                 rc    = 0;
    if (!args->items || !specs) {
        rc = err_set(err, ERR_NOMEM, "out of memory");
        goto out;
    }
    common_specs(common, specs);
    if (n_own)
        memcpy(specs + N_COMMON, own, n_own * sizeof *own);

    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *value = NULL;
        if (ended || arg[0] != '-' || arg[1] == '\0') {
            args->items[args->n++] = (struct arg){ended ? ARG_LITERAL : ARG_WORD, arg};
            continue;
        }
        if (strcmp(arg, "--") == 0) {
            ended                  = true;
            args->items[args->n++] = (struct arg){ARG_END, arg};
            continue;
        }
        const struct option_spec *s = spec_find(specs, n, arg, &value);
        if (!s) {
            rc = unknown_option(arg, specs, n, err);
            goto out;
        }
        if (takes_value(s) && !value) {
            if (i + 1 == argc) {
                rc = err_set(err, ERR_USAGE, "%s needs a value", s->name);
                goto out;
            }
            value = argv[++i];
        }
        rc = option_store(s, value, err);
        if (rc || common->help)
            goto out;
        if (s->given)
            *s->given = true;
        if (s->kind == OPTION_IMAGE)
            args->items[args->n++] = (struct arg){ARG_IMAGE, value};
    }
    rc = precision_check(common, err);
out:
    free(specs);
    if (rc)
        args_release(args);
    return rc;
}

void args_release(struct args *args)
{
    free(args->items);
    args->items = NULL;
    args->n     = 0;
}

int args_exactly(const struct args *args, size_t n, const char *what, const char **out,
                 struct err *err)
{
    size_t found = 0;
    for (size_t i = 0; i < args->n; i++) {
        if (args->items[i].kind == ARG_END)
            continue;
        if (found == n)
            return err_set(err, ERR_USAGE, "%s was expected, and '%s' is one argument too many",
                           what, args->items[i].text);
        out[found++] = args->items[i].text;
    }
    if (found < n)
        return err_set(err, ERR_USAGE, "%s was expected", what);
    return 0;
}

int args_folders(const struct args *args, const char ***out, size_t *n, struct err *err)
{
    *n   = 0;
    *out = mem_array(args->n + 1, sizeof **out);
    if (!*out)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < args->n; i++)
        if (args->items[i].kind != ARG_END)
            (*out)[(*n)++] = args->items[i].text;
    return 0;
}

int options_leading(int argc, char **argv)
{
    struct common      unused;
    struct option_spec specs[N_COMMON];
    common_specs(&unused, specs);
    int i = 1;
    while (i < argc && argv[i][0] == '-' && argv[i][1] != '\0') {
        const char               *value;
        const struct option_spec *s = spec_find(specs, N_COMMON, argv[i], &value);
        if (!s)
            break;
        i += takes_value(s) && !value ? 2 : 1;
    }
    return (i < argc ? i : argc) - 1;
}
