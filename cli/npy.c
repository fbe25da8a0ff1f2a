/* NumPy's array files (npy.h): a magic number, a header that is a Python
 * dictionary padded so that the data starts at a multiple of 64, the data. */
#include "cli/npy.h"

#include "base/buf.h"
#include "base/half.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NPY_ALIGN    64
#define NPY_PREAMBLE 10  /* magic, version, header length */
#define NPY_ROOM     128 /* of a header whose shape is written later */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "'<f4' is what memory holds");

/* Appends a header for a shape, "(3,)", that takes a multiple of NPY_ALIGN and room at least. */
static int put_header(struct buf *out, const char *shape, size_t room, struct err *err)
{
    static const unsigned char magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 0, 0};
    size_t                     from    = out->len;
    int                        rc      = buf_append(out, magic, sizeof magic, err);
    if (!rc)
        rc =
            buf_appendf(out, err, "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }", shape);
    while (!rc && ((out->len - from + 1) % NPY_ALIGN || out->len - from + 1 < room))
        rc = buf_append(out, " ", 1, err);
    if (!rc)
        rc = buf_append(out, "\n", 1, err);
    if (!rc) {
        size_t len          = out->len - from - NPY_PREAMBLE;
        out->data[from + 8] = (char)(len & 0xff);
        out->data[from + 9] = (char)(len >> 8);
    }
    return rc;
}

int npy_write(const char *path, const float *values, size_t n, struct err *err)
{
    struct buf file;
    char       shape[40];
    buf_init(&file, (size_t)1 << 30);
    snprintf(shape, sizeof shape, "(%zu,)", n);
    int rc = put_header(&file, shape, 0, err);
    if (!rc)
        rc = buf_append(&file, values, n * sizeof *values, err);
    if (!rc)
        rc = file_replace(path, file.data, file.len, err);
    buf_release(&file);
    return rc;
}

/* ---- Row by row ---- */

struct npy_writer {
    char  *path, *aside;
    FILE  *file;
    size_t rows, dim;
};

static int write_fail(const struct npy_writer *w, struct err *err)
{
    return err_set(err, ERR_IO, "cannot write %s: %s", w->path, strerror(errno));
}

static int writer_header(struct npy_writer *w, struct err *err)
{
    struct buf head;
    char       shape[64];
    buf_init(&head, 4096);
    snprintf(shape, sizeof shape, "(%zu, %zu)", w->rows, w->dim);
    int rc = put_header(&head, shape, NPY_ROOM, err);
    if (!rc &&
        (fseek(w->file, 0, SEEK_SET) != 0 || fwrite(head.data, 1, head.len, w->file) != head.len))
        rc = write_fail(w, err);
    buf_release(&head);
    return rc;
}

int npy_writer_open(const char *path, size_t dim, struct npy_writer **out, struct err *err)
{
    struct npy_writer *w = mem_zeroed(1, sizeof *w);
    size_t             n = strlen(path) + 32;
    if (!w || !(w->path = mem_strdup(path)) || !(w->aside = mem_array(n, 1))) {
        npy_writer_close(w);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    snprintf(w->aside, n, "%s.%ld.part", path, (long)getpid());
    w->dim  = dim;
    w->file = fopen(w->aside, "wbx");
    int rc  = w->file ? writer_header(w, err) : write_fail(w, err);
    if (rc) {
        npy_writer_close(w);
        return rc;
    }
    *out = w;
    return 0;
}

int npy_writer_row(struct npy_writer *w, const float *row, struct err *err)
{
    w->rows++;
    return fwrite(row, sizeof *row, w->dim, w->file) == w->dim ? 0 : write_fail(w, err);
}

int npy_writer_finish(struct npy_writer *w, struct err *err)
{
    int rc = writer_header(w, err);
    if (!rc && (fflush(w->file) != 0 || fsync(fileno(w->file)) != 0))
        rc = write_fail(w, err);
    if (!rc && rename(w->aside, w->path) != 0)
        rc = write_fail(w, err);
    if (rc)
        return rc;
    w->aside[0] = '\0';
    return file_sync_parent(w->path, err);
}

void npy_writer_close(struct npy_writer *w)
{
    if (!w)
        return;
    if (w->file) {
        fclose(w->file);
        if (w->aside[0])
            unlink(w->aside);
    }
    free(w->path);
    free(w->aside);
    free(w);
}

/* ---- Reading ---- */

static int bad(const char *path, const char *why, struct err *err)
{
    return err_set(err, ERR_FORMAT, "cannot read %s: %s", path, why);
}

/* What follows 'key': in the header's dictionary; NULL where it is missing. */
static const char *value_of(const char *header, const char *key)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "'%s'", key);
    const char *at = strstr(header, quoted);
    if (!at)
        return NULL;
    at += strlen(quoted);
    at += strspn(at, " ");
    if (*at++ != ':')
        return NULL;
    return at + strspn(at, " ");
}

