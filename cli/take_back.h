/* --remove: what Osprey said of pictures goes from them, from beside them, and from the
 * library. A file that cannot be written keeps nothing else from going; what a library has
 * forgotten is still found in files, which say themselves what is Osprey's.
 */
#ifndef OSPREY_CLI_TAKE_BACK_H
#define OSPREY_CLI_TAKE_BACK_H

#include "cli/write_pictures.h"

struct taken_back {
    int64_t removed; /* tags or captions from the library; with filters, of how many pictures */
    size_t  files;   /* that changed, or would */
};

/* options: tags or captions; place: WRITE_NOWHERE for both; dry: only shows what would change
 * in files. Of the pictures that the filters allow; n_filters 0: of all, and the labels of
 * tags go as well. ERR_FAILED says how many files were left, and what is to be done. */
int take_back(struct library *lib, const struct write_options *options,
              const struct library_filter *filters, size_t n_filters, struct taken_back *out,
              struct err *err);

#endif
