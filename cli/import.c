/* osprey import: embeddings from files into a library. */
#include "cli/import.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/exchange.h"
#include "cli/exchange_line.h"
#include "cli/npy.h"
#include "cli/output.h"
#include "image/formats.h"
#include "storage/library_encoder.h"
#include "storage/library_match.h"
#include "storage/library_tags.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_MODEL  ((size_t)1 << 20)
#define PAGES_BATCH 4096 /* further pages of one transaction, but for the last picture's */
#define ALREADY     1e-3 /* so near 1 that halves are to blame: kept as they are, to the bit */

static const char help[] =
    "Reads embeddings from files into a library, which is made where there is none.\n"
    "\n"
    "Usage: osprey import [OPTION...] DIR|PREFIX\n"
    "\n"
    "Reads what `osprey export` wrote, and a folder of clip-retrieval (img_emb/img_emb_*.npy\n"
    "with metadata/metadata_*.parquet, .jsonl or .csv; its captions become yours).\n"
    "Everything is checked before the first picture is imported. The library must have been\n"
    "filled by the model that made the embeddings, or by none yet.\n"
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

static int add_captions(struct session *s, const struct library_item *items,
                        const struct strings *captions, size_t n, size_t total, struct err *err)
{
    struct library_saying *sayings = mem_array(n, sizeof *sayings);
    struct library_said   *said    = mem_array(total, sizeof *said);
    size_t                 count = 0, at = 0;
    int rc = sayings && said ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu captions", total);
    for (size_t i = 0; i < n && !rc; i++) {
        if (captions[i].n)
            sayings[count++] = (struct library_saying){items[i].id, said + at, captions[i].n};
        for (size_t k = 0; k < captions[i].n; k++)
            said[at++] = (struct library_said){.text = captions[i].list[k], .score = (double)NAN};
    }
    if (!rc)
        rc = library_captions_replace(s->lib, LIBRARY_USER, sayings, count, NULL, err);
    free(sayings);
    free(said);
    return rc;
}

int import_add(struct session *s, int64_t model, struct library_item *items,
               const struct strings *captions, size_t n, struct err *err)
{
    size_t total = 0;
    int    rc    = n ? library_add(s->lib, model, items, n, err) : 0;
    for (size_t i = 0; i < n; i++)
        total += captions[i].n;
    return rc || !total ? rc : add_captions(s, items, captions, n, total, err);
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

/* Hands every row to take, in order, after it was read and checked. */
typedef int (*take_row)(void *ctx, struct exchange_line *line, const float *vector,
                        struct err *err);

static int each_row(const struct source *src, take_row take, void *ctx, struct err *err)
{
    struct exchange_table t;
    struct exchange_order order = {.seen = 0};
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
        struct exchange_line line;
        size_t               row = t.row - 1;
        if (row >= src->npy.rows) {
            rc = err_set(err, ERR_FORMAT, "%s has more lines than %s has rows", src->files.lines,
                         src->files.npy);
            break;
        }
        rc = exchange_line_read(text, len, row, &line, err);
        if (!rc)
            rc = exchange_order_take(&order, &line, err);
        if (rc) {
            err_prefix(err, "%s, line %zu", src->files.lines, t.row);
            exchange_line_release(&line);
            break;
        }
        npy_row(&src->npy, row, vector);
        rc = import_normalise(vector, src->npy.dim, src->files.npy, row, err);
        if (!rc && take)
            rc = take(ctx, &line, vector, err);
        exchange_line_release(&line);
    }
    if (!rc && t.row != src->npy.rows)
        rc = err_set(err, ERR_FORMAT, "%s has %zu lines, but %s has %zu rows", src->files.lines,
                     t.row, src->files.npy, src->npy.rows);
    if (!rc && exchange_order_end(&order, err))
        rc = err_prefix(err, "%s, line %zu", src->files.lines, t.row);
    exchange_order_release(&order);
    exchange_table_close(&t);
    free(vector);
    return rc;
}

