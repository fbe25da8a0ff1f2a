/* Writing safetensors files: see safetensors.h.
 *
 * Every tensor starts at a multiple of 64 bytes from the file's start, so that
 * kernels can read it where it is mapped. The reference reader refuses gaps, so
 * what lies between is declared: as tensors of bytes whose names begin with
 * ST_PADDING, which our reader does not show.
 */
#include "model/safetensors.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/safetensors_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 64u

static const char *dtype_name(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_F32:
        return "F32";
    case DTYPE_F16:
        return "F16";
    case DTYPE_BF16:
        return "BF16";
    case DTYPE_I64:
        return "I64";
    case DTYPE_I32:
        return "I32";
    case DTYPE_U8:
        return "U8";
    case DTYPE_OTHER:
        break;
    }
    return NULL;
}

/* One entry of the header; the object takes it over. */
static int add_entry(struct jnode *root, const char *name, const char *dtype, int n_dims,
                     const int64_t *dims, size_t begin, size_t bytes)
{
    struct jnode *entry   = jnode_object();
    struct jnode *shape   = jnode_array();
    struct jnode *offsets = jnode_array();
    int           failed  = !entry || !shape || !offsets;
    for (int d = 0; d < n_dims && !failed; d++)
        failed |= jnode_push_int(shape, dims[d]);
    if (!failed) {
        failed |= jnode_push_int(offsets, (int64_t)begin);
        failed |= jnode_push_int(offsets, (int64_t)(begin + bytes));
    }
    if (!entry) {
        jnode_free(shape);
        jnode_free(offsets);
        return -1;
    }
    failed |= jnode_set_str(entry, "dtype", dtype);
    failed |= jnode_set(entry, "shape", shape);
    failed |= jnode_set(entry, "data_offsets", offsets);
    return jnode_set(root, name, entry) || failed ? -1 : 0;
}

static size_t padding_after(size_t bytes)
{
    return (ALIGN - bytes % ALIGN) % ALIGN;
}

/* The header's object. Tensors lie in the order given, padding between. */
static struct jnode *make_header(const struct tensor *tensors, size_t n,
                                 const char *const *metadata, size_t n_metadata)
{
    struct jnode *root   = jnode_object();
    size_t        at     = 0;
    int           failed = !root;
    if (!failed && n_metadata) {
        struct jnode *pairs = jnode_object();
        for (size_t i = 0; pairs && i < n_metadata; i++)
            failed |= jnode_set_str(pairs, metadata[2 * i], metadata[2 * i + 1]);
        failed |= jnode_set(root, ST_METADATA, pairs);
    }
    for (size_t i = 0; i < n && !failed; i++) {
        const struct tensor *t = &tensors[i];
        failed |= add_entry(root, t->name, dtype_name(t->dtype), t->n_dims, t->dims, at, t->bytes);
        at += t->bytes;
        int64_t pad = (int64_t)padding_after(t->bytes);
        char    name[64];
        (void)snprintf(name, sizeof name, ST_PADDING "%zu", i);
        if (pad && i + 1 < n)
            failed |= add_entry(root, name, "U8", 1, &pad, at, (size_t)pad);
        at += (size_t)pad;
    }
    if (failed) {
        jnode_free(root);
        return NULL;
    }
    return root;
}

/* The 8 bytes of the length and the JSON, filled with spaces to a multiple of 64. */
static int print_header(const struct jnode *root, const char *path, struct buf *out,
                        struct err *err)
{
    static const char spaces[ALIGN + 1] =
        "                                                                ";
    char *text = jnode_write(root);
    if (!text)
        return err_set(err, ERR_NOMEM, "cannot write %s: out of memory", path);
    size_t  len = strlen(text);
    size_t  pad = padding_after(8 + len);
    uint8_t le[8];
    for (int i = 0; i < 8; i++)
        le[i] = (uint8_t)((uint64_t)(len + pad) >> (8 * i));
    int rc = buf_append(out, le, sizeof le, err);
    if (!rc)
        rc = buf_append(out, text, len, err);
    if (!rc)
        rc = buf_append(out, spaces, pad, err);
    if (rc)
        rc = err_prefix(err, "cannot write %s", path);
    free(text);
    return rc;
}

int safetensors_write(const char *path, const struct tensor *tensors, size_t n,
                      const char *const *metadata, size_t n_metadata, struct err *err)
{
    static const uint8_t zeros[ALIGN];
    struct file_part    *parts = NULL;
    struct jnode        *root  = NULL;
    struct buf           header;
    int                  rc = 0;
    buf_init(&header, ST_MAX_HEADER);
    for (size_t i = 0; i < n; i++) {
        if (!dtype_name(tensors[i].dtype))
            return err_set(err, ERR_UNSUPPORTED, "cannot write %s: tensor %s has no known dtype",
                           path, tensors[i].name);
    }
    root  = make_header(tensors, n, metadata, n_metadata);
    parts = mem_array(2 * n + 1, sizeof *parts);
    if (!root || !parts) {
        rc = err_set(err, ERR_NOMEM, "cannot write %s: out of memory", path);
        goto out;
    }
    rc = print_header(root, path, &header, err);
    if (rc)
        goto out;
    size_t count   = 0;
    parts[count++] = (struct file_part){.data = header.data, .len = header.len};
    for (size_t i = 0; i < n; i++) {
        parts[count++] = (struct file_part){.data = tensors[i].data, .len = tensors[i].bytes};
        if (i + 1 < n)
            parts[count++] =
                (struct file_part){.data = zeros, .len = padding_after(tensors[i].bytes)};
    }
    rc = file_replace_parts(path, parts, count, err);
out:
    free(parts);
    jnode_free(root);
    buf_release(&header);
    return rc;
}
