/* What a training of heads keeps to go on with (training_file.h): parameters, their
 * moments, averages and best values, where the run is, what was drawn, what was
 * measured.
 */
#include "base/mem.h"
#include "learn/trainer_state.h"

void trainer_traits(const struct trainer *t, struct training_traits *out)
{
    const struct trainer_options *o       = t->o;
    static const char *const      MODES[] = {"supervised", "self", "semi"};
    const struct {
        const char *name;
        double      value;
    } numbers[] = {{"margin", o->loss.margin},
                   {"hardest negatives", o->loss.hardest},
                   {"label smoothing", o->loss.smoothing},
                   {"logarithm of the first scale", o->log_scale},
                   {"first bias", o->bias},
                   {"logarithm of the largest scale", o->log_scale_most},
                   {"weight of views", o->semi_weight},
                   {"epochs with all negatives", o->hardest_after},
                   {"epochs", o->epochs},
                   {"batch", o->batch},
                   {"patience", o->patience},
                   {"learning rate", o->rate},
                   {"last learning rate", o->last_rate},
                   {"warm-up", o->warmup},
                   {"weight decay", o->weight_decay},
                   {"clipping", o->clip},
                   {"averaging", o->ema},
                   {"dimensions", o->dim},
                   {"hidden width", o->hidden},
                   {"layer norm", o->layer_norm},
                   {"principal directions", o->principal},
                   {"dropout of pictures", o->image_dropout},
                   {"dropout of texts", o->text_dropout},
                   {"dropout of the hidden layer", o->hidden_dropout},
                   {"mixing", o->mix},
                   {"class weight", o->class_weight},
                   {"distillation", o->distil},
                   {"scale of distillation", o->distil_scale}};
    uint8_t hash[2][HASH_BYTES];
    *out = (struct training_traits){.n = 0};
    training_trait_text(out, "training", "heads");
    training_trait_text(out, "model", o->model ? o->model : "any");
    training_trait_text(out, "loss", loss_name(o->loss.kind));
    training_trait_text(out, "distance", distance_name(o->loss.distance));
    training_trait_text(out, "supervision", MODES[o->supervision]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        training_trait_real(out, numbers[i].name, numbers[i].value);
    training_trait_digest(out, "seed", &o->seed, sizeof o->seed);
    head_data_hash(t->train->data, hash[0]);
    hash_bytes(t->train->images, t->train->n * sizeof *t->train->images, hash[1]);
    training_trait_digest(out, "set of pictures or captions", hash, sizeof hash);
    head_data_hash(t->dev->data, hash[0]);
    hash_bytes(t->dev->images, t->dev->n * sizeof *t->dev->images, hash[1]);
    training_trait_digest(out, "dev set", hash, sizeof hash);
}

/* epochs: that are in the history. */
static struct training_kept keep(struct trainer *t, int epochs)
{
    struct training_kept k = {.n = 0};
    training_keep_adamw(&k, &t->adamw, t->best);
    training_keep(&k, "epoch", DTYPE_I32, 1, &t->epoch);
    training_keep(&k, "step", DTYPE_I32, 1, &t->step);
    training_keep(&k, "best epoch", DTYPE_I32, 1, &t->best_epoch);
    training_keep(&k, "loss", DTYPE_I64, 1, &t->loss);
    training_keep(&k, "seconds", DTYPE_I64, 1, &t->spent);
    training_keep(&k, "random", DTYPE_I64, 4, t->random.s);
    training_keep(&k, "history", DTYPE_U8, (size_t)epochs * sizeof *t->history, t->history);
    return k;
}

int trainer_checkpoint_write(struct trainer *t, struct err *err)
{
    struct training_kept k  = keep(t, t->epoch);
    int                  rc = training_file_write(t->o->checkpoint, &t->traits, &k, err);
    training_kept_release(&k);
    return rc;
}

int trainer_checkpoint_read(struct trainer *t, struct err *err)
{
    const char           *path   = t->o->checkpoint;
    struct training_file *f      = NULL;
    struct training_kept  k      = {.n = 0};
    int                   rc     = training_file_open(path, &t->traits, &f, err);
    size_t                epochs = rc ? 0 : training_file_bytes(f, "history") / sizeof *t->history;
    if (!rc && epochs > (size_t)t->o->epochs)
        rc = training_file_damaged(path, "it has more epochs than the training", err);
    if (!rc) {
        k  = keep(t, (int)epochs);
        rc = training_file_take(f, &k, err);
    }
    if (!rc && (t->epoch < 0 || (size_t)t->epoch != epochs || t->step < 0 || t->step > t->steps ||
                t->best_epoch >= t->epoch || t->best_epoch < -1))
        rc = training_file_damaged(path, "it is at no place of the training", err);
    training_kept_release(&k);
    training_file_close(f);
    return rc;
}
