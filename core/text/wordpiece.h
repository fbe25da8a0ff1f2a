/* WordPiece tokenizer, equal to Hugging Face's BertTokenizer (the fast one):
 * invalid UTF-8 to U+FFFD, control characters dropped, CJK set apart, lower
 * case, accents stripped (NFD without Mn), punctuation split, then greedy
 * longest match with "##" pieces; words of more than 100 characters are [UNK].
 */
#ifndef OSPREY_TEXT_WORDPIECE_H
#define OSPREY_TEXT_WORDPIECE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct wordpiece; /* read-only after loading, shared by threads */

/* vocab.txt: one token a line, the line number is the id. */
int  wordpiece_load(const char *vocab_path, struct wordpiece **out, struct err *err);
void wordpiece_free(struct wordpiece *wp); /* NULL-safe */

/* How many lines the vocabulary has: ids are below this. */
int wordpiece_size(const struct wordpiece *wp);

/* Encodes len bytes of text as [CLS] ... [SEP], at most max_ids ids in all,
 * truncated before the [SEP]. Returns the number of ids, or a negative code. */
int wordpiece_encode(const struct wordpiece *wp, const char *text, size_t len, int32_t *ids,
                     int max_ids, struct err *err);

#endif
