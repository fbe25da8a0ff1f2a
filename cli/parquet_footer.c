/* A Parquet file's footer: which columns there are, and where each row group has them
 * (parquet_parts.h). The numbers of fields are those of FileMetaData, SchemaElement, RowGroup,
 * ColumnChunk and ColumnMetaData in parquet.thrift. */
#include "cli/parquet.h"
#include "cli/parquet_parts.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC      4 /* bytes, at both ends; before the last one the footer's length */
#define MOST_PARTS ((size_t)1 << 20)

/* ---- The schema ---- */

struct element {
    const char *name;
    size_t      name_len, children;
    int64_t     type, repetition;
};

static void read_element(struct thrift *t, struct element *e)
{
    struct thrift_field f        = {0};
    int64_t             children = 0;
    *e                           = (struct element){.name = "", .type = -1, .repetition = -1};
    while (thrift_next(t, &f)) {
        if (f.id == 1)
            e->type = thrift_int(t, &f);
        else if (f.id == 3)
            e->repetition = thrift_int(t, &f);
        else if (f.id == 4)
            thrift_bytes(t, &f, &e->name, &e->name_len);
        else if (f.id == 5)
            children = thrift_int(t, &f);
        else
            thrift_skip(t, &f);
    }
    if (children < 0 || children > (int64_t)MOST_PARTS)
        thrift_fail(t, "the schema is broken");
    e->children = t->why ? 0 : (size_t)children;
}

/* What lies below a group, depth first: its columns are counted. left: elements to come. */
static void pass_group(struct thrift *t, size_t pending, size_t *left, size_t *leaves)
{
    struct element e;
    while (pending > 0 && !t->why) {
        if (*left == 0) {
            thrift_fail(t, "the schema is broken");
            return;
        }
        read_element(t, &e);
        --*left;
        pending += e.children - 1;
        *leaves += !e.children;
    }
}

static int read_schema(struct parquet *p, struct thrift *t, const struct thrift_field *f,
                       struct err *err)
{
    struct element root = {0}, e;
    size_t         left = thrift_list(t, f, THRIFT_STRUCT);
    if (p->columns || left == 0)
        thrift_fail(t, "the schema is broken");
    else
        read_element(t, &root);
    if (!t->why && (left > MOST_PARTS || root.children > --left))
        thrift_fail(t, "the schema is broken");
    if (t->why)
        return 0;
    p->columns = mem_zeroed(root.children + 1, sizeof *p->columns);
    if (!p->columns)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < root.children && !t->why; i++) {
        if (left == 0) {
            thrift_fail(t, "the schema is broken");
            break;
        }
        read_element(t, &e);
        left--;
        p->columns[p->n_columns++] = (struct parquet_leaf){
            .name     = e.name,
            .name_len = e.name_len,
            .leaf     = p->n_leaves,
            .type     = e.type >= 0 && e.type < 64 ? (int)e.type : -1,
            .nested   = e.children > 0 ||
                      (e.repetition != PARQUET_REQUIRED && e.repetition != PARQUET_OPTIONAL),
            .optional = e.repetition == PARQUET_OPTIONAL,
        };
        p->n_leaves += !e.children;
        pass_group(t, e.children, &left, &p->n_leaves);
    }
    if (left > 0)
        thrift_fail(t, "the schema is broken");
    return 0;
}

const struct parquet_leaf *parquet_leaf(const struct parquet *p, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < p->n_columns; i++) {
        if (p->columns[i].name_len == n && memcmp(p->columns[i].name, name, n) == 0)
            return &p->columns[i];
    }
    return NULL;
}

/* ---- The row groups ---- */

struct place {
    int64_t type, codec, values, size, data, dictionary;
    bool    elsewhere, secret; /* in another file; encrypted */
};

static void read_place(struct thrift *t, struct place *at)
{
    struct thrift_field f = {0};
    while (thrift_next(t, &f)) {
        int64_t *number = f.id == 1    ? &at->type
                          : f.id == 4  ? &at->codec
                          : f.id == 5  ? &at->values
                          : f.id == 7  ? &at->size
                          : f.id == 9  ? &at->data
                          : f.id == 11 ? &at->dictionary
                                       : NULL;
        if (number)
            *number = thrift_int(t, &f);
        else
            thrift_skip(t, &f);
    }
}

