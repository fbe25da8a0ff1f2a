/* clip-retrieval's folders (import.h): img_emb/img_emb_NAME.npy with
 * metadata/metadata_NAME.parquet, .jsonl or .csv, row by row: the text files, which somebody made
 * of the other, before it.
 *
 * They say neither which model made them nor how large the pictures are: the model is named
 * by the user, and each picture's file is read for its size and its hash (not decoded), so
 * that `osprey index` finds it unchanged later.
 */
#include "cli/import.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cli/exchange.h"
#include "cli/npy.h"
#include "image/decoder.h"
#include "image/formats.h"
#include "storage/query.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PARTS_MAX 100000

struct part {
    char      *npy, *table;
    struct npy rows;
};

struct clip {
    struct session      *s;
    const char          *root; /* absolute, or NULL */
    struct part         *parts;
    size_t               n_parts;
    size_t               dim;
    char                *folder; /* that holds all pictures, without the last slash */
    struct library_model model;
    int64_t              folder_id;
    char                *below;
    struct decoder      *decoder;
};

bool import_is_clip_retrieval(const char *dir)
{
    char *inner = path_join(dir, "img_emb");
    bool  is    = inner && file_is_dir(inner);
    free(inner);
    return is;
}

static void clip_release(struct clip *c)
{
    for (size_t i = 0; i < c->n_parts; i++) {
        npy_close(&c->parts[i].rows);
        free(c->parts[i].npy);
        free(c->parts[i].table);
    }
    free(c->parts);
    free(c->folder);
    free(c->below);
    decoder_close(c->decoder);
}

/* ---- What there is ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* DIR/metadata/metadata_NAME and a suffix that is there; NULL where none is. */
static int find_table(const char *dir, const char *name, char **out, struct err *err)
{
    static const char *const suffixes[] = {".jsonl", ".csv", ".parquet"};
    struct buf               path;
    *out   = NULL;
    int rc = 0;
    buf_init(&path, 8192);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes && !rc && !*out; i++) {
        buf_reset(&path);
        rc = buf_appendf(&path, err, "%s/metadata/metadata_%s%s", dir, name, suffixes[i]);
        if (!rc && file_exists(buf_str(&path)) && !(*out = mem_strdup(buf_str(&path))))
            rc = err_set(err, ERR_NOMEM, "out of memory");
    }
    if (!rc && !*out)
        rc = err_set(err, ERR_NOTFOUND,
                     "there is no %s/metadata/metadata_%s.parquet, nor .jsonl or .csv", dir, name);
    buf_release(&path);
    return rc;
}

/* "0" of "img_emb_0.npy", freed by the caller; NULL for another name. */
static char *part_name(const char *file)
{
    size_t n = strlen(file);
    if (strncmp(file, "img_emb_", 8) != 0 || n < 13 || strcmp(file + n - 4, ".npy") != 0)
        return NULL;
    return mem_strndup(file + 8, n - 12);
}

static int list_parts(const char *dir, char ***names, size_t *n, struct err *err)
{
    char *inner = path_join(dir, "img_emb");
    DIR  *d     = inner ? opendir(inner) : NULL;
    int   rc    = d ? 0 : err_set(err, ERR_IO, "cannot read %s/img_emb", dir);
    *names      = mem_array(PARTS_MAX, sizeof **names);
    *n          = 0;
    if (!*names && !rc)
        rc = err_set(err, ERR_NOMEM, "out of memory");
    for (struct dirent *e; !rc && (e = readdir(d));) {
        char *name = part_name(e->d_name);
        if (name && *n == PARTS_MAX) {
            free(name);
            rc = err_set(err, ERR_LIMIT, "%s has more than %d parts", dir, PARTS_MAX);
        } else if (name) {
            (*names)[(*n)++] = name;
        }
    }
    if (d)
        closedir(d);
    free(inner);
    if (!rc && *n == 0)
        rc = err_set(err, ERR_NOTFOUND, "there is no img_emb_*.npy in %s/img_emb", dir);
    if (!rc)
        qsort(*names, *n, sizeof **names, by_name);
    return rc;
}

