/* osprey tag: labels for pictures, from words, from examples, or from both.
 *
 * Labels are made here (tag_labels.h), judged and kept by the library (library_tagger.h),
 * and shown as they come. With --write they are then written where other programs read
 * them (write_pictures.h), whatever has been tagged before among them.
 */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/places.h"
#include "cli/session.h"
#include "cli/tag_labels.h"
#include "cli/take_back.h"
#include "cli/write_pictures.h"

#include "base/file.h"
#include "base/mem.h"
#include "storage/library_tagger.h"
#include "storage/library_tags.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Gives pictures tags, by words, by examples, or by both; pictures that come later\n"
    "get theirs as they are indexed. The pictures themselves are not read.\n"
    "\n"
    "Usage: osprey tag [OPTION...] --vocab FILE|NAME [DIR...]\n"
    "       osprey tag [OPTION...] --examples EXAMPLES [--vocab FILE|NAME] [DIR...]\n"
    "       osprey tag [OPTION...] [DIR...]\n"
    "       osprey tag --remove [OPTION...] [DIR...]\n"
    "       osprey tag --list\n"
    "\n"
    "  --vocab FILE|NAME   the labels: a line for each, with a tab and synonyms behind it\n"
    "                      where there are any, and animal|dog for a dog among animals;\n"
    "                      or everyday, imagenet, moderation\n"
    "  --examples DIR      learn labels from a folder for each, with a few pictures in it\n"
    "                      (underscores are spaces)\n"
    "  --prompts FILE      a line for each phrasing, with {} for the label; or usual:\n"
    "                      eight of them (default: a photo of a {})\n"
    "  --threshold X       the least score of a tag, from 0 to 1 (default 0.5)\n"
    "  --top N             at most N tags a picture, not counting those above them\n"
    "                      (default 5)\n"
    "  --once              forget the labels: later pictures get no tags by themselves\n"
    "  --write PLACE       write tags where other programs read them: sidecar (NAME.xmp\n"
    "                      beside each picture) or file (in JPEG, PNG, TIFF and WebP);\n"
    "                      what others wrote there stays\n"
    "  --remove            take Osprey's tags back, out of the library and out of the\n"
    "                      pictures and what lies beside them\n"
    "  --dry-run           only show what would be said, with --write what would be written\n"
    "  --list              list the tags that there are, with counts\n" HELP_LIBRARY HELP_MODEL
        HELP_PRECISION HELP_OUTPUT "\n"
    "Without --vocab and --examples: by the labels of the last time. With DIR: only\n"
    "pictures below it, and the labels are not kept.\n"
    "\n"
    "Examples:\n"
    "  osprey tag --vocab everyday\n"
    "  osprey tag --vocab labels.txt --threshold 0.3 --dry-run ~/Scans\n"
    "  osprey tag --examples ~/Examples --vocab everyday --json\n"
    "  osprey tag --vocab labels.txt --write sidecar\n";

struct tag_options {
    struct tag_request request;
    bool               has_threshold, has_top, once, dry_run, list, remove;
    const char        *write;
    enum write_place   place; /* of write */
};

/* ---- Showing ---- */

static struct jnode *tags_json(const struct library_said *tags, size_t n, int *failed)
{
    struct jnode *list = jnode_array();
    for (size_t i = 0; i < n; i++) {
        struct jnode *tag = jnode_object();
        *failed |= jnode_set_str(tag, "label", tags[i].text) |
                   jnode_set_real(tag, "score", tags[i].score) | jnode_push(list, tag);
    }
    return list;
}

/* One picture: a line. */
static int tell_picture(void *ctx, int64_t id, const struct library_said *tags, size_t n,
                        struct err *err)
{
    struct session      *s     = ctx;
    struct library_image image = {0};
    struct err           why   = ERR_INIT;
    int                  rc    = library_image_get(s->lib, id, &image, &why);
    if (rc == ERR_NOTFOUND) /* it went meanwhile */
        return 0;
    char *path = rc ? NULL : path_join(image.folder, image.path);
    library_image_release(&image);
    if (rc)
        return err_set(err, why.code, "%s", why.msg);
    if (!path)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (s->common->json) {
        int           failed = 0;
        struct jnode *said   = tags_json(tags, n, &failed);
        struct jnode *o      = jnode_object();
        failed |= jnode_set_path(o, "path", path) | jnode_set_int(o, "id", id) |
                  jnode_set(o, "tags", said);
        rc = out_json(o, failed, err);
    } else {
        out_path(path);
        for (size_t i = 0; i < n; i++) {
            fputs(i ? ", " : "  ", stdout);
            out_path(tags[i].text);
            printf(" %.2f", tags[i].score);
        }
        puts(n ? "" : "  -");
    }
    free(path);
    return rc ? rc : output_broken() ? ERR_CANCELLED : 0;
}

