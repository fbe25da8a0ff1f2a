/* Flags, environment and file: see config.h.
 *
 * One table describes every setting; a source is a way to find texts for its
 * entries. Sources are read from the weightiest to the lightest, and the first that
 * has a setting keeps it.
 */
#include "searchd/config.h"

#include "base/file.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE ((size_t)1 << 20)

enum kind { TEXT, LIST, NUMBER, PRECISION, LOG };

static const struct setting {
    const char *name;
    enum kind   kind;
    size_t      offset;
    int64_t     low, high;
} settings[] = {
    {"listen", TEXT, offsetof(struct config, address), 0, 0},
    {"port", NUMBER, offsetof(struct config, port), 0, UINT16_MAX},
    {"library", LIST, offsetof(struct config, libraries), 0, 0},
    {"model", TEXT, offsetof(struct config, model), 0, 0},
    {"precision", PRECISION, offsetof(struct config, precision), 0, 0},
    {"token-file", TEXT, offsetof(struct config, token_file), 0, 0},
    {"trust", LIST, offsetof(struct config, trusted), 0, 0},
    {"host", LIST, offsetof(struct config, hosts), 0, 0},
    {"cors", LIST, offsetof(struct config, origins), 0, 0},
    {"k", NUMBER, offsetof(struct config, k), 1, CONFIG_MAX_K},
    {"max-k", NUMBER, offsetof(struct config, max_k), 1, 100000},
    {"workers", NUMBER, offsetof(struct config, workers), 1, 256},
    {"queue", NUMBER, offsetof(struct config, queue), 1, 100000},
    {"cache", NUMBER, offsetof(struct config, cache), 0, 1000000},
    {"max-body", NUMBER, offsetof(struct config, max_body), 1024, INT64_C(1) << 30},
    {"max-pixels", NUMBER, offsetof(struct config, max_pixels), 1, 512000000},
    {"timeout", NUMBER, offsetof(struct config, timeout), 1, 3600},
    {"arrive-seconds", NUMBER, offsetof(struct config, arrive_seconds), 1, 3600},
    {"thumbnails", NUMBER, offsetof(struct config, thumbnails), 0, INT64_C(1) << 50},
    {"log", LOG, offsetof(struct config, log), 0, 0},
};
enum { N_SETTINGS = sizeof settings / sizeof *settings };

const char config_help[] =
    "  --port N            the port (default 7373; 0 takes a free one and prints it)\n"
    "  --listen ADDR       an IP address (default 127.0.0.1), or unix:/path\n"
    "  --library DIR       the library ($OSPREY_LIBRARY, else ~/.local/share/osprey/library);\n"
    "                      NAME=DIR, several times: ?library=NAME, by default the first\n"
    "  --model NAME|DIR    the model that filled it (default: found by itself)\n"
    "  -k N                how many results a search without k gets (default 20)\n"
    "  --precision P       auto, f32, bf16 or int8\n"
    "  --config FILE       further settings, one a line: name = value, as these options\n"
    "  --token-file FILE   bearer tokens, one a line; needed unless the address is a\n"
    "                      loopback one or a Unix socket, or --trust says otherwise\n"
    "  --trust CIDR        a network whose machines need no token (several times)\n"
    "  --host NAME         a name that this machine is reached by (several times; *: any)\n"
    "  --cors ORIGIN       a web page's origin that may ask from a browser (several times)\n"
    "  --max-k N           the most results of a search (default 1000)\n"
    "  --workers N         requests worked on at the same time (default: 8 for each core)\n"
    "  --queue N           requests that may wait; more are told to come again (default 256)\n"
    "  --cache N           texts whose embeddings are kept (default 4096)\n"
    "  --max-body BYTES    the largest upload (default 33554432)\n"
    "  --max-pixels N      the largest picture uploaded (default 120000000)\n"
    "  --timeout SECONDS   for one request (default 30)\n"
    "  --arrive-seconds N  in which a request must have arrived (default 30)\n"
    "  --thumbnails BYTES  kept of each library's small pictures, oldest out (default 1 GiB)\n"
    "  --log FORMAT        off, text or json: a line on standard error for each request\n"
    "  --json              the address as a JSON object\n"
    "  -q, --quiet         no notes on standard error\n"
    "  -h, --help          this help\n";

static void *field(struct config *config, const struct setting *s)
{
    return (char *)config + s->offset;
}

static int set_number(int64_t *to, const struct setting *s, const char *text, const char *where,
                      struct err *err)
{
    char *end;
    errno            = 0;
    long long number = strtoll(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end || errno || number < s->low || number > s->high)
        return err_set(err, ERR_USAGE, "%s takes a number from %lld to %lld, not %s", where,
                       (long long)s->low, (long long)s->high, text);
    *to = number;
    return 0;
}

