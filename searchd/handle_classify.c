/* /v1/classify: which of the labels given fits a picture, without training.
 *
 * As CLIP does it (Radford et al. 2021, section 3.1): each label is put into each
 * prompt, the embeddings are averaged and normalised again, and the picture's
 * similarities to them, multiplied by a scale, go through a softmax.
 */
#include "searchd/handlers.h"

#include "base/mem.h"
#include "searchd/answers.h"
#include "searchd/terms.h"
#include "text/prompt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LABELS    1000
#define MAX_PROMPTS   64
#define MAX_TEXTS     8192 /* labels * prompts */
#define BATCH         64
#define DEFAULT_SCALE 100 /* where CLIP's training ends: its logit scale is held there */

struct classify_input {
    const char         *image, *prompt;
    const struct jnode *labels, *prompts;
    int64_t             id;
    double              scale;
};

static const struct field classify_fields[] = {
    {"labels", FIELD_NODE, 0, 0, offsetof(struct classify_input, labels)},
    {"prompts", FIELD_NODE, 0, 0, offsetof(struct classify_input, prompts)},
    {"prompt", FIELD_TEXT, 0, 0, offsetof(struct classify_input, prompt)},
    {"image", FIELD_TEXT, 0, 0, offsetof(struct classify_input, image)},
    {"id", FIELD_INT, 1, 1e12, offsetof(struct classify_input, id)},
    {"scale", FIELD_REAL, 0.01, 1000, offsetof(struct classify_input, scale)},
};

struct classify {
    const char *labels[MAX_LABELS], *prompts[MAX_PROMPTS];
    size_t      n_labels, n_prompts;
    float       scores[MAX_LABELS];
};

static int read_list(const struct jnode *node, const char *name, size_t max, const char **out,
                     size_t *n, struct err *err)
{
    *n = jnode_len(node);
    if (!jnode_is_array(node) || *n < 1 || *n > max)
        return err_set(err, ERR_USAGE, "%s must be an array of 1 to %zu texts", name, max);
    for (size_t i = 0; i < *n; i++)
        if (!jnode_to_str(jnode_at(node, i), &out[i]) || !*out[i] ||
            strlen(out[i]) > TERMS_MAX_TEXT / 2)
            return err_set(err, ERR_USAGE, "%s[%zu] must be a text of 1 to %d bytes", name, i,
                           TERMS_MAX_TEXT / 2);
    return 0;
}

static int read_lists(const struct classify_input *input, struct classify *c, struct err *err)
{
    int rc = read_list(input->labels, "labels", MAX_LABELS, c->labels, &c->n_labels, err);
    if (!rc && input->prompts && input->prompt)
        return err_set(err, ERR_USAGE, "give either prompt or prompts");
    c->prompts[0] = input->prompt ? input->prompt : PROMPT_DEFAULT;
    c->n_prompts  = 1;
    if (!rc && input->prompts)
        rc = read_list(input->prompts, "prompts", MAX_PROMPTS, c->prompts, &c->n_prompts, err);
    for (size_t i = 0; i < c->n_prompts && !rc; i++)
        if (!strstr(c->prompts[i], "{}"))
            rc = err_set(err, ERR_USAGE, "a prompt has {} where the label goes: %.100s",
                         c->prompts[i]);
    if (!rc && c->n_labels * c->n_prompts > MAX_TEXTS)
        rc = err_set(err, ERR_USAGE, "labels times prompts may be at most %d", MAX_TEXTS);
    return rc;
}

/* The texts of n labels from first on: (n, n_prompts). */
static int fill_prompts(const struct classify *c, size_t first, size_t n, char **texts,
                        struct err *err)
{
    for (size_t i = 0; i < n * c->n_prompts; i++) {
        texts[i] =
            prompt_fill(c->prompts[i % c->n_prompts], c->labels[first + i / c->n_prompts], err);
        if (!texts[i])
            return err->code;
    }
    return 0;
}

static int score_some(struct call *call, struct desk *desk, struct classify *c, size_t first,
                      size_t n, const float *picture, struct err *err)
{
    size_t dim                  = (size_t)encoder_info(desk_encoder(desk))->dim;
    size_t n_texts              = n * c->n_prompts;
    float  weights[MAX_PROMPTS] = {0};
    char **texts                = mem_zeroed(n_texts, sizeof *texts);
    float *each                 = mem_array((n_texts + 1) * dim, sizeof *each);
    float *label                = each ? each + n_texts * dim : NULL;
    int    rc = texts && each ? fill_prompts(c, first, n, texts, err) : answers_no_memory(err);
    for (size_t i = 0; i < c->n_prompts; i++)
        weights[i] = 1;
    if (!rc)
        rc = terms_encode_texts(call, desk, (const char *const *)texts, n_texts, each, err);
    if (!rc)
        encoder_as_names(desk_encoder(desk), each, (int)n_texts);
    for (size_t i = 0; i < n && !rc; i++) {
        double sum = 0;
        rc = query_combine(each + i * c->n_prompts * dim, weights, c->n_prompts, (int)dim, label,
                           err);
        for (size_t d = 0; d < dim && !rc; d++)
            sum += (double)picture[d] * (double)label[d];
        c->scores[first + i] = (float)sum;
    }
    for (size_t i = 0; texts && i < n_texts; i++)
        free(texts[i]);
    free(texts);
    free(each);
    return rc;
}

