/* Labels: what a picture may be tagged with, one rule for all who name one: vocabularies,
 * folders of examples, people.
 *
 * Plain UTF-8 of one line. Levels have a bar between them ("animal|dog"), and each has a
 * name. White space around a level's name is none of it. Letters are composed (normal form
 * C of Unicode), so that what looks alike is one label.
 */
#ifndef OSPREY_TEXT_LABEL_H
#define OSPREY_TEXT_LABEL_H

#include "base/err.h"

#include <stddef.h>

#define LABEL_SEPARATOR '|'

/* *out: the label as it is kept, freed by the caller. ERR_FORMAT for what is none, with what
 * is wrong with it: "the label has a level without a name". longest: bytes. */
int label_tidy(const char *text, size_t longest, char **out, struct err *err);

#endif
