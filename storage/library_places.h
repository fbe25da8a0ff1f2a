/* Where in a library a folder lies that a person names.
 *
 * Names of folders are bytes. Those that came from a Mac may be decomposed (normal form D
 * of Unicode) where a keyboard makes composed ones, and look alike. So where a library has
 * nothing at the very path, what is the same in normal form C counts.
 */
#ifndef OSPREY_STORAGE_LIBRARY_PLACES_H
#define OSPREY_STORAGE_LIBRARY_PLACES_H

#include "base/err.h"
#include "storage/library.h"

#include <stdbool.h>
#include <stddef.h>

#define LIBRARY_PLACES_MAX 256 /* of one path */

struct library_places {
    struct library_place *places; /* (n) for a filter */
    size_t                n;      /* 0: it has nothing to do with the library's folders */
    bool empty; /* it lies inside the library's folders, and no picture is known there */
};

/* dir: an absolute path, or one below any of the library's folders; may end with '/'. A
 * folder around some of the library's is all of them. */
int  library_places_find(struct library *lib, const char *dir, struct library_places *out,
                         struct err *err);
void library_places_release(struct library_places *p);

#endif
