/* Memory with checked sizes: see mem.h. */
#include "base/mem.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64u

void *mem_array(size_t n, size_t size)
{
    size_t bytes;
    return size_mul(n, size, &bytes) ? malloc(bytes ? bytes : 1) : NULL;
}

void *mem_zeroed(size_t n, size_t size)
{
    return n && size ? calloc(n, size) : calloc(1, 1);
}

void *mem_regrow(void *p, size_t n, size_t size)
{
    size_t bytes;
    return size_mul(n, size, &bytes) ? realloc(p, bytes ? bytes : 1) : NULL;
}

void *mem_aligned(size_t n, size_t size)
{
    size_t bytes;
    if (!size_mul(n, size, &bytes) || !size_add(bytes, CACHE_LINE - 1, &bytes))
        return NULL;
    bytes -= bytes % CACHE_LINE;
    return aligned_alloc(CACHE_LINE, bytes ? bytes : CACHE_LINE);
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t n)
{
    size_t bytes;
    if (!size_add(n, 1, &bytes))
        return NULL;
    char *copy = malloc(bytes);
    if (copy) {
        memcpy(copy, s, n);
        copy[n] = '\0';
    }
    return copy;
}

void mem_stay_flat(int arenas)
{
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
    mallopt(M_ARENA_MAX, arenas);
}
