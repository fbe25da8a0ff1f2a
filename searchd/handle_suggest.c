/* /v1/tags/suggest: a person has chosen pictures and named a label; which others would get
 * it? Learned and judged while the request waits, on its worker; nothing is kept.
 */
#include "searchd/handlers.h"

#include "base/mem.h"
#include "searchd/answers.h"
#include "searchd/label.h"
#include "storage/library_suggest.h"

#include <stdlib.h>

#define MAX_LIKE      200 /* examples */
#define MAX_UNLIKE    500
#define DEFAULT_LIMIT 100
#define MAX_LIMIT     500
#define DEFAULT_SCORE 0.05
#define THRESHOLD     0.5 /* from there on it is rather yes than no */

struct suggest_input {
    const char         *label;
    const struct jnode *ids, *not_ids;
    int64_t             limit;
    double              min_score;
};

static const struct field suggest_fields[] = {
    {"label", FIELD_TEXT, 0, 0, offsetof(struct suggest_input, label)},
    {"ids", FIELD_NODE, 0, 0, offsetof(struct suggest_input, ids)},
    {"not_ids", FIELD_NODE, 0, 0, offsetof(struct suggest_input, not_ids)},
    {"limit", FIELD_INT, 1, MAX_LIMIT, offsetof(struct suggest_input, limit)},
    {"min_score", FIELD_REAL, 0.01, 1, offsetof(struct suggest_input, min_score)},
};

static int go_on(void *ctx, double done, struct err *err)
{
    (void)done;
    return call_check_time(ctx, err);
}

/* Fills the list; pictures that have just gone are left out. */
static int describe(struct call *call, struct library *lib, const struct library_suggestion *found,
                    size_t n, struct jnode *list, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct err           why = ERR_INIT;
        struct library_image image;
        int                  rc = library_image_get(lib, found[i].id, &image, &why);
        if (rc == ERR_NOTFOUND)
            continue;
        if (rc)
            return err_set(err, why.code, "%s", why.msg);
        struct jnode *node   = jnode_object();
        struct jnode *one    = jnode_object();
        int           failed = answers_image(call, &image, node);
        failed |= jnode_set(one, "image", node) | jnode_set_real(one, "score", found[i].score);
        library_image_release(&image);
        if (failed | jnode_push(list, one))
            return answers_no_memory(err);
    }
    return 0;
}

static int read_input(struct call *call, struct suggest_input *input, struct library_suggesting *s,
                      struct err *err)
{
    int64_t      *like = NULL, *unlike = NULL;
    struct fields fields = {.table = suggest_fields,
                            .n     = sizeof suggest_fields / sizeof *suggest_fields,
                            .into  = input};
    int           rc     = call_no_query(call, err);
    if (!rc)
        rc = call_take_json(call, &fields, err);
    if (!rc)
        rc = label_check(call, &input->label, err);
    if (!rc)
        rc = label_ids(call, input->ids, "ids", 1, MAX_LIKE, &like, &s->n_like, err);
    if (!rc)
        rc = label_ids(call, input->not_ids, "not_ids", 0, MAX_UNLIKE, &unlike, &s->n_unlike, err);
    for (size_t i = 0, k = 0; i < s->n_like && !rc; i++) { /* both ascend */
        while (k < s->n_unlike && unlike[k] < like[i])
            k++;
        if (k < s->n_unlike && unlike[k] == like[i])
            rc = err_set(err, ERR_USAGE, "the picture %lld is in ids and in not_ids",
                         (long long)like[i]);
    }
    s->like      = like;
    s->unlike    = unlike;
    s->limit     = (size_t)input->limit;
    s->min_score = input->min_score;
    return rc;
}

int handle_suggest(struct call *call, struct err *err)
{
    struct suggest_input       input = {.limit = DEFAULT_LIMIT, .min_score = DEFAULT_SCORE};
    struct library_suggesting  s     = {.threads = 1, .go_on = {.ask = go_on, .ctx = call}};
    struct library_suggestion *found = NULL;
    struct library            *lib   = NULL;
    size_t                     n     = 0;
    struct jnode              *list = jnode_array(), *node = jnode_object();
    int                        rc = read_input(call, &input, &s, err);
    if (!rc)
        rc = call_library(call, &lib, err);
    double start = clock_ms();
    if (!rc)
        rc = library_suggest(lib, &s, &found, &n, err);
    call_stage(call, STAGE_SEARCH, clock_ms() - start);
    if (!rc)
        rc = describe(call, lib, found, n, list, err);
    call_done(call, lib);
    free(found);
    int failed = jnode_set_str(node, "label", input.label) | jnode_set(node, "results", list) |
                 jnode_set_real(node, "threshold", THRESHOLD) |
                 jnode_set(node, "took_ms", call_took(call));
    return answers_send(call, node, rc, failed, err);
}
