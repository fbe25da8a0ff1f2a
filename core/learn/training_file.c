/* The checkpoint of a training: see training_file.h. */
#include "learn/training_file.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAMILY "osprey training "
#define FORMAT FAMILY "2"
#define PREFIX "run: " /* of a trait's key */
#define KEY    128
#define ARRAYS 5 /* of a parameter */

/* ---- What a run is ---- */

/* One too many is counted and takes the last one's place: no file is made or read then. */
static struct training_trait *add_trait(struct training_traits *t, const char *name)
{
    size_t at   = t->n < TRAINING_TRAITS ? t->n : TRAINING_TRAITS - 1;
    t->list[at] = (struct training_trait){.name = name};
    t->n++;
    return &t->list[at];
}

static int check_room(const struct training_traits *t, const char *path, struct err *err)
{
    return t->n <= TRAINING_TRAITS
               ? 0
               : err_set(err, ERR_LIMIT, "cannot keep %s: a training has more than %d traits", path,
                         TRAINING_TRAITS);
}

void training_trait_text(struct training_traits *t, const char *name, const char *value)
{
    (void)snprintf(add_trait(t, name)->value, TRAINING_TRAIT_TEXT, "%s", value);
}

/* As few digits as tell it from all others. */
void training_trait_real(struct training_traits *t, const char *name, double value)
{
    char *text = add_trait(t, name)->value;
    for (int digits = 6; digits <= 17; digits++) {
        (void)snprintf(text, TRAINING_TRAIT_TEXT, "%.*g", digits, value);
        if (!(strtod(text, NULL) < value) && !(strtod(text, NULL) > value))
            return;
    }
}

void training_trait_digest(struct training_traits *t, const char *name, const void *data, size_t n)
{
    uint8_t                hash[HASH_BYTES];
    struct training_trait *trait = add_trait(t, name);
    hash_bytes(data, n, hash);
    hash_hex(hash, trait->value);
    trait->digest = true;
}

/* ---- What is kept of it ---- */

static size_t dtype_bytes(enum dtype dtype)
{
    return dtype == DTYPE_U8 ? 1 : dtype == DTYPE_I64 ? 8 : 4; /* F32 and I32: 4 */
}

void training_keep(struct training_kept *k, const char *name, enum dtype dtype, size_t n,
                   void *data)
{
    if (k->n == k->room) {
        size_t         room = k->room ? 2 * k->room : 64;
        struct tensor *more = mem_regrow(k->tensors, room, sizeof *more);
        k->failed           = k->failed || !more;
        if (!more)
            return;
        k->tensors = more;
        k->room    = room;
    }
    const char *own = mem_strdup(name);
    k->failed       = k->failed || !own;
    if (own)
        k->tensors[k->n++] = (struct tensor){.name   = own,
                                             .dtype  = dtype,
                                             .n_dims = 1,
                                             .dims   = {(int64_t)n},
                                             .data   = data,
                                             .bytes  = n * dtype_bytes(dtype)};
}

void training_keep_adamw(struct training_kept *k, struct adamw *a, float *const *best)
{
    static const char *const names[ARRAYS] = {"value", "m", "v", "ema", "best"};
    for (int i = 0; i < a->n; i++) {
        const struct param_f32 *p = &a->params[i];
        float *arrays[ARRAYS]     = {p->value, a->m[i], a->v[i], a->ema ? a->ema[i] : NULL,
                                 best ? best[i] : NULL};
        for (int j = 0; j < ARRAYS; j++) {
            char name[KEY];
            (void)snprintf(name, sizeof name, "%s/%s", p->name, names[j]);
            if (arrays[j])
                training_keep(k, name, DTYPE_F32, (size_t)p->rows * (size_t)p->cols, arrays[j]);
        }
    }
    training_keep(k, "optimiser.steps", DTYPE_I64, 1, &a->steps);
}

void training_kept_release(struct training_kept *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->n; i++)
        free((void *)(uintptr_t)k->tensors[i].name);
    free(k->tensors);
    *k = (struct training_kept){0};
}

/* ---- Writing ---- */

/* Over names and contents. */
static int sum_up(const struct tensor *tensors, size_t n, char out[HASH_HEX])
{
    uint8_t(*sums)[HASH_BYTES] = mem_array(2 * n + 1, sizeof *sums), all[HASH_BYTES];
    if (!sums)
        return -1;
    for (size_t i = 0; i < n; i++) {
        hash_bytes(tensors[i].name, strlen(tensors[i].name), sums[2 * i]);
        hash_bytes(tensors[i].data, tensors[i].bytes, sums[2 * i + 1]);
    }
    hash_bytes(sums, 2 * n * sizeof *sums, all);
    hash_hex(all, out);
    free(sums);
    return 0;
}

int training_file_write(const char *path, const struct training_traits *traits,
                        const struct training_kept *kept, struct err *err)
{
    char        sum[HASH_HEX], keys[TRAINING_TRAITS][KEY];
    const char *pairs[2 * (TRAINING_TRAITS + 2)] = {"format", FORMAT, "checksum", sum};
    size_t      n                                = 2;
    int         rc                               = check_room(traits, path, err);
    if (rc)
        return rc;
    if (kept->failed || sum_up(kept->tensors, kept->n, sum))
        return err_set(err, ERR_NOMEM, "cannot write %s: out of memory", path);
    for (size_t i = 0; i < traits->n; i++, n++) {
        (void)snprintf(keys[i], KEY, PREFIX "%s", traits->list[i].name);
        pairs[2 * n]     = keys[i];
        pairs[2 * n + 1] = traits->list[i].value;
    }
    return safetensors_write(path, kept->tensors, kept->n, pairs, n, err);
}

