/* Trained heads as a model folder: see heads_model.h. */
#include "learn/heads_model.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/svg.h"
#include "learn/heads_file.h"
#include "model/encoder_features.h"
#include "model/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADS   "heads.safetensors"
#define CONFIG  "config.json"
#define CARD    "README.md"
#define PARTIAL ".partial"

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "cannot write a model: out of memory");
}

/* Of a base's parts; NULL: there is none of that name. */
static const struct encoder_part *part_named(const struct encoder_part *parts, size_t n,
                                             const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(parts[i].name, name) == 0)
            return &parts[i];
    }
    return NULL;
}

int heads_model_check_base(const struct encoder *base, struct err *err)
{
    struct encoder_part *parts = NULL;
    size_t               n     = 0;
    int                  rc    = encoder_parts(base, &parts, &n, err);
    if (!rc && !(part_named(parts, n, HEADS) && part_named(parts, n, CONFIG)))
        rc = err_set(err, ERR_UNSUPPORTED,
                     "cannot train heads for the model %s: its joint space is part of its towers "
                     "(its model_type is \"%s\")",
                     encoder_info(base)->name, encoder_info(base)->family);
    encoder_parts_free(parts, n);
    return rc;
}

/* path: holds the base's heads, and then the new ones. */
static int write_heads(const char *path, const struct heads_model *m, struct err *err)
{
    struct heads_file   w       = {.n = 0};
    struct safetensors *base    = NULL;
    const char         *pairs[] = {"format", "pt"};
    int                 rc      = safetensors_open(path, &base, err);
    if (!rc)
        rc = heads_file_add(&w, &m->trained->heads, encoder_feature_sizes(m->base).text, err);
    if (!rc) {
        heads_file_keep(&w, base, HEADS_FILE_CLASSES);
        heads_file_keep(&w, base, HEADS_FILE_VISUAL);
        rc = safetensors_write(path, w.tensors, w.n, pairs, 1, err);
    }
    heads_file_release(&w);
    safetensors_close(base);
    return rc;
}

/* ---- config.json ---- */

static struct jnode *read_part(const struct encoder_part *part, struct err *err)
{
    struct jnode *root = NULL;
    return jnode_parse((const char *)part->data, part->len, part->name, &root, err) ? NULL : root;
}

/* The object "osprey". */
static struct jnode *make_choices(const struct heads_model *m, const struct jnode *base)
{
    struct jnode *o      = jnode_object();
    int64_t       tokens = 0;
    int           bad    = !o;
    if (bad)
        return NULL;
    bad |= heads_file_choices(o, &m->trained->heads, &m->inputs, base);
    bad |= jnode_set_real(o, "trained_weight", m->trained_weight);
    bad |= jnode_set_real(o, "class_weight", m->class_weight);
    bad |= jnode_set_real(o, "visual_weight", m->visual_weight);
    bad |= jnode_set_str(o, "distance", distance_name(m->distance));
    if (jnode_to_int(jnode_get(base, "max_tokens"), &tokens))
        bad |= jnode_set_int(o, "max_tokens", tokens);
    if (bad) {
        jnode_free(o);
        return NULL;
    }
    return o;
}

/* Numbers of the whole space. heads: the file with what is kept of the base. */
static int64_t space_dim(const struct heads_model *m, const struct safetensors *heads)
{
    const struct tensor *visual = safetensors_find(heads, HEADS_FILE_VISUAL);
    int64_t              dim    = m->trained->heads.shape[HEADS_IMAGE].dim;
    if (m->class_weight > 0)
        dim += encoder_feature_sizes(m->base).named;
    if (m->visual_weight > 0 && visual)
        dim += visual->dims[0];
    return dim;
}

