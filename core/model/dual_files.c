/* Where the files of a model of two towers and a head lie: see dual_files.h. */
#include "model/dual_files.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_JSON  (1u << 20)
#define MAX_HEADS ((size_t)64 << 20) /* of heads that are kept apart from their towers */

static const char *const NAMES[DUAL_N_FILES] = {"model.safetensors", "heads.safetensors",
                                                "vocab.txt", "config.json",
                                                "preprocessor_config.json"};
#define TOWERS_JSON "towers.json"

void dual_files_release(struct dual_files *f)
{
    free(f->dir);
    free(f->towers);
    for (int i = 0; i < DUAL_N_FILES; i++)
        free(f->paths[i]);
    *f = (struct dual_files){0};
}

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_NOMEM, "out of memory");
}

static bool holds(const char *dir, const char *name)
{
    char *path = path_join(dir, name);
    bool  yes  = path && file_exists(path);
    free(path);
    return yes;
}

/* ---- Which towers ---- */

static bool is_plain(const char *name)
{
    return name[0] && name[0] != '.' && strlen(name) < 256 && !strchr(name, '/');
}

static bool is_hash(const char *text)
{
    return strlen(text) == PREPARED_HEX - 1 && strspn(text, "0123456789abcdef") == PREPARED_HEX - 1;
}

/* What an object says of the towers; where: the file it is from. */
static int take_reference(struct dual_files *f, const struct jnode *from, const char *where,
                          struct err *err)
{
    const char         *name = NULL, *hash = NULL;
    const struct jnode *named = jnode_get(from, "towers"), *sum = jnode_get(from, "towers_hash");
    if (named && (!jnode_to_str(named, &name) || !is_plain(name)))
        return err_set(err, ERR_FORMAT, "%s: towers is not the plain name of a model: \"%.80s\"",
                       where, name ? name : "");
    if (sum && (!jnode_to_str(sum, &hash) || !is_hash(hash)))
        return err_set(err, ERR_FORMAT, "%s: towers_hash is not 32 hexadecimal digits", where);
    if (name && !hash)
        return err_set(err, ERR_FORMAT, "%s names towers, but not their towers_hash", where);
    (void)snprintf(f->name, sizeof f->name, "%s", name ? name : "");
    (void)snprintf(f->towers_hash, sizeof f->towers_hash, "%s", hash ? hash : "");
    return 0;
}

static int read_reference(struct dual_files *f, const struct jnode *config, struct err *err)
{
    struct jnode *root = NULL;
    int           rc   = take_reference(f, jnode_get(config, "osprey"), "config.json: osprey", err);
    if (rc || f->name[0] || !holds(f->dir, TOWERS_JSON))
        return rc;
    char *path = path_join(f->dir, TOWERS_JSON);
    rc         = path ? jnode_parse_file(path, MAX_JSON, &root, err) : out_of_memory(err);
    if (!rc)
        rc = take_reference(f, root, TOWERS_JSON, err);
    jnode_free(root);
    free(path);
    return rc;
}

/* The folder NAME beside dir. */
static char *sibling(const char *dir, const char *name)
{
    size_t len    = (size_t)(path_base(dir) - dir);
    char  *parent = mem_strndup(dir, len);
    char  *path   = parent ? path_join(parent, name) : NULL;
    free(parent);
    return path;
}

static int set_towers(struct dual_files *f, const char *towers, struct err *err)
{
    for (int i = 0; i < DUAL_N_FILES; i++) {
        bool of_towers = i == DUAL_MODEL || i == DUAL_VOCAB;
        free(f->paths[i]);
        f->paths[i] = path_join(of_towers ? towers : f->dir, NAMES[i]);
        if (!f->paths[i])
            return out_of_memory(err);
    }
    free(f->towers);
    f->towers = mem_strdup(towers);
    return f->towers ? 0 : out_of_memory(err);
}

int dual_files_hash_towers(const struct dual_files *f, char out[PREPARED_HEX], struct err *err)
{
    const char *files[] = {f->paths[DUAL_MODEL], f->paths[DUAL_VOCAB]};
    return prepared_hash_files(files, 2, out, err);
}

/* Takes the towers in a folder, if they are those recorded. *taken tells. */
static int try_towers(struct dual_files *f, const char *towers, bool *taken, bool *others,
                      struct err *err)
{
    char hash[PREPARED_HEX];
    if (!towers || !holds(towers, NAMES[DUAL_MODEL]) || !holds(towers, NAMES[DUAL_VOCAB]))
        return 0;
    int rc = set_towers(f, towers, err);
    if (!rc)
        rc = dual_files_hash_towers(f, hash, err);
    if (!rc && strcmp(hash, f->towers_hash) == 0)
        *taken = true;
    else if (!rc)
        *others = true;
    return rc;
}

