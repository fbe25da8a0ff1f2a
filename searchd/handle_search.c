/* /v1/search and /v1/images/{id}/similar. */
#include "searchd/handlers.h"

#include "base/mem.h"
#include "searchd/answers.h"
#include "searchd/search.h"
#include "searchd/terms.h"

#include <stdlib.h>
#include <string.h>

struct search_input {
    const char         *q, *image;
    int64_t             id;
    const struct jnode *terms;
    int64_t             k, offset, rerank;
    double              min_score, min_match;
    bool                hybrid, pages;
    struct filter_input filter;
};

#define PAGE_FIELDS                                                                                \
    {"k", FIELD_INT, 0, 0, offsetof(struct search_input, k)},                                      \
        {"offset", FIELD_INT, 0, ANSWERS_MAX_OFFSET, offsetof(struct search_input, offset)},       \
        {"min_score", FIELD_REAL, -1, 1, offsetof(struct search_input, min_score)},                \
        {"min_match", FIELD_REAL, 0, 1, offsetof(struct search_input, min_match)},                 \
        {"pages", FIELD_FLAG, 0, 0, offsetof(struct search_input, pages)},                         \
        FILTER_FIELDS(struct search_input, filter)

static const struct field similar_fields[] = {PAGE_FIELDS};
static const struct field search_fields[]  = {
     PAGE_FIELDS,
     {"q", FIELD_TEXT, 0, 0, offsetof(struct search_input, q)},
     {"id", FIELD_INT, 1, 1e12, offsetof(struct search_input, id)},
     {"image", FIELD_TEXT, 0, 0, offsetof(struct search_input, image)},
     {"rerank", FIELD_INT, 1, RERANK_MAX, offsetof(struct search_input, rerank)},
     {"hybrid", FIELD_FLAG, 0, 0, offsetof(struct search_input, hybrid)},
     {"terms", FIELD_NODE, 0, 0, offsetof(struct search_input, terms)},
};

static int check_page(struct call *call, const struct search_input *input, struct err *err)
{
    if (input->k < 1 || input->k > call->app->config.max_k)
        return err_set(err, ERR_USAGE, "k must be a whole number from 1 to %lld",
                       (long long)call->app->config.max_k);
    return 0;
}

/* Runs the query and fills the reply. */
static int answer(struct call *call, const struct terms *terms, const struct search_input *input,
                  const struct fields *fields, struct err *err)
{
    struct search search  = {.terms      = terms,
                             .filter     = &input->filter,
                             .fields     = fields,
                             .k          = (size_t)(input->k + input->offset),
                             .rerank     = (size_t)input->rerank,
                             .every_page = input->pages,
                             .hybrid     = input->hybrid};
    struct jnode *results = jnode_array();
    struct jnode *node    = jnode_object();
    if (fields_has(fields, "min_score")) {
        search.has_min_score = true;
        search.min_score     = (float)input->min_score;
    }
    if (fields_has(fields, "min_match")) {
        search.has_min_match = true;
        search.min_match     = input->min_match;
    }
    int rc = search_run(call, &search, err);
    if (!rc)
        rc = answers_hits(call, &search, (size_t)input->offset, results, err);
    search_release(call, &search);
    int failed = jnode_set_int(node, "total", (int64_t)jnode_len(results)) |
                 jnode_set(node, "results", results) | jnode_set(node, "took_ms", call_took(call));
    if (search.match.known)
        failed |= jnode_set_real(node, "good_match", LIBRARY_GOOD_MATCH);
    return answers_send(call, node, rc, failed, err);
}

/* Whether a filter was given. */
static bool is_filtered(const struct fields *fields)
{
    const size_t begin = offsetof(struct search_input, filter);
    for (size_t i = 0; i < fields->n; i++)
        if (fields->seen >> i & 1 && fields->table[i].offset >= begin &&
            fields->table[i].offset < begin + sizeof(struct filter_input))
            return true;
    return false;
}

