/* osprey import: embeddings from files into a library. */
#include "cli/import.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/exchange.h"
#include "cli/npy.h"
#include "cli/output.h"
#include "image/formats.h"
#include "storage/library_encoder.h"
#include "storage/library_match.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_LINE  ((size_t)1 << 20) /* bytes */
#define MOST_MODEL ((size_t)1 << 20)
#define ALREADY    1e-3 /* so near 1 that halves are to blame: kept as they are, to the bit */

static const char help[] =
    "Reads embeddings from files into a library, which is made where there is none.\n"
    "\n"
    "Usage: osprey import [OPTION...] DIR|PREFIX\n"
    "\n"
    "Reads what `osprey export` wrote, and a folder of clip-retrieval (img_emb/img_emb_*.npy\n"
    "with metadata/metadata_*.parquet, .jsonl or .csv). Everything is checked before the\n"
    "first picture is imported. The library must have been filled by the model that made\n"
    "the embeddings, or by none yet.\n"
    "\n"
    "  --root DIR          where relative paths of clip-retrieval begin\n" HELP_LIBRARY HELP_MODEL
        HELP_OUTPUT "\n"
    "--model is needed for clip-retrieval's files, which don't name their model.\n"
    "\n"
    "Exit status: 0 done, 1 nothing to import, 2 wrong usage, 3 failed.\n"
    "\n"
    "Examples:\n"
    "  osprey import --library new backup/\n"
    "  osprey import --model openai/clip-vit-base-patch32 --root ~/laion embeddings\n";

int import_normalise(float *vector, size_t dim, const char *what, size_t row, struct err *err)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++)
        sum += (double)vector[i] * (double)vector[i];
    if (!isfinite(sum) || sum < 1e-12)
        return err_set(err, ERR_FORMAT, "%s, row %zu: it is not an embedding: its length is %g",
                       what, row, sqrt(sum));
    float scale = (float)(1 / sqrt(sum));
    for (size_t i = 0; i < dim && fabs(sum - 1) > ALREADY; i++)
        vector[i] *= scale;
    return 0;
}

static int open_library(struct session *s, struct err *err)
{
    char *dir = NULL;
    int   rc  = s->common->library ? 0 : library_default_dir(&dir, err);
    if (!rc && !s->lib)
        rc = library_open(dir ? dir : s->common->library, LIBRARY_CREATE, &s->lib, err);
    free(dir);
    return rc;
}

int import_model(struct session *s, struct library_model *model, struct err *err)
{
    struct library_model active;
    struct err           why = ERR_INIT;
    int                  rc  = open_library(s, err);
    if (rc)
        return rc;
    rc = library_model_active(s->lib, &active, &why);
    if (rc == 0 && (strcmp(active.hash, model->hash) != 0 || active.dim != model->dim))
        return err_set(err, ERR_USAGE,
                       "the embeddings were made by the model %s (%.8s), but this library was "
                       "filled by %s (%.8s): import them into another library",
                       model->name, model->hash, active.name, active.hash);
    if (rc == 0) {
        *model = active;
        return 0;
    }
    if (rc != ERR_NOTFOUND)
        return err_set(err, why.code, "%s", why.msg);
    rc = library_model_register(s->lib, model, err);
    if (!rc)
        rc = library_keep_encoder(s->lib, model, s->enc, err);
    return rc ? rc : library_model_activate(s->lib, model->id, err);
}

/* ---- What osprey export wrote ---- */

struct source {
    struct exchange_files files;
    struct npy            npy;
    struct library_model  model;
    size_t                rows;
};

static int read_model(struct source *src, struct err *err)
{
    struct jnode         *o      = NULL;
    const char           *format = "", *name = "", *hash = "", *precision = "", *distance = "";
    int64_t               version = 0, dim = 0, rows = -1;
    struct library_model *m  = &src->model;
    int                   rc = jnode_parse_file(src->files.model, MOST_MODEL, &o, err);
    if (rc)
        return rc;
    bool sound =
        jnode_to_str(jnode_get(o, "format"), &format) && strcmp(format, EXCHANGE_FORMAT) == 0 &&
        jnode_to_int(jnode_get(o, "version"), &version) &&
        jnode_to_str(jnode_get(o, "model"), &name) && jnode_to_str(jnode_get(o, "hash"), &hash) &&
        jnode_to_str(jnode_get(o, "precision"), &precision) &&
        jnode_to_str(jnode_get(o, "distance"), &distance) &&
        jnode_to_int(jnode_get(o, "dimension"), &dim) &&
        jnode_to_int(jnode_get(o, "rows"), &rows) && distance_of(distance, &m->distance);
    if (!sound || dim < 1 || dim > 1 << 20 || rows < 0)
        rc = err_set(err, ERR_FORMAT, "%s does not say which model made the embeddings",
                     src->files.model);
    else if (version != 1)
        rc = err_set(err, ERR_UNSUPPORTED, "%s has version %lld, this program knows 1",
                     src->files.model, (long long)version);
    snprintf(m->name, sizeof m->name, "%s", name);
    snprintf(m->hash, sizeof m->hash, "%s", hash);
    snprintf(m->precision, sizeof m->precision, "%s", precision);
    m->dim    = (int)dim;
    src->rows = (size_t)rows;
    jnode_free(o);
    return rc;
}

