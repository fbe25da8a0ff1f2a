/* What the daemon was told: by flags, by the environment (OSPREY_*), by a file, in
 * that order of weight.
 *
 * Every setting has one name in all three: --cache-size N, OSPREY_CACHE_SIZE=N,
 * cache-size = N. Those that may be given several times (libraries, names, networks,
 * origins) are taken from the weightiest place that names one; in the environment
 * they are separated by commas.
 */
#ifndef OSPREY_SEARCHD_CONFIG_H
#define OSPREY_SEARCHD_CONFIG_H

#include "base/err.h"
#include "nn/precision.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_MAX_LIBRARIES 16
#define CONFIG_MAX_LIST      64
#define CONFIG_MAX_K         1000 /* results of one search */

struct config_list {
    char  *items[CONFIG_MAX_LIST];
    size_t n;
};

enum log_format { LOG_OFF, LOG_TEXT, LOG_JSON };

struct config {
    char              *file;       /* --config, or NULL */
    char              *address;    /* "127.0.0.1" */
    char              *model;      /* or NULL */
    char              *token_file; /* or NULL */
    struct config_list libraries;  /* "DIR" or "NAME=DIR"; none: the default one */
    struct config_list hosts, trusted, origins;
    int64_t            port, k, max_k;
    int64_t            workers, queue, cache; /* 0 workers: by the processor */
    int64_t            max_body, max_pixels;  /* bytes of an upload; pixels of a picture */
    int64_t            timeout;               /* seconds for one request */
    int64_t            arrive_seconds;        /* in which it must have arrived */
    int64_t            thumbnails;            /* bytes kept of each library's */
    enum precision     precision;
    enum log_format    log;
    bool               quiet, json, help;
};

/* argv as main has it. ERR_USAGE where a setting is unknown or senseless. */
int  config_read(struct config *config, int argc, char **argv, struct err *err);
void config_release(struct config *config);

/* For --help: every setting on a line of its own. */
extern const char config_help[];

#endif
