/* The one door to re-rankers: see rerank.h. */
#include "rerank/rerank.h"

#include "base/file.h"
#include "base/mem.h"
#include "rerank/reranker_config.h"
#include "rerank/reranker_family.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG_KEY "reranker" /* of the file's __metadata__ */

struct reranker {
    const struct reranker_family *family;
    const struct encoder         *enc;
    void                         *model;
    struct reranker_info          info;
    struct safetensors           *st;
    struct prepared              *prepared;
    char                         *path;
};

struct reranker_query {
    const struct reranker_family *family;
    void                         *query;
};

static const struct reranker_family *const FAMILIES[] = {&regions_family, &mmca_family,
                                                         &both_family};

static int find_family(struct reranker *r, const struct jnode *config, struct err *err)
{
    const char *type = "";
    (void)jnode_to_str(jnode_get(config, "type"), &type);
    for (size_t i = 0; i < sizeof FAMILIES / sizeof *FAMILIES; i++) {
        if (strcmp(FAMILIES[i]->type, type) == 0)
            r->family = FAMILIES[i];
    }
    if (!r->family)
        return err_set(err, ERR_UNSUPPORTED,
                       "its type \"%.80s\" is not known here (known: %s, %s, %s)", type,
                       FAMILIES[0]->type, FAMILIES[1]->type, FAMILIES[2]->type);
    r->info.type = r->family->type;
    return 0;
}

static int find_file(struct reranker *r, const char *dir, struct err *err)
{
    const char *of     = encoder_info(r->enc)->dir;
    bool        folder = !dir || file_is_dir(dir);
    r->path            = folder ? path_join(dir ? dir : of, RERANKER_FILE) : mem_strdup(dir);
    if (!r->path)
        return err_set(err, ERR_NOMEM, "out of memory");
    r->info.path = r->path;
    if (file_exists(r->path))
        return 0;
    if (dir)
        return err_set(err, ERR_NOTFOUND, "there is no re-ranker %s", r->path);
    return err_set(err, ERR_NOTFOUND,
                   "the model %s has no re-ranker (%s): `osprey train reranker` makes one, and "
                   "--reranker DIR names one that lies elsewhere",
                   encoder_info(r->enc)->name, r->path);
}

/* Loads it, from what is kept of an earlier time if that is sound. */
static int load(struct reranker *r, const struct jnode *config, struct err *err)
{
    const char *files[] = {r->path};
    int         rc      = prepared_open_as("reranker", files, 1, &r->prepared, err);
    if (rc)
        return rc;
    rc = r->family->open(r->st, config, r->enc, r->prepared, &r->info, &r->model, err);
    if (rc == ERR_DAMAGED && !prepared_building(r->prepared)) {
        prepared_discard(r->prepared);
        rc = r->family->open(r->st, config, r->enc, r->prepared, &r->info, &r->model, err);
    }
    if (!rc && prepared_building(r->prepared))
        rc = prepared_finish(r->prepared, err);
    r->info.hash = prepared_hash(r->prepared);
    return rc;
}

int reranker_open(const char *dir, const struct encoder *enc, struct reranker **out,
                  struct err *err)
{
    struct jnode    *config = NULL;
    const char      *text;
    struct reranker *r = mem_zeroed(1, sizeof *r);
    if (!r)
        return err_set(err, ERR_NOMEM, "out of memory");
    r->enc = enc;
    int rc = find_file(r, dir, err);
    if (rc) {
        reranker_close(r);
        return rc;
    }
    rc = safetensors_open(r->path, &r->st, err);
    if (!rc && !(text = safetensors_metadata(r->st, CONFIG_KEY)))
        rc =
            err_set(err, ERR_FORMAT, "it is no re-ranker's: its metadata lacks \"" CONFIG_KEY "\"");
    if (!rc)
        rc = jnode_parse(text, strlen(text), "its metadata", &config, err);
    if (!rc)
        rc = find_family(r, config, err);
    if (!rc)
        rc = reranker_config_model(config, encoder_info(enc)->name, encoder_info(enc)->hash, err);
    if (!rc)
        rc = load(r, config, err);
    jnode_free(config);
    if (rc) {
        (void)err_prefix(err, "cannot open the re-ranker %s", r->path);
        reranker_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

void reranker_close(struct reranker *r)
{
    if (!r)
        return;
    if (r->family)
        r->family->close(r->model);
    prepared_close(r->prepared);
    safetensors_close(r->st);
    free(r->path);
    free(r);
}

const struct reranker_info *reranker_info(const struct reranker *r)
{
    return &r->info;
}

int reranker_pictures(const struct reranker *r, struct encoder_scratch *scratch,
                      const uint8_t *pixels, int n, float *embedding, uint8_t *kept,
                      struct err *err)
{
    return n < 1 ? 0
                 : r->family->pictures(r->model, r->enc, scratch, pixels, n, embedding, kept, err);
}

int reranker_query_new(const struct reranker *r, struct encoder_scratch *scratch, const char *text,
                       struct reranker_query **out, struct err *err)
{
    struct reranker_query *q = mem_zeroed(1, sizeof *q);
    if (!q)
        return err_set(err, ERR_NOMEM, "cannot re-rank: out of memory");
    q->family = r->family;
    int rc    = r->family->query_new(r->model, r->enc, scratch, text, &q->query, err);
    if (rc) {
        reranker_query_free(q);
        return rc;
    }
    *out = q;
    return 0;
}

void reranker_query_free(struct reranker_query *q)
{
    if (!q)
        return;
    q->family->query_free(q->query);
    free(q);
}

int reranker_score(const struct reranker *r, const struct reranker_query *q,
                   const uint8_t *const *kept, int n, int threads, float *scores, struct err *err)
{
    return n < 1 ? 0 : r->family->score(r->model, q->query, kept, n, threads, scores, err);
}
