/* osprey status: what the library holds, and which pictures are broken. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"

#include "image/decoder.h"
#include "storage/library_match.h"
#include "storage/library_tags.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Shows what the library holds, or which pictures in it are broken and why.\n"
    "\n"
    "Usage: osprey status [OPTION...]\n"
    "\n"
    "  --errors            list the broken pictures with their reasons\n" HELP_LIBRARY HELP_OUTPUT
    "\n"
    "Examples:\n"
    "  osprey status\n"
    "  osprey status --errors --json\n";

/* All that is shown; models without an id are absent. */
struct state {
    struct library_stats      stats;
    struct library_model      active, filling;
    struct library_regions    regions;    /* of the active model; id 0: none */
    struct library_background background; /* n 0: none is kept */
    int64_t                   tagged;     /* pictures that have tags */
    struct library_folder    *folders;
    size_t                    n_folders;
    char                      decoder[256]; /* how pictures are decoded, or why they cannot be */
};

static void decoder_state(char *text, size_t size)
{
    struct decoder *decoder = NULL;
    struct err      err     = ERR_INIT;
    int             rc      = decoder_open(NULL, &decoder, &err);
    if (!rc)
        rc = decoder_start(decoder, &err);
    (void)snprintf(text, size, "%s", rc ? err.msg : decoder_text(decoder));
    decoder_close(decoder);
}

static int state_read(struct library *lib, struct state *st, struct err *err)
{
    int rc = library_stats(lib, &st->stats, err);
    if (!rc) {
        rc = library_model_active(lib, &st->active, err);
        if (rc == ERR_NOTFOUND) {
            st->active.id = 0;
            rc            = 0;
        }
    }
    if (!rc) {
        rc = library_model_filling(lib, &st->filling, err);
        if (rc == ERR_NOTFOUND) {
            st->filling.id = 0;
            rc             = 0;
        }
    }
    if (!rc && st->active.id) {
        rc = library_regions_find(lib, NULL, &st->regions, err);
        if (rc == ERR_NOTFOUND) {
            st->regions.id = 0;
            rc             = 0;
        }
    }
    if (!rc && st->active.id) {
        rc = library_background_get(lib, &st->background, err);
        if (rc == ERR_NOTFOUND)
            rc = 0;
    }
    if (!rc)
        rc = library_tagged_count(lib, &st->tagged, err);
    if (!rc)
        rc = library_folders(lib, &st->folders, &st->n_folders, err);
    decoder_state(st->decoder, sizeof st->decoder);
    return rc;
}

static struct jnode *folder_json(const struct library_folder *f, int *failed)
{
    struct jnode *o = jnode_object();
    if (!o)
        return NULL;
    *failed |= jnode_set_path(o, "path", f->path);
    *failed |= jnode_set_bool(o, "online", f->online);
    *failed |= jnode_set_int(o, "images", f->images);
    *failed |= jnode_set_int(o, "errors", f->errors);
    if (f->scanned_at)
        *failed |= jnode_set_int(o, "scanned_at", f->scanned_at);
    return o;
}

static int print_json(const struct state *st, const char *dir, struct err *err)
{
    struct jnode *o = jnode_object(), *folders = jnode_array(), *index = jnode_object();
    int           failed = !o || !folders || !index;
    if (failed) {
        jnode_free(folders);
        jnode_free(index);
        return out_json(o, failed, err);
    }
    for (size_t i = 0; i < st->n_folders; i++)
        failed |= jnode_push(folders, folder_json(&st->folders[i], &failed));
    failed |= jnode_set_str(index, "kind", st->stats.index_kind);
    failed |= jnode_set_int(index, "base", st->stats.index_base);
    failed |= jnode_set_int(index, "delta", st->stats.index_delta);

    failed |= jnode_set_path(o, "library", dir);
    failed |= jnode_set_int(o, "images", st->stats.images);
    failed |= jnode_set_int(o, "errors", st->stats.errors);
    failed |= jnode_set_int(o, "tagged", st->tagged);
    failed |= jnode_set_str(o, "model", st->active.id ? st->active.name : NULL);
    if (st->active.id) {
        failed |= jnode_set_int(o, "dimension", st->active.dim);
        failed |= jnode_set_str(o, "precision", st->active.precision);
        failed |= jnode_set_str(o, "distance", distance_name(st->active.distance));
    } else {
        failed |= jnode_set_str(o, "dimension", NULL);
    }
    if (st->filling.id)
        failed |= jnode_set_str(o, "filling", st->filling.name);
    if (st->regions.id) {
        struct jnode *regions = jnode_object();
        failed |= jnode_set_int(regions, "images", st->regions.images);
        failed |= jnode_set_int(regions, "bytes", (int64_t)st->regions.bytes);
        failed |= jnode_set_str(regions, "reranker", st->regions.hash);
        failed |= jnode_set(o, "regions", regions);
    }
    if (st->background.n) {
        struct jnode *background = jnode_object();
        failed |= jnode_set_int(background, "images", st->background.images);
        failed |= jnode_set_int(background, "sample", (int64_t)st->background.n);
        failed |= jnode_set(o, "background", background);
    }
    failed |= jnode_set_int(o, "generation", st->stats.generation);
    failed |= jnode_set_str(o, "decoder", st->decoder);
    failed |= jnode_set(o, "index", index);
    failed |= jnode_set(o, "folders", folders);
    return out_json(o, failed, err);
}