/* Nothing to search for: what the filters let pass, by date. */
static int answer_list(struct call *call, const struct search_input *input,
                       const struct fields *fields, struct err *err)
{
    struct library       *lib     = NULL;
    struct library_image *images  = NULL;
    struct jnode         *results = jnode_array();
    struct jnode         *node    = jnode_object();
    struct library_filter filter;
    size_t                n = 0, offset = (size_t)input->offset;
    int                   failed = 0, rc = call_library(call, &lib, err);
    double                start = clock_ms();
    if (!rc)
        rc = answers_filter(call, lib, &input->filter, fields, &filter, err);
    if (!rc)
        rc = library_list(lib, &filter, LIBRARY_BY_DATE, NULL, (size_t)input->k + offset, &images,
                          &n, err);
    call_done(call, lib);
    call_stage(call, STAGE_CATALOGUE, clock_ms() - start);
    for (size_t i = 0; i < n; i++) {
        if (i >= offset) {
            struct jnode *image = jnode_object();
            failed |= jnode_set_int(image, "rank", (int64_t)(i + 1)) |
                      answers_image(call, &images[i], image) | jnode_push(results, image);
        }
        library_image_release(&images[i]);
    }
    free(images);
    failed |= jnode_set_int(node, "total", (int64_t)jnode_len(results)) |
              jnode_set(node, "results", results) | jnode_set(node, "took_ms", call_took(call));
    return answers_send(call, node, rc, failed, err);
}

int handle_similar(struct call *call, struct err *err)
{
    struct search_input input  = {.k = call->app->config.k};
    struct terms        terms  = {.n = 0};
    struct fields       fields = {.table = similar_fields,
                                  .n     = sizeof similar_fields / sizeof *similar_fields,
                                  .into  = &input};
    int                 rc     = fields_take_query(&fields, &call->x->request, err);
    if (!rc)
        rc = check_page(call, &input, err);
    if (!rc)
        rc = terms_add_id(&terms, call->id, 1, err);
    return rc ? rc : answer(call, &terms, &input, &fields, err);
}

/* A form: `image` is a file, everything else a text. */
static int take_form(struct call *call, struct fields *fields, struct terms *terms, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < call->form.n && !rc; i++) {
        const struct multipart_part *part = &call->form.parts[i];
        const char                  *text;
        if (!strcmp(part->name, "image")) {
            rc = terms_add_image(terms, part->data, part->len, 1, err);
            continue;
        }
        rc = answers_part_text(call, part, &text, err);
        if (!rc && !strcmp(part->name, "terms")) {
            struct jnode *nodes = NULL;
            if (call->json)
                rc = err_set(err, ERR_USAGE, "terms is given twice");
            if (!rc)
                rc = jnode_parse(text, part->len, "terms", &nodes, err);
            call->json = rc ? call->json : nodes;
            if (!rc)
                rc = terms_add_nodes(call, terms, nodes, err);
        } else if (!rc) {
            rc = fields_take_text(fields, part->name, text, err);
        }
    }
    return rc;
}

int handle_search(struct call *call, struct err *err)
{
    const struct http_request *r      = &call->x->request;
    struct search_input        input  = {.k = call->app->config.k};
    struct terms               terms  = {.n = 0};
    struct fields              fields = {
                     .table = search_fields, .n = sizeof search_fields / sizeof *search_fields, .into = &input};
    bool form = false;
    int  rc   = fields_take_query(&fields, r, err);
    if (!rc && !strcmp(r->method, "POST")) {
        rc = call_body(call, &form, err);
        if (!rc)
            rc = form ? take_form(call, &fields, &terms, err)
                      : fields_take_json(&fields, call->json, err);
    } else if (!rc && input.image) {
        rc = err_set(err, ERR_USAGE, "image is taken from a body alone");
    }
    if (!rc)
        rc = check_page(call, &input, err);
    if (!rc && input.q)
        rc = terms_add_text(&terms, input.q, 1, err);
    if (!rc && input.image)
        rc = terms_add_base64(call, &terms, input.image, 1, err);
    if (!rc && input.id)
        rc = terms_add_id(&terms, input.id, 1, err);
    if (!rc && input.terms)
        rc = terms_add_nodes(call, &terms, input.terms, err);
    bool list = terms.n == 0 && is_filtered(&fields);
    if (!rc && terms.n == 0 && (!list || input.hybrid || input.rerank))
        rc = err_set(err, ERR_USAGE, "what to search for is missing: q, image, id or terms");
    if (!rc && input.hybrid && input.rerank)
        rc = err_set(err, ERR_USAGE, "rerank does not go with hybrid");
    if (!rc && input.hybrid && input.pages)
        rc = err_set(err, ERR_USAGE, "pages does not go with hybrid");
    if (!rc && list)
        return answer_list(call, &input, &fields, err);
    return rc ? rc : answer(call, &terms, &input, &fields, err);
}
