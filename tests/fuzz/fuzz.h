/* What the fuzz targets share: a folder of their own, and checks that stop the
 * fuzzer where a promise is broken rather than memory.
 *
 * A target is one fuzz_*.c with a LLVMFuzzerTestOneInput. tests/fuzz/run.sh
 * links it with libFuzzer; the ordinary build links it with replay.c, which runs
 * it over tests/fuzz/corpus/.
 */
#ifndef OSPREY_TESTS_FUZZ_H
#define OSPREY_TESTS_FUZZ_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stops when what must always hold does not. */
#define fuzz_check(holds)                                                                          \
    do {                                                                                           \
        if (!(holds))                                                                              \
            fuzz_stop(__FILE__, __LINE__, #holds);                                                 \
    } while (0)
_Noreturn void fuzz_stop(const char *file, int line, const char *what);

/* A failure has a code and a message, and the code is what was returned. */
void fuzz_check_err(int rc, const struct err *err);

/* The path of name in this process's folder, which is made below $TMPDIR and
 * removed at exit; name may begin with folders, which are made. Freed by the
 * caller. */
char    *fuzz_path(const char *name);
/* Writes a file there, without waiting for the disk. */
void     fuzz_write(const char *name, const void *data, size_t n);
/* Copies a file of tests/data there. */
void     fuzz_copy(const char *from, const char *name);
/* Removes the regular files of a folder there. */
void     fuzz_empty(const char *name);
/* Reads a file of tests/data; freed by the caller. */
uint8_t *fuzz_read(const char *from, size_t *n);

/* A copy in a block of just that size, so that the sanitizer sees the first byte
 * read past its end; freed by the caller. */
void *fuzz_exact(const uint8_t *data, size_t n);

/* Changes bytes of data as edits say: 3 bytes offset, 1 byte value, again and
 * again. */
void fuzz_edit(uint8_t *data, size_t n, const uint8_t *edits, size_t n_edits);

#endif
