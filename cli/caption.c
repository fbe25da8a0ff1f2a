/* osprey caption: each picture gets the sentence of a bank that fits it best. */
#include "cli/caption_bank.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/places.h"
#include "cli/take_back.h"

#include "base/file.h"
#include "base/mem.h"
#include "storage/library_tags.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK     512 /* pictures that are judged and stored at once */
#define MOST_K    1000
#define THRESHOLD 0.35 /* LIBRARY_GOOD_MATCH */

static const char help[] =
    "Gives each picture the sentence of a bank that fits it best, from the stored embeddings:\n"
    "no picture is read again. The best one is kept in the library as Osprey's caption.\n"
    "\n"
    "Usage: osprey caption [OPTION...] [DIR...]\n"
    "       osprey caption --remove [OPTION...] [DIR...]\n"
    "\n"
    "All pictures of the library, or those below the folders DIR. Where none fits, a picture\n"
    "has none.\n"
    "\n"
    "  --bank FILE         sentences, one a line (default: some 2,000 that come with Osprey)\n"
    "  -k N                how many to show of each picture, best first (default 1)\n"
    "  --threshold X       how well a sentence fits at least, 0 to 1 (default 0.35)\n"
    "  --write PLACE       write captions, as alternative texts too, where other programs read\n"
    "                      them: sidecar (NAME.xmp beside each picture) or file (in JPEG, PNG,\n"
    "                      TIFF and WebP); another program's caption stays. Without --bank, -k\n"
    "                      and --threshold: the captions that the library keeps, if any\n"
    "  --dry-run           only show, store nothing; with --write or --remove what would change\n"
    "                      in files\n"
    "  --remove            take Osprey's captions back, out of the library and out of the\n"
    "                      pictures and what lies beside them (with --write: there "
    "alone)\n" HELP_LIBRARY HELP_MODEL HELP_PRECISION HELP_OUTPUT "\n"
    "Exit status: 0 some picture got one, 1 none did, 2 wrong usage, 3 failed.\n"
    "\n"
    "Examples:\n"
    "  osprey caption\n"
    "  osprey caption --dry-run -k 3 --json ~/Pictures/2019\n"
    "  osprey caption --write sidecar\n";

struct request {
    const char      *bank;
    double           threshold;
    bool             has_bank, has_threshold, dry_run, remove;
    size_t           k;
    const char      *write;
    enum write_place place; /* of write */
};

struct job {
    struct session            *s;
    const struct request      *request;
    const struct caption_bank *bank;
    struct picture_writer     *writer; /* of a dry run that shows what would be written */
    size_t                     dim;
    struct library_image       images[BLOCK];
    float                     *vectors;  /* (BLOCK, dim) */
    struct caption            *captions; /* (BLOCK, k) */
    size_t                     counts[BLOCK];
    int64_t                    looked_at, captioned, changed;
};

static int print_one(const struct job *j, size_t i, struct err *err)
{
    const struct library_image *image = &j->images[i];
    const struct caption       *c     = j->captions + i * j->request->k;
    char                       *path  = path_join(image->folder, image->path);
    int                         rc    = path ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc && j->s->common->json) {
        struct jnode *o = jnode_object(), *list = jnode_array();
        int           failed = o ? jnode_set_path(o, "path", path) : -1;
        failed |= o ? jnode_set_int(o, "id", image->id) : -1;
        for (size_t k = 0; k < j->counts[i] && list; k++) {
            struct jnode *one = jnode_object();
            failed |= one ? jnode_set_str(one, "text", j->bank->sentences[c[k].sentence]) : -1;
            failed |= one ? jnode_set_real(one, "score", c[k].match) : -1;
            failed |= jnode_push(list, one);
        }
        if (o)
            failed |= jnode_set(o, "captions", list);
        else
            jnode_free(list);
        rc = out_json(o, failed, err);
    } else if (!rc) {
        out_path(path);
        putchar('\n');
        for (size_t k = 0; k < j->counts[i]; k++) {
            printf("  %.2f  ", c[k].match);
            out_path(j->bank->sentences[c[k].sentence]);
            putchar('\n');
        }
        if (j->counts[i] == 0)
            puts("  none fits");
    }
    free(path);
    return rc;
}