static int set_text(char **to, const char *text, const char *where, struct err *err)
{
    if (!*text)
        return err_set(err, ERR_USAGE, "%s needs a value", where);
    free(*to);
    *to = mem_strdup(text);
    return *to ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

static int set_log(enum log_format *to, const char *text, const char *where, struct err *err)
{
    static const char *const names[] = {"off", "text", "json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp(text, names[i])) {
            *to = (enum log_format)i;
            return 0;
        }
    }
    return err_set(err, ERR_USAGE, "%s takes off, text or json, not %s", where, text);
}

static int set_list(struct config_list *list, const char *text, const char *where, struct err *err)
{
    if (!*text)
        return err_set(err, ERR_USAGE, "%s needs a value", where);
    if (list->n == CONFIG_MAX_LIST)
        return err_set(err, ERR_USAGE, "%s may be given at most %d times", where, CONFIG_MAX_LIST);
    char *copy = mem_strdup(text);
    if (!copy)
        return err_set(err, ERR_NOMEM, "out of memory");
    list->items[list->n++] = copy;
    return 0;
}

/* where: what messages call the setting ("--port", "osprey.conf, line 3: port"). */
static int set(struct config *config, const struct setting *s, const char *text, const char *where,
               struct err *err)
{
    void *to = field(config, s);
    switch (s->kind) {
    case TEXT:
        return set_text(to, text, where, err);
    case LIST:
        return set_list(to, text, where, err);
    case NUMBER:
        return set_number(to, s, text, where, err);
    case LOG:
        return set_log(to, text, where, err);
    case PRECISION:
    default:
        return precision_of(text, to)
                   ? 0
                   : err_set(err, ERR_USAGE, "%s takes auto, f32, bf16 or int8, not %s", where,
                             text);
    }
}

/* ---- Flags ---- */

static int read_flags(struct config *config, int argc, char **argv, bool given[N_SETTINGS],
                      struct err *err)
{
    struct option known[N_SETTINGS + 5] = {{0}};
    enum { CONFIG = 1000 };
    for (int i = 0; i < N_SETTINGS; i++)
        known[i] = (struct option){settings[i].name, required_argument, NULL, 2000 + i};
    known[N_SETTINGS]     = (struct option){"config", required_argument, NULL, CONFIG};
    known[N_SETTINGS + 1] = (struct option){"json", no_argument, NULL, 'j'};
    known[N_SETTINGS + 2] = (struct option){"quiet", no_argument, NULL, 'q'};
    known[N_SETTINGS + 3] = (struct option){"help", no_argument, NULL, 'h'};
    int rc                = 0, c;
    optind                = 0; /* start anew: SIGHUP reads them again */
    opterr                = 0;
    while (!rc && (c = getopt_long(argc, argv, "+:qhk:", known, NULL)) != -1) {
        if (c == 'k')
            for (int i = 0; i < N_SETTINGS; i++)
                c = strcmp(settings[i].name, "k") ? c : 2000 + i;
        if (c >= 2000) {
            char where[64];
            snprintf(where, sizeof where, "%s%s", settings[c - 2000].name[1] ? "--" : "-",
                     settings[c - 2000].name);
            given[c - 2000] = true;
            rc              = set(config, &settings[c - 2000], optarg, where, err);
        } else if (c == CONFIG) {
            rc = set_text(&config->file, optarg, "--config", err);
        } else if (c == 'j') {
            config->json = true;
        } else if (c == 'q') {
            config->quiet = true;
        } else if (c == 'h') {
            config->help = true;
            return 0;
        } else if (c == ':') {
            return err_set(err, ERR_USAGE, "%s needs a value", argv[optind - 1]);
        } else {
            return err_set(err, ERR_USAGE, "unknown option: %s", argv[optind - 1]);
        }
    }
    if (!rc && optind < argc)
        rc = err_set(err, ERR_USAGE, "unexpected argument: %s", argv[optind]);
    return rc;
}

/* ---- Environment ---- */

static int read_variable(struct config *config, const struct setting *s, const char *name,
                         const char *value, struct err *err)
{
    /* A library alone may have a comma in its path. */
    bool one = !strcmp(s->name, "library") && !strchr(value, '=');
    if (s->kind != LIST || one)
        return set(config, s, value, name, err);
    for (int rc; *value; value += *value == ',') {
        size_t n    = strcspn(value, ",");
        char  *item = mem_strndup(value, n);
        if (!item)
            return err_set(err, ERR_NOMEM, "out of memory");
        rc = set(config, s, item, name, err);
        free(item);
        if (rc)
            return rc;
        value += n;
    }
    return 0;
}

