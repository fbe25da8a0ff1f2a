/* From what the command line names (folders, captions, classes) to what heads are
 * fitted on, and what they are judged by.
 */
#ifndef OSPREY_CLI_TRAIN_DATA_H
#define OSPREY_CLI_TRAIN_DATA_H

#include "base/err.h"
#include "cli/train_progress.h"
#include "learn/examples.h"
#include "learn/head_data.h"
#include "learn/trainer.h"
#include "model/encoder.h"

struct train_sources {
    const char      *images, *captions; /* a folder, a file; or NULL */
    const char      *labels;            /* classes: a folder or a TSV file; or NULL */
    const char      *breadth;           /* more classes, not judged by; or NULL */
    const char      *dev_images, *dev_captions;
    const char      *class_names; /* a file, a line for each class of the image tower; or NULL */
    enum supervision supervision;
    int              views, parts; /* of each picture; parts: 0 where supervised */
    struct augment   augment;      /* of the views */
    uint64_t         seed;
    int              threads;
};

struct train_data {
    struct head_data    train_rows, dev_rows; /* dev_rows is empty where dev is held out */
    int                *train_images, *dev_images;
    struct trainer_part train, dev;
    struct examples     learned, judged; /* what rows are made from (head_data.example); judged is
                                            empty where dev is held out */
    struct head_inputs  known, inputs;   /* what the model has to give; what of it is used */
    bool                held_out;        /* the dev set is a part of the pictures given */
    size_t              broken;          /* pictures left out */
    size_t              pictures, texts; /* to learn from */
};

int  train_data_load(const struct encoder *enc, const struct train_sources *sources,
                     struct train_progress *progress, const volatile sig_atomic_t *stop,
                     struct train_data *out, struct err *err);
void train_data_release(struct train_data *data); /* NULL-safe */

#endif
