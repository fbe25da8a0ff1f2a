/* A safetensors file: opening it, and reading every byte of every tensor. */
#include "tests/fuzz/fuzz.h"

#include "base/mem.h"
#include "model/safetensors.h"

#include <stdlib.h>
#include <string.h>

static void read_tensor(const struct safetensors *st, const struct tensor *t)
{
    struct err err = ERR_INIT;
    fuzz_check(t->n_dims >= 0 && t->n_dims <= TENSOR_MAX_DIMS && t->elements >= 0);
    fuzz_check(safetensors_find(st, t->name));
    const struct tensor *same;
    int                  rc = safetensors_require(st, t->name, t->n_dims, t->dims, &same, &err);
    fuzz_check(!rc && same == safetensors_find(st, t->name));

    uint8_t *bytes = mem_array(t->bytes, 1);
    fuzz_check(bytes);
    if (t->bytes)
        memcpy(bytes, t->data, t->bytes);
    free(bytes);
    if (t->dtype == DTYPE_F32 || t->dtype == DTYPE_F16 || t->dtype == DTYPE_BF16) {
        float *floats = mem_array((size_t)t->elements, sizeof *floats);
        fuzz_check(floats && !tensor_to_f32(t, floats, &err));
        free(floats);
    } else {
        fuzz_check(tensor_to_f32(t, NULL, &err) == ERR_UNSUPPORTED);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors *st  = NULL;
    struct err          err = ERR_INIT;
    fuzz_write("x.safetensors", data, size);
    char *path = fuzz_path("x.safetensors");
    int   rc   = safetensors_open(path, &st, &err);
    fuzz_check_err(rc, &err);
    if (!rc) {
        const struct tensor *t;
        const int64_t        dims[] = {INT64_MAX, 3};
        for (size_t i = 0; i < safetensors_count(st); i++)
            read_tensor(st, safetensors_at(st, i));
        fuzz_check(!safetensors_at(st, safetensors_count(st)));
        (void)safetensors_metadata(st, "key");
        (void)safetensors_require(st, "a", 2, dims, &t, &err);
    }
    safetensors_close(st);
    free(path);
    return 0;
}