static int store(struct job *j, size_t n, struct err *err)
{
    struct library_said   said[BLOCK];
    struct library_saying sayings[BLOCK];
    int64_t               changed = 0;
    for (size_t i = 0; i < n; i++) {
        const struct caption *best = j->captions + i * j->request->k;
        said[i]                    = (struct library_said){
                               .text  = j->counts[i] ? (char *)j->bank->sentences[best->sentence] : NULL,
                               .score = j->counts[i] ? best->match : 0};
        sayings[i] = (struct library_saying){j->images[i].id, &said[i], j->counts[i] > 0};
    }
    int rc = library_captions_replace(j->s->lib, LIBRARY_OSPREY, sayings, n, &changed, err);
    j->changed += changed;
    return rc;
}

static int show_writing(const struct job *j, size_t i, struct err *err)
{
    const struct caption     *best = j->captions + i * j->request->k;
    const struct library_said said = {
        .text   = j->counts[i] ? (char *)j->bank->sentences[best->sentence] : NULL,
        .source = LIBRARY_OSPREY};
    return picture_writer_write(j->writer, j->images[i].id, &said, j->counts[i] > 0, err);
}

/* n images with their vectors. */
static int judge_block(struct job *j, size_t n, struct err *err)
{
    const struct request *r = j->request;
    int rc = caption_bank_find(j->bank, encoder_info(j->s->enc)->distance, j->vectors, n, r->k,
                               j->captions, j->counts, err);
    for (size_t i = 0; i < n && !rc; i++) {
        const struct caption *c = j->captions + i * r->k;
        while (j->counts[i] > 0 && c[j->counts[i] - 1].match < r->threshold)
            j->counts[i]--;
        j->captioned += j->counts[i] > 0;
    }
    j->looked_at += (int64_t)n;
    if (!rc && !r->dry_run)
        rc = store(j, n, err);
    for (size_t i = 0; i < n && !rc && j->writer; i++)
        rc = show_writing(j, i, err);
    for (size_t i = 0; i < n && !rc && !output_broken() && !j->writer; i++)
        if (!j->s->common->quiet || j->s->common->json)
            rc = print_one(j, i, err);
    return rc;
}

/* A page of images: those that have an embedding go to the front of j->images. */
static int judge_page(struct job *j, struct library_image *images, size_t n, struct err *err)
{
    size_t kept = 0;
    int    rc   = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        struct err why = ERR_INIT;
        int got = library_embedding_get(j->s->lib, images[i].id, j->vectors + kept * j->dim, &why);
        if (got == 0)
            j->images[kept++] = images[i];
        else if (got != ERR_NOTFOUND && got != ERR_DAMAGED) /* of the latter verify tells */
            rc = err_set(err, why.code, "%s", why.msg);
    }
    return rc || kept == 0 ? rc : judge_block(j, kept, err);
}

static int judge_place(struct job *j, const struct library_filter *place, struct err *err)
{
    struct library_cursor after = {0};
    int                   rc    = 0;
    for (size_t n = BLOCK; n == BLOCK && !rc && !output_broken();) {
        struct library_image *images = NULL;
        rc = library_list(j->s->lib, place, LIBRARY_BY_ID, &after, BLOCK, &images, &n, err);
        if (!rc && n > 0) {
            after = (struct library_cursor){images[n - 1].taken_at, images[n - 1].id};
            rc    = judge_page(j, images, n, err);
        }
        for (size_t i = 0; i < n && images; i++)
            library_image_release(&images[i]);
        free(images);
    }
    return rc;
}

static struct write_options writing(const struct session *s, const struct request *r)
{
    return (struct write_options){
        .common = s->common, .place = r->place, .captions = true, .dry = r->dry_run};
}

static int caption(struct session *s, const struct request *r, const struct places *places,
                   int64_t *captioned, struct err *err)
{
    struct caption_bank bank = {0};
    struct job         *j    = mem_zeroed(1, sizeof *j);
    int                 rc =
        j ? caption_bank_open(s, r->bank, &bank, err) : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc) {
        *j          = (struct job){.s = s, .request = r, .bank = &bank};
        j->dim      = (size_t)encoder_info(s->enc)->dim;
        j->vectors  = mem_array(BLOCK * j->dim, sizeof *j->vectors);
        j->captions = mem_array(BLOCK * r->k, sizeof *j->captions);
        if (!j->vectors || !j->captions)
            rc = err_set(err, ERR_NOMEM, "out of memory");
    }
    const struct write_options options = writing(s, r);
    if (!rc && r->place && r->dry_run)
        rc = picture_writer_open(s->lib, &options, &j->writer, err);
    if (!rc && !bank.matches[0].known)
        note(s->common, "too few pictures to tell what fits: nothing can be said of them");
    for (size_t i = 0; i < places->n && !rc; i++)
        rc = judge_place(j, &places->filters[i], err);
    if (!rc) {
        note(s->common, "%lld of %lld pictures got a caption from %zu sentences",
             (long long)j->captioned, (long long)j->looked_at, bank.n);
        *captioned = j->captioned;
    }
    if (j && j->writer)
        rc = picture_writer_end(j->writer, rc, err);
    else if (!rc && r->place)
        rc = write_pictures(s->lib, &options, places->filters, places->n, err);
    if (j) {
        picture_writer_close(j->writer);
        free(j->vectors);
        free(j->captions);
    }
    free(j);
    caption_bank_release(&bank);
    return rc;
}

