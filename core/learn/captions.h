/* A data set of captioned pictures: which captions belong to which picture.
 *
 * Three kinds of file, told apart by content:
 *   - TSV: picture's file name, tab, caption; several lines for a picture are
 *     several captions;
 *   - JSON in Karpathy's form (dataset_flickr8k.json): images[] with filename
 *     (after filepath, where there is one), split, sentences[].raw;
 *   - JSON in COCO's form (captions_val2017.json): images[] with id and
 *     file_name, annotations[] with image_id and caption.
 * Pictures are numbered in order of first appearance (in COCO's form that of
 * their captions; those without any are left out), captions in the file's order.
 */
#ifndef OSPREY_LEARN_CAPTIONS_H
#define OSPREY_LEARN_CAPTIONS_H

#include "base/err.h"

#include <stddef.h>

struct captions {
    size_t n_images, n_captions;
    char **files;    /* (n_images) names as in the file */
    char **texts;    /* (n_captions) */
    int   *image_of; /* (n_captions) caption -> picture */
};

/* split: one of a Karpathy file's, "all", or NULL, which is ERR_USAGE where there
 * are several (the message lists them); the other kinds have none. Messages name
 * the file and the line or entry. A file without captions is an error, and so is
 * a blank caption. JSON is held in memory while it is read: about eight times its
 * size; more than 512 MiB of it are refused. */
int  captions_read(const char *path, const char *split, struct captions *out, struct err *err);
void captions_release(struct captions *captions); /* NULL-safe */

#endif
