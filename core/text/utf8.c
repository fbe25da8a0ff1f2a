/* UTF-8: see utf8.h. Table 3-7 of the Unicode Standard gives the ranges. */
#include "text/utf8.h"

#include "base/mem.h"

#include <string.h>

static bool is_continuation(uint8_t b, uint8_t low, uint8_t high)
{
    return b >= low && b <= high;
}

size_t utf8_decode(const char *str, size_t n, uint32_t *cp)
{
    const uint8_t *s    = (const uint8_t *)str;
    uint8_t        lead = s[0];
    if (lead < 0x80) {
        *cp = lead;
        return 1;
    }
    *cp = UTF8_REPLACEMENT;
    size_t  want;
    uint8_t low  = 0x80;
    uint8_t high = 0xBF; /* bounds of the second byte */
    if (lead >= 0xC2 && lead <= 0xDF) {
        want = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        want = 3;
        low  = lead == 0xE0 ? 0xA0 : 0x80; /* no overlong forms */
        high = lead == 0xED ? 0x9F : 0xBF; /* no surrogates */
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        want = 4;
        low  = lead == 0xF0 ? 0x90 : 0x80;
        high = lead == 0xF4 ? 0x8F : 0xBF; /* nothing past U+10FFFF */
    } else {
        return 1;
    }
    uint32_t value = lead & (0x7Fu >> want);
    for (size_t i = 1; i < want; i++) {
        if (i >= n || !is_continuation(s[i], low, high))
            return i;
        value = (value << 6) | (s[i] & 0x3Fu);
        low   = 0x80;
        high  = 0xBF;
    }
    *cp = value;
    return want;
}

size_t utf8_encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | (cp >> 6));
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | (cp >> 12));
        out[1] = (char)(0x80 | ((cp >> 6) & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | (cp >> 18));
    out[1] = (char)(0x80 | ((cp >> 12) & 0x3F));
    out[2] = (char)(0x80 | ((cp >> 6) & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

bool utf8_valid(const char *s, size_t n)
{
    static const char replacement[] = "\xEF\xBF\xBD";
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t   len = utf8_decode(s + i, n - i, &cp);
        if (cp == UTF8_REPLACEMENT && (len != 3 || memcmp(s + i, replacement, 3) != 0))
            return false;
        i += len;
    }
    return true;
}

size_t utf8_faulty_line(const char *s, size_t n)
{
    size_t number = 0;
    for (const char *line = s, *end = s + n, *next; line < end; line = next) {
        const char *feed = memchr(line, '\n', (size_t)(end - line));
        next             = feed ? feed + 1 : end;
        number++;
        bool plain = utf8_valid(line, (size_t)(next - line));
        for (const char *c = line; c < next && plain; c++)
            plain =
                ((unsigned char)*c >= 0x20 && *c != 0x7f) || *c == '\t' || *c == '\n' || *c == '\r';
        if (!plain)
            return number;
    }
    return 0;
}

char *utf8_replace_invalid(const char *s, size_t n, size_t *out_len)
{
    size_t bytes; /* one malformed byte becomes three */
    if (!size_mul(n, 3, &bytes) || !size_add(bytes, 1, &bytes))
        return NULL;
    char *out = mem_array(bytes, 1);
    if (!out)
        return NULL;
    size_t len = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += utf8_decode(s + i, n - i, &cp);
        len += utf8_encode(cp, out + len);
    }
    out[len] = '\0';
    *out_len = len;
    return out;
}

void utf8_tidy(const char *s, size_t n, bool latin, char *out, size_t max)
{
    bool   gap = false;
    size_t k   = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp = (unsigned char)s[i];
        char     bytes[4];
        i += latin ? 1 : utf8_decode(s + i, n - i, &cp);
        if (cp <= ' ' || (cp >= 0x7F && cp <= 0xA0) || cp == 0xFEFF) {
            gap = k > 0;
            continue;
        }
        size_t len = utf8_encode(cp, bytes);
        if (k + gap + len > max)
            break;
        if (gap)
            out[k++] = ' ';
        gap = false;
        memcpy(out + k, bytes, len);
        k += len;
    }
    out[k] = '\0';
}
