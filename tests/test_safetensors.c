/* Unit tests of core/model/safetensors: what is read, what is refused, writing. */
#include "model/safetensors.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/osprey-safetensors-XXXXXX";

/* Writes header and n_data bytes 0, 1, 2, ... in the format, the length as told. */
static void write_raw(const char *header, uint64_t header_len, size_t n_data)
{
    uint8_t bytes[4096];
    size_t  at = 0;
    for (int i = 0; i < 8; i++)
        bytes[at++] = (uint8_t)(header_len >> (8 * i));
    memcpy(bytes + at, header, strlen(header));
    at += strlen(header);
    for (size_t i = 0; i < n_data; i++)
        bytes[at++] = (uint8_t)i;
    assert_int_equal(file_replace(path, bytes, at, NULL), 0);
}

static void expect_refusal(const char *header, size_t n_data, const char *why)
{
    struct safetensors *st  = NULL;
    struct err          err = ERR_INIT;
    write_raw(header, strlen(header), n_data);
    assert_int_equal(safetensors_open(path, &st, &err), ERR_FORMAT);
    assert_null(st);
    if (!strstr(err.msg, why))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, why);
    assert_non_null(strstr(err.msg, path));
}

static void tensors_are_found_by_name(void **state)
{
    (void)state;
    struct safetensors *st     = NULL;
    struct err          err    = ERR_INIT;
    const char         *header = "{\"__metadata__\":{\"format\":\"pt\"},"
                                 "\"z\":{\"dtype\":\"U8\",\"shape\":[2,3],\"data_offsets\":[0,6]},"
                                 "\"a\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[7,15]},"
                                 "\"m\":{\"dtype\":\"I32\",\"shape\":[0,5],\"data_offsets\":[6,6]}}  ";
    write_raw(header, strlen(header), 15);
    assert_int_equal(safetensors_open(path, &st, &err), 0);
    assert_int_equal(safetensors_count(st), 3);
    assert_string_equal(safetensors_at(st, 0)->name, "z");
    assert_null(safetensors_at(st, 3));
    assert_string_equal(safetensors_metadata(st, "format"), "pt");
    assert_null(safetensors_metadata(st, "other"));
    assert_null(safetensors_find(st, "b"));
    const struct tensor *t = safetensors_find(st, "a");
    assert_non_null(t);
    assert_int_equal(t->dtype, DTYPE_OTHER);
    assert_int_equal(t->elements, 1);
    assert_int_equal(((const uint8_t *)t->data)[0], 7); /* unaligned, after a gap */
    assert_int_equal(safetensors_find(st, "m")->elements, 0);

    const int64_t right[] = {2, 3}, wrong[] = {3, 2};
    assert_int_equal(safetensors_require(st, "z", 2, right, &t, &err), 0);
    assert_int_equal(((const uint8_t *)t->data)[5], 5);
    assert_int_equal(safetensors_require(st, "z", 0, NULL, &t, &err), 0);
    assert_int_equal(safetensors_require(st, "z", 2, wrong, &t, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "tensor z has the shape (2, 3) instead of (3, 2)"));
    assert_int_equal(safetensors_require(st, "q", 2, wrong, &t, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "no tensor q; expected one of shape (3, 2)"));
    float f;
    assert_int_equal(tensor_to_f32(safetensors_find(st, "a"), &f, &err), ERR_UNSUPPORTED);
    safetensors_close(st);
}

static void bad_files_are_refused(void **state)
{
    (void)state;
    expect_refusal("[]", 0, "not a JSON object");
    expect_refusal("{\"a\":", 0, "as JSON");
    expect_refusal("{\"a\":1}", 0, "no dtype");
    expect_refusal("{\"a\":{\"dtype\":\"F32\"}}", 0, "no shape");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4,
                   "whole numbers");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4,
                   "whole numbers");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],"
                   "\"data_offsets\":[0,4]}}",
                   4, "dimensions");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
                   "\"data_offsets\":[0,4]}}",
                   4, "overflows");
    /* elements fit, bytes do not: 2^61 * 8 = 0 modulo 2^64 */
    expect_refusal("{\"a\":{\"dtype\":\"I64\",\"shape\":[2305843009213693952],"
                   "\"data_offsets\":[0,0]}}",
                   4, "do not fit");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,5]}}", 5,
                   "do not fit");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 8,
                   "ordered offsets");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 8,
                   "ordered offsets");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 8,
                   "ordered offsets");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 7,
                   "truncated");
    expect_refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                   "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]}}",
                   8, "overlaps");
    expect_refusal("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                   "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
                   2, "as JSON");
    expect_refusal("{\"__metadata__\":{\"a\":1}}", 0, "not a string");
}

