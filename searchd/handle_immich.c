/* POST /predict and GET /ping, as an immich server asks its machine-learning service
 * for CLIP embeddings.
 *
 * A form with the part `entries`, {"clip": {"visual" | "textual": {"modelName": ...,
 * "options": ...}}}, and the part `image` (a file) or `text`. The answer is {"clip":
 * "[...]"}, the vector as a string of JSON, and for a picture its size. Whatever
 * model is named, the library's answers: what immich stores must come from one. Other
 * tasks (faces, text in pictures) are refused.
 */
#include "searchd/handlers.h"

#include "base/mem.h"
#include "searchd/answers.h"
#include "searchd/reply.h"
#include "searchd/terms.h"
#include "searchd/vectors.h"

#include <stdlib.h>
#include <string.h>

int handle_ping(struct call *call, struct err *err)
{
    (void)err;
    reply_text(&call->x->reply, 200, TYPE_TEXT, "pong");
    return 0;
}

/* *visual: a picture is asked for, else a text. */
static int read_entries(struct call *call, bool *visual, struct err *err)
{
    const struct multipart_part *part = multipart_find(&call->form, "entries");
    void                        *it   = NULL;
    const char                  *task, *kind;
    const struct jnode          *value;
    if (!part)
        return err_set(err, ERR_USAGE, "the form's part entries is missing");
    int rc = jnode_parse((const char *)part->data, part->len, "entries", &call->json, err);
    if (rc)
        return rc;
    if (!jnode_is_object(call->json) || !jnode_next(call->json, &it, &task, &value) ||
        strcmp(task, "clip") != 0 || jnode_len(call->json) != 1)
        return err_set(err, ERR_UNSUPPORTED, "entries must ask for the task clip alone");
    it = NULL;
    if (!jnode_is_object(value) || jnode_len(value) != 1 || !jnode_next(value, &it, &kind, &value))
        return err_set(err, ERR_USAGE, "the task clip must have visual or textual");
    *visual = !strcmp(kind, "visual");
    return *visual || !strcmp(kind, "textual")
               ? 0
               : err_set(err, ERR_USAGE, "the task clip has visual or textual, not %.40s", kind);
}

static int fill(struct call *call, const float *vector, size_t dim, const struct image_info *info,
                struct err *err)
{
    struct jnode *node   = jnode_object();
    char         *text   = vector_to_text(vector, dim);
    int           failed = text ? jnode_set_str(node, "clip", text) : -1;
    free(text);
    if (info)
        failed |= jnode_set_int(node, "imageHeight", info->height) |
                  jnode_set_int(node, "imageWidth", info->width);
    return answers_send(call, node, 0, failed, err);
}

static int encode(struct call *call, struct desk *desk, bool visual, float *out,
                  struct image_info *info, struct err *err)
{
    const char                  *name = visual ? "image" : "text";
    const struct multipart_part *part = multipart_find(&call->form, name);
    const char                  *text;
    if (!part)
        return err_set(err, ERR_USAGE, "the form's part %s is missing", name);
    if (visual)
        return terms_encode_image(call, desk, part->data, part->len, out, info, err);
    int rc = answers_part_text(call, part, &text, err);
    if (!rc && strlen(text) > TERMS_MAX_TEXT)
        rc = err_set(err, ERR_USAGE, "a text has at most %d bytes", TERMS_MAX_TEXT);
    return rc ? rc : terms_encode_texts(call, desk, &text, 1, out, err);
}

int handle_predict(struct call *call, struct err *err)
{
    struct image_info info   = {.kind = IMAGE_UNKNOWN};
    struct desk      *desk   = NULL;
    float            *vector = NULL;
    bool              form = false, visual = false;
    int               rc = call_body(call, &form, err);
    if (!rc && !form)
        rc = err_set(err, ERR_USAGE, "the body must be multipart/form-data");
    if (!rc)
        rc = read_entries(call, &visual, err);
    if (!rc)
        rc = call_desk(call, &desk, err);
    size_t dim = rc ? 0 : (size_t)encoder_info(desk_encoder(desk))->dim;
    if (!rc && !(vector = mem_array(dim, sizeof *vector)))
        rc = answers_no_memory(err);
    if (!rc)
        rc = encode(call, desk, visual, vector, &info, err);
    if (!rc)
        rc = fill(call, vector, dim, visual ? &info : NULL, err);
    free(vector);
    desk_release(desk);
    return rc;
}
