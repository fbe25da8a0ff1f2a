/* osprey eval: how well a model retrieves pictures by captions. Needs no
 * library: the pictures are encoded as they are. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "image/decoder.h"
#include "learn/captions.h"
#include "learn/retrieval.h"

#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "Measures how well a model finds pictures by their captions, and captions by\n"
    "their pictures.\n"
    "\n"
    "Usage: osprey eval [OPTION...] --images DIR --captions FILE.tsv\n"
    "\n"
    "A line of the captions file is a picture's file name in DIR, a tab, and a\n"
    "caption; several lines for one picture are several captions. Intervals are\n"
    "95% bootstraps over pictures.\n"
    "\n"
    "  --images DIR        the pictures\n"
    "  --captions FILE     the captions\n"
    "  --seed N            of the bootstrap (default 1)\n" HELP_MODEL HELP_PRECISION HELP_OUTPUT
    "\n"
    "Example:\n"
    "  osprey eval --images flickr8k/images --captions flickr8k/dev.tsv\n";

#define MAX_PICTURE_BYTES ((size_t)1 << 30)
#define TEXTS_AT_ONCE     256

struct eval_request {
    const char *images, *captions;
    size_t      seed;
};

struct evaluation {
    struct retrieval_metrics t2i, i2t;
};

/* pixels: (image_size, image_size, 3). */
static int load_picture(const struct encoder_info *info, struct decoder *decoder, const char *path,
                        uint8_t *pixels, struct err *err)
{
    struct image view;
    uint8_t     *bytes = NULL;
    size_t       len   = 0;
    int          rc    = file_read(path, MAX_PICTURE_BYTES, &bytes, &len, err);
    if (!rc) {
        rc = decoder_decode(decoder, bytes, len, preprocess_min_side(&info->preprocess), &view,
                            NULL, err);
        if (!rc)
            rc = preprocess_image(&info->preprocess, &view, pixels, err);
        if (rc)
            err_prefix(err, "cannot read %s", path);
    }
    free(bytes);
    return rc;
}

/* out: (n_images, dim). */
static int encode_pictures(struct session *s, const char *dir, const struct captions *set,
                           float *out, struct err *err)
{
    const struct encoder_info *info  = encoder_info(s->enc);
    size_t                     bytes = (size_t)info->image_size * (size_t)info->image_size * 3;
    size_t                     batch =
        (size_t)(info->image_batch > parallel_cores() ? info->image_batch : parallel_cores());
    struct decoder *decoder = NULL;
    uint8_t        *pixels  = mem_array(batch, bytes);
    int rc = pixels ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu pictures", batch);
    if (!rc)
        rc = decoder_open(NULL, &decoder, err);
    for (size_t i = 0; !rc && i < set->n_images; i += batch) {
        size_t n = set->n_images - i < batch ? set->n_images - i : batch;
        for (size_t j = 0; !rc && j < n; j++) {
            char *path = path_join(dir, set->files[i + j]);
            rc         = path ? load_picture(info, decoder, path, pixels + j * bytes, err)
                              : err_set(err, ERR_NOMEM, "out of memory");
            free(path);
        }
        if (!rc)
            rc = encoder_images(s->enc, s->scratch, pixels, (int)n, out + i * (size_t)info->dim,
                                err);
    }
    decoder_close(decoder);
    free(pixels);
    return rc;
}

/* out: (n_captions, dim). */
static int encode_captions(struct session *s, const struct captions *set, float *out,
                           struct err *err)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < set->n_captions; i += TEXTS_AT_ONCE) {
        size_t n = set->n_captions - i < TEXTS_AT_ONCE ? set->n_captions - i : TEXTS_AT_ONCE;
        rc       = encoder_texts(s->enc, s->scratch, (const char *const *)set->texts + i, (int)n,
                                 out + i * (size_t)encoder_info(s->enc)->dim, err);
    }
    return rc;
}