/* ---- Reading ---- */

struct training_file {
    struct safetensors *st;
};

int training_file_damaged(const char *path, const char *why, struct err *err)
{
    return err_set(err, ERR_DAMAGED,
                   "%s is damaged (%s): without --resume the training begins anew", path, why);
}

static int check_format(const struct safetensors *st, struct err *err)
{
    const char *format = safetensors_metadata(st, "format");
    if (!format || strncmp(format, FAMILY, strlen(FAMILY)) != 0)
        return err_set(err, ERR_DAMAGED,
                       "%s is no checkpoint of a training: without --resume the training begins "
                       "anew and replaces it",
                       safetensors_path(st));
    if (strcmp(format, FORMAT) != 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s is from another version of Osprey: go on with that one, or leave out "
                       "--resume and begin anew",
                       safetensors_path(st));
    return 0;
}

/* What differs, after what was said already; cut where there is no more room. */
static void tell_difference(const struct training_trait *t, const char *found, char *out, size_t n)
{
    size_t at = strlen(out);
    if (t->digest)
        (void)snprintf(out + at, n - at, "%sanother %s", at ? ", " : "", t->name);
    else
        (void)snprintf(out + at, n - at, "%s%s %.96s instead of %s", at ? ", " : "", t->name,
                       found ? found : "unknown", t->value);
}

static int check_traits(const struct safetensors *st, const struct training_traits *traits,
                        struct err *err)
{
    char differs[512] = "", key[KEY];
    for (size_t i = 0; i < traits->n; i++) {
        const struct training_trait *t = &traits->list[i];
        (void)snprintf(key, sizeof key, PREFIX "%s", t->name);
        const char *found = safetensors_metadata(st, key);
        if (!found || strcmp(found, t->value) != 0)
            tell_difference(t, found, differs, sizeof differs);
    }
    if (!*differs)
        return 0;
    return err_set(err, ERR_USAGE,
                   "%s was made with %s: --resume goes with the same options and data; without it "
                   "the training begins anew",
                   safetensors_path(st), differs);
}

static int check_sum(const struct safetensors *st, struct err *err)
{
    const char    *sum = safetensors_metadata(st, "checksum"), *path = safetensors_path(st);
    size_t         n = safetensors_count(st);
    char           own[HASH_HEX];
    struct tensor *all = mem_array(n + 1, sizeof *all);
    for (size_t i = 0; all && i < n; i++) /* in the header's order, as they were written */
        all[i] = *safetensors_at(st, i);
    int rc =
        all && !sum_up(all, n, own) ? 0 : err_set(err, ERR_NOMEM, "out of memory for %s", path);
    free(all);
    if (!rc && (!sum || strcmp(sum, own) != 0))
        rc = training_file_damaged(path, "its checksum does not fit", err);
    return rc;
}

int training_file_open(const char *path, const struct training_traits *traits,
                       struct training_file **out, struct err *err)
{
    struct safetensors   *st  = NULL;
    struct err            why = ERR_INIT;
    struct training_file *f   = NULL;
    int                   rc  = check_room(traits, path, err);
    if (!rc && !file_exists(path))
        rc = err_set(err, ERR_NOTFOUND,
                     "there is no %s to resume from: without --resume the training begins anew",
                     path);
    if (!rc && (rc = safetensors_open(path, &st, &why)))
        rc = rc == ERR_FORMAT ? training_file_damaged(path, why.msg, err)
                              : err_set(err, why.code, "%s", why.msg);
    if (!rc)
        rc = check_format(st, err);
    if (!rc)
        rc = check_traits(st, traits, err);
    if (!rc)
        rc = check_sum(st, err);
    if (!rc && !(f = mem_zeroed(1, sizeof *f)))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    if (rc) {
        safetensors_close(st);
        return err_prefix(err, "cannot resume");
    }
    f->st = st;
    *out  = f;
    return 0;
}

void training_file_close(struct training_file *f)
{
    if (!f)
        return;
    safetensors_close(f->st);
    free(f);
}

size_t training_file_bytes(const struct training_file *f, const char *name)
{
    const struct tensor *t = safetensors_find(f->st, name);
    return t ? t->bytes : 0;
}

int training_file_take(const struct training_file *f, const struct training_kept *kept,
                       struct err *err)
{
    if (kept->failed)
        return err_set(err, ERR_NOMEM, "cannot resume: out of memory");
    for (size_t i = 0; i < kept->n; i++) {
        const struct tensor *own = &kept->tensors[i], *t = NULL;
        struct err           why = ERR_INIT;
        int rc = safetensors_require(f->st, own->name, own->n_dims, own->dims, &t, &why);
        if (!rc && t->dtype != own->dtype)
            rc = err_set(&why, ERR_FORMAT, "%s is of another kind", own->name);
        if (rc)
            return training_file_damaged(safetensors_path(f->st), why.msg, err);
    }
    for (size_t i = 0; i < kept->n; i++) {
        const struct tensor *own = &kept->tensors[i];
        if (own->bytes)
            memcpy((void *)(uintptr_t)own->data, safetensors_find(f->st, own->name)->data,
                   own->bytes);
    }
    return 0;
}
