/* osprey model: lists, fetches, describes, checks and measures models. */
#include "cli/commands.h"
#include "cli/model_bench.h"
#include "cli/model_check.h"
#include "cli/model_get.h"
#include "cli/output.h"
#include "cli/session.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/models.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Lists, fetches, describes, checks and measures models.\n"
    "\n"
    "Usage: osprey model list\n"
    "       osprey model get ORG/NAME[@REVISION]\n"
    "       osprey model use NAME|DIR\n"
    "       osprey model info [NAME|DIR]\n"
    "       osprey model check [NAME|DIR] [--golden FILE] [--tolerance X]\n"
    "       osprey model bench [NAME|DIR] [--batch N] [--threads N]\n"
    "\n"
    "list shows the models that are found by name, * marks the default one. get fetches\n"
    "a CLIP checkpoint from the Hugging Face hub, or takes the copy in that hub's cache;\n"
    "a fetch that was cut short goes on where it was. use makes a model the default one\n"
    "of new libraries. info describes one. check compares its embeddings with stored\n"
    "ones of a reference. bench measures its towers with made-up pixels and texts:\n"
    "pictures and texts per second, and the arithmetic that the image tower does.\n"
    "\n"
    "  --golden FILE       reference embeddings (default: golden.safetensors in its folder)\n"
    "  --tolerance X       the largest difference allowed (default: by the precision)\n"
    "  --batch N           pictures and texts that are encoded together (default 16)\n"
    "  --threads N         threads (default: every processor)\n" HELP_MODEL HELP_PRECISION
        HELP_OUTPUT "\n"
    "HF_ENDPOINT, HF_TOKEN, HF_HOME and HF_HUB_OFFLINE mean what they mean elsewhere.\n"
    "\n"
    "Examples:\n"
    "  osprey model list\n"
    "  osprey model get openai/clip-vit-base-patch32\n"
    "  osprey index --model openai/clip-vit-base-patch32 ~/Pictures\n"
    "  osprey model use openai/clip-vit-base-patch32\n"
    "  osprey model info ./my-clip/\n"
    "  osprey model bench osprey-small --batch 1 --threads 1 --json\n";

#define A_CLIP "openai/clip-vit-base-patch32" /* the one that notes name */

static int list_line(const struct common *common, const struct models_entry *e, bool is_default,
                     int width, struct err *err)
{
    if (!common->json) {
        printf("%c %-*s  ", is_default ? '*' : ' ', width, e->name);
        out_path(e->dir);
        putchar('\n');
        return 0;
    }
    struct jnode *o      = jnode_object();
    int           failed = !o;
    if (o) {
        failed |= jnode_set_path(o, "name", e->name);
        failed |= jnode_set_path(o, "dir", e->dir);
        failed |= jnode_set_bool(o, "default", is_default);
    }
    return out_json(o, failed, err);
}

/* The models with the default one, which may be a folder anywhere. */
static int list_entries(const struct common *common, struct models_entry *entries, size_t n,
                        struct err *err)
{
    struct models_entry own   = {0};
    struct err          why   = ERR_INIT;
    int                 width = 0, rc = 0;
    bool                listed = false, small = n > 0;
    if (models_default(&own.name, &why) || models_find(own.name, &own.dir, &why))
        note(common, "the default model cannot be used: %s", why.msg);
    for (size_t i = 0; i < n; i++) {
        int length = (int)strlen(entries[i].name);
        width      = length > width ? length : width;
        listed     = listed || (own.dir && strcmp(own.dir, entries[i].dir) == 0);
        small      = small && strncmp(entries[i].name, MODELS_DEFAULT, strlen(MODELS_DEFAULT)) == 0;
    }
    for (size_t i = 0; !rc && i < n; i++)
        rc = list_line(common, &entries[i], own.dir && strcmp(own.dir, entries[i].dir) == 0, width,
                       err);
    if (!rc && own.dir && !listed) {
        small = false;
        rc    = list_line(common, &own, true, width, err);
    }
    if (!rc && small && !common->json) {
        fflush(stdout);
        note(common, MODELS_DEFAULT " is small. A CLIP finds far more, and two commands bring it:\n"
                                    "  osprey model get " A_CLIP "\n"
                                    "  osprey index --model " A_CLIP " DIR");
    }
    free(own.name);
    free(own.dir);
    return rc;
}

static int model_list(struct session *s, const char *name, size_t *shown, struct err *err)
{
    struct models_entry *entries = NULL;
    size_t               n       = 0;
    if (name)
        return err_set(err, ERR_USAGE, "model list takes no argument, not '%s'", name);
    int rc = models_list(&entries, &n, err);
    if (!rc)
        rc = list_entries(s->common, entries, n, err);
    models_list_free(entries, n);
    *shown = n;
    if (!rc && n == 0)
        note(s->common,
             "no model was found: `make build` assembles %s, and $OSPREY_MODELS names "
             "folders that hold models",
             MODELS_DEFAULT);
    return rc;
}