/* ---- What is kept: written, or taken back ---- */

/* --write without what would make captions anew. */
static int write_kept(struct session *s, const struct request *r, const struct places *places,
                      int64_t kept, int64_t *done, struct err *err)
{
    const struct write_options options = writing(s, r);
    note(s->common,
         "captions as the library keeps them, %lld of Osprey's (--bank, -k or --threshold make "
         "them anew)",
         (long long)kept);
    *done = kept;
    return write_pictures(s->lib, &options, places->filters, places->n, err);
}

static int remove_captions(struct session *s, const struct request *r,
                           const struct library_filter *filters, size_t n, int64_t *done,
                           struct err *err)
{
    const struct write_options options = writing(s, r);
    struct taken_back          taken;
    int                        rc = take_back(s->lib, &options, filters, n, &taken, err);
    if ((!rc || rc == ERR_FAILED) && !r->dry_run)
        note(s->common, "%lld captions of Osprey's removed from the library",
             (long long)taken.removed);
    *done = taken.removed + (int64_t)taken.files;
    return rc;
}

static int run(struct session *s, const struct request *r, const char *const *dirs, size_t n_dirs,
               int64_t *done, struct err *err)
{
    struct places places = {0};
    int64_t       kept   = 0;
    bool          anew   = r->has_bank || r->has_threshold || s->common->k;
    int           rc     = session_library(s, err);
    if (!rc)
        rc = places_init(&places, s, dirs, n_dirs, err);
    if (!rc && r->place && !anew)
        rc = library_captioned_count(s->lib, LIBRARY_OSPREY, &kept, err);
    if (!rc && r->remove)
        rc = remove_captions(s, r, places.filters, n_dirs ? places.n : 0, done, err);
    else if (!rc && kept)
        rc = write_kept(s, r, &places, kept, done, err);
    else if (!rc)
        rc = caption(s, r, &places, done, err);
    places_release(&places);
    return rc;
}

int cmd_caption(int argc, char **argv)
{
    struct common            common;
    struct args              args    = {0};
    struct request           request = {.bank = CAPTION_BANK, .threshold = THRESHOLD};
    struct session           session = SESSION_INIT(&common);
    struct err               err     = ERR_INIT;
    const char             **dirs    = NULL;
    size_t                   n_dirs  = 0;
    int64_t                  done    = 0;
    const struct option_spec own[]   = {
          {.name   = "--bank",
           .kind   = OPTION_TEXT,
           .target = &request.bank,
           .given  = &request.has_bank},
          {.name   = "--threshold",
           .kind   = OPTION_REAL,
           .target = &request.threshold,
           .given  = &request.has_threshold},
          {.name = "--dry-run", .kind = OPTION_FLAG, .target = &request.dry_run},
          {.name = "--remove", .kind = OPTION_FLAG, .target = &request.remove},
          {.name = "--write", .kind = OPTION_TEXT, .target = &request.write},
    };
    int rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc && !(request.threshold >= 0 && request.threshold <= 1))
        rc = err_set(&err, ERR_USAGE, "--threshold takes a number from 0 to 1");
    if (!rc && common.k > MOST_K)
        rc = err_set(&err, ERR_USAGE, "-k takes at most %d here", MOST_K);
    if (!rc && request.remove && (request.has_bank || request.has_threshold || common.k))
        rc = err_set(&err, ERR_USAGE, "--remove goes with --write, --dry-run and folders alone");
    if (!rc)
        rc = write_place_of(request.write, &request.place, &err);
    if (!rc)
        rc = args_folders(&args, &dirs, &n_dirs, &err);
    if (!rc) {
        request.k = common.k ? common.k : 1;
        rc        = run(&session, &request, dirs, n_dirs, &done, &err);
    }
out:
    session_release(&session);
    args_release(&args);
    free(dirs);
    if (rc)
        return fail("caption", &err);
    return done || common.help ? EXIT_FOUND : EXIT_NOTHING;
}
