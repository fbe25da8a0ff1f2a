/* One run of the pipeline over a plan with one model, and what follows it: what all who
 * bring a library up to date have in common. */
#ifndef OSPREY_INDEXER_RUN_H
#define OSPREY_INDEXER_RUN_H

#include "base/err.h"
#include "indexer/choice.h"
#include "indexer/ingest.h"
#include "storage/library_tagger.h"

/* What commands that run it say of the options they share. */
#define RUN_HELP                                                                                   \
    "  --threads N        threads to work with (default: all cores)\n"                             \
    "  --frames N         frames of a video, at most, where its scene changes (1 to 64; 8)\n"      \
    "  --hidden           also hidden files and folders\n"                                         \
    "  --regions          keep what re-ranking needs of each picture, too\n"                       \
    "  --reranker DIR     ... for the re-ranker in this folder, not the model's own\n"

struct run {
    /* Set by the caller. */
    struct library              *lib; /* locked */
    struct choice               *choice;
    struct plan                 *plan;
    bool                         hidden;
    int                          threads;
    int                          frames; /* of a video, at most; 0: as it comes */
    struct progress             *progress;
    const volatile sig_atomic_t *interrupted;
    /* What came of it. */
    struct ingest                ingest;
    bool                         switched; /* the choice's model answers from now on */
};

/* How folders are walked: hidden as it says, and never the library's own. */
struct walk_options run_walk_options(const struct library *lib, bool hidden);
int                 run_plan(struct run *run, struct err *err);
/* After the last of them: pictures that came get tags by the labels that are kept with the
 * library, where there are any. Labels that cannot be read are told, and stop nothing. */
int run_tag(struct library *lib, struct progress *progress, struct library_tag_tally *tagged,
            struct err *err);

#endif
