/* One run of the pipeline and what follows it: see run.h. */
#include "indexer/run.h"

#include "storage/library_match.h"

#include <stdio.h>
#include <sys/stat.h>

struct walk_options run_walk_options(const struct library *lib, bool hidden)
{
    struct walk_options options = {.hidden = hidden};
    struct stat         st;
    if (!stat(library_dir(lib), &st)) {
        options.has_skip = true;
        options.skip_dev = st.st_dev;
        options.skip_ino = st.st_ino;
    }
    return options;
}

/* The model that was filled takes over once nothing is missing. */
static int settle_model(struct run *run, struct err *err)
{
    const struct choice *choice = run->choice;
    char                 text[512];
    int                  rc = 0;
    if (run->ingest.unembedded == 0) {
        rc            = library_model_activate(run->lib, choice->model.id, err);
        run->switched = !rc;
        return rc ? rc : library_index_maintain(run->lib, false, err);
    }
    (void)snprintf(text, sizeof text,
                   "%lld pictures could not be seen and are not yet filled for the model %s: "
                   "the present one answers until they are",
                   (long long)run->ingest.unembedded, choice->model.name);
    progress_note(run->progress, text);
    return rc;
}

int run_plan(struct run *run, struct err *err)
{
    const struct choice *choice = run->choice;
    run->switched               = false;
    run->ingest                 = (struct ingest){.lib         = run->lib,
                                                  .plan        = run->plan,
                                                  .encoder     = choice->encoder,
                                                  .reranker    = choice->reranker,
                                                  .model_id    = choice->model.id,
                                                  .walk        = run_walk_options(run->lib, run->hidden),
                                                  .threads     = run->threads,
                                                  .frames      = run->frames,
                                                  .progress    = run->progress,
                                                  .interrupted = run->interrupted};
    int rc                      = ingest_run(&run->ingest, err);
    if (!rc && choice->reranker && !run->ingest.stopped && run->ingest.unembedded == 0 &&
        !choice->filling)
        rc = library_regions_settle(run->lib, err);
    if (!rc && choice->filling && !run->ingest.stopped)
        rc = settle_model(run, err);
    return rc ? rc : library_background_maintain(run->lib, choice->encoder, err);
}

int run_tag(struct library *lib, struct progress *progress, struct library_tag_tally *tagged,
            struct err *err)
{
    char       text[sizeof(struct err) + 64];
    struct err why = ERR_INIT;
    int        rc  = library_tagger_catch_up(lib, tagged, &why);
    if (rc && rc != ERR_DAMAGED)
        return err_set(err, why.code, "%s", why.msg);
    if (rc) {
        (void)snprintf(text, sizeof text, "new pictures get no tags: %s", why.msg);
        progress_note(progress, text);
    }
    return 0;
}