static int write_config(const char *path, const char *heads_path, const struct heads_model *m,
                        const struct encoder_part *base, struct err *err)
{
    struct safetensors *heads  = NULL;
    char               *text   = NULL;
    struct jnode       *config = read_part(base, err);
    int                 rc     = config ? safetensors_open(heads_path, &heads, err) : ERR_FORMAT;
    if (!rc) {
        struct jnode *choices = make_choices(m, jnode_get(config, "osprey"));
        int           bad     = jnode_set_int(config, "projection_dim", space_dim(m, heads));
        bad |= jnode_set(config, "osprey", choices);
        text = bad ? NULL : jnode_write(config);
        rc   = text ? file_replace(path, text, strlen(text), err) : out_of_memory(err);
    }
    free(text);
    jnode_free(config);
    safetensors_close(heads);
    return rc;
}

/* ---- Curves ---- */

static int write_chart(const char *dir, const char *file, const struct svg_chart *chart,
                       const struct svg_series *series, size_t n, struct err *err)
{
    struct buf svg;
    char      *path = path_join(dir, file);
    buf_init(&svg, SVG_CEILING);
    int rc = path ? svg_line_chart(chart, series, n, &svg, err) : out_of_memory(err);
    if (!rc)
        rc = file_replace(path, svg.data, svg.len, err);
    buf_release(&svg);
    free(path);
    return rc;
}

static int write_curves(const char *dir, const struct trained *t, struct err *err)
{
    size_t  n    = (size_t)t->n_epochs;
    double *loss = mem_array(n, sizeof *loss), *t2i = mem_array(n, sizeof *t2i),
           *i2t = mem_array(n, sizeof *i2t), *i2i = mem_array(n, sizeof *i2i);
    int  rc    = loss && t2i && i2t && i2i ? 0 : out_of_memory(err);
    bool texts = t->heads.net[HEADS_TEXT] != NULL;
    for (size_t i = 0; !rc && i < n; i++) {
        loss[i] = t->history[i].loss;
        t2i[i]  = t->history[i].dev.t2i.r10;
        i2t[i]  = t->history[i].dev.i2t.r10;
        i2i[i]  = t->history[i].dev.i2i.r1;
    }
    if (!rc) {
        struct svg_chart  chart  = {.title = "Loss", .x_label = "epoch", .y_label = "loss"};
        struct svg_series series = {.y = loss, .n = n};
        rc                       = write_chart(dir, "loss.svg", &chart, &series, 1, err);
    }
    if (!rc) {
        struct svg_chart  chart    = {.title   = "Recall on the dev set",
                                      .x_label = "epoch",
                                      .y_label = texts ? "R@10, percent" : "R@1, percent"};
        struct svg_series series[] = {{.name = "text to image", .y = t2i, .n = n},
                                      {.name = "image to text", .y = i2t, .n = n}};
        struct svg_series views    = {.name = "view to picture", .y = i2i, .n = n};
        rc = write_chart(dir, "recall.svg", &chart, texts ? series : &views, texts ? 2 : 1, err);
    }
    free(loss);
    free(t2i);
    free(i2t);
    free(i2i);
    return rc;
}

/* ---- The folder ---- */

/* Removes a folder of files alone. */
static int remove_folder(const char *dir, struct err *err)
{
    int  rc     = 0;
    DIR *listed = opendir(dir);
    if (!listed)
        return errno == ENOENT ? 0
                               : err_set(err, ERR_IO, "cannot list %s: %s", dir, strerror(errno));
    for (struct dirent *e; !rc && (e = readdir(listed));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(listed), e->d_name, 0))
            rc = err_set(err, ERR_IO, "cannot remove %s/%s: %s", dir, e->d_name, strerror(errno));
    }
    closedir(listed);
    if (!rc && rmdir(dir))
        rc = err_set(err, ERR_IO, "cannot remove %s: %s", dir, strerror(errno));
    return rc;
}

/* Whether a folder holds heads and no towers: what a training left. */
static bool is_ours(const char *dir)
{
    char *heads = path_join(dir, HEADS), *towers = path_join(dir, "model.safetensors");
    bool  is = heads && towers && file_exists(heads) && !file_exists(towers);
    free(heads);
    free(towers);
    return is;
}

