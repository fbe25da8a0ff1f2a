/* A hub of models, as Hugging Face's: what a repository holds at a revision, and
 * the bytes of its files.
 *
 * $HF_ENDPOINT, $HF_TOKEN and $HF_HUB_OFFLINE mean what they mean to other
 * programs; $OSPREY_HUB_TIMEOUT is how many seconds may pass without a byte.
 */
#ifndef OSPREY_CLI_HUB_H
#define OSPREY_CLI_HUB_H

#include "base/err.h"
#include "cli/hub_hash.h"
#include "cli/hub_http.h"
#include "cli/hub_progress.h"
#include "model/model_id.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- What a repository holds ---- */

struct hub_file {
    char          *name;               /* without a slash or leading dot */
    int64_t        size;               /* bytes */
    enum hash_kind kind;               /* of hash */
    char           hash[HASH_HEX_MAX]; /* as the hub states it; "" in a local listing */
};

struct hub_repo {
    char             commit[HASH_HEX_MAX];
    struct hub_file *files; /* in its top folder, with names that are safe; (n) */
    size_t           n;
};

void                   hub_repo_release(struct hub_repo *repo);
const struct hub_file *hub_repo_find(const struct hub_repo *repo, const char *name);
/* Adds a file; a name that could lead elsewhere is left out. hash may be NULL. */
int  hub_repo_add(struct hub_repo *repo, const char *name, int64_t size, enum hash_kind kind,
                  const char *hash, struct err *err);
bool hub_name_safe(const char *name);

/* ---- The hub ---- */

struct hub {
    char                        *endpoint;
    struct http                 *http;
    struct progress             *progress;
    const volatile sig_atomic_t *stop;
    bool                         has_token, offline;
    long                         timeout_s;
};

/* Reads the environment; opens no connection yet. progress and stop outlive it. */
int  hub_open(struct progress *progress, const volatile sig_atomic_t *stop, struct hub *hub,
              struct err *err);
void hub_close(struct hub *hub);

/* Lists a repository. */
int hub_list(struct hub *hub, const struct model_id *id, struct hub_repo *repo, struct err *err);

/* The number of an open pull request that, by its title, adds safetensors to the
 * repository; 0 where none is known. Whether it is what it says, nobody checked. */
int64_t hub_find_conversion(struct hub *hub, const struct model_id *id);

/* Brings a file of the repository into a folder, whole and checked: what an
 * earlier run left is gone on with, what is already there is only checked. */
int hub_fetch(struct hub *hub, const struct model_id *id, const struct hub_repo *repo,
              const struct hub_file *file, const char *dir, struct err *err);

/* GET with patience: what may pass is tried again, from where it broke off. sink
 * tells by *at (NULL: always the start) where that is. what: for messages. */
int hub_get(struct hub *hub, const struct model_id *id, const char *url, const int64_t *at,
            const struct http_sink *sink, struct err *err);

#endif