static int open_part(struct clip *c, const char *dir, const char *name, struct err *err)
{
    struct part *part = &c->parts[c->n_parts++];
    struct buf   path;
    buf_init(&path, 8192);
    int rc = buf_appendf(&path, err, "%s/img_emb/img_emb_%s.npy", dir, name);
    if (!rc && !(part->npy = mem_strdup(buf_str(&path))))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    buf_release(&path);
    if (!rc)
        rc = npy_open(part->npy, &part->rows, err);
    if (!rc && part->rows.dim != c->dim)
        rc = err_set(err, ERR_FORMAT, "%s has %zu numbers in a row, but the model %s makes %zu",
                     part->npy, part->rows.dim, c->model.name, c->dim);
    return rc ? rc : find_table(dir, name, &part->table, err);
}

static int open_parts(struct clip *c, const char *dir, struct err *err)
{
    char **names = NULL;
    size_t n     = 0;
    int    rc    = list_parts(dir, &names, &n, err);
    if (!rc && !(c->parts = mem_zeroed(n, sizeof *c->parts)))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < n && !rc; i++)
        rc = open_part(c, dir, names[i], err);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return rc;
}

/* ---- Row by row ---- */

/* caption: NULL where the row has none. */
typedef int (*take_clip)(struct clip *c, const char *path, const char *caption, const float *vector,
                         void *ctx, struct err *err);

static int absolute(const struct clip *c, const char *path, char **out, struct err *err)
{
    char *joined = c->root && *path != '/' ? path_join(c->root, path) : mem_strdup(path);
    if (!joined)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = path_absolute(joined, out, err);
    free(joined);
    return rc;
}

static int each_of_part(struct clip *c, const struct part *part, float *vector, take_clip take,
                        void *ctx, struct err *err)
{
    struct exchange_table t;
    char                 *path = NULL, *whole = NULL, *caption = NULL;
    size_t                row = 0;
    int                   rc = exchange_table_open(&t, part->table, err), more = 1;
    if (rc)
        return rc;
    while (!rc && (more = exchange_table_row(&t, &path, &caption, err)) > 0) {
        if (row == part->rows.rows) {
            rc = err_set(err, ERR_FORMAT, "%s has more rows than %s", part->table, part->npy);
        } else {
            npy_row(&part->rows, row, vector);
            rc = import_normalise(vector, c->dim, part->npy, row, err);
        }
        if (!rc)
            rc = absolute(c, path, &whole, err);
        if (!rc)
            rc = take(c, whole, caption, vector, ctx, err);
        free(whole);
        free(path);
        free(caption);
        path = whole = caption = NULL;
        row++;
    }
    if (!rc && more < 0)
        rc = more;
    if (!rc && row != part->rows.rows)
        rc = err_set(err, ERR_FORMAT, "%s has %zu rows, but %s has %zu", part->table, row,
                     part->npy, part->rows.rows);
    exchange_table_close(&t);
    return rc;
}

static int each(struct clip *c, take_clip take, void *ctx, struct err *err)
{
    float *vector = mem_array(c->dim, sizeof *vector);
    int    rc     = vector ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < c->n_parts && !rc; i++)
        rc = each_of_part(c, &c->parts[i], vector, take, ctx, err);
    free(vector);
    return rc;
}

/* Narrows c->folder to what holds this picture, too. */
static int narrow(struct clip *c, const char *path, const char *caption, const float *vector,
                  void *ctx, struct err *err)
{
    (void)caption;
    (void)vector;
    (void)ctx;
    if (!c->folder) {
        c->folder = mem_strdup(path);
        if (!c->folder)
            return err_set(err, ERR_NOMEM, "out of memory");
        *strrchr(c->folder, '/') = '\0';
        return 0;
    }
    size_t n = strlen(c->folder);
    while (n > 0 && (strncmp(c->folder, path, n) != 0 || path[n] != '/')) {
        n            = (size_t)(strrchr(c->folder, '/') - c->folder);
        c->folder[n] = '\0';
    }
    return 0;
}

struct gather {
    struct library_item  items[IMPORT_BATCH];
    struct image_info    infos[IMPORT_BATCH];
    char                *paths[IMPORT_BATCH];
    struct strings       captions[IMPORT_BATCH]; /* one, or none */
    float               *vectors;                /* (IMPORT_BATCH, dim) */
    size_t               n;
    struct import_tally *tally;
};

static void gather_empty(struct gather *g)
{
    for (size_t i = 0; i < g->n; i++) {
        free(g->paths[i]);
        strings_release(&g->captions[i]);
    }
    g->n = 0;
}

static int gather_flush(struct clip *c, struct gather *g, struct err *err)
{
    int rc = import_add(c->s, c->model.id, g->items, g->captions, g->n, err);
    g->tally->images += rc ? 0 : (int64_t)g->n;
    gather_empty(g);
    return rc;
}

