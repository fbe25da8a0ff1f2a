/* Files that hold embeddings outside a library: what osprey export writes, and import reads. */
#ifndef OSPREY_CLI_EXCHANGE_H
#define OSPREY_CLI_EXCHANGE_H

#include "base/err.h"
#include "base/file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXCHANGE_FORMAT "osprey-embeddings"

struct exchange_files {
    char *npy, *lines, *model; /* PREFIX.npy, .jsonl, .json */
};

/* target: a folder ("DIR/": made where it is missing), or a prefix, or its .npy file. */
int  exchange_files_init(struct exchange_files *files, const char *target, struct err *err);
void exchange_files_release(struct exchange_files *files);

/* path and suffix, freed by the caller; NULL when out of memory. */
char *path_with(const char *path, const char *suffix);

/* Tables of metadata, a row for each embedding: JSON lines, CSV (RFC 4180) with a header, or
 * Parquet (cli/parquet.h). */
struct parquet;
struct parquet_column;
struct exchange_table {
    struct file_map        map;
    const char            *at, *end; /* what is still to be read */
    const char            *what;     /* the file's name, for messages */
    size_t                 row;      /* of the next one, from 0 */
    bool                   csv;
    size_t                 columns, path_column, caption_column; /* of a CSV; SIZE_MAX: none */
    struct parquet        *parquet;
    struct parquet_column *paths, *captions; /* of a Parquet file; captions NULL: none */
};
/* A file whose name ends in .csv or .parquet is one; the column with paths is "image_path", or
 * where there is none "path", that with captions "caption", where it is one of text. */
int  exchange_table_open(struct exchange_table *t, const char *file, struct err *err);
void exchange_table_close(struct exchange_table *t);
/* The next line of JSON lines (of no other table), not terminated: 1, or 0 at the end. */
int  exchange_table_line(struct exchange_table *t, const char **line, size_t *len);
/* The path of a picture in the next row, and its caption, cleaned (NULL where it has none), both
 * freed by the caller: 1, 0 at the end, or an error that names the row. */
int  exchange_table_row(struct exchange_table *t, char **path, char **caption, struct err *err);

/* A path from an object as jnode_set_path made it: its bytes, where they are told apart. */
struct jnode;
int exchange_path(const struct jnode *object, const char *key, char **path, struct err *err);

#endif
