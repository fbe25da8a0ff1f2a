/* A bank of sentences, one of which is to say what a picture shows: a text file, a sentence a
 * line; empty lines and those that begin with # are left out.
 *
 * Encoded and indexed once for a model; the index is kept in the cache, under a name that
 * changes with the file's contents and with the model.
 */
#ifndef OSPREY_CLI_CAPTION_BANK_H
#define OSPREY_CLI_CAPTION_BANK_H

#include "cli/session.h"
#include "storage/library_match.h"
#include "storage/vindex.h"

#define CAPTION_BANK      "everyday" /* the one that comes with Osprey */
#define CAPTION_SENTENCES 1000000    /* in a bank at most */

struct caption_bank {
    char                 *text;      /* the file, cut into sentences */
    const char          **sentences; /* (n), each once */
    size_t                n;
    struct vindex        *index;   /* ids: places in sentences */
    struct library_match *matches; /* (n): what a picture's score means for each */
};

/* name: a file, or a bank that comes with Osprey. The session's library and its encoder are
 * opened where they are not. */
int  caption_bank_open(struct session *s, const char *name, struct caption_bank *out,
                       struct err *err);
void caption_bank_release(struct caption_bank *bank);

/* The sentences of a text of len bytes, which it takes over and cuts. what names it in
 * messages. For tests, too. */
int caption_bank_parse(char *text, size_t len, const char *what, struct caption_bank *out,
                       struct err *err);

struct caption {
    size_t sentence;
    double match; /* 0 to 1 */
};
/* The k that fit best of each of n pictures (n, dim): out (n, k), best first, counts (n). */
int caption_bank_find(const struct caption_bank *bank, enum distance distance,
                      const float *pictures, size_t n, size_t k, struct caption *out,
                      size_t *counts, struct err *err);

#endif
