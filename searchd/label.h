/* Labels and pictures as requests about tags name them. */
#ifndef OSPREY_SEARCHD_LABEL_H
#define OSPREY_SEARCHD_LABEL_H

#include "searchd/app.h"

#define LABEL_MAX 200 /* bytes of one that a person gives here */

/* Makes a label what is kept (text/label.h), kept with the call. ERR_USAGE for one that is
 * missing, none, too long or has blanks around it. */
int label_check(struct call *call, const char **label, struct err *err);
/* The ids of an array of `least` to `most`, each once, kept with the call. NULL counts as
 * an empty one. */
int label_ids(struct call *call, const struct jnode *node, const char *name, size_t least,
              size_t most, int64_t **out, size_t *n, struct err *err);

#endif
