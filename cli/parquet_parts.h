/* What the files that read Parquet (parquet.h) share: a file's footer, a column's place in it,
 * decompression, and runs of small numbers. The numbers of enums are the format's. */
#ifndef OSPREY_CLI_PARQUET_PARTS_H
#define OSPREY_CLI_PARQUET_PARTS_H

#include "base/err.h"
#include "base/file.h"
#include "cli/thrift.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PARQUET_BYTE_ARRAY = 6 };
enum { PARQUET_REQUIRED = 0, PARQUET_OPTIONAL = 1 };
enum parquet_codec { PARQUET_NONE = 0, PARQUET_SNAPPY = 1, PARQUET_GZIP = 2 };

struct parquet {
    char           *path;
    struct file_map map;
    const uint8_t  *footer, *footer_end; /* what lies before it is data */
    struct thrift   groups;              /* the row groups, where their list begins */
    size_t          n_groups, n_leaves, rows;
    struct parquet_leaf {
        const char *name; /* in the footer, not terminated */
        size_t      name_len;
        size_t      leaf; /* its place among the columns of a row group */
        int         type;
        bool        nested, optional; /* nested: of groups, or repeated */
    } * columns;                      /* those at the top */
    size_t n_columns;
};

/* What a row group has of one column. */
struct parquet_chunk {
    const uint8_t     *begin, *end; /* its pages, in the file */
    size_t             values;      /* nulls are counted */
    enum parquet_codec codec;
};

/* The column of this name; NULL where there is none. */
const struct parquet_leaf *parquet_leaf(const struct parquet *p, const char *name);
/* (p->n_groups) chunks of a leaf, one after another in the file (a row group without rows has
 * none), freed by the caller; the error does not name the file. */
int                        parquet_chunks(const struct parquet *p, const struct parquet_leaf *leaf,
                                          struct parquet_chunk **out, struct err *err);

/* "SNAPPY"; "unknown" */
const char *parquet_codec_name(int codec);
/* ERR_UNSUPPORTED: not in this build, or at all. */
int         parquet_codec_check(int codec, struct err *err);
/* Fills out to the last byte, or fails. */
int         parquet_decompress(enum parquet_codec codec, const uint8_t *in, size_t n, uint8_t *out,
                               size_t out_n, struct err *err);
/* Of a page, as its header has it (that of gzip). */
uint32_t    parquet_crc(const uint8_t *bytes, size_t n);

/* Numbers below 2^width in runs: "RLE / bit-packing hybrid" of Encodings.md. */
struct parquet_runs {
    struct thrift  in;
    unsigned       width; /* bits, 0 to 32 */
    uint64_t       left;  /* of this run */
    bool           packed;
    uint32_t       value; /* of a run of equals */
    const uint8_t *bits;  /* of a packed run */
    uint64_t       bit;
};
void parquet_runs_init(struct parquet_runs *r, const uint8_t *at, const uint8_t *end,
                       unsigned width);
/* false: they are over, or broken. */
bool parquet_runs_next(struct parquet_runs *r, uint32_t *value);

static inline uint32_t parquet_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

#endif