/* "(3, 512)" */
static bool read_shape(const char *text, size_t *rows, size_t *dim)
{
    char              *end;
    unsigned long long a, b;
    if (*text++ != '(' || *text < '0' || *text > '9')
        return false;
    a    = strtoull(text, &end, 10);
    text = end + strspn(end, " ");
    if (*text++ != ',')
        return false;
    text += strspn(text, " ");
    if (*text < '0' || *text > '9')
        return false;
    b     = strtoull(text, &end, 10);
    text  = end + strspn(end, " ,");
    *rows = (size_t)a;
    *dim  = (size_t)b;
    return *text == ')';
}

static int read_header(const char *path, const char *header, struct npy *out, struct err *err)
{
    const char *descr = value_of(header, "descr"), *order = value_of(header, "fortran_order");
    const char *shape = value_of(header, "shape");
    if (!descr || !order || !shape)
        return bad(path, "its header is not one of an array", err);
    if (strncmp(descr, "'<f4'", 5) != 0 && strncmp(descr, "'<f2'", 5) != 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "cannot read %s: its numbers are %.8s, not float32 or float16 ('<f4', "
                       "'<f2')",
                       path, descr);
    if (strncmp(order, "False", 5) != 0)
        return err_set(err, ERR_UNSUPPORTED, "cannot read %s: it is in Fortran's order", path);
    if (!read_shape(shape, &out->rows, &out->dim))
        return bad(path, "it is not an array of rows and columns", err);
    out->half = descr[3] == '2';
    return 0;
}

int npy_open(const char *path, struct npy *out, struct err *err)
{
    static const uint8_t magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    size_t               start = 0, len = 0, cells = 0, bytes = 0;
    *out   = (struct npy){0};
    int rc = file_map(&out->map, path, err);
    if (rc)
        return rc;
    const uint8_t *d = out->map.data;
    if (out->map.len < 12 || memcmp(d, magic, sizeof magic) != 0)
        rc = bad(path, "it is not a NumPy array file", err);
    else if (d[6] == 1) {
        start = NPY_PREAMBLE;
        len   = (size_t)d[8] | (size_t)d[9] << 8;
    } else if (d[6] == 2 || d[6] == 3) {
        start = 12;
        len   = (size_t)d[8] | (size_t)d[9] << 8 | (size_t)d[10] << 16 | (size_t)d[11] << 24;
    } else {
        rc = bad(path, "its version is unknown", err);
    }
    if (!rc && (len > 65536 || len > out->map.len - start))
        rc = bad(path, "its header is cut off", err);
    char *header = rc ? NULL : mem_strndup((const char *)d + start, len);
    if (!rc)
        rc =
            header ? read_header(path, header, out, err) : err_set(err, ERR_NOMEM, "out of memory");
    free(header);
    if (!rc && (!size_mul(out->rows, out->dim, &cells) ||
                !size_mul(cells, out->half ? 2 : 4, &bytes) || bytes > out->map.len - start - len))
        rc = err_set(err, ERR_FORMAT, "cannot read %s: it is too short for %zu rows of %zu numbers",
                     path, out->rows, out->dim);
    if (rc)
        npy_close(out);
    else
        out->data = d + start + len;
    return rc;
}

void npy_close(struct npy *npy)
{
    file_unmap(&npy->map);
    *npy = (struct npy){0};
}

void npy_row(const struct npy *npy, size_t row, float *out)
{
    /* Copied: the data need not lie on a boundary. */
    if (!npy->half) {
        memcpy(out, npy->data + row * npy->dim * 4, npy->dim * 4);
        return;
    }
    for (size_t i = 0; i < npy->dim; i++) {
        uint16_t h;
        memcpy(&h, npy->data + (row * npy->dim + i) * 2, 2);
        half_to_float(out + i, &h, 1);
    }
}
