/* A Parquet file: its columns of text, to their ends. */
#include "tests/fuzz/fuzz.h"

#include "cli/parquet.h"

#include <stdlib.h>

/* A run of nulls may promise any number of rows; who imports has as many vectors. */
#define MOST_ROWS 20000

static void read_column(const struct parquet *p, const char *name)
{
    struct parquet_column *c   = NULL;
    struct err             err = ERR_INIT;
    int                    rc = parquet_column_open(p, name, &c, &err), more = 1;
    size_t                 rows = 0, sum = 0;
    fuzz_check_err(rc, &err);
    fuzz_check((rc == ERR_NOTFOUND) == !parquet_has(p, name));
    while (!rc && more > 0 && rows < MOST_ROWS) {
        const char *value;
        size_t      n;
        more = parquet_column_next(c, &value, &n, &err);
        fuzz_check_err(more, &err);
        fuzz_check(value || n == 0);
        for (size_t i = 0; i < n; i += 1 + n / 64) /* all of it can be read */
            sum += (unsigned char)value[i] + (unsigned char)value[n - 1];
        rows += more > 0;
    }
    if (!rc && more == 0)
        fuzz_check(rows == parquet_rows(p));
    fuzz_check(sum < SIZE_MAX);
    parquet_column_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct parquet *p   = NULL;
    struct err      err = ERR_INIT;
    fuzz_write("table.parquet", data, size);
    char *path = fuzz_path("table.parquet");
    int   rc   = parquet_open(path, &p, &err);
    fuzz_check_err(rc, &err);
    if (!rc) {
        read_column(p, "image_path");
        read_column(p, "caption");
    }
    parquet_close(p);
    free(path);
    return 0;
}
