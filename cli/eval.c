/* osprey eval: how well a model finds pictures, and an index what the model
 * means. But for --index it needs no library: pictures are encoded as they are. */
#include "cli/eval.h"

#include "cli/commands.h"
#include "cli/output.h"

#include <stdio.h>

static const char help[] =
    "Measures how well a model finds pictures by their captions and captions by their\n"
    "pictures, labels for pictures, or pictures by pictures; or how much of the exact\n"
    "answer a library's vector index finds. Intervals are 95% bootstraps.\n"
    "\n"
    "Usage: osprey eval [OPTION...] --images DIR --captions FILE\n"
    "       osprey eval [OPTION...] --labels DIR\n"
    "       osprey eval [OPTION...] --image-to-image --images DIR | --labels DIR\n"
    "       osprey eval [OPTION...] --index\n"
    "\n"
    "  --images DIR        the pictures\n"
    "  --captions FILE     their captions: lines of a file name, a tab and a caption; or\n"
    "                      JSON in the form of Karpathy's splits or of COCO. With\n"
    "                      --index: texts to ask\n"
    "  --split NAME        of Karpathy's splits: train, val, test, ... or all\n"
    "  --labels DIR        pictures in a folder for each label (underscores are spaces)\n"
    "  --prompts FILE      a line for each template, with {} for the label\n"
    "  --image-to-image    a picture finds those of its label; without --labels, a small\n"
    "                      part of a picture finds it; beside what the image tower sees\n"
    "  --rerank[=N]        with --captions: look at each query's first N (50) again, and\n"
    "                      tell what that changes\n"
    "  --reranker DIR      with the re-ranker in this folder instead of the model's own\n"
    "  --index             on a library: its answers beside exact ones\n"
    "  -k N                with --index: how deep (default 10)\n"
    "  --sample N          with --index: queries of each kind (default 200)\n"
    "  --svg FILE          draw recall over k; with --index, a histogram\n"
    "  --seed N            of what is drawn at random (default 1)\n" HELP_LIBRARY HELP_MODEL
        HELP_PRECISION HELP_OUTPUT "\n"
    "Examples:\n"
    "  osprey eval --images flickr8k/images --captions flickr8k/dev.tsv\n"
    "  osprey eval --images coco --captions dataset_coco.json --split val --svg recall.svg\n"
    "  osprey eval --labels pictures/by-kind\n";

typedef int evaluation(struct session *s, const struct eval_request *request, struct err *err);

static int refuse(struct err *err, const char *option, const char *reason)
{
    return err_set(err, ERR_USAGE, "%s %s", option, reason);
}

/* Which of the kinds is asked for, or why that cannot be told. */
static int choose(const struct eval_request *r, evaluation **out, struct err *err)
{
    if (r->split && !r->captions)
        return refuse(err, "--split", "goes with --captions");
    if (r->prompts && (!r->labels || r->image_to_image))
        return refuse(err, "--prompts", "goes with --labels");
    if (r->rerank && (!r->captions || r->index || r->image_to_image))
        return refuse(err, "--rerank", "goes with --images and --captions");
    if (r->reranker && !r->rerank)
        return refuse(err, "--reranker", "goes with --rerank");
    if (r->sample && !r->index)
        return refuse(err, "--sample", "goes with --index");
    if (r->index) {
        if (r->images || r->labels || r->image_to_image)
            return refuse(err, "--index",
                          "asks a library: it goes with --captions, not with other pictures");
        *out = eval_index;
        return 0;
    }
    if (r->labels && (r->images || r->captions))
        return refuse(err, "--labels", "has the pictures: it goes without --images and --captions");
    if (r->captions && !r->images)
        return refuse(err, "--captions", "needs --images DIR, where the pictures are");
    if (r->image_to_image) {
        *out = eval_image_to_image;
        return r->images || r->labels
                   ? 0
                   : refuse(err, "--image-to-image", "needs --images DIR or --labels DIR");
    }
    if (!r->labels && !(r->images && r->captions))
        return err_set(err, ERR_USAGE,
                       "eval needs --images DIR and --captions FILE, --labels DIR or --index");
    *out = r->labels ? eval_labels : eval_captions;
    return 0;
}

int cmd_eval(int argc, char **argv)
{
    struct common            common;
    struct args              args    = {0};
    struct eval_request      request = {.seed = 1};
    struct session           session = SESSION_INIT(&common);
    struct err               err     = ERR_INIT;
    evaluation              *run     = NULL;
    const char              *rerank  = NULL;
    const struct option_spec own[]   = {
          {.name = "--images", .kind = OPTION_TEXT, .target = &request.images},
          {.name = "--captions", .kind = OPTION_TEXT, .target = &request.captions},
          {.name = "--split", .kind = OPTION_TEXT, .target = &request.split},
          {.name = "--labels", .kind = OPTION_TEXT, .target = &request.labels},
          {.name = "--prompts", .kind = OPTION_TEXT, .target = &request.prompts},
          {.name = "--image-to-image", .kind = OPTION_FLAG, .target = &request.image_to_image},
          {.name = "--rerank", .kind = OPTION_MAYBE, .target = &rerank},
          {.name = "--reranker", .kind = OPTION_TEXT, .target = &request.reranker},
          {.name = "--index", .kind = OPTION_FLAG, .target = &request.index},
          {.name = "--sample", .kind = OPTION_COUNT, .target = &request.sample},
          {.name = "--svg", .kind = OPTION_TEXT, .target = &request.svg},
          {.name = "--seed", .kind = OPTION_COUNT, .target = &request.seed},
    };
    int rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc)
        rc = args_exactly(&args, 0, "no arguments", NULL, &err);
    if (!rc && rerank)
        rc = parse_rerank(rerank, &request.rerank, &err);
    if (!rc)
        rc = choose(&request, &run, &err);
    if (!rc)
        rc = run(&session, &request, &err);
out:
    session_release(&session);
    args_release(&args);
    return rc ? fail("eval", &err) : EXIT_FOUND;
}