static void bad_lengths_are_refused(void **state)
{
    (void)state;
    struct safetensors *st  = NULL;
    struct err          err = ERR_INIT;
    write_raw("{}", 3, 0);
    assert_int_equal(safetensors_open(path, &st, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "truncated"));
    write_raw("{}", UINT64_MAX, 0);
    assert_int_equal(safetensors_open(path, &st, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "limit"));
    assert_int_equal(file_replace(path, "1234567", 7, NULL), 0);
    assert_int_equal(safetensors_open(path, &st, &err), ERR_FORMAT);
    assert_int_equal(file_replace(path, "", 0, NULL), 0);
    assert_int_equal(safetensors_open(path, &st, &err), ERR_FORMAT);
    assert_int_equal(safetensors_open("/nonexistent", &st, &err), ERR_NOTFOUND);
}

/* Cuts a sound file at every length: each is refused, none crashes. */
static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct safetensors *st     = NULL;
    const char         *header = "{\"a\":{\"dtype\":\"U8\",\"shape\":[9],\"data_offsets\":[0,9]}}";
    uint8_t            *bytes  = NULL;
    size_t              len;
    write_raw(header, strlen(header), 9);
    assert_int_equal(file_read(path, 4096, &bytes, &len, NULL), 0);
    for (size_t n = 0; n < len; n++) {
        assert_int_equal(file_replace(path, bytes, n, NULL), 0);
        assert_int_equal(safetensors_open(path, &st, NULL), ERR_FORMAT);
    }
    free(bytes);
}

/* Changes bytes of a sound file at random: whatever is accepted lies within the
 * mapping (which sanitized builds see when it is read). */
static void no_mutation_reads_outside(void **state)
{
    (void)state;
    const char       *header  = "{\"__metadata__\":{\"k\":\"v\"},"
                                "\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
                                "\"b\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[8,16]},"
                                "\"c\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[16,18]}}";
    static const char swaps[] = "0123456789-+.eE,:[]{}\"\\FBUI nulltrue";
    uint8_t          *bytes   = NULL;
    size_t            len, accepted = 0;
    uint32_t          seed = 3;
    write_raw(header, strlen(header), 18);
    assert_int_equal(file_read(path, 4096, &bytes, &len, NULL), 0);
    for (int round = 0; round < 5000; round++) {
        uint8_t changed[4096];
        memcpy(changed, bytes, len);
        for (int k = 0; k <= round % 4; k++) {
            seed      = seed * 1664525u + 1013904223u;
            size_t at = (seed >> 8) % (len - 18);
            seed      = seed * 1664525u + 1013904223u;
            changed[at] =
                (uint8_t)(at < 8 ? seed >> 24 : (uint8_t)swaps[(seed >> 8) % (sizeof swaps - 1)]);
        }
        FILE *f = fopen(path, "r+b"); /* as long as before: no truncation, which would sync */
        assert_non_null(f);
        assert_int_equal(fwrite(changed, 1, len, f), len);
        fclose(f);
        struct safetensors *st = NULL;
        if (safetensors_open(path, &st, NULL))
            continue;
        accepted++;
        for (size_t i = 0; i < safetensors_count(st); i++) {
            const struct tensor *t   = safetensors_at(st, i);
            const uint8_t       *all = t->data;
            unsigned             sum = 0;
            float               *f32 = malloc((size_t)t->elements * sizeof *f32 + 1);
            for (size_t b = 0; b < t->bytes; b++)
                sum += all[b];
            assert_true(sum <= 255 * t->bytes);
            assert_ptr_equal(safetensors_find(st, t->name), t);
            (void)tensor_to_f32(t, f32, NULL);
            free(f32);
        }
        safetensors_close(st);
    }
    assert_true(accepted > 50 && accepted < 5000);
    free(bytes);
}

