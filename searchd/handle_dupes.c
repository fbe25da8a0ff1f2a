/* /v1/dupes: copies of pictures in groups, as the light table found them. Nothing is
 * decoded for it, and nothing is ever removed.
 */
#include "searchd/handlers.h"

#include "searchd/answers.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_LIMIT 20
#define MAX_LIMIT     100
#define MAX_OFFSET    1000000
#define MEMBERS_MOST  200 /* of one group in an answer; n says how many there are */

struct dupes_input {
    const char         *kinds;
    double              same, near;
    int64_t             offset, limit;
    struct filter_input filter;
};

static const struct field dupes_fields[] = {
    {"kinds", FIELD_TEXT, 0, 0, offsetof(struct dupes_input, kinds)},
    {"same", FIELD_REAL, 0, 1, offsetof(struct dupes_input, same)},
    {"near", FIELD_REAL, 0, 1, offsetof(struct dupes_input, near)},
    {"offset", FIELD_INT, 0, MAX_OFFSET, offsetof(struct dupes_input, offset)},
    {"limit", FIELD_INT, 1, MAX_LIMIT, offsetof(struct dupes_input, limit)},
    FILTER_FIELD(struct dupes_input, filter, folder, FIELD_TEXT, 0, 0),
    FILTER_ALIAS(struct dupes_input, filter, in, folder, FIELD_TEXT),
};

static int read_question(const struct dupes_input *input, struct lighttable_question *q,
                         struct err *err)
{
    q->same = input->same;
    q->near = input->near;
    int rc  = duplicates_read_kinds("kinds", input->kinds, q->kinds, err);
    if (!rc)
        rc = duplicates_check_share("same", q->same, err);
    return rc ? rc : duplicates_check_share("near", q->near, err);
}

static int push_member(const struct call *call, const struct duplicates_picture *p,
                       struct jnode *members)
{
    struct jnode *image  = jnode_object();
    struct jnode *member = jnode_object();
    int failed = answers_image(call, &p->image, image) | jnode_set(member, "image", image) |
                 jnode_set_str(member, "kind", duplicate_kind_name(p->kind)) |
                 jnode_set_real(member, "score", (double)p->score);
    return failed | jnode_push(members, member);
}

/* A group of which something is left. */
static int push_group(struct call *call, struct library *lib, const struct duplicates_group *group,
                      struct jnode *groups, struct err *err)
{
    struct duplicates_picture *pictures;
    size_t                     n;
    int rc = duplicates_pictures(lib, group, MEMBERS_MOST, &pictures, &n, err);
    if (rc || n == 0)
        return rc;
    struct jnode *node    = jnode_object();
    struct jnode *members = jnode_array();
    int           failed  = jnode_set_int(node, "keep", pictures[0].image.id) |
                 jnode_set_str(node, "why", group->why) |
                 jnode_set_str(node, "reason", duplicate_reason_name(group->reason)) |
                 jnode_set_int(node, "n", (int64_t)(n < MEMBERS_MOST ? n : group->n));
    for (size_t i = 0; i < n; i++)
        failed |= push_member(call, &pictures[i], members);
    duplicates_pictures_free(pictures, n);
    failed |= jnode_set(node, "members", members) | jnode_push(groups, node);
    return failed ? answers_no_memory(err) : 0;
}

static int fill(struct call *call, struct library *lib, const struct dupes_input *input,
                const struct lighttable_answer *answer, struct jnode *node, struct err *err)
{
    struct jnode                  *groups = jnode_array();
    const struct lighttable_found *found  = answer->found;
    size_t n = found ? found->copies.n : 0, at = (size_t)input->offset, end = at;
    int    rc = 0;
    if (at < n)
        end = n - at < (size_t)input->limit ? n : at + (size_t)input->limit;
    for (; at < end && !rc; at++) {
        rc = call_check_time(call, err);
        if (!rc)
            rc = push_group(call, lib, &found->copies.groups[at], groups, err);
    }
    int failed = jnode_set_str(node, "state", answer->ready ? "ready" : "running") |
                 jnode_set(node, "groups", groups);
    if (!answer->ready)
        failed |= jnode_set_real(node, "progress", answer->progress);
    if (found)
        failed |= jnode_set_int(node, "version", found->version) |
                  jnode_set_int(node, "total", (int64_t)n) |
                  jnode_set_int(node, "copies", (int64_t)found->goers) |
                  jnode_set_int(node, "pictures", (int64_t)found->copies.pictures) |
                  jnode_set_int(node, "blind", (int64_t)found->copies.blind);
    if (found && end < n)
        failed |= jnode_set_int(node, "next", (int64_t)end);
    return rc || !failed ? rc : answers_no_memory(err);
}

int handle_dupes(struct call *call, struct err *err)
{
    struct dupes_input input = {
        .same = DUPLICATES_SAME, .near = DUPLICATES_NEAR, .limit = DEFAULT_LIMIT};
    struct lighttable_question q      = {.shelf = call->shelf};
    struct lighttable_answer   answer = {.ready = false};
    struct library            *lib    = NULL;
    struct jnode              *node   = jnode_object();
    struct library_filter      filter;
    struct library_stats       stats;
    struct fields              fields = {
                     .table = dupes_fields, .n = sizeof dupes_fields / sizeof *dupes_fields, .into = &input};
    int rc = fields_take_query(&fields, &call->x->request, err);
    if (!rc)
        rc = read_question(&input, &q, err);
    if (!rc)
        rc = call_library(call, &lib, err);
    double start = clock_ms();
    if (!rc)
        rc = answers_filter(call, lib, &input.filter, &fields, &filter, err);
    if (!rc && filter.n_places > 1)
        rc = err_set(err, ERR_USAGE, "folder must be one alone, and it lies in several");
    if (!rc)
        rc = library_stats(lib, &stats, err);
    if (!rc) {
        if (filter.n_places) {
            q.folder_id = filter.places[0].folder_id;
            q.below     = filter.places[0].below;
        }
        rc = lighttable_ask(call->app->lighttable, &q, stats.generation, &answer, err);
    }
    if (!rc)
        rc = fill(call, lib, &input, &answer, node, err);
    lighttable_give(call->app->lighttable, answer.found);
    call_done(call, lib);
    call_stage(call, STAGE_CATALOGUE, clock_ms() - start);
    bool failed = jnode_set(node, "took_ms", call_took(call));
    return answers_send(call, node, rc, failed, err);
}
