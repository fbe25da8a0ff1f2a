/* Everything that a run needs to go on as if it had not been stopped: parameters,
 * their moments, averages and best values, where the run is, what was drawn, what
 * was measured. One safetensors file, replaced atomically, with a checksum over its
 * contents and a digest of options and data: a run goes on only as what it was.
 */
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "learn/trainer_state.h"
#include "model/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT    "osprey training 1"
#define HEX       (2 * HASH_BYTES + 1)
#define NAME      96
#define ARRAYS    5 /* of a parameter */
#define MAX_STATE 16

static const char *const ARRAY[ARRAYS] = {"value", "m", "v", "ema", "best"};

/* The arrays of parameter i, NULL where there are none. */
static void arrays_of(const struct trainer *t, int i, float *out[ARRAYS])
{
    out[0] = t->heads.params[i].value;
    out[1] = t->adamw.m[i];
    out[2] = t->adamw.v[i];
    out[3] = t->adamw.ema ? t->adamw.ema[i] : NULL;
    out[4] = t->best[i];
}

static void to_hex(const uint8_t hash[HASH_BYTES], char out[HEX])
{
    for (size_t i = 0; i < HASH_BYTES; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

/* Of options and data; what changes no number that comes out is left out. */
static void digest(const struct trainer *t, char out[HEX])
{
    const struct trainer_options *o         = t->o;
    const double                  numbers[] = {o->loss.kind,
                                               o->loss.distance,
                                               o->loss.margin,
                                               o->loss.hardest,
                                               o->loss.smoothing,
                                               o->log_scale,
                                               o->bias,
                                               o->log_scale_most,
                                               o->supervision,
                                               o->semi_weight,
                                               o->hardest_after,
                                               o->epochs,
                                               o->batch,
                                               o->patience,
                                               o->rate,
                                               o->last_rate,
                                               o->warmup,
                                               o->weight_decay,
                                               o->clip,
                                               o->ema,
                                               o->dim,
                                               o->hidden,
                                               o->layer_norm,
                                               o->principal,
                                               o->image_dropout,
                                               o->text_dropout,
                                               o->hidden_dropout,
                                               o->mix,
                                               o->class_weight,
                                               o->distil,
                                               o->distil_scale,
                                               (double)(o->seed >> 32),
                                               (double)(o->seed & 0xffffffffu)};
    uint8_t                       parts[5][HASH_BYTES], all[HASH_BYTES];
    hash_bytes(numbers, sizeof numbers, parts[0]);
    head_data_hash(t->train->data, parts[1]);
    head_data_hash(t->dev->data, parts[2]);
    hash_bytes(t->train->images, t->train->n * sizeof *t->train->images, parts[3]);
    hash_bytes(t->dev->images, t->dev->n * sizeof *t->dev->images, parts[4]);
    hash_bytes(parts, sizeof parts, all);
    to_hex(all, out);
}

static int64_t bits_of(double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double of_bits(int64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Where the run is, as one array. */
static int pack_state(const struct trainer *t, int64_t s[MAX_STATE])
{
    int n  = 0;
    s[n++] = t->epoch;
    s[n++] = t->step;
    s[n++] = t->best_epoch;
    s[n++] = t->adamw.steps;
    s[n++] = bits_of(t->loss);
    s[n++] = bits_of(t->spent);
    for (int i = 0; i < 4; i++)
        memcpy(&s[n++], &t->random.s[i], sizeof *s);
    return n;
}

static int unpack_state(struct trainer *t, const int64_t *s)
{
    t->epoch       = (int)s[0];
    t->step        = (int)s[1];
    t->best_epoch  = (int)s[2];
    t->adamw.steps = s[3];
    t->loss        = of_bits(s[4]);
    t->spent       = of_bits(s[5]);
    for (int i = 0; i < 4; i++)
        memcpy(&t->random.s[i], &s[6 + i], sizeof *s);
    return s[0] >= 0 && s[0] <= t->o->epochs && s[1] >= 0 && s[1] <= t->steps && s[2] < s[0] ? 0
                                                                                             : -1;
}

/* Over all tensors' contents, in order. */
static void sum_up(const struct tensor *tensors, size_t n, uint8_t (*sums)[HASH_BYTES],
                   char out[HEX])
{
    uint8_t all[HASH_BYTES];
    for (size_t i = 0; i < n; i++)
        hash_bytes(tensors[i].data, tensors[i].bytes, sums[i]);
    hash_bytes(sums, n * HASH_BYTES, all);
    to_hex(all, out);
}

/* What of a run is kept: tensors that point into it. */
struct kept {
    struct tensor tensors[HEADS_PARAMS * ARRAYS + 2];
    char          names[HEADS_PARAMS * ARRAYS][NAME];
    uint8_t       sums[HEADS_PARAMS * ARRAYS + 2][HASH_BYTES];
    size_t        n;
    int64_t       state[MAX_STATE];
};

static void list_tensors(const struct trainer *t, struct kept *k)
{
    for (int i = 0; i < t->heads.n_params; i++) {
        const struct param_f32 *p = &t->heads.params[i];
        float                  *arrays[ARRAYS];
        arrays_of(t, i, arrays);
        for (int a = 0; a < ARRAYS; a++) {
            if (!arrays[a])
                continue;
            (void)snprintf(k->names[k->n], NAME, "%s/%s", p->name, ARRAY[a]);
            k->tensors[k->n] = (struct tensor){.name   = k->names[k->n],
                                               .dtype  = DTYPE_F32,
                                               .n_dims = 2,
                                               .dims   = {p->rows, p->cols},
                                               .data   = arrays[a],
                                               .bytes  = heads_numbers(p) * sizeof(float)};
            k->n++;
        }
    }
    int n              = pack_state(t, k->state);
    k->tensors[k->n++] = (struct tensor){.name   = "state",
                                         .dtype  = DTYPE_I64,
                                         .n_dims = 1,
                                         .dims   = {n},
                                         .data   = k->state,
                                         .bytes  = (size_t)n * sizeof *k->state};
    size_t bytes       = (size_t)t->epoch * sizeof *t->history;
    k->tensors[k->n++] = (struct tensor){.name   = "history",
                                         .dtype  = DTYPE_U8,
                                         .n_dims = 1,
                                         .dims   = {(int64_t)bytes},
                                         .data   = t->history,
                                         .bytes  = bytes};
}

int trainer_checkpoint_write(const struct trainer *t, struct err *err)
{
    char         run[HEX], sum[HEX];
    struct kept *k = mem_zeroed(1, sizeof *k);
    if (!k)
        return err_set(err, ERR_NOMEM, "cannot write %s: out of memory", t->o->checkpoint);
    digest(t, run);
    list_tensors(t, k);
    sum_up(k->tensors, k->n, k->sums, sum);
    const char *pairs[] = {"format", FORMAT, "run", run, "checksum", sum};
    int         rc      = safetensors_write(t->o->checkpoint, k->tensors, k->n, pairs, 3, err);
    free(k);
    return rc;
}

/* Copies a tensor of the file over the run's, which has its size. */
static int take(const struct safetensors *st, struct tensor *own, struct tensor *found,
                struct err *err)
{
    const struct tensor *t  = NULL;
    int                  rc = safetensors_require(st, own->name, own->n_dims, own->dims, &t, err);
    if (!rc && (t->dtype != own->dtype || t->bytes != own->bytes))
        rc =
            err_set(err, ERR_DAMAGED, "%s: %s is of another kind", safetensors_path(st), own->name);
    if (!rc)
        *found = *t;
    return rc;
}

static int check_metadata(const struct trainer *t, const struct safetensors *st, struct err *err)
{
    const char *format = safetensors_metadata(st, "format");
    const char *run    = safetensors_metadata(st, "run");
    char        own[HEX];
    digest(t, own);
    if (!format || strcmp(format, FORMAT) != 0 || !run)
        return err_set(err, ERR_DAMAGED, "%s is no checkpoint of a training", t->o->checkpoint);
    if (strcmp(run, own) != 0)
        return err_set(err, ERR_USAGE,
                       "cannot resume from %s: it was made with other options, pictures or "
                       "captions",
                       t->o->checkpoint);
    return 0;
}

static int take_all(struct trainer *t, const struct safetensors *st, struct err *err)
{
    const char   *sum = safetensors_metadata(st, "checksum");
    char          own[HEX];
    struct kept  *k = mem_zeroed(1, sizeof *k);
    struct tensor found[HEADS_PARAMS * ARRAYS + 2];
    int           rc = k ? 0 : err_set(err, ERR_NOMEM, "out of memory to resume");
    if (rc)
        return rc;
    const struct tensor *history = safetensors_find(st, "history");
    const struct tensor *state   = safetensors_find(st, "state");
    if (!history || !state || history->bytes % sizeof *t->history != 0 ||
        history->bytes / sizeof *t->history > (size_t)t->o->epochs)
        rc = err_set(err, ERR_DAMAGED, "%s is damaged", t->o->checkpoint);
    else
        t->epoch = (int)(history->bytes / sizeof *t->history);
    if (!rc)
        list_tensors(t, k);
    for (size_t i = 0; !rc && i < k->n; i++)
        rc = take(st, &k->tensors[i], &found[i], err);
    if (!rc)
        sum_up(found, k->n, k->sums, own);
    if (!rc && (!sum || strcmp(sum, own) != 0))
        rc =
            err_set(err, ERR_DAMAGED, "%s is damaged: its checksum does not fit", t->o->checkpoint);
    for (size_t i = 0; !rc && i < k->n; i++)
        memcpy((void *)(uintptr_t)k->tensors[i].data, found[i].data, found[i].bytes);
    if (!rc && unpack_state(t, k->state))
        rc = err_set(err, ERR_DAMAGED, "%s is damaged", t->o->checkpoint);
    free(k);
    return rc;
}

int trainer_checkpoint_read(struct trainer *t, struct err *err)
{
    struct safetensors *st = NULL;
    int                 rc = file_exists(t->o->checkpoint)
                                 ? safetensors_open(t->o->checkpoint, &st, err)
                                 : err_set(err, ERR_NOTFOUND, "there is no %s to resume from", t->o->checkpoint);
    if (!rc)
        rc = check_metadata(t, st, err);
    if (!rc)
        rc = take_all(t, st, err);
    safetensors_close(st);
    if (rc)
        (void)err_prefix(err, "cannot resume");
    return rc;
}