/* A picture on its way into the library, with the pages that came after its first. */
struct entry {
    struct exchange_line line;
    int                 *pages;      /* (line.parts - 1) */
    int32_t             *times;      /* likewise, of a film; or NULL */
    float               *embeddings; /* (line.parts - 1, dim) */
    size_t               n;          /* how many came */
};

static void entry_release(struct entry *e)
{
    exchange_line_release(&e->line);
    free(e->pages);
    free(e->times);
    free(e->embeddings);
    *e = (struct entry){.n = 0};
}

/* A batch on its way into the library. */
struct batch {
    struct session      *s;
    int64_t              model;
    size_t               dim, n, pages; /* of all entries, beyond their first */
    struct entry         entries[IMPORT_BATCH];
    struct library_item  items[IMPORT_BATCH];
    struct strings       captions[IMPORT_BATCH]; /* the lines' own */
    float               *vectors;                /* (IMPORT_BATCH, dim) */
    char                *folder; /* the last one, and where it lies in the library */
    int64_t              folder_id;
    char                *below;
    struct import_tally *tally;
};

static int batch_flush(struct batch *b, struct err *err)
{
    int rc = import_add(b->s, b->model, b->items, b->captions, b->n, err);
    b->tally->images += rc ? 0 : (int64_t)b->n;
    for (size_t i = 0; i < b->n; i++)
        entry_release(&b->entries[i]);
    b->n = b->pages = 0;
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

/* Makes room for the pages that will follow, as many as its line says. */
static int entry_room(struct entry *e, size_t dim, struct err *err)
{
    size_t more = e->line.parts > 1 ? e->line.parts - 1 : 0;
    if (!more)
        return 0;
    e->pages      = mem_array(more, sizeof *e->pages);
    e->times      = e->line.time_ms >= 0 ? mem_array(more, sizeof *e->times) : NULL;
    e->embeddings = mem_array(more * dim, sizeof *e->embeddings);
    return e->pages && e->embeddings && (e->times || e->line.time_ms < 0)
               ? 0
               : err_set(err, ERR_NOMEM, "out of memory for %zu pages", more);
}

/* A page that is not a picture's first: the picture is the batch's last. */
static void batch_take_page(struct batch *b, const struct exchange_line *line, const float *vector)
{
    struct entry        *e    = &b->entries[b->n - 1];
    struct library_item *item = &b->items[b->n - 1];
    e->pages[e->n]            = line->page;
    if (e->times)
        e->times[e->n] = line->time_ms;
    memcpy(e->embeddings + e->n * b->dim, vector, b->dim * sizeof *vector);
    item->n_parts         = ++e->n;
    item->part_pages      = e->pages;
    item->part_times      = e->times;
    item->part_embeddings = e->embeddings;
    b->pages++;
}

static int batch_take(void *ctx, struct exchange_line *line, const float *vector, struct err *err)
{
    struct batch *b = ctx;
    if (!line->parts && format_has_parts(line->kind)) {
        b->tally->left++;
        return 0;
    }
    if (line->page > 1) {
        batch_take_page(b, line, vector);
        return 0;
    }
    int rc = b->n == IMPORT_BATCH || b->pages >= PAGES_BATCH ? batch_flush(b, err) : 0;
    if (!rc)
        rc = batch_folder(b, line->folder, err);
    if (rc)
        return rc;
    if (*b->below) {
        char *path = path_join(b->below, line->path);
        if (!path)
            return err_set(err, ERR_NOMEM, "out of memory");
        free(line->path);
        line->path = path;
    }
    struct entry        *e    = &b->entries[b->n];
    struct library_item *item = &b->items[b->n];
    float               *own  = b->vectors + b->n * b->dim;
    memcpy(own, vector, b->dim * sizeof *vector);
    *item             = line->item;
    item->folder_id   = b->folder_id;
    item->path        = line->path;
    item->kind        = line->kind;
    item->camera      = line->camera;
    item->embedding   = own;
    item->time_ms     = line->time_ms >= 0 ? &e->line.time_ms : NULL;
    e->line           = *line;
    b->captions[b->n] = line->captions;
    *line             = (struct exchange_line){0};
    b->n++;
    return entry_room(e, b->dim, err);
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
        entry_release(&b->entries[i]);
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