/* What the file says of itself; false where it is not there, or no picture. */
static bool look_at(struct clip *c, const char *path, struct library_item *item,
                    struct image_info *info)
{
    struct stat st;
    uint8_t    *bytes = NULL;
    size_t      n     = 0;
    bool        good  = stat(path, &st) == 0 &&
                file_read(path, QUERY_MAX_IMAGE_BYTES, &bytes, &n, NULL) == 0 &&
                decoder_probe(c->decoder, bytes, n, info, NULL) == 0;
    if (good) {
        hash_bytes(bytes, n, item->hash);
        item->size        = (int64_t)n;
        item->mtime_ns    = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        item->width       = info->width;
        item->height      = info->height;
        item->kind        = image_kind_name(info->kind);
        item->orientation = info->orientation;
        item->taken_at    = info->taken_at;
        item->camera      = info->camera;
    }
    free(bytes);
    return good;
}

static int gather_take(struct clip *c, const char *path, const char *caption, const float *vector,
                       void *ctx, struct err *err)
{
    struct gather       *g    = ctx;
    struct library_item *item = &g->items[g->n];
    *item                     = (struct library_item){.folder_id = c->folder_id};
    if (!look_at(c, path, item, &g->infos[g->n])) {
        g->tally->missing++;
        return 0;
    }
    if (format_has_parts(item->kind)) {
        g->tally->left++;
        return 0;
    }
    const char *inside = path + strlen(c->folder) + 1;
    g->paths[g->n]     = *c->below ? path_join(c->below, inside) : mem_strdup(inside);
    if (!g->paths[g->n])
        return err_set(err, ERR_NOMEM, "out of memory");
    memcpy(g->vectors + g->n * c->dim, vector, c->dim * sizeof *vector);
    item->path      = g->paths[g->n];
    item->embedding = g->vectors + g->n * c->dim;
    int rc          = caption ? strings_add(&g->captions[g->n], caption, err) : 0;
    if (++g->n == IMPORT_BATCH && !rc)
        rc = gather_flush(c, g, err);
    return rc;
}

static int add_all(struct clip *c, struct import_tally *tally, struct err *err)
{
    struct gather *g = mem_zeroed(1, sizeof *g);
    int rc = g && (g->vectors = mem_array(IMPORT_BATCH * c->dim, sizeof *g->vectors)) != NULL
                 ? decoder_open(NULL, &c->decoder, err)
                 : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc)
        rc = library_folder_add(c->s->lib, c->folder, &c->folder_id, &c->below, err);
    if (!rc) {
        g->tally = tally;
        rc       = each(c, gather_take, g, err);
    }
    if (!rc)
        rc = gather_flush(c, g, err);
    if (g) {
        gather_empty(g);
        free(g->vectors);
    }
    free(g);
    return rc;
}

static int open_model(struct clip *c, struct err *err)
{
    if (!c->s->common->model)
        return err_set(err, ERR_USAGE,
                       "clip-retrieval's files don't say which model made them: name it with "
                       "--model");
    int rc = session_encoder(c->s, err);
    if (rc)
        return rc;
    const struct encoder_info *info = encoder_info(c->s->enc);
    struct library_model      *m    = &c->model;
    snprintf(m->name, sizeof m->name, "%s", info->name);
    snprintf(m->dir, sizeof m->dir, "%s", info->dir);
    snprintf(m->hash, sizeof m->hash, "%s", info->hash);
    snprintf(m->precision, sizeof m->precision, "%s", info->precision);
    m->dim      = info->dim;
    m->distance = info->distance;
    c->dim      = (size_t)info->dim;
    return 0;
}

int import_clip_retrieval(struct session *s, const char *dir, const char *root,
                          struct import_tally *tally, struct err *err)
{
    struct clip c  = {.s = s, .root = root};
    int         rc = open_model(&c, err);
    if (!rc)
        rc = open_parts(&c, dir, err);
    if (!rc)
        rc = each(&c, narrow, NULL, err);
    if (!rc && c.folder && !*c.folder)
        rc = err_set(err, ERR_USAGE, "the pictures of %s have no folder in common", dir);
    if (!rc && c.folder)
        rc = import_model(s, &c.model, err);
    if (!rc && c.folder)
        rc = add_all(&c, tally, err);
    clip_release(&c);
    return rc;
}
