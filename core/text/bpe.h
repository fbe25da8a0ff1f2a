/* CLIP's byte-pair encoding (Sennrich et al. 2016, over bytes as in GPT-2),
 * equal to transformers' CLIPTokenizer: bytes that are not UTF-8 to U+FFFD,
 * normal form C, lower case, white space dropped, the text cut into special
 * tokens, contractions, runs of letters, single digits and runs of the rest;
 * each piece's bytes are then merged, the last one carrying "</w>".
 *
 * HTML entities stay as they are, as in transformers; open_clip's own tokenizer
 * would decode them (and repair mis-encoded text) first.
 */
#ifndef OSPREY_TEXT_BPE_H
#define OSPREY_TEXT_BPE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define BPE_MAX_TEXT (4u << 20) /* bytes of one text */

struct bpe; /* read-only after loading, shared by threads */

/* From a folder's tokenizer.json, or else its vocab.json and merges.txt. */
int  bpe_load(const char *dir, struct bpe **out, struct err *err);
void bpe_free(struct bpe *bpe); /* NULL-safe */

/* The encoder as bpe_words() words, to be kept in a cache, and back again. */
size_t bpe_words(const struct bpe *bpe);
void   bpe_store(const struct bpe *bpe, int32_t *words);
/* ERR_DAMAGED where the words are not those of an encoder. */
int    bpe_restore(const int32_t *words, size_t n, struct bpe **out, struct err *err);

/* Above all ids that bpe_encode yields. */
int     bpe_vocabulary(const struct bpe *bpe);
int32_t bpe_end(const struct bpe *bpe); /* "<|endoftext|>" */

/* Encodes len bytes of text as <|startoftext|> ... <|endoftext|>, at most
 * max_ids ids in all, truncated before the last. Returns the number of ids, or
 * a negative code. */
int bpe_encode(const struct bpe *bpe, const char *text, size_t len, int32_t *ids, int max_ids,
               struct err *err);

#endif
