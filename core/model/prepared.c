/* Weights in the layout that the kernels read: see prepared.h.
 *
 * What is trusted: a cached file whose structure is sound, whose recorded key is
 * the one asked for and which holds every name in its size. Its floats are not
 * summed at each start (that would read 60 MB before the first answer); it was
 * fsynced before it was put in place, so it is whole or absent.
 */
#include "model/prepared.h"

#include "base/cache.h"
#include "base/file.h"
#include "base/mem.h"
#include "model/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

/* Raised whenever what the towers store, or how, changes. */
#define LAYOUT_VERSION 1

#define MAX_FILES  64
#define MAX_HEADER (1u << 20) /* bytes of a file's beginning that go into the key */
#define SAMPLES    8          /* places within a file that do as well */
#define SAMPLE     4096u      /* bytes each */
#define FORM       64         /* bytes of a form's name */
#define HEX        PREPARED_HEX

struct block {
    char  *name;
    float *data; /* (n), 64-byte aligned */
    size_t n;
};

struct prepared {
    char              **files; /* (n_files) */
    size_t              n_files;
    char                form[FORM];
    char                key[HEX];
    char                hash[HEX];
    char               *path; /* of the cached file, NULL where there is no place for one */
    struct safetensors *st;   /* the mapped cache, NULL while building */
    struct block       *blocks;
    size_t              n_blocks, cap_blocks;
};

static void to_hex(XXH128_hash_t h, char out[HEX])
{
    (void)snprintf(out, HEX, "%016llx%016llx", (unsigned long long)h.high64,
                   (unsigned long long)h.low64);
}

/* How much of a file's beginning to hash: a safetensors header, else a page. */
static size_t header_bytes(const struct file_map *map)
{
    uint64_t len = SAMPLE;
    if (map->len >= 8) {
        uint64_t json = 0;
        for (int i = 7; i >= 0; i--)
            json = json << 8 | map->data[i];
        if (json <= MAX_HEADER - 8)
            len = json + 8;
    }
    return len < map->len ? (size_t)len : map->len;
}

/* Adds one file's name, size, time, header and samples to the key. The samples
 * tell apart files that packaging gave the same time. */
static int key_add(XXH3_state_t *state, const char *path, struct err *err)
{
    struct stat     sb;
    struct file_map map;
    if (stat(path, &sb))
        return err_set(err, errno == ENOENT ? ERR_NOTFOUND : ERR_IO, "cannot open %s: %s", path,
                       strerror(errno));
    int rc = file_map(&map, path, err);
    if (rc)
        return rc;
    const char *name  = path_base(path);
    int64_t numbers[] = {(int64_t)map.len, (int64_t)sb.st_mtim.tv_sec, (int64_t)sb.st_mtim.tv_nsec};
    (void)XXH3_128bits_update(state, name, strlen(name) + 1);
    (void)XXH3_128bits_update(state, numbers, sizeof numbers);
    if (map.len)
        (void)XXH3_128bits_update(state, map.data, header_bytes(&map));
    for (size_t i = 0; i < SAMPLES && map.len > SAMPLE; i++)
        (void)XXH3_128bits_update(state, map.data + (map.len - SAMPLE) / SAMPLES * (i + 1), SAMPLE);
    file_unmap(&map);
    return 0;
}

static int compute_key(const struct prepared *p, char out[HEX], struct err *err)
{
    XXH3_state_t *state = XXH3_createState();
    int           rc    = 0;
    if (!state || XXH3_128bits_reset(state) == XXH_ERROR)
        rc = err_set(err, ERR_NOMEM, "cannot prepare a model: out of memory");
    int64_t version = LAYOUT_VERSION;
    if (!rc)
        (void)XXH3_128bits_update(state, &version, sizeof version);
    if (!rc && strcmp(p->form, "f32") != 0)
        (void)XXH3_128bits_update(state, p->form, strlen(p->form) + 1);
    for (size_t i = 0; i < p->n_files && !rc; i++)
        rc = key_add(state, p->files[i], err);
    if (!rc)
        to_hex(XXH3_128bits_digest(state), out);
    XXH3_freeState(state);
    return rc;
}

