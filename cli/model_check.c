/* osprey model check (model_check.h).
 *
 * The golden file, as tools/goldens/clip.py writes it with the reference
 * implementation, holds one or both of
 *
 *   pixels (n, size, size, 3) U8     image (n, dim) F32
 *   ids (total) I32, starts (n + 1) I32   text (n, dim) F32
 *
 * where pixels are what preprocessing leaves, ids are the texts' tokens laid end to
 * end (text i is ids[starts[i] .. starts[i + 1])), and embeddings are normalised.
 * So towers are compared apart from tokenizers and decoders.
 */
#include "cli/model_check.h"

#include "cli/output.h"
#include "cli/system.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/safetensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By precision, what counts as the same model: differences of components in full
 * precision, cosines in reduced ones. */
#define TOLERANCE_F32 2e-5
#define COSINE_BF16   0.9995
#define COSINE_INT8   0.998
#define MAX_ITEMS     100000

/* How far one tower's embeddings are from the reference. */
struct difference {
    int    n;
    double max_abs, min_cosine;
    bool   ok;
};

struct check {
    struct session            *session;
    const struct safetensors  *golden;
    const struct encoder_info *info;
};

static int require(const struct check *c, const char *name, enum dtype dtype, int n_dims,
                   const int64_t *dims, const struct tensor **t, struct err *err)
{
    int rc = safetensors_require(c->golden, name, n_dims, dims, t, err);
    if (!rc && (*t)->dtype != dtype)
        rc = err_set(err, ERR_FORMAT, "%s: %s is not of the type that a golden file has",
                     safetensors_path(c->golden), name);
    return rc;
}

/* The number of items, taken from the reference's rows. */
static int count_items(const struct check *c, const char *name, int *n, struct err *err)
{
    const struct tensor *t = safetensors_find(c->golden, name);
    if (!t)
        return err_set(err, ERR_FORMAT, "%s has no %s", safetensors_path(c->golden), name);
    if (t->n_dims != 2 || t->dims[0] < 1 || t->dims[0] > MAX_ITEMS)
        return err_set(err, ERR_FORMAT, "%s: %s is not a table of embeddings",
                       safetensors_path(c->golden), name);
    *n = (int)t->dims[0];
    return 0;
}

static void compare(const float *got, const float *want, int n, int dim, struct difference *d)
{
    *d = (struct difference){.n = n, .min_cosine = 1};
    for (int i = 0; i < n; i++) {
        double dot = 0, a = 0, b = 0;
        for (int k = 0; k < dim; k++) {
            double x = got[(ptrdiff_t)i * dim + k], y = want[(ptrdiff_t)i * dim + k];
            double apart = fabs(x - y);
            if (!(apart <= d->max_abs)) /* also NaN */
                d->max_abs = apart;
            dot += x * y;
            a += x * x;
            b += y * y;
        }
        double cosine = dot / sqrt(a * b);
        if (!(cosine >= d->min_cosine))
            d->min_cosine = cosine;
    }
}

/* Compares what a tower made with the tensor of that name. */
static int against(const struct check *c, const char *name, const float *got, int n,
                   struct difference *d, struct err *err)
{
    const struct tensor *t;
    int64_t              dims[] = {n, c->info->dim};
    int                  rc     = require(c, name, DTYPE_F32, 2, dims, &t, err);
    float *want = rc ? NULL : mem_array((size_t)n * (size_t)c->info->dim, sizeof *want);
    if (!rc && !want)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (!rc)
        rc = tensor_to_f32(t, want, err);
    if (!rc)
        compare(got, want, n, c->info->dim, d);
    free(want);
    return rc;
}

static int check_images(const struct check *c, struct difference *d, struct err *err)
{
    const struct tensor *pixels;
    int                  n    = 0;
    int                  rc   = count_items(c, "image", &n, err);
    int64_t              size = c->info->image_size, dims[] = {n, size, size, 3};
    if (!rc)
        rc = require(c, "pixels", DTYPE_U8, 4, dims, &pixels, err);
    float *got = rc ? NULL : mem_array((size_t)n * (size_t)c->info->dim, sizeof *got);
    if (!rc && !got)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (!rc)
        rc = encoder_images(c->session->enc, c->session->scratch, pixels->data, n, got, err);
    if (!rc)
        rc = against(c, "image", got, n, d, err);
    free(got);
    return rc;
}

/* A vector of I32, copied: the file may have it at any address. */
static int integers(const struct check *c, const char *name, int64_t n, int32_t **out,
                    struct err *err)
{
    const struct tensor *t = safetensors_find(c->golden, name);
    if (!t)
        return err_set(err, ERR_FORMAT, "%s has no %s", safetensors_path(c->golden), name);
    int rc = require(c, name, DTYPE_I32, 1, n < 0 ? t->dims : &n, &t, err);
    if (rc)
        return rc;
    *out = mem_array((size_t)t->elements, sizeof **out);
    if (!*out)
        return err_set(err, ERR_NOMEM, "out of memory");
    if (t->elements > 0)
        memcpy(*out, t->data, (size_t)t->elements * sizeof **out);
    return 0;
}