static int find_towers(struct dual_files *f, const char *beside, struct err *err)
{
    bool  taken = false, others = false;
    char *near = sibling(f->dir, f->name), *far = beside ? sibling(beside, f->name) : NULL;
    char *found = NULL;
    int   rc    = try_towers(f, near, &taken, &others, err);
    if (!rc && !taken)
        rc = try_towers(f, far, &taken, &others, err);
    if (!rc && !taken && !models_find(f->name, &found, NULL))
        rc = try_towers(f, found, &taken, &others, err);
    if (!rc && !taken && others)
        rc = err_set(err, ERR_NOTFOUND,
                     "its towers are those of the model %s (%.12s), and %s holds others now",
                     f->name, f->towers_hash, f->towers);
    else if (!rc && !taken)
        rc = err_set(
            err, ERR_NOTFOUND, "its towers are those of the model %s, which is missing%s", f->name,
            strcmp(f->name, MODELS_DEFAULT) == 0 ? ": run `make build`, which assembles it" : "");
    free(near);
    free(far);
    free(found);
    return rc;
}

/* Towers in the heads' own folder; where a hash is recorded they must have it. */
static int take_own(struct dual_files *f, struct err *err)
{
    char hash[PREPARED_HEX];
    int  rc = set_towers(f, f->dir, err);
    if (rc || !f->towers_hash[0] || !file_exists(f->paths[DUAL_MODEL]) ||
        !file_exists(f->paths[DUAL_VOCAB]))
        return rc;
    rc = dual_files_hash_towers(f, hash, err);
    if (!rc && strcmp(hash, f->towers_hash) != 0)
        rc = err_set(err, ERR_FORMAT, "its heads are made for other towers (%.12s) than its own",
                     f->towers_hash);
    return rc;
}

/* ---- The files ---- */

static int refuse_pickle(const char *dir, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED,
                   "%s has its weights in pytorch_model.bin alone, which can run code when it is "
                   "read: convert it to model.safetensors first",
                   dir);
}

int dual_files_find(const char *dir, const struct jnode *config, const char *beside,
                    struct dual_files *f, struct err *err)
{
    *f     = (struct dual_files){.dir = mem_strdup(dir)};
    int rc = f->dir ? read_reference(f, config, err) : out_of_memory(err);
    if (!rc && holds(dir, NAMES[DUAL_MODEL]))
        f->name[0] = '\0'; /* a folder's own come first */
    if (!rc && f->name[0])
        rc = find_towers(f, beside, err);
    else if (!rc)
        rc = take_own(f, err);
    if (!rc && !file_exists(f->paths[DUAL_MODEL]) && holds(dir, "pytorch_model.bin"))
        rc = refuse_pickle(dir, err);
    for (int i = 0; i < DUAL_N_FILES && !rc; i++) {
        if (!file_exists(f->paths[i]))
            rc = err_set(err, ERR_NOTFOUND,
                         "%s is missing: run `make build`, which assembles the default model",
                         f->paths[i]);
    }
    if (rc)
        dual_files_release(f);
    else
        model_card_languages(f->towers, f->languages);
    return rc;
}

/* ---- Without the towers ---- */

static int add_part(struct encoder_part *parts, size_t *n, const char *name, uint8_t *data,
                    size_t len, struct err *err)
{
    struct encoder_part *part = &parts[*n];
    part->name                = mem_strdup(name);
    part->data                = data;
    part->len                 = len;
    ++*n;
    return part->name && part->data ? 0 : out_of_memory(err);
}

/* towers.json for towers that are in this folder. */
static int add_reference(const struct dual_files *f, const char *towers_hash,
                         struct encoder_part *parts, size_t *n, struct err *err)
{
    struct jnode *root = jnode_object();
    int           bad  = !root;
    bad |= jnode_set_str(root, "towers", f->name[0] ? f->name : path_base(f->dir));
    bad |= jnode_set_str(root, "towers_hash", towers_hash);
    char *line = bad ? NULL : jnode_write(root);
    jnode_free(root);
    if (!line)
        return out_of_memory(err);
    return add_part(parts, n, TOWERS_JSON, (uint8_t *)line, strlen(line), err);
}

int dual_files_parts(const struct dual_files *f, const char *towers_hash, struct encoder_part **out,
                     size_t *n, struct err *err)
{
    static const enum dual_file kept[] = {DUAL_CONFIG, DUAL_PREPROCESSOR, DUAL_HEADS};
    struct encoder_part        *parts  = mem_zeroed(4, sizeof *parts);
    int                         rc     = parts ? 0 : out_of_memory(err);
    *n                                 = 0;
    for (size_t i = 0; i < 3 && !rc; i++) {
        uint8_t *data = NULL;
        size_t   len  = 0;
        rc            = file_read(f->paths[kept[i]], MAX_HEADS, &data, &len, err);
        if (!rc)
            rc = add_part(parts, n, NAMES[kept[i]], data, len, err);
    }
    if (!rc)
        rc = add_reference(f, towers_hash, parts, n, err);
    if (rc) {
        encoder_parts_free(parts, *n);
        *n = 0;
        return rc;
    }
    *out = parts;
    return 0;
}