/* Over each file's length and contents, in order. */
static int compute_hash(const struct prepared *p, char out[HEX], struct err *err)
{
    XXH3_state_t *state = XXH3_createState();
    int           rc    = 0;
    if (!state || XXH3_128bits_reset(state) == XXH_ERROR)
        rc = err_set(err, ERR_NOMEM, "cannot prepare a model: out of memory");
    for (size_t i = 0; i < p->n_files && !rc; i++) {
        struct file_map map;
        rc = file_map(&map, p->files[i], err);
        if (rc)
            break;
        uint8_t len[8];
        for (int b = 0; b < 8; b++)
            len[b] = (uint8_t)((uint64_t)map.len >> (8 * b));
        (void)XXH3_128bits_update(state, len, sizeof len);
        if (map.len)
            (void)XXH3_128bits_update(state, map.data, map.len);
        file_unmap(&map);
    }
    if (!rc)
        to_hex(XXH3_128bits_digest(state), out);
    XXH3_freeState(state);
    return rc;
}

/* Maps the cached file if there is one and it is ours and sound. */
static void try_cache(struct prepared *p)
{
    struct safetensors *st = NULL;
    if (!p->path || safetensors_open(p->path, &st, NULL))
        return;
    const char *key  = safetensors_metadata(st, "key");
    const char *hash = safetensors_metadata(st, "hash");
    if (key && hash && strcmp(key, p->key) == 0 && strlen(hash) == HEX - 1) {
        memcpy(p->hash, hash, HEX);
        p->st = st;
        cache_touch(p->path);
    } else {
        safetensors_close(st);
    }
}

int prepared_open(const char *const *files, size_t n_files, struct prepared **out, struct err *err)
{
    return prepared_open_as("f32", files, n_files, out, err);
}

int prepared_open_as(const char *form, const char *const *files, size_t n_files,
                     struct prepared **out, struct err *err)
{
    if (n_files < 1 || n_files > MAX_FILES)
        return err_set(err, ERR_USAGE, "cannot prepare a model of %zu files", n_files);
    int              rc  = 0;
    char            *dir = NULL;
    struct prepared *p   = mem_zeroed(1, sizeof *p);
    if (p)
        p->files = mem_zeroed(n_files, sizeof *p->files);
    if (!p || !p->files) {
        rc = err_set(err, ERR_NOMEM, "cannot prepare a model: out of memory");
        goto out;
    }
    (void)snprintf(p->form, sizeof p->form, "%s", form);
    for (; p->n_files < n_files; p->n_files++) {
        p->files[p->n_files] = mem_strdup(files[p->n_files]);
        if (!p->files[p->n_files]) {
            rc = err_set(err, ERR_NOMEM, "cannot prepare a model: out of memory");
            goto out;
        }
    }
    rc = compute_key(p, p->key, err);
    if (rc)
        goto out;
    dir = cache_dir("prepared");
    if (dir) {
        char name[HEX + 12];
        (void)snprintf(name, sizeof name, "%s.safetensors", p->key);
        p->path = path_join(dir, name);
    }
    try_cache(p);
    *out = p;
    p    = NULL;
out:
    free(dir);
    prepared_close(p);
    return rc;
}

bool prepared_building(const struct prepared *p)
{
    return !p->st;
}

static int mapped_floats(const struct prepared *p, const char *name, size_t n, float **out,
                         struct err *err)
{
    const struct tensor *t = safetensors_find(p->st, name);
    if (!t || t->dtype != DTYPE_F32 || (size_t)t->elements != n || (uintptr_t)t->data % 64 != 0)
        return err_set(err, ERR_DAMAGED, "%s does not hold %s as prepared", p->path, name);
    *out = (float *)(uintptr_t)t->data;
    return 0;
}