static int check_texts(const struct check *c, struct difference *d, struct err *err)
{
    int32_t *ids = NULL, *starts = NULL;
    float   *got = NULL;
    int      n   = 0;
    int      rc  = count_items(c, "text", &n, err);
    if (!rc)
        rc = integers(c, "ids", -1, &ids, err);
    if (!rc)
        rc = integers(c, "starts", (int64_t)n + 1, &starts, err);
    /* that starts rise is checked behind encoder_tokens, before ids are read */
    for (int i = 0; !rc && i <= n; i++) {
        if (starts[i] < 0 || starts[i] > safetensors_find(c->golden, "ids")->elements)
            rc = err_set(err, ERR_FORMAT, "%s: starts points outside ids",
                         safetensors_path(c->golden));
    }
    got = rc ? NULL : mem_array((size_t)n * (size_t)c->info->dim, sizeof *got);
    if (!rc && !got)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (!rc && encoder_tokens(c->session->enc, c->session->scratch, ids, starts, n, got, err))
        rc = err_prefix(err, "%s", safetensors_path(c->golden));
    if (!rc)
        rc = against(c, "text", got, n, d, err);
    free(got);
    free(ids);
    free(starts);
    return rc;
}

static void judge(const struct check *c, const struct model_check *how, struct difference *d)
{
    if (how->given)
        d->ok = d->max_abs <= how->tolerance;
    else if (strcmp(c->info->precision, "bf16") == 0)
        d->ok = d->min_cosine >= COSINE_BF16;
    else if (strcmp(c->info->precision, "int8") == 0)
        d->ok = d->min_cosine >= COSINE_INT8;
    else
        d->ok = d->max_abs <= TOLERANCE_F32;
}

static void print_line(const char *what, const struct difference *d)
{
    if (d->n > 0)
        printf("%s   %d: components at most %.2g apart, cosine at least %.7f: %s\n", what, d->n,
               d->max_abs, d->min_cosine, d->ok ? "the same" : "DIFFERENT");
}

static int set_distance(struct jnode *o, const char *key, const struct difference *d)
{
    struct jnode *inner = d->n > 0 ? jnode_object() : NULL;
    int           bad   = 0;
    if (d->n == 0)
        return jnode_set_str(o, key, NULL);
    if (!inner)
        return -1;
    bad |= jnode_set_int(inner, "n", d->n);
    bad |= jnode_set_real(inner, "max_abs", d->max_abs);
    bad |= jnode_set_real(inner, "min_cosine", d->min_cosine);
    bad |= jnode_set_bool(inner, "ok", d->ok);
    return bad | jnode_set(o, key, inner);
}

static int report(const struct check *c, const struct difference *images,
                  const struct difference *texts, bool ok, struct err *err)
{
    if (!c->session->common->json) {
        printf("model    %s, %s, %s kernels\ngolden   ", c->info->name, c->info->precision,
               c->info->cpu);
        out_path(safetensors_path(c->golden));
        putchar('\n');
        print_line("images", images);
        print_line("texts ", texts);
        return 0;
    }
    struct jnode *o   = jnode_object();
    int           bad = !o;
    if (o) {
        bad |= jnode_set_path(o, "model", c->info->name);
        bad |= jnode_set_path(o, "golden", safetensors_path(c->golden));
        bad |= jnode_set_str(o, "precision", c->info->precision);
        bad |= jnode_set_str(o, "kernels", c->info->cpu);
        bad |= jnode_set_bool(o, "ok", ok);
        bad |= set_distance(o, "images", images);
        bad |= set_distance(o, "texts", texts);
    }
    return out_json(o, bad, err);
}

int model_check(struct session *s, const struct model_check *how, struct err *err)
{
    struct safetensors *golden = NULL;
    struct difference   images = {.ok = true}, texts = {.ok = true};
    char               *beside = NULL;
    int                 rc     = session_encoder(s, err);
    if (!rc && !how->golden &&
        !(beside = path_join(encoder_info(s->enc)->dir, "golden.safetensors")))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (!rc)
        rc = safetensors_open(how->golden ? how->golden : beside, &golden, err);
    if (rc)
        goto out;
    struct check c = {.session = s, .golden = golden, .info = encoder_info(s->enc)};
    if (!safetensors_find(golden, "image") && !safetensors_find(golden, "text")) {
        rc = err_set(err, ERR_FORMAT, "%s holds no reference embeddings: neither image nor text",
                     safetensors_path(golden));
        goto out;
    }
    if (safetensors_find(golden, "image")) {
        rc = check_images(&c, &images, err);
        judge(&c, how, &images);
    }
    if (!rc && safetensors_find(golden, "text")) {
        rc = check_texts(&c, &texts, err);
        judge(&c, how, &texts);
    }
    if (!rc)
        rc = report(&c, &images, &texts, images.ok && texts.ok, err);
    if (!rc && !(images.ok && texts.ok))
        rc = err_set(err, ERR_FAILED, "%s does not make the embeddings in %s", c.info->name,
                     safetensors_path(golden));
out:
    safetensors_close(golden);
    free(beside);
    return rc;
}