static int read_environment(struct config *config, bool given[N_SETTINGS], struct err *err)
{
    int rc = 0;
    for (int i = 0; i < N_SETTINGS && !rc; i++) {
        char   name[64] = "OSPREY_";
        size_t n        = strlen(name);
        for (const char *c = settings[i].name; *c && n + 1 < sizeof name; c++)
            name[n++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
        const char *value = getenv(name);
        if (given[i] || !value || !*value)
            continue;
        given[i] = true;
        rc       = read_variable(config, &settings[i], name, value, err);
    }
    return rc;
}

/* ---- File ---- */

static char *trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        text[--n] = '\0';
    return text;
}

static int read_line(struct config *config, char *line, const char *file, int number,
                     const bool before[N_SETTINGS], bool given[N_SETTINGS], struct err *err)
{
    char where[512];
    line         = trim(line);
    char *equals = strchr(line, '=');
    if (!*line || *line == '#')
        return 0;
    if (!equals)
        return err_set(err, ERR_USAGE, "%s, line %d: name = value is needed, not %s", file, number,
                       line);
    *equals           = '\0';
    const char *name  = trim(line);
    const char *value = trim(equals + 1);
    snprintf(where, sizeof where, "%.300s, line %d: %.100s", file, number, name);
    for (int i = 0; i < N_SETTINGS; i++) {
        if (strcmp(settings[i].name, name) != 0)
            continue;
        if (before[i])
            return 0;
        if (given[i] && settings[i].kind != LIST)
            return err_set(err, ERR_USAGE, "%s is given twice", where);
        given[i] = true;
        return set(config, &settings[i], value, where, err);
    }
    return err_set(err, ERR_USAGE, "%s is no setting", where);
}

static int read_file(struct config *config, bool given[N_SETTINGS], struct err *err)
{
    uint8_t *data = NULL;
    size_t   len  = 0;
    bool     before[N_SETTINGS];
    int      rc = file_read(config->file, MAX_FILE, &data, &len, err);
    if (rc)
        return rc;
    memcpy(before, given, sizeof before);
    char *line = (char *)data, *end = line + len;
    if (memchr(data, '\0', len))
        rc = err_set(err, ERR_FORMAT, "%s is no text", config->file);
    for (int number = 1; !rc && line < end; number++) {
        char *stop = strchr(line, '\n');
        stop       = stop ? stop : end;
        *stop      = '\0'; /* file_read leaves room for one behind the end */
        rc         = read_line(config, line, config->file, number, before, given, err);
        line       = stop + 1;
    }
    free(data);
    return rc;
}

int config_read(struct config *config, int argc, char **argv, struct err *err)
{
    bool given[N_SETTINGS] = {false};
    *config                = (struct config){.port           = 7373,
                                             .k              = 20,
                                             .max_k          = CONFIG_MAX_K,
                                             .queue          = 256,
                                             .cache          = 4096,
                                             .max_body       = 32 << 20,
                                             .max_pixels     = 120000000,
                                             .timeout        = 30,
                                             .arrive_seconds = 30,
                                             .thumbnails     = INT64_C(1) << 30,
                                             .precision      = PRECISION_AUTO,
                                             .log            = LOG_OFF};
    config->address        = mem_strdup("127.0.0.1");
    if (!config->address)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = read_flags(config, argc, argv, given, err);
    if (rc || config->help)
        return rc;
    rc                   = read_environment(config, given, err);
    const char *variable = getenv("OSPREY_CONFIG");
    if (!rc && !config->file && variable && *variable)
        rc = set_text(&config->file, variable, "OSPREY_CONFIG", err);
    if (!rc && config->file)
        rc = read_file(config, given, err);
    if (!rc && config->libraries.n > CONFIG_MAX_LIBRARIES)
        rc = err_set(err, ERR_USAGE, "at most %d libraries are served", CONFIG_MAX_LIBRARIES);
    if (!rc && config->k > config->max_k)
        rc = err_set(err, ERR_USAGE, "k (%lld) is more than max-k (%lld)", (long long)config->k,
                     (long long)config->max_k);
    return rc;
}

static void release_list(struct config_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->items[i]);
    list->n = 0;
}

void config_release(struct config *config)
{
    free(config->file);
    free(config->address);
    free(config->model);
    free(config->token_file);
    release_list(&config->libraries);
    release_list(&config->hosts);
    release_list(&config->trusted);
    release_list(&config->origins);
    *config = (struct config){0};
}
