/* A list of texts, as metadata has them: keywords, changes. Owned copies. */
#ifndef OSPREY_META_STRINGS_H
#define OSPREY_META_STRINGS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define STRINGS_MOST 4096 /* of one list: more are ERR_LIMIT */

struct strings {
    char **list; /* (n) */
    size_t n, room;
};

void strings_release(struct strings *s);
int  strings_add(struct strings *s, const char *text, struct err *err);
/* The same, unless it is there already. */
int  strings_add_new(struct strings *s, const char *text, struct err *err);
/* In whatever normal form of Unicode. */
bool strings_have(const struct strings *s, const char *text);
/* All of b that a lacks. */
int  strings_join(struct strings *a, const struct strings *b, struct err *err);
bool strings_equal(const struct strings *a, const struct strings *b); /* in order */
/* Of lists without doubles: the same, in whatever order. */
bool strings_match(const struct strings *a, const struct strings *b);

/* Text of doubtful origin as UTF-8: taken for Latin-1 where it is not UTF-8; control
 * characters and runs of white space become one space, none at the ends; at most max
 * bytes, cut between characters. Freed by the caller; NULL when out of memory. */
char *text_clean(const char *text, size_t n, size_t max);

#endif