int heads_model_check_output(const char *dir, bool replace, struct err *err)
{
    struct stat sb;
    if (lstat(dir, &sb))
        return errno == ENOENT
                   ? 0
                   : err_set(err, ERR_IO, "cannot look at %s: %s", dir, strerror(errno));
    if (!replace)
        return err_set(err, ERR_USAGE, "%s exists: choose another --output, or add --replace", dir);
    if (!S_ISDIR(sb.st_mode) || !is_ours(dir))
        return err_set(err, ERR_USAGE, "%s is not a folder of trained heads: it is not replaced",
                       dir);
    return 0;
}

static int put(const char *dir, const char *name, const void *data, size_t len, struct err *err)
{
    char *path = path_join(dir, name);
    int   rc   = path ? file_replace(path, data, len, err) : out_of_memory(err);
    free(path);
    return rc;
}

/* All files, the weights last but for the configuration, without which nobody takes
 * the folder for a model. */
static int fill(const char *dir, const struct heads_model *m, struct err *err)
{
    struct encoder_part *parts  = NULL;
    size_t               n      = 0;
    char                *heads  = path_join(dir, HEADS);
    char                *config = path_join(dir, CONFIG);
    int rc = heads && config ? encoder_parts(m->base, &parts, &n, err) : out_of_memory(err);
    for (size_t i = 0; !rc && i < n; i++) {
        if (strcmp(parts[i].name, CONFIG) != 0)
            rc = put(dir, parts[i].name, parts[i].data, parts[i].len, err);
    }
    const struct encoder_part *base = rc ? NULL : part_named(parts, n, CONFIG);
    if (!rc && !base)
        rc = err_set(err, ERR_UNSUPPORTED, "the model %s has no %s", encoder_info(m->base)->name,
                     CONFIG);
    if (!rc)
        rc = write_heads(heads, m, err);
    if (!rc)
        rc = put(dir, CARD, m->card, strlen(m->card), err);
    if (!rc)
        rc = write_curves(dir, m->trained, err);
    if (!rc)
        rc = write_config(config, heads, m, base, err);
    encoder_parts_free(parts, n);
    free(heads);
    free(config);
    return rc;
}

/* Puts the folder aside in the place of dir. */
static int install(const char *aside, const char *dir, struct err *err)
{
    int rc = 0;
    if (!rename(aside, dir))
        return file_sync_parent(dir, err);
    if ((errno != EEXIST && errno != ENOTEMPTY) ||
        renameat2(AT_FDCWD, aside, AT_FDCWD, dir, RENAME_EXCHANGE))
        rc = err_set(err, ERR_IO, "cannot rename %s to %s: %s", aside, dir, strerror(errno));
    if (!rc)
        rc = file_sync_parent(dir, err);
    return rc ? rc : remove_folder(aside, err); /* what dir was before */
}

int heads_model_write(const char *dir, bool replace, const struct heads_model *m, struct err *err)
{
    size_t len   = strlen(dir);
    char  *aside = mem_array(len + sizeof PARTIAL, 1);
    if (!aside)
        return out_of_memory(err);
    while (len > 1 && dir[len - 1] == '/')
        len--;
    memcpy(aside, dir, len);
    memcpy(aside + len, PARTIAL, sizeof PARTIAL);
    int rc = heads_model_check_output(dir, replace, err);
    if (!rc)
        rc = remove_folder(aside, err);
    if (!rc)
        rc = file_mkdirs(aside, err);
    if (!rc)
        rc = fill(aside, m, err);
    if (!rc)
        rc = install(aside, dir, err);
    if (rc)
        (void)remove_folder(aside, NULL);
    free(aside);
    return rc ? err_prefix(err, "cannot write the model %s", dir) : 0;
}
