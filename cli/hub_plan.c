/* Which files make a model (hub_plan.h).
 *
 * All configuration and tokenizer files that a model's hash goes over are taken,
 * also those that another one makes superfluous, so that a fetched model and a
 * whole copy of its repository are the same model to a library.
 */
#include "cli/hub_plan.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SMALL  (64 << 20)              /* bytes of one small file */
#define MAX_WEIGHT ((int64_t)200000000000) /* bytes of one file of weights */
#define MAX_SHARDS 56                      /* as many as a model may have */

#define INDEX      "model.safetensors.index.json"
#define OPEN_INDEX "open_clip_config.json"

static const char *const SMALL[] = {"config.json",    OPEN_INDEX,   "preprocessor_config.json",
                                    "tokenizer.json", "vocab.json", "merges.txt",
                                    "README.md"};

static bool has(const struct hub_repo *repo, const char *name)
{
    return hub_repo_find(repo, name) != NULL;
}

static bool is_transformers(const struct hub_repo *repo)
{
    return has(repo, "config.json") && (has(repo, "model.safetensors") || has(repo, INDEX));
}

static bool is_open_clip(const struct hub_repo *repo)
{
    return has(repo, OPEN_INDEX) && has(repo, "open_clip_model.safetensors");
}

static int plan_add(struct hub_plan *plan, const struct hub_file *f, int64_t max, struct err *err)
{
    for (size_t i = 0; i < plan->n; i++) {
        if (plan->files[i] == f)
            return 0;
    }
    if (f->size > max)
        return err_set(err, ERR_LIMIT, "%s is said to have %" PRId64 " bytes: too many to be true",
                       f->name, f->size);
    const struct hub_file **files = mem_regrow(plan->files, plan->n + 1, sizeof *files);
    if (!files)
        return err_set(err, ERR_NOMEM, "out of memory");
    plan->files          = files;
    plan->files[plan->n] = f;
    plan->n++;
    return 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Why there is nothing to load. */
static int no_weights(const struct hub_repo *repo, const char *name, struct err *err)
{
    static const char *const others[] = {".bin", ".pt",      ".pth", ".ckpt",
                                         ".h5",  ".msgpack", ".onnx"};
    for (size_t i = 0; i < repo->n; i++) {
        for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
            if (ends_with(repo->files[i].name, others[k]))
                return err_set(
                    err, ERR_UNSUPPORTED,
                    "%s has its weights as %s and not as safetensors, the one format that osprey "
                    "reads. Another revision may have them: where a conversion was proposed as "
                    "pull request N on the model's page, `osprey model get %s@refs/pr/N` fetches "
                    "it",
                    name, repo->files[i].name, name);
        }
    }
    return err_set(
        err, ERR_UNSUPPORTED,
        "%s is no model that osprey reads: it has no config.json with model.safetensors, "
        "and no %s with open_clip_model.safetensors",
        name, OPEN_INDEX);
}

int hub_plan_small(const struct hub_repo *repo, const char *name, struct hub_plan *plan,
                   struct err *err)
{
    int rc = 0;
    if (!is_transformers(repo) && !is_open_clip(repo))
        return no_weights(repo, name, err);
    if (is_transformers(repo) && !has(repo, "preprocessor_config.json"))
        return err_set(
            err, ERR_UNSUPPORTED,
            "%s has no preprocessor_config.json: it does not say how pictures become its "
            "input",
            name);
    if (!has(repo, "tokenizer.json") && !(has(repo, "vocab.json") && has(repo, "merges.txt")))
        return err_set(err, ERR_UNSUPPORTED,
                       "%s has no tokenizer: neither tokenizer.json, nor vocab.json and merges.txt",
                       name);
    for (size_t i = 0; i < sizeof SMALL / sizeof *SMALL && !rc; i++) {
        const struct hub_file *f = hub_repo_find(repo, SMALL[i]);
        rc                       = f ? plan_add(plan, f, MAX_SMALL, err) : 0;
    }
    if (!rc && is_transformers(repo) && !has(repo, "model.safetensors"))
        rc = plan_add(plan, hub_repo_find(repo, INDEX), MAX_SMALL, err);
    return rc;
}

/* Before hundreds of megabytes travel: is it a model of a kind that osprey knows? */
static int check_config(const char *name, const char *dir, struct err *err)
{
    struct jnode *root = NULL;
    const char   *type = NULL;
    char         *path = path_join(dir, "config.json");
    int           rc   = path ? jnode_parse_file(path, MAX_SMALL, &root, err)
                              : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc && (!jnode_to_str(jnode_get(root, "model_type"), &type) || strcmp(type, "clip") != 0))
        rc = err_set(err, ERR_UNSUPPORTED,
                     "%s is a model of the type \"%.60s\", and osprey fetches those of the type "
                     "\"clip\"",
                     name, type ? type : "unknown");
    jnode_free(root);
    free(path);
    return rc;
}

static int plan_shards(const struct hub_repo *repo, const char *name, const char *dir,
                       struct hub_plan *plan, struct err *err)
{
    struct jnode       *root = NULL;
    const struct jnode *value;
    const char         *tensor, *file;
    void               *it    = NULL;
    char               *path  = path_join(dir, INDEX);
    size_t              small = plan->n;
    int                 rc    = path ? jnode_parse_file(path, MAX_SMALL, &root, err)
                                     : err_set(err, ERR_NOMEM, "out of memory");
    const struct jnode *map   = jnode_get(root, "weight_map");
    if (!rc && (!jnode_is_object(map) || jnode_len(map) == 0))
        rc = err_set(err, ERR_FORMAT, "%s: " INDEX " has no weight_map", name);
    while (!rc && jnode_next(map, &it, &tensor, &value)) {
        if (!jnode_to_str(value, &file) || !hub_name_safe(file) ||
            !ends_with(file, ".safetensors")) {
            rc = err_set(err, ERR_FORMAT,
                         "%s: " INDEX " says that the tensor %.80s is in \"%.80s\", which is no "
                         "name of a file of weights",
                         name, tensor, jnode_to_str(value, &file) ? file : "");
        } else if (!has(repo, file)) {
            rc = err_set(err, ERR_FORMAT,
                         "%s: " INDEX " says that weights are in %s, which is missing", name, file);
        } else {
            rc = plan_add(plan, hub_repo_find(repo, file), MAX_WEIGHT, err);
        }
        if (!rc && plan->n - small > MAX_SHARDS)
            rc = err_set(err, ERR_LIMIT, "%s has more than %d files of weights", name, MAX_SHARDS);
    }
    jnode_free(root);
    free(path);
    return rc;
}

int hub_plan_weights(const struct hub_repo *repo, const char *name, const char *dir,
                     struct hub_plan *plan, struct err *err)
{
    const char *whole = "open_clip_model.safetensors";
    if (is_transformers(repo)) {
        int rc = check_config(name, dir, err);
        if (rc)
            return rc;
        if (!has(repo, "model.safetensors"))
            return plan_shards(repo, name, dir, plan, err);
        whole = "model.safetensors";
    }
    return plan_add(plan, hub_repo_find(repo, whole), MAX_WEIGHT, err);
}

int64_t hub_plan_bytes(const struct hub_plan *plan)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < plan->n; i++)
        bytes += plan->files[i]->size > 0 ? plan->files[i]->size : 0;
    return bytes;
}

void hub_plan_release(struct hub_plan *plan)
{
    free(plan->files);
    *plan = (struct hub_plan){0};
}
