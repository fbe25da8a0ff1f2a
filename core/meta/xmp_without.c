/* XMP in a build without libexempi: a packet has nothing to say, and nothing is written
 * (xmp.h). */
#include "meta/xmp.h"

#include "base/mem.h"

#include <stdlib.h>

struct xmp {
    int unused;
};

static int not_here(struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED,
                   "this Osprey was built without libexempi: it writes no XMP");
}

const char *xmp_list_name(enum xmp_list list)
{
    (void)list;
    return "";
}

const char *xmp_text_name(enum xmp_text text)
{
    (void)text;
    return "";
}

bool xmp_is_here(void)
{
    return false;
}

void xmp_warm_up(void)
{
}

int xmp_open(const void *packet, size_t n, struct xmp **out, struct err *err)
{
    (void)packet;
    (void)n;
    *out = mem_zeroed(1, sizeof **out);
    return *out ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

void xmp_close(struct xmp *x)
{
    free(x);
}

int xmp_list_get(struct xmp *x, enum xmp_list list, enum xmp_whose whose, struct strings *out,
                 bool *is_there, struct err *err)
{
    (void)x;
    (void)list;
    (void)whose;
    (void)out;
    (void)err;
    if (is_there)
        *is_there = false;
    return 0;
}

int xmp_list_put_twin(struct xmp *x, enum xmp_list list, enum xmp_whose whose,
                      const struct strings *items, struct err *err)
{
    (void)x;
    (void)list;
    (void)whose;
    (void)items;
    return not_here(err);
}

int xmp_list_add(struct xmp *x, enum xmp_list list, const char *item, struct err *err)
{
    (void)x;
    (void)list;
    (void)item;
    return not_here(err);
}

int xmp_list_remove(struct xmp *x, enum xmp_list list, const char *item, struct err *err)
{
    (void)x;
    (void)list;
    (void)item;
    return not_here(err);
}

int xmp_text_get(struct xmp *x, enum xmp_text text, char **out, bool *foreign, struct err *err)
{
    (void)x;
    (void)text;
    (void)err;
    *out     = NULL;
    *foreign = false;
    return 0;
}

int xmp_text_get_own(struct xmp *x, enum xmp_text text, char **out, struct err *err)
{
    (void)x;
    (void)text;
    (void)err;
    *out = NULL;
    return 0;
}

int xmp_text_put(struct xmp *x, enum xmp_text text, const char *value, struct err *err)
{
    (void)x;
    (void)text;
    (void)value;
    return not_here(err);
}

int xmp_text_put_own(struct xmp *x, enum xmp_text text, const char *value, struct err *err)
{
    return xmp_text_put(x, text, value, err);
}

bool xmp_simple_get(struct xmp *x, enum xmp_simple simple, char *out, size_t size)
{
    (void)x;
    (void)simple;
    (void)out;
    (void)size;
    return false;
}

bool xmp_is_empty(struct xmp *x)
{
    (void)x;
    return true;
}

bool xmp_names_osprey(const void *packet, size_t n)
{
    (void)packet;
    (void)n;
    return false;
}

int xmp_text_of(struct xmp *x, char **out, size_t *n, struct err *err)
{
    (void)x;
    (void)out;
    (void)n;
    return not_here(err);
}
