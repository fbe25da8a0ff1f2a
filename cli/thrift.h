/* Thrift's compact protocol, read only: numbers of 1 to 10 bytes, fields told by their ids,
 * what is not known skipped. From Apache Thrift's "Thrift Compact protocol encoding"
 * (doc/specs/thrift-compact-protocol.md).
 *
 * A cursor stands in memory that the caller keeps. The first fault stays in it (`why`), and
 * from then on every number is 0, every list empty and every struct at its end: loops end, and
 * the caller asks once, when it is done. Nothing is allocated; the time is linear in the bytes.
 */
#ifndef OSPREY_CLI_THRIFT_H
#define OSPREY_CLI_THRIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum thrift_type {
    THRIFT_STOP,
    THRIFT_TRUE, /* a field's; in lists both are "bool", and a byte each */
    THRIFT_FALSE,
    THRIFT_I8,
    THRIFT_I16,
    THRIFT_I32,
    THRIFT_I64,
    THRIFT_DOUBLE,
    THRIFT_BINARY,
    THRIFT_LIST,
    THRIFT_SET,
    THRIFT_MAP,
    THRIFT_STRUCT,
    THRIFT_UUID
};

struct thrift {
    const uint8_t *at, *end;
    const char    *why; /* NULL while nothing failed */
};

/* Of a struct that is being read; begins as zeros. */
struct thrift_field {
    int              id;
    enum thrift_type type;
};

/* The next field of the struct; false at its end. Its value has to be read or skipped then. */
bool thrift_next(struct thrift *t, struct thrift_field *f);
void thrift_skip(struct thrift *t, const struct thrift_field *f);

/* A field's value; a fault where it has another type. Integers: of any width. */
int64_t thrift_int(struct thrift *t, const struct thrift_field *f);
bool    thrift_bool(struct thrift *t, const struct thrift_field *f);
/* Points into the memory, not terminated. */
void    thrift_bytes(struct thrift *t, const struct thrift_field *f, const char **s, size_t *n);
/* The begin of a list of this type: how many there are, at most as many as bytes are left. */
size_t  thrift_list(struct thrift *t, const struct thrift_field *f, enum thrift_type of);
/* The begin of a struct: only its type is looked at. */
void    thrift_struct(struct thrift *t, const struct thrift_field *f);
/* Sets the fault, if there is none yet. */
void    thrift_fail(struct thrift *t, const char *why);

/* A number without a sign, of 7 bits a byte (LEB128), as Parquet has them elsewhere, too. */
uint64_t thrift_varint(struct thrift *t);

#endif