static void read_chunk(struct thrift *t, struct place *at)
{
    struct thrift_field f = {0};
    *at                   = (struct place){.type = -1, .codec = -1, .values = -1, .size = -1};
    while (thrift_next(t, &f)) {
        at->elsewhere |= f.id == 1;
        at->secret |= f.id == 8 || f.id == 9;
        if (f.id == 3) {
            thrift_struct(t, &f);
            read_place(t, at);
        } else {
            thrift_skip(t, &f);
        }
    }
}

/* A row group; *at: where it has the leaf (type -1: nowhere). */
static void read_group(struct thrift *t, size_t leaf, size_t n_leaves, struct place *at,
                       size_t *rows)
{
    struct thrift_field f = {0};
    int64_t             n = -1;
    *at                   = (struct place){.type = -1};
    while (thrift_next(t, &f)) {
        if (f.id == 1) {
            size_t chunks = thrift_list(t, &f, THRIFT_STRUCT);
            if (!t->why && chunks != n_leaves)
                thrift_fail(t, "a row group has not all columns");
            for (size_t i = 0; i < chunks && !t->why; i++) {
                struct place one;
                read_chunk(t, &one);
                if (i == leaf)
                    *at = one;
            }
        } else if (f.id == 3) {
            n = thrift_int(t, &f);
        } else {
            thrift_skip(t, &f);
        }
    }
    if (!t->why && (n < 0 || n > PTRDIFF_MAX))
        thrift_fail(t, "a row group does not say how many rows it has");
    *rows = t->why ? 0 : (size_t)n;
}

static int check_place(const struct parquet *p, const struct place *at, size_t rows,
                       struct parquet_chunk *chunk, struct err *err)
{
    size_t  room  = (size_t)(p->footer - p->map.data);
    int64_t begin = at->dictionary > 0 && at->dictionary < at->data ? at->dictionary : at->data;
    if (rows == 0)
        return 0;
    if (at->secret)
        return err_set(err, ERR_UNSUPPORTED, "it is encrypted");
    if (at->elsewhere)
        return err_set(err, ERR_UNSUPPORTED, "it lies in another file");
    if (at->type != PARQUET_BYTE_ARRAY)
        return err_set(err, ERR_FORMAT, "its type is another one than the schema's");
    if (at->values < 0 || (size_t)at->values != rows)
        return err_set(err, ERR_FORMAT, "it has not as many values as there are rows: %zu", rows);
    int rc = parquet_codec_check(at->codec < 0 || at->codec > 99 ? -1 : (int)at->codec, err);
    if (rc)
        return rc;
    if (begin < MAGIC || (size_t)begin > room || at->size < 0 ||
        (size_t)at->size > room - (size_t)begin)
        return err_set(err, ERR_FORMAT, "its %lld bytes from byte %lld on are not in the file",
                       (long long)at->size, (long long)begin);
    *chunk = (struct parquet_chunk){.begin  = p->map.data + begin,
                                    .end    = p->map.data + begin + at->size,
                                    .values = rows,
                                    .codec  = (enum parquet_codec)at->codec};
    return 0;
}

int parquet_chunks(const struct parquet *p, const struct parquet_leaf *leaf,
                   struct parquet_chunk **out, struct err *err)
{
    struct thrift         t      = p->groups;
    struct parquet_chunk *chunks = mem_zeroed(p->n_groups + 1, sizeof *chunks);
    const uint8_t        *passed = p->map.data;
    int                   rc     = chunks ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < p->n_groups && !rc; i++) {
        struct place at;
        size_t       rows;
        read_group(&t, leaf->leaf, p->n_leaves, &at, &rows);
        rc = t.why ? err_set(err, ERR_FORMAT, "its footer cannot be read: %s", t.why)
                   : check_place(p, &at, rows, &chunks[i], err);
        if (!rc && rows > 0 && chunks[i].begin < passed)
            rc = err_set(err, ERR_FORMAT, "it lies before the end of the one before it");
        if (!rc && rows > 0)
            passed = chunks[i].end;
        if (rc)
            err_prefix(err, "row group %zu", i);
    }
    if (rc) {
        free(chunks);
        return rc;
    }
    *out = chunks;
    return 0;
}

