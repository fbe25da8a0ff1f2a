/* osprey model: lists, describes and measures models. */
#include "cli/commands.h"
#include "cli/model_bench.h"
#include "cli/output.h"
#include "cli/session.h"

#include "model/models.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Lists, describes and measures models.\n"
    "\n"
    "Usage: osprey model list\n"
    "       osprey model info [NAME|DIR]\n"
    "       osprey model bench [NAME|DIR] [--batch N] [--threads N]\n"
    "\n"
    "list shows the models that are found by name, * marks the default one. info\n"
    "describes one. bench measures its towers with made-up pixels and texts: pictures\n"
    "and texts per second, and the arithmetic that the image tower does.\n"
    "\n"
    "  --batch N           pictures and texts that are encoded together (default 16)\n"
    "  --threads N         threads (default: every processor)\n" HELP_MODEL HELP_PRECISION
        HELP_OUTPUT "\n"
    "Examples:\n"
    "  osprey model list\n"
    "  osprey model info ./my-clip/\n"
    "  osprey model bench osprey-small --batch 1 --threads 1 --json\n";

static int list_line(const struct common *common, const struct models_entry *e, int width,
                     struct err *err)
{
    bool is_default = strcmp(e->name, MODELS_DEFAULT) == 0;
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

static int model_list(struct session *s, const char *name, size_t *shown, struct err *err)
{
    struct models_entry *entries = NULL;
    size_t               n       = 0;
    int                  width   = 0;
    if (name)
        return err_set(err, ERR_USAGE, "model list takes no argument, not '%s'", name);
    int rc = models_list(&entries, &n, err);
    for (size_t i = 0; !rc && i < n; i++) {
        int length = (int)strlen(entries[i].name);
        width      = length > width ? length : width;
    }
    for (size_t i = 0; !rc && i < n; i++)
        rc = list_line(s->common, &entries[i], width, err);
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
    int rc = session_encoder(s, err);
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
    }
    return out_json(o, failed, err);
}

int cmd_model(int argc, char **argv)
{
    struct common            common;
    struct args              args    = {0};
    struct session           session = SESSION_INIT(&common);
    struct err               err     = ERR_INIT;
    struct model_bench       bench   = {0};
    size_t                   shown   = 1;
    const struct option_spec own[]   = {
          {.name = "--batch", .kind = OPTION_COUNT, .target = &bench.batch},
          {.name = "--threads", .kind = OPTION_COUNT, .target = &bench.threads},
    };
    int rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (rc)
        goto out;
    if (args.n == 0 || args.n > 2) {
        rc = err_set(&err, ERR_USAGE, "model takes list, info or bench, and a model");
        goto out;
    }
    const char *verb = args.items[0].text, *name = args.n > 1 ? args.items[1].text : NULL;
    if (name && common.model && strcmp(name, common.model) != 0) {
        rc = err_set(&err, ERR_USAGE, "two models were named: %s and %s", name, common.model);
        goto out;
    }
    if (strcmp(verb, "list") == 0) {
        rc = model_list(&session, name, &shown, &err);
        goto out;
    }
    if (name)
        common.model = name;
    if (strcmp(verb, "info") == 0)
        rc = model_info(&session, &err);
    else if (strcmp(verb, "bench") == 0)
        rc = model_bench(&session, &bench, &err);
    else
        rc = err_set(&err, ERR_USAGE, "unknown: model %s; there are list, info and bench", verb);
out:
    session_release(&session);
    args_release(&args);
    if (rc)
        return fail("model", &err);
    return shown ? EXIT_FOUND : EXIT_NOTHING;
}
