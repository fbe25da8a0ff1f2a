/* osprey export: embeddings as a NumPy array, with a line of metadata for each row. */
#include "cli/commands.h"
#include "cli/exchange.h"
#include "cli/exchange_line.h"
#include "cli/npy.h"
#include "cli/output.h"
#include "cli/places.h"
#include "cli/session.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "storage/library_tags.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 1024 /* images that are listed at once */

static const char help[] =
    "Writes the library's embeddings as a NumPy array, and what is known of each picture.\n"
    "\n"
    "Usage: osprey export [OPTION...] DIR|PREFIX\n"
    "\n"
    "PREFIX.npy holds a float32 row for each picture, and for each further page of a scan\n"
    "and frame of a film; PREFIX.jsonl a line for each row, and PREFIX.json the model that\n"
    "made them. For a folder PREFIX is DIR/embeddings. `osprey import` reads them back.\n"
    "\n"
    "  --in DIR            only pictures below this folder\n" HELP_LIBRARY HELP_OUTPUT "\n"
    "Exit status: 0 done, 1 no pictures, 2 wrong usage, 3 failed.\n"
    "\n"
    "Examples:\n"
    "  osprey export /tmp/holiday --in ~/Pictures/2019\n"
    "  osprey export backup/\n";

struct export
{
    struct session    *s;
    struct npy_writer *npy;
    FILE              *lines;
    char              *aside; /* where lines are written until they are whole */
    int                dim;
    int64_t           *ids; /* (n) of images, to be written */
    size_t             n;
    int64_t            count; /* rows written */
};

/* What people said of an image; beyond EXCHANGE_CAPTIONS it is left out. */
static int user_captions(struct export *e, int64_t id, struct strings *out, struct err *err)
{
    struct library_said *said = NULL;
    size_t               n = 0, bytes = 0;
    int                  rc = library_captions_get(e->s->lib, id, &said, &n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        bytes += said[i].source == LIBRARY_USER ? strlen(said[i].text) : 0;
        if (said[i].source == LIBRARY_USER && bytes <= EXCHANGE_CAPTIONS)
            rc = strings_add(out, said[i].text, err);
    }
    library_said_free(said, n);
    return rc;
}

static int write_line(struct export *e, const struct library_whole *whole,
                      const struct strings *captions, size_t i, struct err *err)
{
    struct jnode *o    = exchange_line_make(whole, captions, i, e->count);
    char         *line = o ? jnode_write(o) : NULL;
    jnode_free(o);
    if (!line)
        return err_set(err, ERR_NOMEM, "out of memory");
    int rc = fprintf(e->lines, "%s\n", line) < 0
                 ? err_set(err, ERR_IO, "cannot write %s: %s", e->aside, strerror(errno))
                 : 0;
    free(line);
    return rc;
}

static int list_place(struct export *e, const struct library_filter *place, struct err *err)
{
    struct library_cursor after = {0};
    int                   rc    = 0;
    for (size_t n = PAGE; n == PAGE && !rc;) {
        struct library_image *images = NULL;
        rc = library_list(e->s->lib, place, LIBRARY_BY_ID, &after, PAGE, &images, &n, err);
        int64_t *grown = rc ? NULL : mem_regrow(e->ids, e->n + n + 1, sizeof *grown);
        if (!rc && !grown)
            rc = err_set(err, ERR_NOMEM, "out of memory for %zu pictures", e->n + n);
        if (grown)
            e->ids = grown;
        for (size_t i = 0; i < n && images; i++) {
            if (!rc)
                e->ids[e->n++] = images[i].id;
            after = (struct library_cursor){images[i].taken_at, images[i].id};
            library_image_release(&images[i]);
        }
        free(images);
    }
    return rc;
}

