/* Tensors of a safetensors file, mapped: see safetensors.h.
 *
 * Format: github.com/huggingface/safetensors, README, "Format". Departures: gaps
 * between tensors are accepted (the reference refuses them; they harm nobody),
 * more than TENSOR_MAX_DIMS dimensions are not. Writing is in
 * safetensors_write.c.
 */
#include "model/safetensors.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/safetensors_format.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct safetensors {
    char                 *path;
    struct file_map       map;
    struct jnode         *root;     /* owns the names */
    const struct jnode   *metadata; /* or NULL */
    struct tensor        *tensors;  /* (count), as the header orders them */
    const struct tensor **by_name;  /* (count), sorted */
    size_t                count;
    size_t                data_start, data_len; /* bytes */
};

static const struct {
    const char *name;
    enum dtype  dtype;
    size_t      size; /* bytes an element */
} DTYPES[] = {
    {"F32", DTYPE_F32, 4},    {"F16", DTYPE_F16, 2},       {"BF16", DTYPE_BF16, 2},
    {"I64", DTYPE_I64, 8},    {"I32", DTYPE_I32, 4},       {"U8", DTYPE_U8, 1},
    {"F64", DTYPE_OTHER, 8},  {"U64", DTYPE_OTHER, 8},     {"U32", DTYPE_OTHER, 4},
    {"I16", DTYPE_OTHER, 2},  {"U16", DTYPE_OTHER, 2},     {"I8", DTYPE_OTHER, 1},
    {"BOOL", DTYPE_OTHER, 1}, {"F8_E4M3", DTYPE_OTHER, 1}, {"F8_E5M2", DTYPE_OTHER, 1},
};
#define N_DTYPES (sizeof DTYPES / sizeof DTYPES[0])

static int bad(const struct safetensors *st, const char *name, const char *why, struct err *err)
{
    return err_set(err, ERR_FORMAT, "cannot read %s: tensor %.200s: %s", st->path, name, why);
}

static uint64_t read_le64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

/* Shape and element count. */
static int parse_shape(const struct safetensors *st, struct tensor *t, const struct jnode *shape,
                       struct err *err)
{
    if (!jnode_is_array(shape))
        return bad(st, t->name, "it has no shape", err);
    if (jnode_len(shape) > TENSOR_MAX_DIMS)
        return bad(st, t->name, "it has more than 8 dimensions", err);
    t->n_dims   = (int)jnode_len(shape);
    t->elements = 1;
    for (int d = 0; d < t->n_dims; d++) {
        int64_t dim;
        if (!jnode_to_int(jnode_at(shape, (size_t)d), &dim) || dim < 0)
            return bad(st, t->name, "its shape is not made of whole numbers", err);
        t->dims[d] = dim;
        if (__builtin_mul_overflow(t->elements, dim, &t->elements))
            return bad(st, t->name, "its shape overflows", err);
    }
    return 0;
}

static int parse_tensor(const struct safetensors *st, const char *name, const struct jnode *node,
                        struct tensor *t, struct err *err)
{
    const char *dtype = NULL;
    *t                = (struct tensor){.name = name, .dtype = DTYPE_OTHER};
    if (!jnode_is_object(node) || !jnode_to_str(jnode_get(node, "dtype"), &dtype))
        return bad(st, name, "it has no dtype", err);
    size_t size = 0; /* bytes an element, 0 where the dtype is not known */
    for (size_t i = 0; i < N_DTYPES; i++) {
        if (strcmp(DTYPES[i].name, dtype) == 0) {
            t->dtype = DTYPES[i].dtype;
            size     = DTYPES[i].size;
        }
    }
    int rc = parse_shape(st, t, jnode_get(node, "shape"), err);
    if (rc)
        return rc;

