/* What heads are fitted on: pictures, and the texts that go with each.
 *
 * From captioned pictures (captions.h), from pictures with the name of a class
 * ("a photo of a dog"), from pictures alone; several sources may be put together.
 * A picture belongs to a group: its class, or itself. All texts of a group's
 * pictures are right answers for each of them, as in supervised contrastive
 * learning (Khosla et al. 2020). A text that several pictures share is kept once.
 */
#ifndef OSPREY_LEARN_EXAMPLES_H
#define OSPREY_LEARN_EXAMPLES_H

#include "base/err.h"
#include "learn/captions.h"

#include <stddef.h>

struct examples {
    size_t n_images, n_texts, n_groups;
    char **paths;      /* (n_images) as they can be opened */
    int   *group;      /* (n_images) below n_groups */
    int   *first_text; /* (n_images + 1) picture i has the texts text_of[first_text[i] ..
                          first_text[i + 1] - 1]; perhaps none */
    int   *text_of;    /* (first_text[n_images]) below n_texts */
    char **texts;      /* (n_texts) */
};

#define EXAMPLES_INIT                                                                              \
    {                                                                                              \
        0                                                                                          \
    }

/* Pictures whose names in the captions are below the folder dir. */
int examples_add_captions(struct examples *e, const char *dir, const struct captions *captions,
                          struct err *err);

/* Pictures of classes. source: a TSV file (picture, tab, class; pictures are below
 * dir, or below the file's own folder when dir is NULL), or a folder: its
 * subfolders are classes, and pictures directly in it are named as ImageNet's are,
 * "n01440764_tench.jpg". Underscores in names stand for spaces. */
int examples_add_classes(struct examples *e, const char *source, const char *dir, struct err *err);

/* All pictures below a folder that are not there already, without texts. */
int examples_add_pictures(struct examples *e, const char *dir, struct err *err);

void examples_release(struct examples *e); /* NULL-safe */

/* A class's name in one of its phrasings, 0 to below EXAMPLES_PHRASINGS: "a photo of a
 * dog", "a photo of an owl"; freed by the caller, NULL when out of memory. */
#define EXAMPLES_PHRASINGS 4
char *examples_class_text(const char *name, int phrasing);

#endif
