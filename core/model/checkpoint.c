/* A model folder's weights: see checkpoint.h.
 *
 * The index follows what transformers writes (save_pretrained with a
 * max_shard_size). Only plain file names are followed, so that an index cannot
 * reach outside its folder.
 */
#include "model/checkpoint.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SHARDS 56 /* prepared.c takes 64 files, of which some are no weights */
#define MAX_INDEX  (64u << 20)

struct checkpoint {
    char               *dir;
    struct safetensors *file[MAX_SHARDS]; /* (n), sorted by path */
    size_t              n;
};

static int add_file(struct checkpoint *c, const char *name, struct err *err)
{
    char *path = path_join(c->dir, name);
    if (!path)
        return err_set(err, ERR_NOMEM, "cannot read %s: out of memory", c->dir);
    int rc = safetensors_open(path, &c->file[c->n], err);
    if (!rc)
        c->n++;
    free(path);
    return rc;
}

static bool in_folder(const char *dir, const char *name)
{
    char *path  = path_join(dir, name);
    bool  there = path && file_exists(path);
    free(path);
    return there;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;
    return strcmp(*x, *y);
}

/* The distinct file names of a weight_map, sorted. */
static int shard_names(const struct jnode *map, const char *path, const char *names[MAX_SHARDS],
                       size_t *n, struct err *err)
{
    void               *it = NULL;
    const char         *tensor, *name;
    const struct jnode *value;
    *n = 0;
    while (jnode_next(map, &it, &tensor, &value)) {
        if (!jnode_to_str(value, &name) || !*name || strchr(name, '/') || name[0] == '.')
            return err_set(err, ERR_FORMAT,
                           "cannot read %s: the file of tensor %.200s is not a plain file name",
                           path, tensor);
        size_t i = 0;
        while (i < *n && strcmp(names[i], name) != 0)
            i++;
        if (i < *n)
            continue;
        if (*n == MAX_SHARDS)
            return err_set(err, ERR_LIMIT, "cannot read %s: it names more than %d files", path,
                           MAX_SHARDS);
        names[(*n)++] = name;
    }
    if (!*n)
        return err_set(err, ERR_FORMAT, "cannot read %s: it has no weight_map", path);
    qsort(names, *n, sizeof *names, compare_names);
    return 0;
}

/* Every tensor must be where the index says. */
static int check_map(const struct checkpoint *c, const struct jnode *map, const char *path,
                     struct err *err)
{
    void               *it = NULL;
    const char         *tensor, *name = "";
    const struct jnode *value;
    while (jnode_next(map, &it, &tensor, &value)) {
        bool there = false;
        jnode_to_str(value, &name);
        for (size_t i = 0; i < c->n && !there; i++)
            there = strcmp(path_base(safetensors_path(c->file[i])), name) == 0 &&
                    safetensors_find(c->file[i], tensor);
        if (!there)
            return err_set(err, ERR_FORMAT,
                           "%s says that %s holds the tensor %.200s, which it does not", path, name,
                           tensor);
    }
    return 0;
}

static int open_shards(struct checkpoint *c, const char *index_name, struct err *err)
{
    struct jnode       *index = NULL;
    const char         *names[MAX_SHARDS];
    size_t              n    = 0;
    char               *path = path_join(c->dir, index_name);
    int                 rc   = path ? jnode_parse_file(path, MAX_INDEX, &index, err)
                                    : err_set(err, ERR_NOMEM, "cannot read %s: out of memory", c->dir);
    const struct jnode *map  = jnode_get(index, "weight_map");
    if (!rc)
        rc = shard_names(map, path, names, &n, err);
    for (size_t i = 0; i < n && !rc; i++)
        rc = add_file(c, names[i], err);
    if (!rc)
        rc = check_map(c, map, path, err);
    jnode_free(index);
    free(path);
    return rc;
}

/* Nothing that we read: says what is there instead. */
static int no_weights(const struct checkpoint *c, const char *expected, struct err *err)
{
    static const char *const pickled[] = {"pytorch_model.bin", "pytorch_model.bin.index.json",
                                          "open_clip_pytorch_model.bin"};
    for (size_t i = 0; i < sizeof pickled / sizeof pickled[0]; i++) {
        if (in_folder(c->dir, pickled[i]))
            return err_set(err, ERR_UNSUPPORTED,
                           "%s has its weights only as %s, a format that can run programs when it "
                           "is read; convert it to %s: in Python, "
                           "AutoModel.from_pretrained(DIR).save_pretrained(DIR)",
                           c->dir, pickled[i], expected);
    }
    return err_set(err, ERR_NOTFOUND, "%s has no weights: expected %s", c->dir, expected);
}

int checkpoint_open(const char *dir, enum checkpoint_kind kind, struct checkpoint **out,
                    struct err *err)
{
    const char *const whole =
        kind == CHECKPOINT_OPEN_CLIP ? "open_clip_model.safetensors" : "model.safetensors";
    const char *const  index = "model.safetensors.index.json";
    struct checkpoint *c     = mem_zeroed(1, sizeof *c);
    int                rc    = 0;
    if (c)
        c->dir = mem_strdup(dir);
    if (!c || !c->dir)
        rc = err_set(err, ERR_NOMEM, "cannot read %s: out of memory", dir);
    else if (in_folder(dir, whole))
        rc = add_file(c, whole, err);
    else if (kind == CHECKPOINT_HUGGING_FACE && in_folder(dir, index))
        rc = open_shards(c, index, err);
    else
        rc = no_weights(c, whole, err);
    if (rc) {
        checkpoint_close(c);
        return rc;
    }
    *out = c;
    return 0;
}

void checkpoint_close(struct checkpoint *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++)
        safetensors_close(c->file[i]);
    free(c->dir);
    free(c);
}

size_t checkpoint_files(const struct checkpoint *c)
{
    return c->n;
}

const char *checkpoint_file(const struct checkpoint *c, size_t i)
{
    return i < c->n ? safetensors_path(c->file[i]) : NULL;
}

/* The file that holds a tensor, or NULL. */
static const struct safetensors *holder(const struct checkpoint *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++) {
        if (safetensors_find(c->file[i], name))
            return c->file[i];
    }
    return NULL;
}

const struct tensor *checkpoint_find(const struct checkpoint *c, const char *name)
{
    const struct safetensors *st = holder(c, name);
    return st ? safetensors_find(st, name) : NULL;
}

int checkpoint_require(const struct checkpoint *c, const char *name, int n_dims,
                       const int64_t *dims, const struct tensor **out, struct err *err)
{
    const struct safetensors *st = holder(c, name);
    return safetensors_require(st ? st : c->file[0], name, n_dims, dims, out, err);
}

int checkpoint_floats(const struct checkpoint *c, const struct tensor *t, float *out,
                      struct err *err)
{
    int rc = tensor_to_f32(t, out, err);
    if (!rc)
        return 0;
    const struct safetensors *st = holder(c, t->name);
    return err_prefix(err, "cannot read %s", st ? safetensors_path(st) : c->dir);
}
