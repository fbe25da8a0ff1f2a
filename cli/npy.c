/* NumPy's array files (npy.h): a magic number, a header that is a Python
 * dictionary padded so that the data starts at a multiple of 64, the data. */
#include "cli/npy.h"

#include "base/buf.h"
#include "base/file.h"

#define NPY_ALIGN    64
#define NPY_PREAMBLE 10 /* magic, version, header length */

int npy_write(const char *path, const float *values, size_t n, struct err *err)
{
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "'<f4' is what memory holds");
    struct buf    file, dict;
    unsigned char preamble[NPY_PREAMBLE] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    buf_init(&dict, 4096);
    buf_init(&file, (size_t)1 << 30);
    int rc =
        buf_appendf(&dict, err, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu,), }", n);
    while (!rc && (NPY_PREAMBLE + dict.len + 1) % NPY_ALIGN)
        rc = buf_append(&dict, " ", 1, err);
    if (!rc)
        rc = buf_append(&dict, "\n", 1, err);
    preamble[8] = (unsigned char)(dict.len & 0xff);
    preamble[9] = (unsigned char)(dict.len >> 8);
    if (!rc)
        rc = buf_append(&file, preamble, sizeof preamble, err);
    if (!rc)
        rc = buf_append(&file, dict.data, dict.len, err);
    if (!rc)
        rc = buf_append(&file, values, n * sizeof *values, err);
    if (!rc)
        rc = file_replace(path, file.data, file.len, err);
    buf_release(&dict);
    buf_release(&file);
    return rc;
}