static int by_id(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* What went meanwhile, or lacks an embedding (of damage verify tells), is left out. */
static int export_one(struct export *e, int64_t id, struct err *err)
{
    struct library_whole whole;
    struct strings       captions = {0};
    struct err           why      = ERR_INIT;
    int                  rc       = library_whole_get(e->s->lib, id, &whole, &why);
    if (rc)
        return rc == ERR_NOTFOUND || rc == ERR_DAMAGED ? 0 : err_set(err, why.code, "%s", why.msg);
    if (whole.dim != e->dim)
        rc = err_set(err, ERR_BUSY, "another model was chosen meanwhile: export again");
    if (!rc)
        rc = user_captions(e, id, &captions, err);
    for (size_t i = 0; i < whole.n && !rc; i++) {
        rc = npy_writer_row(e->npy, whole.embeddings + i * (size_t)whole.dim, err);
        if (!rc)
            rc = write_line(e, &whole, &captions, i, err);
        e->count += !rc;
    }
    strings_release(&captions);
    library_whole_release(&whole);
    return rc;
}

static int write_model(const char *path, const struct library_model *model, int64_t rows,
                       struct err *err)
{
    struct jnode *o      = jnode_object();
    int           failed = o ? 0 : -1;
    if (o) {
        failed |= jnode_set_str(o, "format", EXCHANGE_FORMAT) | jnode_set_int(o, "version", 1);
        failed |= jnode_set_str(o, "model", model->name) | jnode_set_str(o, "hash", model->hash);
        failed |= jnode_set_str(o, "precision", model->precision);
        failed |= jnode_set_int(o, "dimension", model->dim);
        failed |= jnode_set_str(o, "distance", distance_name(model->distance));
        failed |= jnode_set_int(o, "rows", rows);
    }
    char *text = failed ? NULL : jnode_write(o);
    jnode_free(o);
    int rc = text ? file_replace(path, text, strlen(text), err)
                  : err_set(err, ERR_NOMEM, "out of memory");
    free(text);
    return rc;
}

/* All that is beside the array appears before it, so that a whole array is never alone. */
static int finish(struct export *e, const struct exchange_files *files,
                  const struct library_model *model, struct err *err)
{
    int rc = 0;
    if (fflush(e->lines) != 0 || fsync(fileno(e->lines)) != 0 ||
        rename(e->aside, files->lines) != 0)
        rc = err_set(err, ERR_IO, "cannot write %s: %s", files->lines, strerror(errno));
    if (!rc)
        e->aside[0] = '\0';
    if (!rc)
        rc = write_model(files->model, model, e->count, err);
    return rc ? rc : npy_writer_finish(e->npy, err);
}

static int export_all(struct session *s, const struct exchange_files *files, const char *in,
                      int64_t *count, struct err *err)
{
    struct export e             = {.s = s};
    struct places        places = {0};
    struct library_model model;
    int                  rc = library_model_active(s->lib, &model, err);
    if (!rc)
        rc = places_init(&places, s, &in, in != NULL, err);
    if (!rc && !(e.aside = path_with(files->lines, ".part")))
        rc = err_set(err, ERR_NOMEM, "out of memory");
    e.dim = rc ? 0 : model.dim;
    if (!rc)
        rc = npy_writer_open(files->npy, (size_t)model.dim, &e.npy, err);
    if (!rc && !(e.lines = fopen(e.aside, "w")))
        rc = err_set(err, ERR_IO, "cannot write %s: %s", e.aside, strerror(errno));
    for (size_t i = 0; i < places.n && !rc; i++)
        rc = list_place(&e, &places.filters[i], err);
    if (!rc && e.n) /* in the order in which they came: so import gives them ids */
        qsort(e.ids, e.n, sizeof *e.ids, by_id);
    for (size_t i = 0; i < e.n && !rc; i++)
        rc = export_one(&e, e.ids[i], err);
    if (!rc && e.count > 0)
        rc = finish(&e, files, &model, err);
    npy_writer_close(e.npy);
    if (e.lines) {
        fclose(e.lines);
        if (e.aside[0])
            unlink(e.aside);
    }
    free(e.aside);
    free(e.ids);
    places_release(&places);
    *count = e.count;
    return rc;
}

int cmd_export(int argc, char **argv)
{
    struct common            common;
    struct args              args    = {0};
    struct session           session = SESSION_INIT(&common);
    struct exchange_files    files   = {0};
    struct err               err     = ERR_INIT;
    const char              *in      = NULL, *target[1];
    int64_t                  count   = 0;
    const struct option_spec own[]   = {{.name = "--in", .kind = OPTION_TEXT, .target = &in}};
    int rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc)
        rc = args_exactly(&args, 1, "one folder or prefix", target, &err);
    if (!rc)
        rc = session_library(&session, &err);
    if (!rc)
        rc = exchange_files_init(&files, target[0], &err);
    if (!rc)
        rc = export_all(&session, &files, in, &count, &err);
    if (!rc && common.json) {
        struct jnode *o      = jnode_object();
        int           failed = o ? jnode_set_path(o, "npy", files.npy) : -1;
        failed |= o ? jnode_set_int(o, "rows", count) : -1;
        rc = out_json(o, failed, &err);
    } else if (!rc) {
        note(&common, "%lld embeddings %s", (long long)count, count ? "written" : "to write");
    }
out:
    exchange_files_release(&files);
    session_release(&session);
    args_release(&args);
    if (rc)
        return fail("export", &err);
    return count || common.help ? EXIT_FOUND : EXIT_NOTHING;
}