static void half_precisions_become_floats(void **state)
{
    (void)state;
    static const uint16_t f16[]  = {0x0000, 0x8000, 0x3C00, 0xC000, 0x7BFF, 0x0001, 0x03FF, 0x7C00};
    static const float    want[] = {0.0f,     -0.0f,    1.0f,       -2.0f,
                                    65504.0f, 0x1p-24f, 0x3FFp-24f, 0.0f /* infinity */};
    static const uint16_t bf16[] = {0x3F80, 0xC049};
    static const float    bwant[] = {1.0f, -3.140625f};
    uint8_t               odd[17]; /* one byte off any alignment */
    float                 out[8];
    memcpy(odd + 1, f16, sizeof f16);
    struct tensor t = {.name = "h", .dtype = DTYPE_F16, .elements = 8, .data = odd + 1};
    assert_int_equal(tensor_to_f32(&t, out, NULL), 0);
    assert_memory_equal(out, want, 7 * sizeof *out);
    assert_true(__builtin_isinf(out[7]));
    uint16_t nan = 0x7E00;
    t.data       = &nan;
    t.elements   = 1;
    assert_int_equal(tensor_to_f32(&t, out, NULL), 0);
    assert_true(__builtin_isnan(out[0]));
    memcpy(odd + 1, bf16, sizeof bf16);
    t = (struct tensor){.name = "b", .dtype = DTYPE_BF16, .elements = 2, .data = odd + 1};
    assert_int_equal(tensor_to_f32(&t, out, NULL), 0);
    assert_memory_equal(out, bwant, sizeof bwant);
}

static void what_is_written_is_read_and_aligned(void **state)
{
    (void)state;
    struct safetensors *st        = NULL;
    struct err          err       = ERR_INIT;
    const uint8_t       three[]   = {1, 2, 3};
    const float         floats[]  = {1.5f, -2.5f};
    const int64_t       longs[16] = {7};
    const struct tensor in[]      = {
             {.name = "u", .dtype = DTYPE_U8, .n_dims = 1, .dims = {3}, .data = three, .bytes = 3},
             {.name = "f", .dtype = DTYPE_F32, .n_dims = 2, .dims = {1, 2}, .data = floats, .bytes = 8},
             {.name = "l", .dtype = DTYPE_I64, .n_dims = 1, .dims = {16}, .data = longs, .bytes = 128}};
    const char *metadata[] = {"key", "value", "other", "\"quoted\""};
    assert_int_equal(safetensors_write(path, in, 3, metadata, 2, &err), 0);
    assert_int_equal(safetensors_open(path, &st, &err), 0);
    assert_int_equal(safetensors_count(st), 3); /* padding is not shown */
    assert_string_equal(safetensors_metadata(st, "other"), "\"quoted\"");
    for (size_t i = 0; i < 3; i++) {
        const struct tensor *t = safetensors_find(st, in[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, in[i].dtype);
        assert_int_equal(t->bytes, in[i].bytes);
        assert_memory_equal(t->data, in[i].data, t->bytes);
        assert_int_equal((uintptr_t)t->data % 64, 0);
    }
    safetensors_close(st);
    struct tensor other = {.name = "o", .dtype = DTYPE_OTHER};
    assert_int_equal(safetensors_write(path, &other, 1, NULL, 0, &err), ERR_UNSUPPORTED);
    assert_int_equal(safetensors_write("/nonexistent/x", in, 3, NULL, 0, &err), ERR_IO);
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_found_by_name),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(bad_lengths_are_refused),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(no_mutation_reads_outside),
        cmocka_unit_test(half_precisions_become_floats),
        cmocka_unit_test(what_is_written_is_read_and_aligned),
    };
    int failed = cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
    (void)unlink(path);
    return failed;
}
