/* Runs a fuzz target over stored inputs, with any compiler: files and folders of
 * files. Fails when there are none. */
#include "tests/fuzz/fuzz.h"

#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static int run_file(const char *path)
{
    uint8_t   *data;
    size_t     n;
    struct err err = ERR_INIT;
    if (file_read(path, 1 << 26, &data, &n, &err)) {
        (void)fprintf(stderr, "%s\n", err.msg);
        return -1;
    }
    void *exact = fuzz_exact(data, n);
    free(data);
    (void)LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    return 1;
}

/* The number of inputs, or -1. */
static int run_path(const char *path)
{
    if (!file_is_dir(path))
        return run_file(path);
    struct dirent **names;
    int             n = scandir(path, &names, NULL, alphasort), runs = 0;
    if (n < 0) {
        (void)fprintf(stderr, "cannot read the folder %s\n", path);
        return -1;
    }
    for (int i = 0; i < n; i++) {
        char *file = path_join(path, names[i]->d_name);
        if (runs >= 0 && names[i]->d_name[0] != '.') {
            int ran = file ? run_file(file) : -1;
            runs    = ran < 0 ? -1 : runs + ran;
        }
        free(file);
        free(names[i]);
    }
    free(names);
    return runs;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int n = run_path(argv[i]);
        if (n < 0)
            return 1;
        total += n;
    }
    printf("%d inputs\n", total);
    return total > 0 ? 0 : 1;
}