    const struct jnode *offsets = jnode_get(node, "data_offsets");
    int64_t             begin, end;
    if (!jnode_is_array(offsets) || jnode_len(offsets) != 2 ||
        !jnode_to_int(jnode_at(offsets, 0), &begin) || !jnode_to_int(jnode_at(offsets, 1), &end) ||
        begin < 0 || end < begin)
        return bad(st, name, "its data_offsets are not two ordered offsets", err);
    if ((uint64_t)end > st->data_len)
        return err_set(err, ERR_FORMAT,
                       "cannot read %s: tensor %.200s ends at byte %" PRId64
                       " of the data, of which there are %zu: the file is truncated",
                       st->path, name, end, st->data_len);
    t->bytes = (size_t)(end - begin);
    t->data  = st->map.data + st->data_start + (size_t)begin;
    size_t want;
    /* of a dtype that we do not know: so that no sum over elements overflows */
    if (!size && (uint64_t)t->elements / 8 > t->bytes)
        return bad(st, name, "its data_offsets do not fit its shape", err);
    if (size && (!size_mul((size_t)t->elements, size, &want) || want != t->bytes))
        return bad(st, name, "its data_offsets do not fit its shape and dtype", err);
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    const struct tensor *const *x = a;
    const struct tensor *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int compare_places(const void *a, const void *b)
{
    const struct tensor *const *x = a;
    const struct tensor *const *y = b;
    if ((*x)->data != (*y)->data)
        return (const char *)(*x)->data < (const char *)(*y)->data ? -1 : 1;
    return ((*x)->bytes > (*y)->bytes) - ((*x)->bytes < (*y)->bytes);
}

/* Refuses tensors that share bytes; leaves by_name sorted by name. */
static int build_index(struct safetensors *st, struct err *err)
{
    st->by_name = mem_array(st->count, sizeof *st->by_name);
    if (!st->by_name)
        return err_set(err, ERR_NOMEM, "cannot read %s: out of memory", st->path);
    for (size_t i = 0; i < st->count; i++)
        st->by_name[i] = &st->tensors[i];
    qsort(st->by_name, st->count, sizeof *st->by_name, compare_places);
    for (size_t i = 1; i < st->count; i++) {
        const struct tensor *before = st->by_name[i - 1];
        if ((const char *)before->data + before->bytes > (const char *)st->by_name[i]->data)
            return bad(st, st->by_name[i]->name, "it overlaps another", err);
    }
    qsort(st->by_name, st->count, sizeof *st->by_name, compare_names);
    return 0;
}

static int parse_metadata(struct safetensors *st, const struct jnode *node, struct err *err)
{
    void               *it = NULL;
    const char         *key, *text;
    const struct jnode *value;
    if (!jnode_is_object(node))
        return bad(st, ST_METADATA, "it is not an object", err);
    while (jnode_next(node, &it, &key, &value)) {
        if (!jnode_to_str(value, &text))
            return bad(st, ST_METADATA, "a value is not a string", err);
    }
    st->metadata = node;
    return 0;
}

static int parse_header(struct safetensors *st, struct err *err)
{
    if (st->map.len < 8)
        return err_set(err, ERR_FORMAT,
                       "cannot read %s: %zu bytes are too few for a safetensors file", st->path,
                       st->map.len);
    uint64_t len = read_le64(st->map.data);
    if (len > ST_MAX_HEADER)
        return err_set(err, ERR_FORMAT,
                       "cannot read %s: a header of %" PRIu64
                       " bytes is past the limit of %d; it is not a safetensors file",
                       st->path, len, ST_MAX_HEADER);
    if (len > st->map.len - 8)
        return err_set(err, ERR_FORMAT,
                       "cannot read %s: the header ends at byte %" PRIu64
                       " of %zu: the file is truncated",
                       st->path, len + 8, st->map.len);
    st->data_start = (size_t)len + 8;
    st->data_len   = st->map.len - st->data_start;
    int rc = jnode_parse((const char *)st->map.data + 8, (size_t)len, st->path, &st->root, err);
    if (rc)
        return rc;
    if (!jnode_is_object(st->root))
        return err_set(err, ERR_FORMAT, "cannot read %s: its header is not a JSON object",
                       st->path);

    st->tensors = mem_zeroed(jnode_len(st->root), sizeof *st->tensors);
    if (!st->tensors)
        return err_set(err, ERR_NOMEM, "cannot read %s: out of memory", st->path);
    void               *it = NULL;
    const char         *name;
    const struct jnode *value;
    while (!rc && jnode_next(st->root, &it, &name, &value)) {
        if (strcmp(name, ST_METADATA) == 0) {
            rc = parse_metadata(st, value, err);
            continue;
        }
        rc = parse_tensor(st, name, value, &st->tensors[st->count], err);
        /* what the writer put between tensors is checked, but not shown */
        if (!rc && strncmp(name, ST_PADDING, strlen(ST_PADDING)) != 0)
            st->count++;
    }
    return rc ? rc : build_index(st, err);
}

int safetensors_open(const char *path, struct safetensors **out, struct err *err)
{
    struct safetensors *st = mem_zeroed(1, sizeof *st);
    if (st)
        st->path = mem_strdup(path);
    int rc = 0;
    if (!st || !st->path)
        rc = err_set(err, ERR_NOMEM, "cannot read %s: out of memory", path);
    if (!rc)
        rc = file_map(&st->map, path, err);
    if (!rc)
        rc = parse_header(st, err);
    if (rc) {
        safetensors_close(st);
        return rc;
    }
    *out = st;
    return 0;
}

void safetensors_close(struct safetensors *st)
{
    if (!st)
        return;
    free(st->by_name);
    free(st->tensors);
    jnode_free(st->root);
    file_unmap(&st->map);
    free(st->path);
    free(st);
}

const char *safetensors_path(const struct safetensors *st)
{
    return st->path;
}

const char *safetensors_metadata(const struct safetensors *st, const char *key)
{
    const char *value = NULL;
    jnode_to_str(jnode_get(st->metadata, key), &value);
    return value;
}

size_t safetensors_count(const struct safetensors *st)
{
    return st->count;
}

const struct tensor *safetensors_at(const struct safetensors *st, size_t i)
{
    return i < st->count ? &st->tensors[i] : NULL;
}

const struct tensor *safetensors_find(const struct safetensors *st, const char *name)
{
    size_t low = 0, high = st->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int    order  = strcmp(st->by_name[middle]->name, name);
        if (order == 0)
            return st->by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* "(3, 4)" */
static void print_shape(int n_dims, const int64_t *dims, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "(");
    for (int d = 0; d < n_dims && at < size; d++)
        at += (size_t)snprintf(out + at, size - at, d ? ", %" PRId64 : "%" PRId64, dims[d]);
    if (at < size)
        (void)snprintf(out + at, size - at, ")");
}

int safetensors_require(const struct safetensors *st, const char *name, int n_dims,
                        const int64_t *dims, const struct tensor **out, struct err *err)
{
    char want[200], have[200];
    print_shape(n_dims, dims, want, sizeof want);
    const struct tensor *t = safetensors_find(st, name);
    if (!t)
        return err_set(err, ERR_FORMAT, "%s has no tensor %s%s%s", st->path, name,
                       n_dims ? "; expected one of shape " : "", n_dims ? want : "");
    if (n_dims &&
        (t->n_dims != n_dims || memcmp(t->dims, dims, sizeof *dims * (size_t)n_dims) != 0)) {
        print_shape(t->n_dims, t->dims, have, sizeof have);
        return err_set(err, ERR_FORMAT, "%s: tensor %s has the shape %s instead of %s", st->path,
                       name, have, want);
    }
    *out = t;
    return 0;
}

/* IEEE 754 half to single: the exponent is rebiased by a multiplication, which
 * also takes care of subnormals. */
static float half_to_f32(uint16_t h)
{
    uint32_t bits = (uint32_t)(h & 0x7FFF) << 13;
    float    value;
    memcpy(&value, &bits, sizeof value);
    value *= 0x1p112f;
    memcpy(&bits, &value, sizeof bits);
    if ((h & 0x7C00) == 0x7C00) /* infinities and NaNs */
        bits = 0x7F800000u | (uint32_t)(h & 0x3FF) << 13;
    bits |= (uint32_t)(h & 0x8000) << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

int tensor_to_f32(const struct tensor *t, float *out, struct err *err)
{
    const uint8_t *data = t->data;
    size_t         n    = (size_t)t->elements;
    uint16_t       two;
    switch (t->dtype) {
    case DTYPE_F32:
        if (n)
            memcpy(out, data, n * sizeof *out);
        return 0;
    case DTYPE_F16:
        for (size_t i = 0; i < n; i++) {
            memcpy(&two, data + 2 * i, sizeof two);
            out[i] = half_to_f32(two);
        }
        return 0;
    case DTYPE_BF16:
        for (size_t i = 0; i < n; i++) {
            memcpy(&two, data + 2 * i, sizeof two);
            uint32_t bits = (uint32_t)two << 16;
            memcpy(&out[i], &bits, sizeof bits);
        }
        return 0;
    case DTYPE_I64:
    case DTYPE_I32:
    case DTYPE_U8:
    case DTYPE_OTHER:
        break;
    }
    return err_set(err, ERR_UNSUPPORTED,
                   "tensor %s holds no floating-point numbers that Osprey reads (F32, F16, BF16)",
                   t->name);
}
