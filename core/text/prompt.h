/* Prompts: phrasings by which a label becomes a text ("a photo of a {}"). */
#ifndef OSPREY_TEXT_PROMPT_H
#define OSPREY_TEXT_PROMPT_H

#include "base/err.h"

#define PROMPT_DEFAULT "a photo of a {}"

/* The prompt with the label in place of each {}; freed by the caller. NULL with err set. */
char *prompt_fill(const char *prompt, const char *label, struct err *err);

#endif