static int list_tags(struct session *s, bool *any, struct err *err)
{
    struct library_tag_count *counts = NULL;
    size_t                    n      = 0;
    int                       rc     = library_tags_list(s->lib, &counts, &n, err);
    for (size_t i = 0; !rc && i < n && !output_broken(); i++) {
        const struct library_tag_count *c = &counts[i];
        if (!s->common->json) {
            printf("%8" PRId64 "  ", c->images);
            out_path(c->tag);
            putchar('\n');
            continue;
        }
        struct jnode *o = jnode_object();
        int failed      = jnode_set_str(o, "tag", c->tag) | jnode_set_int(o, "images", c->images);
        for (int source = 0; source < LIBRARY_SOURCES; source++)
            failed |=
                jnode_set_int(o, library_source_name((enum library_source)source), c->said[source]);
        rc = out_json(o, failed, err);
    }
    *any = n > 0;
    library_tag_counts_free(counts, n);
    return rc;
}

static void summarise(const struct common *common, const struct library_tag_tally *t, bool dry_run)
{
    note(common, "%" PRId64 " picture%s: %" PRId64 " tagged, %" PRId64 " that nothing fits%s",
         t->images, t->images == 1 ? "" : "s", t->tagged, t->images - t->tagged,
         dry_run ? "; nothing was written" : "");
    if (!dry_run)
        note(common, "%" PRId64 " changed", t->changed);
}

/* ---- Judging ---- */

/* The labels that were asked for, else those of the last time. */
static int get_labels(struct session *s, const struct tag_options *o, struct tagger **out,
                      struct err *err)
{
    if (o->request.vocab || o->request.examples) {
        int rc = session_library_encoder(s, err);
        return rc ? rc : tag_labels_make(s, &o->request, out, err);
    }
    struct err why = ERR_INIT;
    int        rc  = library_tagger_get(s->lib, out, &why);
    if (rc == ERR_NOTFOUND && o->place) /* what was said before is written */
        return 0;
    if (rc && rc != ERR_NOTFOUND)
        return err_set(err, why.code, "%s", why.msg);
    if (rc == ERR_NOTFOUND)
        return err_set(err, ERR_USAGE,
                       "no labels were given, and none are kept from before: use --vocab, "
                       "--examples, or both");
    if (!rc && o->has_threshold)
        (*out)->threshold = o->request.threshold;
    if (!rc && o->has_top)
        (*out)->top = o->request.top;
    return rc;
}

/* ---- Writing ---- */

static struct write_options writing(const struct session *s, const struct tag_options *o)
{
    return (struct write_options){
        .common = s->common, .place = o->place, .tags = true, .dry = o->dry_run};
}

/* Of a dry run: what would be written of this picture. */
static int tell_writer(void *ctx, int64_t id, const struct library_said *tags, size_t n,
                       struct err *err)
{
    return picture_writer_write(ctx, id, tags, n, err);
}

/* ---- All of it ---- */

/* Judges the pictures by the labels, and says what was found; writes, where asked to. */
static int judge(struct session *s, const struct tag_options *o, const struct tagger *tagger,
                 const struct library_filter *filters, size_t n, struct library_tag_tally *tally,
                 struct err *err)
{
    struct picture_writer     *w       = NULL;
    struct library_tagging     job     = {.tagger    = tagger,
                                          .filters   = filters,
                                          .n_filters = n,
                                          .dry_run   = o->dry_run,
                                          .tell = s->common->json || o->dry_run ? tell_picture : NULL,
                                          .ctx  = s};
    bool                       keep    = n == 0 && !o->dry_run && !o->once;
    const struct write_options options = writing(s, o);
    int rc = o->dry_run && o->place ? picture_writer_open(s->lib, &options, &w, err) : 0;
    if (w) {
        job.tell = tell_writer;
        job.ctx  = w;
    }
    if (!rc)
        rc = keep ? library_tagger_keep(s->lib, &job, tally, err)
                  : library_tag(s->lib, &job, tally, err);
    if (!rc && o->once && !o->dry_run)
        rc = library_tagger_forget(s->lib, err);
    if (!rc)
        summarise(s->common, tally, o->dry_run);
    if (w)
        rc = picture_writer_end(w, rc, err);
    picture_writer_close(w);
    return rc;
}

