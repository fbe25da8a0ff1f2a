/* The names of models on a hub, "ORG/NAME" or "ORG/NAME@REVISION", and the
 * folders that fetched ones lie in: "ORG--NAME", "ORG--NAME@REVISION" with each
 * slash of the revision as "--". A hub allows no "--" in names, so one leads to
 * the other; a revision is a branch, a tag, a commit, or "refs/pr/N".
 */
#ifndef OSPREY_MODEL_MODEL_ID_H
#define OSPREY_MODEL_MODEL_ID_H

#include "base/err.h"

#include <stdbool.h>

#define MODEL_ID_MAX 320 /* bytes of an id or a folder's name, with the NUL */

struct model_id {
    char name[200];     /* "ORG/NAME" */
    char revision[100]; /* "" when none was given */
};

/* ERR_USAGE says what an id looks like. */
int model_id_parse(const char *text, struct model_id *out, struct err *err);

/* "ORG--NAME@REVISION" */
void model_id_folder(const struct model_id *id, char out[MODEL_ID_MAX]);
/* The way back; false where the folder's name is not of that form. */
bool model_id_of_folder(const char *folder, char out[MODEL_ID_MAX]);

#endif
