/* What a model's card says: README.md in its folder, whose first lines between two
 * "---" are YAML (huggingface.co/docs/hub/model-cards). Of that only the languages are
 * of interest, and only the forms that cards have: `language: en`, `language: [en, de]`,
 * and a list with one dash a line.
 */
#ifndef OSPREY_MODEL_MODEL_CARD_H
#define OSPREY_MODEL_MODEL_CARD_H

#include <stddef.h>

#define MODEL_CARD_LANGUAGES 128 /* bytes, with the NUL */

/* "en" or "en,de"; "" where the card says nothing, or there is none. What has no place
 * is left out. */
void model_card_languages(const char *dir, char out[MODEL_CARD_LANGUAGES]);

#endif
