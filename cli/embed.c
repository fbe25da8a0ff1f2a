/* osprey embed: the embedding of a text or a picture. Needs no library. */
#include "cli/commands.h"
#include "cli/npy.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/terms.h"

#include "base/file.h"
#include "base/mem.h"
#include "storage/query.h"

#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "Prints the embedding of a text, or of a picture: a vector of length 1.\n"
    "\n"
    "Usage: osprey embed [OPTION...] TEXT...\n"
    "       osprey embed [OPTION...] --image FILE\n"
    "\n"
    "The text is taken literally, its words joined by spaces. No library is needed;\n"
    "with --library the model is the one that fills it.\n"
    "\n"
    "  --image FILE        embed this picture\n"
    "  --npy FILE          write a NumPy array of float32 instead of JSON\n" HELP_LIBRARY HELP_MODEL
        HELP_PRECISION HELP_OUTPUT "\n"
    "Examples:\n"
    "  osprey embed a dog on a beach\n"
    "  osprey embed --image photo.jpg --npy photo.npy\n";

struct embed_request {
    char       *text;  /* owned, or NULL */
    const char *image; /* a file, or NULL */
    const char *npy;   /* a file, or NULL */
};

/* --image FILE or text, not both, not neither. */
static int read_args(const struct args *args, struct embed_request *r, struct err *err)
{
    size_t words = 0;
    for (size_t i = 0; i < args->n; i++) {
        if (args->items[i].kind == ARG_IMAGE) {
            if (r->image)
                return err_set(err, ERR_USAGE, "embed takes one picture at a time");
            r->image = args->items[i].text;
        } else {
            words += args->items[i].kind != ARG_END;
        }
    }
    if (r->image && words)
        return err_set(err, ERR_USAGE, "embed takes a text or --image, not both");
    return r->image ? 0 : terms_literal(args, &r->text, err);
}

static int encode(struct session *s, const struct embed_request *r, float *vector, struct err *err)
{
    if (r->text) {
        const char *const texts[] = {r->text};
        return encoder_texts(s->enc, s->scratch, texts, 1, vector, err);
    }
    uint8_t *bytes = NULL;
    size_t   len   = 0;
    int      rc    = file_read(r->image, QUERY_MAX_IMAGE_BYTES, &bytes, &len, err);
    if (!rc) {
        rc = encoder_image_bytes(s->enc, s->scratch, bytes, len, vector, err);
        if (rc)
            err_prefix(err, "cannot embed %s", r->image);
    }
    free(bytes);
    return rc;
}

static int print(const struct encoder_info *info, const float *vector, const char *npy,
                 struct err *err)
{
    struct jnode *o = jnode_object(), *a = npy ? NULL : jnode_array();
    int           failed = !o || (!npy && !a);
    if (failed) {
        jnode_free(a);
        return out_json(o, failed, err);
    }
    failed |= jnode_set_str(o, "model", info->name);
    failed |= jnode_set_int(o, "dimension", info->dim);
    for (int i = 0; a && i < info->dim; i++)
        failed |= jnode_push_real(a, (double)vector[i]);
    failed |= a ? jnode_set(o, "embedding", a) : jnode_set_path(o, "npy", npy);
    return out_json(o, failed, err);
}

static int embed(struct session *s, const struct embed_request *r, struct err *err)
{
    int rc = 0;
    if (s->common->library) {
        rc = session_library(s, err);
        if (!rc)
            rc = session_library_encoder(s, err);
    } else {
        rc = session_encoder(s, err);
    }
    if (rc)
        return rc;
    const struct encoder_info *info   = encoder_info(s->enc);
    float                     *vector = mem_array((size_t)info->dim, sizeof *vector);
    if (!vector)
        return err_set(err, ERR_NOMEM, "out of memory");
    rc = encode(s, r, vector, err);
    if (!rc && r->npy)
        rc = npy_write(r->npy, vector, (size_t)info->dim, err);
    if (!rc && (!r->npy || s->common->json))
        rc = print(info, vector, r->npy, err);
    free(vector);
    return rc;
}

int cmd_embed(int argc, char **argv)
{
    struct common            common;
    struct args              args    = {0};
    struct embed_request     request = {0};
    struct session           session = SESSION_INIT(&common);
    struct err               err     = ERR_INIT;
    const struct option_spec own[]   = {
          {.name = "--image", .kind = OPTION_IMAGE},
          {.name = "--npy", .kind = OPTION_TEXT, .target = &request.npy},
    };
    int rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc)
        rc = read_args(&args, &request, &err);
    if (!rc)
        rc = embed(&session, &request, &err);
out:
    session_release(&session);
    args_release(&args);
    free(request.text);
    return rc ? fail("embed", &err) : EXIT_FOUND;
}
