/* Labels and pictures in requests: see label.h. */
#include "searchd/label.h"

#include "base/mem.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

int label_check(const char *label, struct err *err)
{
    size_t n = label ? strlen(label) : 0;
    if (n == 0)
        return err_set(err, ERR_USAGE, "the label is missing");
    if (n > LABEL_MAX)
        return err_set(err, ERR_USAGE, "a label has at most %d bytes, not %zu", LABEL_MAX, n);
    bool plain = label[0] != ' ' && label[n - 1] != ' ' && utf8_valid(label, n);
    for (size_t i = 0; i < n; i++)
        plain = plain && (unsigned char)label[i] >= 0x20 && label[i] != 0x7f;
    return plain ? 0
                 : err_set(err, ERR_USAGE,
                           "a label is plain text of one line, without blanks around it");
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