/* Passes them, so that they are known to be whole. */
static void read_groups(struct parquet *p, struct thrift *t, const struct thrift_field *f,
                        size_t *sum)
{
    p->n_groups = thrift_list(t, f, THRIFT_STRUCT);
    if (p->n_groups > MOST_PARTS)
        thrift_fail(t, "it has too many row groups");
    p->groups = *t;
    for (size_t i = 0; i < p->n_groups && !t->why; i++) {
        struct place at;
        size_t       rows = 0;
        read_group(t, 0, p->n_leaves, &at, &rows);
        if (!t->why && !size_add(*sum, rows, sum))
            thrift_fail(t, "its row groups have too many rows");
    }
}

static int read_footer(struct parquet *p, struct err *err)
{
    struct thrift       t      = {.at = p->footer, .end = p->footer_end};
    struct thrift_field f      = {0};
    int64_t             rows   = -1;
    size_t              sum    = 0;
    bool                groups = false, secret = false;
    int                 rc = 0;
    while (!rc && thrift_next(&t, &f)) {
        if (f.id == 2) {
            rc = read_schema(p, &t, &f, err);
        } else if (f.id == 3) {
            rows = thrift_int(&t, &f);
        } else if (f.id == 4) {
            if (groups || !p->columns)
                thrift_fail(&t, "its parts are in disorder");
            groups = true;
            read_groups(p, &t, &f, &sum);
        } else {
            secret |= f.id == 8;
            thrift_skip(&t, &f);
        }
    }
    if (!rc && !t.why && (!p->columns || !groups || rows < 0))
        thrift_fail(&t, "it has no schema, no row groups, or no number of rows");
    if (!rc && !t.why && (uint64_t)rows != sum)
        thrift_fail(&t, "its row groups have not as many rows as it says");
    if (!rc && t.why)
        rc = err_set(err, ERR_FORMAT, "its footer cannot be read: %s", t.why);
    if (!rc && secret)
        rc = err_set(err, ERR_UNSUPPORTED, "it is encrypted");
    p->rows = sum;
    return rc;
}

/* ---- The file ---- */

static int find_footer(struct parquet *p, struct err *err)
{
    const uint8_t *d = p->map.data;
    size_t         n = p->map.len;
    if (n >= 3 * MAGIC && memcmp(d + n - MAGIC, "PARE", MAGIC) == 0)
        return err_set(err, ERR_UNSUPPORTED, "it is encrypted");
    if (n < 3 * MAGIC || memcmp(d, "PAR1", MAGIC) != 0)
        return err_set(err, ERR_FORMAT, "it is not a Parquet file");
    if (memcmp(d + n - MAGIC, "PAR1", MAGIC) != 0)
        return err_set(err, ERR_FORMAT, "it is cut off: it does not end as a Parquet file does");
    size_t len = parquet_le32(d + n - 2 * MAGIC);
    if (len > n - 3 * MAGIC)
        return err_set(err, ERR_FORMAT, "its footer of %zu bytes is longer than the file", len);
    p->footer_end = d + n - 2 * MAGIC;
    p->footer     = p->footer_end - len;
    return 0;
}

int parquet_open(const char *path, struct parquet **out, struct err *err)
{
    struct parquet *p = mem_zeroed(1, sizeof *p);
    if (!p || !(p->path = mem_strdup(path))) {
        parquet_close(p);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    int rc = file_map(&p->map, path, err);
    if (!rc) {
        rc = find_footer(p, err);
        if (!rc)
            rc = read_footer(p, err);
        if (rc)
            err_prefix(err, "cannot read %s", path);
    }
    if (rc) {
        parquet_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

void parquet_close(struct parquet *p)
{
    if (!p)
        return;
    file_unmap(&p->map);
    free(p->columns);
    free(p->path);
    free(p);
}

size_t parquet_rows(const struct parquet *p)
{
    return p->rows;
}

bool parquet_has(const struct parquet *p, const char *column)
{
    return parquet_leaf(p, column) != NULL;
}
