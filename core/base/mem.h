/* Memory with checked sizes.
 *
 * Every size computed from outside data goes through size_mul/size_add, and
 * every buffer that SIMD code reads is 64-byte aligned. All functions return
 * NULL on failure or overflow; none aborts.
 */
#ifndef OSPREY_BASE_MEM_H
#define OSPREY_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* *out = a * b, or a + b; false (and *out untouched) on overflow. */
static inline bool size_mul(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline bool size_add(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

/* n elements of size bytes each, uninitialised; a request for 0 bytes yields a
 * pointer that may be freed. */
void *mem_array(size_t n, size_t size);
/* The same, zeroed. */
void *mem_zeroed(size_t n, size_t size);
/* Grows or shrinks; on failure the old block stays valid. */
void *mem_regrow(void *p, size_t n, size_t size);
/* 64-byte aligned, uninitialised; freed with free(). */
void *mem_aligned(size_t n, size_t size);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);

/* For a process that runs for days, before it starts threads: at most so many arenas,
 * and large blocks (files, pixels, indexes) go back to the system as soon as they are
 * freed. */
void mem_stay_flat(int arenas);

#endif