static int model_info(struct session *s, struct err *err)
{
    s->towers_only = true;
    int rc         = session_encoder(s, err);
    if (rc)
        return rc;
    const struct encoder_info *m = encoder_info(s->enc);
    if (!s->common->json) {
        printf("name        %s\nfolder      ", m->name);
        out_path(m->dir);
        printf("\nfamily      %s\ndimension   %d\nparameters  %" PRId64 "\nimage size  %d pixels\n"
               "tokens      at most %d\nprecision   %s\nkernels     %s\nhash        %s\n",
               m->family, m->dim, m->parameters, m->image_size, m->max_tokens, m->precision, m->cpu,
               m->hash);
        if (m->missing)
            printf("missing     %s: no searching with it\n", m->missing);
        return 0;
    }
    struct jnode *o      = jnode_object();
    int           failed = !o;
    if (o) {
        failed |= jnode_set_path(o, "name", m->name);
        failed |= jnode_set_path(o, "dir", m->dir);
        failed |= jnode_set_str(o, "family", m->family);
        failed |= jnode_set_int(o, "dimension", m->dim);
        failed |= jnode_set_int(o, "parameters", m->parameters);
        failed |= jnode_set_int(o, "image_size", m->image_size);
        failed |= jnode_set_int(o, "max_tokens", m->max_tokens);
        failed |= jnode_set_str(o, "precision", m->precision);
        failed |= jnode_set_str(o, "kernels", m->cpu);
        failed |= jnode_set_str(o, "hash", m->hash);
        if (m->missing)
            failed |= jnode_set_str(o, "missing", m->missing);
    }
    return out_json(o, failed, err);
}

/* A model that cannot be opened is no default. */
static int model_use(struct session *s, const char *name, struct err *err)
{
    if (!name)
        return err_set(err, ERR_USAGE, "model use takes a model: a name, or a folder");
    char *dir = NULL;
    int   rc  = session_encoder(s, err);
    if (rc)
        return rc;
    /* what is found by name stays found by it when its place moves */
    bool is_folder = strchr(name, '/') && file_exists(name);
    if (is_folder)
        rc = path_real(name, &dir, err);
    const char *kept = is_folder ? dir : name;
    if (!rc)
        rc = models_set_default(kept, err);
    if (!rc && s->common->json) {
        struct jnode *o   = jnode_object();
        int           bad = !o;
        if (o) {
            bad |= jnode_set_path(o, "default", kept);
            bad |= jnode_set_path(o, "dir", encoder_info(s->enc)->dir);
        }
        rc = out_json(o, bad, err);
    } else if (!rc) {
        fputs("new libraries take ", stdout);
        out_path(kept);
        putchar('\n');
    }
    free(dir);
    return rc;
}

struct model_options {
    struct model_bench bench;
    struct model_check check;
};

static int run_verb(struct session *s, const char *verb, const char *name,
                    const struct model_options *o, size_t *shown, struct err *err)
{
    if (strcmp(verb, "list") == 0)
        return model_list(s, name, shown, err);
    if (strcmp(verb, "get") == 0)
        return model_get(s->common, name ? name : s->common->model, err);
    if (strcmp(verb, "use") == 0)
        return model_use(s, s->common->model, err);
    if (strcmp(verb, "info") == 0)
        return model_info(s, err);
    if (strcmp(verb, "check") == 0)
        return model_check(s, &o->check, err);
    if (strcmp(verb, "bench") == 0)
        return model_bench(s, &o->bench, err);
    return err_set(err, ERR_USAGE,
                   "unknown: model %s; there are list, get, use, info, check and bench", verb);
}

int cmd_model(int argc, char **argv)
{
    struct common            common;
    struct args              args    = {0};
    struct session           session = SESSION_INIT(&common);
    struct err               err     = ERR_INIT;
    struct model_options     o       = {0};
    size_t                   shown   = 1;
    const struct option_spec own[]   = {
          {.name = "--batch", .kind = OPTION_COUNT, .target = &o.bench.batch},
          {.name = "--threads", .kind = OPTION_COUNT, .target = &o.bench.threads},
          {.name = "--golden", .kind = OPTION_TEXT, .target = &o.check.golden},
          {.name   = "--tolerance",
           .kind   = OPTION_REAL,
           .target = &o.check.tolerance,
           .given  = &o.check.given},
    };
    int rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (rc)
        goto out;
    if (args.n == 0 || args.n > 2) {
        rc = err_set(&err, ERR_USAGE,
                     "model takes list, get, use, info, check or bench, and a model");
        goto out;
    }
    const char *verb = args.items[0].text, *name = args.n > 1 ? args.items[1].text : NULL;
    if (name && common.model && strcmp(name, common.model) != 0) {
        rc = err_set(&err, ERR_USAGE, "two models were named: %s and %s", name, common.model);
        goto out;
    }
    if (name && strcmp(verb, "list") != 0)
        common.model = name;
    rc = run_verb(&session, verb, name, &o, &shown, &err);
out:
    session_release(&session);
    args_release(&args);
    if (rc)
        return fail("model", &err);
    return shown ? EXIT_FOUND : EXIT_NOTHING;
}
