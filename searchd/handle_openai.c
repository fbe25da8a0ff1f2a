/* POST /v1/embeddings, in the shape that OpenAI's clients send and read. A string
 * that is a data URL of an image is a picture. */
#include "searchd/handlers.h"

#include "base/mem.h"
#include "searchd/answers.h"
#include "searchd/terms.h"
#include "searchd/vectors.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_INPUTS 512
#define MAX_IMAGES 32

struct embeddings_input {
    const struct jnode *input;
    const char         *encoding_format;
    int64_t             dimensions;
};

static const struct field embeddings_fields[] = {
    {"input", FIELD_NODE, 0, 0, offsetof(struct embeddings_input, input)},
    {"encoding_format", FIELD_TEXT, 0, 0, offsetof(struct embeddings_input, encoding_format)},
    {"dimensions", FIELD_INT, 1, 65536, offsetof(struct embeddings_input, dimensions)},
};

static int read_inputs(const struct jnode *node, const char **out, size_t *n, struct err *err)
{
    *n = 1;
    if (jnode_to_str(node, &out[0]))
        return *out[0] ? 0 : err_set(err, ERR_USAGE, "input must not be empty");
    *n = jnode_len(node);
    if (!jnode_is_array(node) || *n < 1 || *n > MAX_INPUTS)
        return err_set(err, ERR_USAGE, "input must be a text, or an array of 1 to %d texts",
                       MAX_INPUTS);
    for (size_t i = 0; i < *n; i++)
        if (!jnode_to_str(jnode_at(node, i), &out[i]) || !*out[i])
            return err_set(err, ERR_USAGE,
                           "input[%zu] must be a text that is not empty; token ids are not taken",
                           i);
    return 0;
}

/* out: (n, dim). Runs of texts go in one call. */
static int encode_inputs(struct call *call, struct desk *desk, const char *const *inputs, size_t n,
                         float *out, struct err *err)
{
    size_t dim = (size_t)encoder_info(desk_encoder(desk))->dim, images = 0, run;
    int    rc = 0;
    for (size_t i = 0; i < n && !rc; i += run) {
        run = 0;
        while (i + run < n && strncasecmp(inputs[i + run], "data:", 5) != 0 && !rc) {
            if (strlen(inputs[i + run]) > TERMS_MAX_TEXT)
                rc = err_set(err, ERR_USAGE, "a text has at most %d bytes", TERMS_MAX_TEXT);
            run++;
        }
        if (!rc && run > 0) {
            rc = terms_encode_texts(call, desk, inputs + i, run, out + i * dim, err);
        } else if (!rc) {
            uint8_t *bytes = NULL;
            size_t   len   = 0;
            run            = 1;
            if (++images > MAX_IMAGES)
                rc = err_set(err, ERR_USAGE, "at most %d pictures are taken at once", MAX_IMAGES);
            if (!rc)
                rc = terms_decode(call, inputs[i], &bytes, &len, err);
            if (!rc)
                rc = terms_encode_image(call, desk, bytes, len, out + i * dim, NULL, err);
        }
    }
    return rc;
}

static int fill(struct call *call, const struct encoder_info *model, const float *vectors, size_t n,
                bool base64, struct err *err)
{
    size_t        dim    = (size_t)model->dim;
    struct jnode *data   = jnode_array();
    struct jnode *usage  = jnode_object();
    struct jnode *node   = jnode_object();
    int           failed = 0;
    for (size_t i = 0; i < n; i++) {
        struct jnode *item = jnode_object();
        failed |=
            jnode_set_str(item, "object", "embedding") | jnode_set_int(item, "index", (int64_t)i);
        if (base64) {
            char *text = vector_to_base64(vectors + i * dim, dim);
            failed |= text ? jnode_set_str(item, "embedding", text) : -1;
            free(text);
        } else {
            failed |= jnode_set(item, "embedding", vector_to_array(vectors + i * dim, dim));
        }
        failed |= jnode_push(data, item);
    }
    /* Nothing is metered here; clients expect the fields. */
    failed |= jnode_set_int(usage, "prompt_tokens", 0) | jnode_set_int(usage, "total_tokens", 0) |
              jnode_set_str(node, "object", "list") | jnode_set(node, "data", data) |
              jnode_set_str(node, "model", model->name) | jnode_set(node, "usage", usage);
    return answers_send(call, node, 0, failed, err);
}

int handle_embeddings(struct call *call, struct err *err)
{
    struct embeddings_input input = {.input = NULL};
    const char             *inputs[MAX_INPUTS];
    size_t                  n       = 0;
    struct desk            *desk    = NULL;
    float                  *vectors = NULL;
    struct fields           fields  = {.table = embeddings_fields,
                                       .n     = sizeof embeddings_fields / sizeof *embeddings_fields,
                                       .into  = &input,
                                       .lenient = true};
    int                     rc      = call_take_json(call, &fields, err);
    if (!rc && !input.input)
        rc = err_set(err, ERR_USAGE, "input is missing");
    if (!rc)
        rc = read_inputs(input.input, inputs, &n, err);
    bool base64 = input.encoding_format && !strcmp(input.encoding_format, "base64");
    if (!rc && input.encoding_format && !base64 && strcmp(input.encoding_format, "float") != 0)
        rc = err_set(err, ERR_USAGE, "encoding_format must be float or base64");
    if (!rc)
        rc = call_desk(call, &desk, err);
    const struct encoder_info *model = rc ? NULL : encoder_info(desk_encoder(desk));
    if (!rc && input.dimensions && input.dimensions != model->dim)
        rc = err_set(err, ERR_USAGE, "the model %s has %d dimensions, and no fewer", model->name,
                     model->dim);
    if (!rc && !(vectors = mem_array(n * (size_t)model->dim, sizeof *vectors)))
        rc = answers_no_memory(err);
    if (!rc)
        rc = encode_inputs(call, desk, inputs, n, vectors, err);
    if (!rc)
        rc = fill(call, model, vectors, n, base64, err);
    free(vectors);
    desk_release(desk);
    return rc;
}
