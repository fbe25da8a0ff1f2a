/* Labels and pictures in requests: see label.h. */
#include "searchd/label.h"

#include "base/mem.h"
#include "text/label.h"
#include "text/unicode.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Whether nothing was cut off the ends of a label. */
static bool is_whole(const char *label, const char *tidy)
{
    size_t   n = strlen(label), k = n;
    uint32_t first, last;
    utf8_decode(label, n, &first);
    while (k > 0 && ((unsigned char)label[--k] & 0xC0) == 0x80)
        ;
    utf8_decode(label + k, n - k, &last);
    return *tidy && !unicode_is_space((int32_t)first) && !unicode_is_space((int32_t)last);
}

int label_check(struct call *call, const char **label, struct err *err)
{
    struct err why  = ERR_INIT;
    char      *tidy = NULL;
    if (!*label || !**label)
        return err_set(err, ERR_USAGE, "the label is missing");
    int rc = label_tidy(*label, LABEL_MAX, &tidy, &why);
    if (rc)
        return err_set(err, rc == ERR_FORMAT ? ERR_USAGE : why.code, "%s", why.msg);
    rc = call_keep(call, tidy, err);
    if (!rc && !is_whole(*label, tidy))
        rc = err_set(err, ERR_USAGE, "a label is plain text of one line, without blanks around it");
    if (!rc)
        *label = tidy;
    return rc;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int label_ids(struct call *call, const struct jnode *node, const char *name, size_t least,
              size_t most, int64_t **out, size_t *n, struct err *err)
{
    size_t len = node ? jnode_len(node) : 0;
    if ((node && !jnode_is_array(node)) || len < least || len > most)
        return err_set(err, ERR_USAGE, "%s must be an array of %zu to %zu pictures' ids", name,
                       least, most);
    int64_t *ids = mem_array(len + 1, sizeof *ids);
    int      rc  = call_keep(call, ids, err);
    for (size_t i = 0; i < len && !rc; i++)
        if (!jnode_to_int(jnode_at(node, i), &ids[i]) || ids[i] < 1)
            rc = err_set(err, ERR_USAGE, "%s[%zu] must be a picture's id", name, i);
    if (rc)
        return rc;
    qsort(ids, len, sizeof *ids, by_value);
    for (size_t i = 1; i < len; i++)
        if (ids[i] == ids[i - 1])
            return err_set(err, ERR_USAGE, "%s names the picture %lld twice", name,
                           (long long)ids[i]);
    *out = ids;
    *n   = len;
    return 0;
}
