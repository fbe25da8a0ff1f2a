/* Parquet files, read only: one column of text at a time, row by row. For what pandas and others
 * write of flat tables: columns that are required or optional, pages of versions 1 and 2,
 * plain and dictionary encodings, uncompressed, Snappy and gzip. Other columns may hold
 * anything; they are not looked at. Not for nested columns, numbers, encryption, or the
 * newer encodings (delta, byte stream split) and codecs (zstd, LZ4, Brotli), which are refused
 * by name.
 *
 * From parquet.apache.org (parquet-format: parquet.thrift, Encodings.md, Compression.md). Departs
 * from it: a page takes at most PARQUET_MOST_PAGE bytes, definition levels in the deprecated
 * BIT_PACKED encoding are refused.
 *
 * Everything in a file is checked. Memory: two pages at most (one and its dictionary), and what
 * the footer lists.
 */
#ifndef OSPREY_CLI_PARQUET_H
#define OSPREY_CLI_PARQUET_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define PARQUET_MOST_PAGE ((size_t)64 << 20) /* bytes, uncompressed */

struct parquet;
/* Reads the footer. Errors name the file. */
int    parquet_open(const char *path, struct parquet **out, struct err *err);
void   parquet_close(struct parquet *p); /* NULL-safe */
size_t parquet_rows(const struct parquet *p);
bool   parquet_has(const struct parquet *p, const char *column);

/* A column of text (BYTE_ARRAY), read from its first row. The file has to stay open. Errors name
 * the file; ERR_UNSUPPORTED: a kind of column that is not read. */
struct parquet_column;
int  parquet_column_open(const struct parquet *p, const char *name, struct parquet_column **out,
                         struct err *err);
void parquet_column_close(struct parquet_column *c); /* NULL-safe */
/* The next row's value, not terminated, valid until the next call; *value is NULL for null. 1,
 * 0 at the end, or an error that says where in the file, but not which. */
int  parquet_column_next(struct parquet_column *c, const char **value, size_t *n, struct err *err);

#endif
