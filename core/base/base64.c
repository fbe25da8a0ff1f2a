/* Base64: see base64.h. */
#include "base/base64.h"

#include "base/mem.h"

#include <stdlib.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t n)
{
    const unsigned char *bytes = data;
    char                *out   = mem_array((n + 2) / 3 * 4 + 1, 1);
    if (!out)
        return NULL;
    char *o = out;
    for (size_t i = 0; i < n; i += 3) {
        unsigned b = (unsigned)bytes[i] << 16;
        b |= i + 1 < n ? (unsigned)bytes[i + 1] << 8 : 0;
        b |= i + 2 < n ? bytes[i + 2] : 0;
        *o++ = digits[b >> 18];
        *o++ = digits[b >> 12 & 63];
        *o++ = i + 1 < n ? digits[b >> 6 & 63] : '=';
        *o++ = i + 2 < n ? digits[b & 63] : '=';
    }
    *o = '\0';
    return out;
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(const char *text, size_t len, uint8_t **out, size_t *n, struct err *err)
{
    if (len % 4 == 0 && len > 0 && text[len - 1] == '=')
        len -= text[len - 2] == '=' ? 2 : 1;
    if (len % 4 == 1)
        return err_set(err, ERR_FORMAT, "this is not base64: its length is wrong");
    uint8_t *bytes = mem_array(len / 4 * 3 + 3, 1);
    if (!bytes)
        return err_set(err, ERR_NOMEM, "out of memory for %zu characters of base64", len);
    uint8_t *o    = bytes;
    unsigned bits = 0;
    for (size_t i = 0; i < len; i++) {
        int v = value_of(text[i]);
        if (v < 0) {
            free(bytes);
            return err_set(err, ERR_FORMAT, "this is not base64: its character %zu is none of it",
                           i + 1);
        }
        bits = bits << 6 | (unsigned)v;
        if (i % 4 != 0)
            *o++ = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    *out = bytes;
    *n   = (size_t)(o - bytes);
    return 0;
}