/* So many labels at a time as make a batch of texts. */
static int score_labels(struct call *call, struct desk *desk, struct classify *c,
                        const float *picture, struct err *err)
{
    size_t some = c->n_prompts < BATCH ? BATCH / c->n_prompts : 1;
    int    rc   = 0;
    for (size_t i = 0; i < c->n_labels && !rc; i += some) {
        size_t n = c->n_labels - i < some ? c->n_labels - i : some;
        rc       = score_some(call, desk, c, i, n, picture, err);
    }
    return rc;
}

static int by_score(const void *a, const void *b, void *scores)
{
    const float *s = scores;
    size_t       i = *(const size_t *)a, k = *(const size_t *)b;
    return s[i] > s[k] ? -1 : s[i] < s[k] ? 1 : i < k ? -1 : i > k;
}

static int fill(struct call *call, struct classify *c, double scale, struct err *err)
{
    size_t        order[MAX_LABELS];
    double        sum    = 0;
    int           failed = 0;
    struct jnode *list   = jnode_array();
    struct jnode *node   = jnode_object();
    for (size_t i = 0; i < c->n_labels; i++)
        order[i] = i;
    qsort_r(order, c->n_labels, sizeof *order, by_score, c->scores);
    double best = (double)c->scores[order[0]];
    for (size_t i = 0; i < c->n_labels; i++)
        sum += exp(scale * ((double)c->scores[i] - best));
    for (size_t i = 0; i < c->n_labels; i++) {
        struct jnode *result = jnode_object();
        double        score  = (double)c->scores[order[i]];
        failed |= jnode_set_str(result, "label", c->labels[order[i]]) |
                  jnode_set_real(result, "score", score) |
                  jnode_set_real(result, "probability", exp(scale * (score - best)) / sum) |
                  jnode_push(list, result);
    }
    failed |= jnode_set(node, "results", list) | jnode_set(node, "took_ms", call_took(call));
    return answers_send(call, node, 0, failed, err);
}

/* A form: `image` is a file, `request` the JSON of everything else. */
static int take_form(struct call *call, struct fields *fields, struct terms *terms, struct err *err)
{
    const char *text = NULL;
    int         rc   = 0;
    for (size_t i = 0; i < call->form.n && !rc; i++) {
        const struct multipart_part *part = &call->form.parts[i];
        if (!strcmp(part->name, "image"))
            rc = terms_add_image(terms, part->data, part->len, 1, err);
        else if (strcmp(part->name, "request") != 0 || text)
            rc = err_set(err, ERR_USAGE, "a form has the parts image and request, once");
        else
            rc = answers_part_text(call, part, &text, err);
    }
    if (!rc && !text)
        rc = err_set(err, ERR_USAGE, "the form's part request is missing");
    if (!rc)
        rc = jnode_parse(text, strlen(text), "request", &call->json, err);
    return rc ? rc : fields_take_json(fields, call->json, err);
}

int handle_classify(struct call *call, struct err *err)
{
    struct classify_input input   = {.scale = DEFAULT_SCALE};
    struct terms          terms   = {.n = 0};
    struct fields         fields  = {.table = classify_fields,
                                     .n     = sizeof classify_fields / sizeof *classify_fields,
                                     .into  = &input};
    struct classify      *c       = mem_zeroed(1, sizeof *c);
    struct desk          *desk    = NULL;
    float                *picture = NULL;
    bool                  form    = false;
    int                   rc      = c ? call_no_query(call, err) : answers_no_memory(err);
    if (!rc)
        rc = call_body(call, &form, err);
    if (!rc)
        rc = form ? take_form(call, &fields, &terms, err)
                  : fields_take_json(&fields, call->json, err);
    if (!rc)
        rc = read_lists(&input, c, err);
    if (!rc && input.image)
        rc = terms_add_base64(call, &terms, input.image, 1, err);
    if (!rc && input.id)
        rc = terms_add_id(&terms, input.id, 1, err);
    if (!rc && terms.n != 1)
        rc = err_set(err, ERR_USAGE, "one picture is needed: image or id");
    if (!rc)
        rc = call_desk(call, &desk, err);
    if (!rc &&
        !(picture = mem_array((size_t)encoder_info(desk_encoder(desk))->dim, sizeof *picture)))
        rc = answers_no_memory(err);
    if (!rc)
        rc = terms_encode(call, desk, &terms, picture, err);
    if (!rc)
        rc = score_labels(call, desk, c, picture, err);
    if (!rc)
        rc = fill(call, c, input.scale, err);
    free(picture);
    desk_release(desk);
    free(c);
    return rc;
}