/* A line as an item for the library; its folder apart. */
struct line {
    struct library_item item;
    char               *folder, *path, *kind, *camera;
};

static void line_release(struct line *l)
{
    free(l->folder);
    free(l->path);
    free(l->kind);
    free(l->camera);
    *l = (struct line){0};
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static bool read_hash(const char *text, uint8_t *out)
{
    for (int i = 0; i < LIBRARY_HASH_BYTES; i++) {
        int high = hex_digit(text[2 * i]), low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * LIBRARY_HASH_BYTES] == '\0';
}

/* Below its folder, and nowhere else. */
static bool stays_below(const char *path)
{
    if (!*path || *path == '/')
        return false;
    for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            return false;
    return true;
}

static bool read_size(const struct jnode *o, const char *key, int *out)
{
    int64_t v     = 0;
    bool    sound = jnode_to_int(jnode_get(o, key), &v) && v > 0 && v < 1 << 30;
    *out          = sound ? (int)v : 0;
    return sound;
}

static int read_line(const char *text, size_t len, size_t row, struct line *out, struct err *err)
{
    struct jnode        *o    = NULL;
    struct library_item *item = &out->item;
    const char          *hash = NULL, *kind = NULL, *camera = "";
    int64_t              at = -1, orientation = 1;
    *out   = (struct line){0};
    int rc = len > MOST_LINE ? err_set(err, ERR_LIMIT, "it is too long")
                             : jnode_parse(text, len, "it", &o, err);
    if (!rc)
        rc = exchange_path(o, "folder", &out->folder, err);
    if (!rc)
        rc = exchange_path(o, "path", &out->path, err);
    if (!rc && (*out->folder != '/' || !stays_below(out->path)))
        rc = err_set(err, ERR_FORMAT, "its path does not lie below its folder");
    if (!rc && (!jnode_to_int(jnode_get(o, "row"), &at) || at != (int64_t)row))
        rc = err_set(err, ERR_FORMAT, "its \"row\" is not %zu", row);
    if (!rc && !(jnode_to_str(jnode_get(o, "hash"), &hash) && read_hash(hash, item->hash)))
        rc = err_set(err, ERR_FORMAT, "its \"hash\" is not one");
    if (!rc && !(jnode_to_int(jnode_get(o, "size"), &item->size) && item->size >= 0 &&
                 jnode_to_int(jnode_get(o, "mtime_ns"), &item->mtime_ns) &&
                 read_size(o, "width", &item->width) && read_size(o, "height", &item->height) &&
                 jnode_to_str(jnode_get(o, "kind"), &kind) && *kind && strlen(kind) < 16))
        rc = err_set(err, ERR_FORMAT,
                     "its \"size\", \"mtime_ns\", \"width\", \"height\" or \"kind\" is missing or "
                     "senseless");
    if (!rc) {
        jnode_to_int(jnode_get(o, "orientation"), &orientation);
        jnode_to_int(jnode_get(o, "taken_at"), &item->taken_at);
        jnode_to_str(jnode_get(o, "camera"), &camera);
        item->orientation = orientation >= 1 && orientation <= 8 ? (int)orientation : 1;
        out->kind         = mem_strdup(kind);
        out->camera       = mem_strdup(camera);
        if (!out->kind || !out->camera)
            rc = err_set(err, ERR_NOMEM, "out of memory");
    }
    jnode_free(o);
    if (rc)
        line_release(out);
    return rc;
}

/* Hands every row to take, in order, after it was read and checked. */
typedef int (*take_row)(void *ctx, struct line *line, const float *vector, struct err *err);

static int each_row(const struct source *src, take_row take, void *ctx, struct err *err)
{
    struct exchange_table t;
    const char           *text;
    size_t                len;
    float                *vector = mem_array(src->npy.dim, sizeof *vector);
    int                   rc     = vector ? exchange_table_open(&t, src->files.lines, err)
                                          : err_set(err, ERR_NOMEM, "out of memory");
    if (rc) {
        free(vector);
        return rc;
    }
    while (!rc && exchange_table_line(&t, &text, &len)) {
        struct line line;
        size_t      row = t.row - 1;
        if (row >= src->npy.rows) {
            rc = err_set(err, ERR_FORMAT, "%s has more lines than %s has rows", src->files.lines,
                         src->files.npy);
            break;
        }
        rc = read_line(text, len, row, &line, err);
        if (rc) {
            err_prefix(err, "%s, line %zu", src->files.lines, t.row);
            break;
        }
        npy_row(&src->npy, row, vector);
        rc = import_normalise(vector, src->npy.dim, src->files.npy, row, err);
        if (!rc && take)
            rc = take(ctx, &line, vector, err);
        line_release(&line);
    }
    if (!rc && t.row != src->npy.rows)
        rc = err_set(err, ERR_FORMAT, "%s has %zu lines, but %s has %zu rows", src->files.lines,
                     t.row, src->files.npy, src->npy.rows);
    exchange_table_close(&t);
    free(vector);
    return rc;
}

/* A batch on its way into the library. */
struct batch {
    struct session      *s;
    int64_t              model;
    size_t               dim, n;
    struct line          lines[IMPORT_BATCH];
    struct library_item  items[IMPORT_BATCH];
    float               *vectors; /* (IMPORT_BATCH, dim) */
    char                *folder;  /* the last one, and where it lies in the library */
    int64_t              folder_id;
    char                *below;
    struct import_tally *tally;
};

static int batch_flush(struct batch *b, struct err *err)
{
    int rc = b->n ? library_add(b->s->lib, b->model, b->items, b->n, err) : 0;
    b->tally->images += rc ? 0 : (int64_t)b->n;
    for (size_t i = 0; i < b->n; i++)
        line_release(&b->lines[i]);
    b->n = 0;
    return rc;
}

static int batch_folder(struct batch *b, const char *folder, struct err *err)
{
    if (b->folder && strcmp(b->folder, folder) == 0)
        return 0;
    free(b->folder);
    free(b->below);
    b->below  = NULL;
    b->folder = mem_strdup(folder);
    return b->folder ? library_folder_add(b->s->lib, folder, &b->folder_id, &b->below, err)
                     : err_set(err, ERR_NOMEM, "out of memory");
}

static int batch_take(void *ctx, struct line *line, const float *vector, struct err *err)
{
    struct batch *b = ctx;
    if (format_has_parts(line->kind)) {
        b->tally->left++;
        return 0;
    }
    int rc = batch_folder(b, line->folder, err);
    if (rc)
        return rc;
    if (*b->below) {
        char *path = path_join(b->below, line->path);
        if (!path)
            return err_set(err, ERR_NOMEM, "out of memory");
        free(line->path);
        line->path = path;
    }
    memcpy(b->vectors + b->n * b->dim, vector, b->dim * sizeof *vector);
    struct library_item *item = &b->items[b->n];
    *item                     = line->item;
    item->folder_id           = b->folder_id;
    item->path                = line->path;
    item->kind                = line->kind;
    item->camera              = line->camera;
    item->embedding           = b->vectors + b->n * b->dim;
    b->lines[b->n++]          = *line;
    *line                     = (struct line){0};
    return b->n == IMPORT_BATCH ? batch_flush(b, err) : 0;
}

static int add_all(struct session *s, struct source *src, struct import_tally *tally,
                   struct err *err)
{
    struct batch *b = mem_zeroed(1, sizeof *b);
    if (!b)
        return err_set(err, ERR_NOMEM, "out of memory");
    b->s       = s;
    b->model   = src->model.id;
    b->dim     = src->npy.dim;
    b->tally   = tally;
    b->vectors = mem_array(IMPORT_BATCH * b->dim, sizeof *b->vectors);
    int rc =
        b->vectors ? each_row(src, batch_take, b, err) : err_set(err, ERR_NOMEM, "out of memory");
    if (!rc)
        rc = batch_flush(b, err);
    for (size_t i = 0; i < b->n; i++)
        line_release(&b->lines[i]);
    free(b->folder);
    free(b->below);
    free(b->vectors);
    free(b);
    return rc;
}

/* Opens the model that made them, so that the library can go on with it. */
static int open_model(struct session *s, const struct library_model *model, struct err *err)
{
    struct encoder_options options = {0};
    const char            *name    = s->common->model ? s->common->model : model->name;
    if (s->enc)
        return 0;
    if (!precision_of(model->precision, &options.precision))
        return err_set(err, ERR_UNSUPPORTED, "unknown precision %s", model->precision);
    int rc = encoder_open_named(name, &options, &s->enc, err);
    if (rc)
        return err_prefix(err, "the embeddings were made by the model %s", model->name);
    if (strcmp(encoder_info(s->enc)->hash, model->hash) != 0)
        return err_set(err, ERR_USAGE,
                       "the embeddings were made by the model %s with weights %.8s; %s here has "
                       "%.8s: name the right one with --model",
                       model->name, model->hash, name, encoder_info(s->enc)->hash);
    return 0;
}

int import_osprey(struct session *s, const char *target, struct import_tally *tally,
                  struct err *err)
{
    struct source src = {0};
    int           rc  = exchange_files_init(&src.files, target, err);
    if (!rc)
        rc = read_model(&src, err);
    if (!rc)
        rc = npy_open(src.files.npy, &src.npy, err);
    if (!rc && (src.npy.dim != (size_t)src.model.dim || src.npy.rows != src.rows))
        rc = err_set(err, ERR_FORMAT, "%s has %zu rows of %zu numbers, not %zu of %d as %s says",
                     src.files.npy, src.npy.rows, src.npy.dim, src.rows, src.model.dim,
                     src.files.model);
    if (!rc)
        rc = each_row(&src, NULL, NULL, err);
    if (!rc && src.npy.rows > 0)
        rc = open_model(s, &src.model, err);
    if (!rc && src.npy.rows > 0) {
        snprintf(src.model.dir, sizeof src.model.dir, "%s", encoder_info(s->enc)->dir);
        rc = import_model(s, &src.model, err);
    }
    if (!rc && src.npy.rows > 0)
        rc = add_all(s, &src, tally, err);
    npy_close(&src.npy);
    exchange_files_release(&src.files);
    return rc;
}

/* ---- The command ---- */

static int import(struct session *s, const char *target, const char *root,
                  struct import_tally *tally, struct err *err)
{
    bool clip = import_is_clip_retrieval(target);
    if (root && !clip)
        return err_set(err, ERR_USAGE, "--root is for clip-retrieval's files");
    int rc = clip ? import_clip_retrieval(s, target, root, tally, err)
                  : import_osprey(s, target, tally, err);
    if (!rc && s->lib)
        rc = library_index_maintain(s->lib, false, err);
    if (!rc && s->lib)
        rc = library_background_maintain(s->lib, s->enc, err);
    return rc;
}

int cmd_import(int argc, char **argv)
{
    struct common            common;
    struct args              args    = {0};
    struct session           session = SESSION_INIT(&common);
    struct import_tally      tally   = {0};
    struct err               err     = ERR_INIT;
    const char              *root    = NULL, *target[1];
    const struct option_spec own[]   = {{.name = "--root", .kind = OPTION_TEXT, .target = &root}};
    int rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc)
        rc = args_exactly(&args, 1, "one folder or prefix", target, &err);
    if (!rc)
        rc = import(&session, target[0], root, &tally, &err);
    if (!rc && common.json) {
        struct jnode *o      = jnode_object();
        int           failed = o ? jnode_set_int(o, "images", tally.images) : -1;
        failed |= o ? jnode_set_int(o, "missing", tally.missing) : -1;
        failed |= o ? jnode_set_int(o, "left", tally.left) : -1;
        rc = out_json(o, failed, &err);
    } else if (!rc) {
        note(&common, "%lld pictures imported", (long long)tally.images);
        if (tally.missing)
            note(&common, "%lld left out: they are not there, or cannot be read",
                 (long long)tally.missing);
        if (tally.left)
            note(&common,
                 "%lld scans and films are left to osprey index, which looks at their "
                 "pages and frames",
                 (long long)tally.left);
    }
out:
    session_release(&session);
    args_release(&args);
    if (rc)
        return fail("import", &err);
    return tally.images || common.help ? EXIT_FOUND : EXIT_NOTHING;
}
