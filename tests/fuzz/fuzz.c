/* What the fuzz targets share: see fuzz.h. */
#include "tests/fuzz/fuzz.h"

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[512];

_Noreturn void fuzz_stop(const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

void fuzz_check_err(int rc, const struct err *err)
{
    if (rc < 0)
        fuzz_check((int)err->code == rc && err->msg[0]);
    else
        fuzz_check(!err->code);
}

static int remove_one(const char *path, const struct stat *sb, int kind, struct FTW *at)
{
    (void)sb;
    (void)kind;
    (void)at;
    return remove(path);
}

static void remove_folder(void)
{
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

char *fuzz_path(const char *name)
{
    if (!folder[0]) {
        const char *tmp = getenv("TMPDIR");
        (void)snprintf(folder, sizeof folder, "%s/osprey-fuzz-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        fuzz_check(mkdtemp(folder));
        fuzz_check(!atexit(remove_folder));
    }
    char *path = path_join(folder, name);
    fuzz_check(path);
    char *slash = strrchr(path, '/');
    *slash      = '\0';
    fuzz_check(!file_mkdirs(path, NULL));
    *slash = '/';
    return path;
}

void fuzz_write(const char *name, const void *data, size_t n)
{
    char *path = fuzz_path(name);
    int   fd   = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fuzz_check(fd >= 0);
    for (size_t at = 0; at < n;) {
        ssize_t wrote = write(fd, (const char *)data + at, n - at);
        fuzz_check(wrote > 0);
        at += (size_t)wrote;
    }
    (void)close(fd);
    free(path);
}

uint8_t *fuzz_read(const char *from, size_t *n)
{
    char    *path = path_join(TEST_DATA, from);
    uint8_t *data;
    fuzz_check(path && !file_read(path, 1 << 24, &data, n, NULL));
    free(path);
    return data;
}

void fuzz_copy(const char *from, const char *name)
{
    size_t   n;
    uint8_t *data = fuzz_read(from, &n);
    fuzz_write(name, data, n);
    free(data);
}

void fuzz_empty(const char *name)
{
    char          *path = fuzz_path(name);
    DIR           *dir  = opendir(path);
    struct dirent *e;
    while (dir && (e = readdir(dir)))
        (void)unlinkat(dirfd(dir), e->d_name, 0);
    if (dir)
        closedir(dir);
    free(path);
}

void *fuzz_exact(const uint8_t *data, size_t n)
{
    void *copy = malloc(n ? n : 1);
    fuzz_check(copy);
    if (n)
        memcpy(copy, data, n);
    return copy;
}

void fuzz_edit(uint8_t *data, size_t n, const uint8_t *edits, size_t n_edits)
{
    for (size_t i = 0; n && i + 4 <= n_edits; i += 4) {
        size_t at    = (size_t)edits[i] << 16 | (size_t)edits[i + 1] << 8 | edits[i + 2];
        data[at % n] = edits[i + 3];
    }
}
