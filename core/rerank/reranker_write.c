/* What was trained as the file of a re-ranker: see reranker_write.h. */
#include "rerank/reranker_write.h"

#include "base/file.h"
#include "learn/heads_file.h"
#include "model/encoder_features.h"
#include "rerank/mmca_write.h"
#include "rerank/reranker_config.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CONFIG 1000000 /* bytes of a config.json */

static int no_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "cannot write a re-ranker: out of memory");
}

/* The keys of a kind. base: the model's config.json. */
static int set_regions(struct jnode *o, const struct reranker_parts *of, float weight,
                       const struct jnode *base)
{
    struct regions_config config = of->regions;
    struct jnode         *head   = jnode_object();
    config.weight                = weight;
    int bad = heads_file_choices(head, of->heads, &of->inputs, jnode_get(base, "osprey"));
    return bad | regions_config_write(&config, o) | jnode_set(o, "head", head);
}

static int set_mmca(struct jnode *o, const struct reranker_parts *of, float weight)
{
    struct mmca_config config = of->mmca;
    config.weight             = weight;
    return mmca_config_write(&config, o);
}

/* What lies under "reranker"; NULL when out of memory. */
static char *describe(const struct reranker_parts *of, const struct jnode *base)
{
    struct jnode *o = jnode_object();
    int           bad;
    if (of->heads && of->net) {
        struct jnode *regions = jnode_object(), *mmca = jnode_object();
        bad = set_regions(regions, of, 1, base) | set_mmca(mmca, of, 1);
        bad |= jnode_set_str(o, "type", "both") | jnode_set_real(o, "share", (double)of->share) |
               jnode_set_real(o, "weight", (double)of->weight);
        bad |= jnode_set(o, "regions", regions) | jnode_set(o, "mmca", mmca);
    } else {
        bad = jnode_set_str(o, "type", of->heads ? "regions" : "mmca");
        bad |= of->heads ? set_regions(o, of, of->weight, base) : set_mmca(o, of, of->weight);
    }
    bad |= jnode_set_str(o, RERANKER_MODEL, encoder_info(of->base)->name) |
           jnode_set_str(o, RERANKER_MODEL_HASH, encoder_info(of->base)->hash);
    char *text = bad ? NULL : jnode_write(o);
    jnode_free(o);
    return text;
}

static int write_all(const char *path, const struct reranker_parts *of, const char *text,
                     const struct safetensors *base, struct err *err)
{
    struct tensor     all[HEADS_FILE_TENSORS + MMCA_FILE_TENSORS];
    struct heads_file heads      = {.n = 0};
    struct mmca_file  mmca       = {.n = 0};
    const char       *metadata[] = {"format", "pt", "reranker", text};
    int               rc         = 0;
    if (of->heads)
        rc = heads_file_add(&heads, of->heads, encoder_feature_sizes(of->base).text, err);
    if (!rc && of->heads && of->inputs.classes)
        heads_file_keep(&heads, base, HEADS_FILE_CLASSES);
    if (!rc && of->net)
        rc = mmca_file_fill(&mmca, of->net, err);
    memcpy(all, heads.tensors, heads.n * sizeof *all);
    memcpy(all + heads.n, mmca.tensors, mmca.n * sizeof *all);
    if (!rc)
        rc = safetensors_write(path, all, heads.n + mmca.n, metadata, 2, err);
    heads_file_release(&heads);
    mmca_file_release(&mmca);
    return rc;
}

static char *file_of(const struct encoder *enc, const char *name)
{
    return path_join(encoder_info(enc)->dir, name);
}

int reranker_write(const char *path, const struct reranker_parts *of, struct err *err)
{
    struct safetensors *base   = NULL;
    struct jnode       *config = NULL;
    char               *heads  = file_of(of->base, "heads.safetensors");
    char               *json = file_of(of->base, "config.json"), *text = NULL;
    int                 rc = heads && json ? 0 : no_memory(err);
    if (!rc && of->heads)
        rc = safetensors_open(heads, &base, err);
    if (!rc && of->heads)
        rc = jnode_parse_file(json, MAX_CONFIG, &config, err);
    if (!rc && !(text = describe(of, config)))
        rc = no_memory(err);
    if (!rc)
        rc = write_all(path, of, text, base, err);
    jnode_free(config);
    safetensors_close(base);
    free(text);
    free(json);
    free(heads);
    return rc;
}
