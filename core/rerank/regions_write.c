/* Trained heads as a re-ranker of the kind "regions": see regions_write.h. */
#include "rerank/regions_write.h"

#include "base/file.h"
#include "learn/heads_file.h"
#include "model/encoder_features.h"

#include <stdlib.h>

#define MAX_CONFIG 1000000 /* bytes of a config.json */

/* What lies under "reranker"; NULL when out of memory. base: the model's config.json. */
static char *describe(const struct regions_heads *of, const struct jnode *base)
{
    struct jnode *o = jnode_object(), *head = jnode_object();
    int bad = heads_file_choices(head, of->heads, &of->inputs, jnode_get(base, "osprey")) |
              jnode_set_str(o, "type", "regions") | regions_config_write(&of->config, o);
    bad |= jnode_set(o, "head", head);
    char *text = bad ? NULL : jnode_write(o);
    jnode_free(o);
    return text;
}

static char *file_of(const struct encoder *enc, const char *name)
{
    return path_join(encoder_info(enc)->dir, name);
}

int regions_write(const char *path, const struct regions_heads *of, struct err *err)
{
    struct heads_file   file   = {.n = 0};
    struct safetensors *base   = NULL;
    struct jnode       *config = NULL;
    char               *heads  = file_of(of->base, "heads.safetensors");
    char               *json = file_of(of->base, "config.json"), *text = NULL;
    int                 rc = 0;
    if (!heads || !json)
        rc = err_set(err, ERR_NOMEM, "cannot write a re-ranker: out of memory");
    if (!rc)
        rc = safetensors_open(heads, &base, err);
    if (!rc)
        rc = jnode_parse_file(json, MAX_CONFIG, &config, err);
    if (!rc && !(text = describe(of, config)))
        rc = err_set(err, ERR_NOMEM, "cannot write a re-ranker: out of memory");
    if (!rc)
        rc = heads_file_add(&file, of->heads, encoder_feature_sizes(of->base).text, err);
    if (!rc) {
        const char *metadata[] = {"format", "pt", "reranker", text};
        if (of->inputs.classes)
            heads_file_keep(&file, base, HEADS_FILE_CLASSES);
        rc = safetensors_write(path, file.tensors, file.n, metadata, 2, err);
    }
    heads_file_release(&file);
    jnode_free(config);
    safetensors_close(base);
    free(text);
    free(json);
    free(heads);
    return rc;
}