static int evaluate(struct session *s, const struct eval_request *request, struct evaluation *out,
                    struct err *err)
{
    struct captions set    = {0};
    float          *images = NULL, *texts = NULL;
    int             rc = captions_read_tsv(request->captions, &set, err);
    if (!rc)
        rc = session_encoder(s, err);
    if (rc)
        goto out;
    size_t dim = (size_t)encoder_info(s->enc)->dim;
    images     = mem_array(set.n_images * dim, sizeof *images);
    texts      = mem_array(set.n_captions * dim, sizeof *texts);
    if (!images || !texts) {
        rc = err_set(err, ERR_NOMEM, "out of memory for %zu embeddings",
                     set.n_images + set.n_captions);
        goto out;
    }
    note(s->common, "encoding %zu pictures and %zu captions", set.n_images, set.n_captions);
    rc = encode_pictures(s, request->images, &set, images, err);
    if (!rc)
        rc = encode_captions(s, &set, texts, err);
    if (!rc)
        rc = retrieval_evaluate(images, set.n_images, texts, set.n_captions, set.image_of, (int)dim,
                                request->seed, parallel_cores(), &out->t2i, &out->i2t, err);
out:
    free(images);
    free(texts);
    captions_release(&set);
    return rc;
}

static void print_row(const char *label, const struct retrieval_metrics *m)
{
    printf(
        "%-14s %5.1f (%4.1f-%4.1f)  %5.1f (%4.1f-%4.1f)  %5.1f (%4.1f-%4.1f)  %7.1f  %6.3f  %6zu\n",
        label, m->r1, m->r1_ci.low, m->r1_ci.high, m->r5, m->r5_ci.low, m->r5_ci.high, m->r10,
        m->r10_ci.low, m->r10_ci.high, m->median_rank, m->map, m->n);
}

static int set_interval(struct jnode *node, const char *key, const struct retrieval_interval *ci)
{
    struct jnode *pair = jnode_array();
    return jnode_push_real(pair, ci->low) | jnode_push_real(pair, ci->high) |
           jnode_set(node, key, pair);
}

static int set_metrics(struct jnode *node, const char *key, const struct retrieval_metrics *m)
{
    struct jnode *o = jnode_object();
    return jnode_set_real(o, "r1", m->r1) | jnode_set_real(o, "r5", m->r5) |
           jnode_set_real(o, "r10", m->r10) | jnode_set_real(o, "median_rank", m->median_rank) |
           jnode_set_real(o, "map", m->map) | jnode_set_int(o, "n", (int64_t)m->n) |
           set_interval(o, "r1_interval", &m->r1_ci) | set_interval(o, "r5_interval", &m->r5_ci) |
           set_interval(o, "r10_interval", &m->r10_ci) | jnode_set(node, key, o);
}

static int print(const struct evaluation *e, const struct common *common, struct err *err)
{
    if (common->json) {
        struct jnode *o = jnode_object();
        return out_json(o, set_metrics(o, "t2i", &e->t2i) | set_metrics(o, "i2t", &e->i2t), err);
    }
    printf("%-14s %17s  %17s  %17s  %7s  %6s  %6s\n", "", "R@1", "R@5", "R@10", "median", "mAP",
           "n");
    print_row("text to image", &e->t2i);
    print_row("image to text", &e->i2t);
    return 0;
}

int cmd_eval(int argc, char **argv)
{
    struct common            common;
    struct args              args    = {0};
    struct eval_request      request = {.seed = 1};
    struct evaluation        result;
    struct session           session = SESSION_INIT(&common);
    struct err               err     = ERR_INIT;
    const struct option_spec own[]   = {
          {.name = "--images", .kind = OPTION_TEXT, .target = &request.images},
          {.name = "--captions", .kind = OPTION_TEXT, .target = &request.captions},
          {.name = "--seed", .kind = OPTION_COUNT, .target = &request.seed},
    };
    int rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc)
        rc = args_exactly(&args, 0, "no arguments", NULL, &err);
    if (!rc && (!request.images || !request.captions))
        rc = err_set(&err, ERR_USAGE, "eval needs --images DIR and --captions FILE");
    if (!rc)
        rc = evaluate(&session, &request, &result, &err);
    if (!rc)
        rc = print(&result, &common, &err);
out:
    session_release(&session);
    args_release(&args);
    return rc ? fail("eval", &err) : EXIT_FOUND;
}
