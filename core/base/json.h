/* JSON in and out, behind jansson.
 *
 * Parsing refuses duplicate keys, invalid UTF-8 and more nesting than a parser
 * should recurse into. Objects keep the order in which keys were set. Writing
 * yields one line; floats carry nine significant digits (enough for a float to
 * come back exactly); bytes that are not UTF-8 become U+FFFD.
 */
#ifndef OSPREY_BASE_JSON_H
#define OSPREY_BASE_JSON_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jnode; /* a value; objects and arrays own what was put in them */

/* what names the text in messages ("models/x/config.json"). */
int  jnode_parse(const char *text, size_t len, const char *what, struct jnode **out,
                 struct err *err);
int  jnode_parse_file(const char *path, size_t max_bytes, struct jnode **out, struct err *err);
void jnode_free(struct jnode *node); /* NULL-safe; only for what was parsed or newly made */

/* Reading. All accept NULL nodes and return "absent". Returned nodes and
 * strings belong to the root. */
const struct jnode *jnode_get(const struct jnode *object, const char *key);
const struct jnode *jnode_at(const struct jnode *array, size_t i);
size_t              jnode_len(const struct jnode *node); /* elements or keys, else 0 */
bool                jnode_is_object(const struct jnode *node);
bool                jnode_is_array(const struct jnode *node);
bool                jnode_is_null(const struct jnode *node);
bool                jnode_to_str(const struct jnode *node, const char **out);
bool                jnode_to_int(const struct jnode *node,
                                 int64_t            *out); /* integers, and reals without a fraction */
bool                jnode_to_double(const struct jnode *node, double *out); /* any number */
bool                jnode_to_bool(const struct jnode *node, bool *out);
/* Walks an object's members in order: it starts NULL, ends false. */
bool                jnode_next(const struct jnode *object, void **it, const char **key,
                               const struct jnode **value);

/* Writing. The setters return 0, or -1 when out of memory (or when child is
 * NULL), so that a caller can OR them together and check once. Children are
 * handed over, also on failure. */
struct jnode *jnode_object(void);
struct jnode *jnode_array(void);
int           jnode_set(struct jnode *object, const char *key, struct jnode *child);
int   jnode_set_str(struct jnode *object, const char *key, const char *value); /* NULL: null */
int   jnode_set_strn(struct jnode *object, const char *key, const char *value, size_t len);
/* A path: bytes that are not UTF-8 become U+FFFD, and KEY_bytes then holds all of
 * them in base64. */
int   jnode_set_path(struct jnode *object, const char *key, const char *path);
int   jnode_set_int(struct jnode *object, const char *key, int64_t value);
int   jnode_set_real(struct jnode *object, const char *key, double value); /* not finite: null */
int   jnode_set_bool(struct jnode *object, const char *key, bool value);
int   jnode_push(struct jnode *array, struct jnode *child);
int   jnode_push_str(struct jnode *array, const char *value);
int   jnode_push_int(struct jnode *array, int64_t value);
int   jnode_push_real(struct jnode *array, double value);
/* One line without the newline; freed by the caller; NULL when out of memory. */
char *jnode_write(const struct jnode *node);

#endif