static void print_text(const struct state *st, const char *dir)
{
    const struct library_stats *s = &st->stats;
    fputs("library     ", stdout);
    out_path(dir);
    printf("\nimages      %" PRId64 "\nerrors      %" PRId64 "%s\n", s->images, s->errors,
           s->errors ? "  (osprey status --errors lists them)" : "");
    if (st->tagged)
        printf("tagged      %" PRId64 "  (osprey tag --list lists the tags)\n", st->tagged);
    if (st->active.id)
        printf("model       %s, %d dimensions, %s\n", st->active.name, st->active.dim,
               st->active.precision);
    else
        puts("model       none yet");
    if (st->filling.id)
        printf("filling     %s, %d dimensions (answers once it is complete)\n", st->filling.name,
               st->filling.dim);
    printf("index       %s, %" PRId64 " vectors and %" PRId64 " changes since\n",
           s->index_kind[0] ? s->index_kind : "none", s->index_base, s->index_delta);
    if (st->regions.id)
        printf("regions     of %" PRId64 " images, %zu bytes each (re-ranker %.12s)\n",
               st->regions.images, st->regions.bytes, st->regions.hash);
    if (st->background.n)
        printf("background  %zu of %" PRId64 " images, by which matches are told\n",
               st->background.n, st->background.images);
    printf("generation  %" PRId64 "\ndecoder     %s\n", s->generation, st->decoder);
    for (size_t i = 0; i < st->n_folders; i++) {
        const struct library_folder *f = &st->folders[i];
        char                         when[32];
        fputs(i == 0 ? "folders     " : "            ", stdout);
        out_path(f->path);
        printf("  %" PRId64 " images, %" PRId64 " errors, ", f->images, f->errors);
        if (f->scanned_at)
            printf("scanned %s%s\n", time_text(f->scanned_at, when), f->online ? "" : ", offline");
        else
            puts(f->online ? "never scanned to the end" : "offline");
    }
}

static int status(struct session *s, struct err *err)
{
    struct state st = {0};
    int          rc = state_read(s->lib, &st, err);
    if (!rc && s->common->json)
        rc = print_json(&st, library_dir(s->lib), err);
    else if (!rc)
        print_text(&st, library_dir(s->lib));
    library_folders_free(st.folders, st.n_folders);
    return rc;
}

static int print_error(const struct common *common, const struct library_error *e, struct err *err)
{
    if (!common->json) {
        out_path(e->path);
        fputs(": ", stdout);
        out_path(e->reason);
        putchar('\n');
        return 0;
    }
    struct jnode *o      = jnode_object();
    int           failed = !o;
    if (o) {
        failed |= jnode_set_path(o, "path", e->path);
        failed |= jnode_set_str(o, "error", e->reason);
        failed |= jnode_set_int(o, "when", e->when);
    }
    return out_json(o, failed, err);
}

static int status_errors(struct session *s, struct err *err)
{
    struct library_error *errors = NULL;
    size_t                n      = 0;
    int                   rc     = library_errors(s->lib, &errors, &n, err);
    for (size_t i = 0; !rc && i < n && !output_broken(); i++)
        rc = print_error(s->common, &errors[i], err);
    library_errors_free(errors, n);
    return rc;
}

int cmd_status(int argc, char **argv)
{
    struct common            common;
    struct args              args    = {0};
    struct session           session = SESSION_INIT(&common);
    struct err               err     = ERR_INIT;
    bool                     errors  = false;
    const struct option_spec own[]   = {
          {.name = "--errors", .kind = OPTION_FLAG, .target = &errors},
    };
    int rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc)
        rc = args_exactly(&args, 0, "no argument", NULL, &err);
    if (!rc)
        rc = session_library(&session, &err);
    if (!rc)
        rc = errors ? status_errors(&session, &err) : status(&session, &err);
out:
    session_release(&session);
    args_release(&args);
    return rc ? fail("status", &err) : EXIT_FOUND;
}
