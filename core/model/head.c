/* The door to all kinds of heads: see head.h. What differs between kinds is
 * behind head_kind.h.
 */
#include "model/head_kind.h"

#include <string.h>

static const struct head_kind *const KINDS[] = {&head_conse, &head_trained};

static int find_kind(const struct head_loader *ld, const struct head_kind **kind)
{
    const char *name = NULL;
    if (!jnode_to_str(jnode_get(ld->config, "head"), &name))
        return err_set(ld->err, ERR_FORMAT,
                       "config.json: osprey.head, the name of the head, is missing");
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (strcmp(KINDS[i]->name, name) == 0) {
            *kind = KINDS[i];
            return 0;
        }
    }
    return err_set(ld->err, ERR_UNSUPPORTED,
                   "config.json: osprey.head is \"%.80s\"; this build knows \"%s\" and \"%s\"",
                   name, KINDS[0]->name, KINDS[1]->name);
}

int head_load(const struct safetensors *st, const struct jnode *config,
              const struct head_towers *towers, struct prepared *p, struct cpu cpu,
              enum precision precision, struct head **out, struct err *err)
{
    struct head_loader      ld   = {.st        = st,
                                    .config    = config,
                                    .towers    = *towers,
                                    .p         = p,
                                    .cpu       = cpu,
                                    .precision = precision,
                                    .err       = err};
    const struct head_kind *kind = NULL;
    struct head            *h    = NULL;
    int                     rc   = find_kind(&ld, &kind);
    if (!rc)
        rc = kind->load(&ld, &h);
    if (rc)
        return rc;
    h->kind   = kind;
    h->towers = *towers;
    *out      = h;
    return 0;
}

void head_free(struct head *h)
{
    if (h)
        h->kind->free(h);
}

int head_dim(const struct head *h)
{
    return h->dim;
}

int64_t head_parameters(const struct head *h)
{
    return h->parameters;
}

size_t head_scratch_size(const struct head *h, int n)
{
    return h->kind->scratch(h, n);
}

int head_classes_dim(const struct head *h)
{
    const struct class_part *part = h->kind->classes(h);
    return part->names ? part->hidden : 0;
}

void head_classes(const struct head *h, float *logits, int n, int threads, float *scratch,
                  float *out)
{
    const struct class_part *part = h->kind->classes(h);
    class_part_run(part, logits, n, threads, scratch, out, part->hidden);
}

void head_images(const struct head *h, const struct head_seen *seen, int n, int threads,
                 void *scratch, float *out)
{
    h->kind->images(h, seen, n, threads, scratch, out);
}

bool head_takes_stages(const struct head *h)
{
    return h->takes_stages;
}

void head_texts(const struct head *h, const struct head_read *read, int n, int threads,
                void *scratch, float *out)
{
    h->kind->texts(h, read, n, threads, scratch, out);
}

void head_as_names(const struct head *h, float *texts, int n)
{
    for (int i = 0; h->kind->as_names && i < n; i++)
        h->kind->as_names(h, texts + (ptrdiff_t)i * h->dim);
}