static int tag(struct session *s, const struct tag_options *o, const struct args *dirs,
               struct library_tag_tally *tally, struct err *err)
{
    struct tagger *tagger = NULL;
    struct places  places = {0};
    const char   **names  = NULL;
    size_t         n      = 0;
    int            rc     = args_folders(dirs, &names, &n, err);
    if (!rc && n)
        rc = places_init(&places, s, names, n, err);
    const struct library_filter *filters = places.filters; /* none: the whole library */
    n                                    = places.n;
    if (!rc && o->remove) {
        const struct write_options options = writing(s, o);
        struct taken_back          taken;
        rc = take_back(s->lib, &options, filters, n, &taken, err);
        goto out;
    }
    if (!rc)
        rc = get_labels(s, o, &tagger, err);
    if (!rc && tagger)
        rc = judge(s, o, tagger, filters, n, tally, err);
    if (!rc && o->place && !(o->dry_run && tagger)) {
        struct write_options options = writing(s, o);
        options.judged               = tagger != NULL;
        rc                           = write_pictures(s->lib, &options, filters, n, err);
    }
out:
    tagger_free(tagger);
    places_release(&places);
    free(names);
    return rc;
}

static int check_options(const struct tag_options *o, const struct args *dirs, struct err *err)
{
    if (o->request.threshold < 0 || o->request.threshold > 1)
        return err_set(err, ERR_USAGE, "--threshold takes a number from 0 to 1");
    if (o->request.prompts && !o->request.vocab)
        return err_set(err, ERR_USAGE, "--prompts is for the words of --vocab");
    if (o->list && (o->request.vocab || o->request.examples || dirs->n || o->dry_run || o->once ||
                    o->remove || o->write))
        return err_set(err, ERR_USAGE, "--list goes alone");
    if (o->remove && (o->request.vocab || o->request.examples || o->once))
        return err_set(err, ERR_USAGE, "--remove goes with --write, --dry-run and folders alone");
    return 0;
}

int cmd_tag(int argc, char **argv)
{
    struct common            common;
    struct args              args    = {0};
    struct session           session = SESSION_INIT(&common);
    struct err               err     = ERR_INIT;
    struct library_tag_tally tally   = {0};
    bool                     found   = false;
    struct tag_options       o = {.request = {.threshold = TAGGER_THRESHOLD, .top = TAGGER_TOP}};
    const struct option_spec own[] = {
        {.name = "--vocab", .kind = OPTION_TEXT, .target = &o.request.vocab},
        {.name = "--examples", .kind = OPTION_TEXT, .target = &o.request.examples},
        {.name = "--prompts", .kind = OPTION_TEXT, .target = &o.request.prompts},
        {.name   = "--threshold",
         .kind   = OPTION_REAL,
         .target = &o.request.threshold,
         .given  = &o.has_threshold},
        {.name = "--top", .kind = OPTION_COUNT, .target = &o.request.top, .given = &o.has_top},
        {.name = "--once", .kind = OPTION_FLAG, .target = &o.once},
        {.name = "--dry-run", .kind = OPTION_FLAG, .target = &o.dry_run},
        {.name = "--write", .kind = OPTION_TEXT, .target = &o.write},
        {.name = "--remove", .kind = OPTION_FLAG, .target = &o.remove},
        {.name = "--list", .kind = OPTION_FLAG, .target = &o.list},
    };
    int rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        found = true;
        goto out;
    }
    if (!rc)
        rc = check_options(&o, &args, &err);
    if (!rc)
        rc = write_place_of(o.write, &o.place, &err);
    if (!rc)
        rc = session_library(&session, &err);
    if (!rc)
        rc = o.list ? list_tags(&session, &found, &err) : tag(&session, &o, &args, &tally, &err);
    found = found || tally.images > 0 || o.remove || o.place;
out:
    session_release(&session);
    args_release(&args);
    if (rc == ERR_CANCELLED)
        return EXIT_FAILED;
    return rc ? fail("tag", &err) : found ? EXIT_FOUND : EXIT_NOTHING;
}