int prepared_floats(struct prepared *p, const char *name, size_t n, float **out, struct err *err)
{
    if (!prepared_building(p))
        return mapped_floats(p, name, n, out, err);
    if (p->n_blocks == p->cap_blocks) {
        size_t        cap    = p->cap_blocks ? 2 * p->cap_blocks : 64;
        struct block *blocks = mem_regrow(p->blocks, cap, sizeof *blocks);
        if (!blocks)
            return err_set(err, ERR_NOMEM, "cannot prepare %s: out of memory", name);
        p->blocks     = blocks;
        p->cap_blocks = cap;
    }
    struct block b = {.name = mem_strdup(name), .data = mem_aligned(n, sizeof *b.data), .n = n};
    if (!b.name || !b.data) {
        free(b.name);
        free(b.data);
        return err_set(err, ERR_NOMEM, "cannot prepare %s: out of memory for %zu floats", name, n);
    }
    memset(b.data, 0, n * sizeof *b.data);
    p->blocks[p->n_blocks++] = b;
    *out                     = b.data;
    return 0;
}

/* Writes the cache; its failing is not worth an error. */
static void write_cache(const struct prepared *p)
{
    struct tensor *tensors = mem_zeroed(p->n_blocks, sizeof *tensors);
    for (size_t i = 0; tensors && i < p->n_blocks; i++) {
        const struct block *b = &p->blocks[i];
        tensors[i]            = (struct tensor){.name     = b->name,
                                                .dtype    = DTYPE_F32,
                                                .n_dims   = 1,
                                                .dims     = {(int64_t)b->n},
                                                .elements = (int64_t)b->n,
                                                .data     = b->data,
                                                .bytes    = b->n * sizeof *b->data};
    }
    const char *metadata[] = {"key", p->key, "hash", p->hash};
    if (tensors)
        (void)safetensors_write(p->path, tensors, p->n_blocks, metadata, 2, NULL);
    free(tensors);
    char *folder = mem_strndup(p->path, (size_t)(path_base(p->path) - p->path));
    if (folder)
        cache_remove_unused(folder);
    free(folder);
}

int prepared_finish(struct prepared *p, struct err *err)
{
    if (!prepared_building(p))
        return 0;
    char key[HEX];
    int  rc = compute_hash(p, p->hash, err);
    if (!rc)
        rc = compute_key(p, key, err);
    /* files that changed under our hands: what was built is of neither */
    if (!rc && p->path && strcmp(key, p->key) == 0)
        write_cache(p);
    return rc;
}

const char *prepared_hash(const struct prepared *p)
{
    return p->hash;
}

int prepared_hash_files(const char *const *files, size_t n_files, char out[PREPARED_HEX],
                        struct err *err)
{
    struct prepared *p  = NULL;
    int              rc = prepared_open_as("hash", files, n_files, &p, err);
    if (rc)
        return rc;
    rc = prepared_finish(p, err);
    if (!rc)
        (void)snprintf(out, PREPARED_HEX, "%s", p->hash);
    prepared_close(p);
    return rc;
}

static void free_blocks(struct prepared *p)
{
    for (size_t i = 0; i < p->n_blocks; i++) {
        free(p->blocks[i].name);
        free(p->blocks[i].data);
    }
    free(p->blocks);
    p->blocks   = NULL;
    p->n_blocks = p->cap_blocks = 0;
}

void prepared_discard(struct prepared *p)
{
    if (p->path)
        (void)unlink(p->path);
    safetensors_close(p->st);
    p->st = NULL;
    free_blocks(p);
    memset(p->hash, 0, sizeof p->hash);
}

void prepared_close(struct prepared *p)
{
    if (!p)
        return;
    safetensors_close(p->st);
    free_blocks(p);
    for (size_t i = 0; i < p->n_files; i++)
        free(p->files[i]);
    free(p->files);
    free(p->path);
    free(p);
}
