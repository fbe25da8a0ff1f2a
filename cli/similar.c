/* osprey similar: pictures like a given one. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/results.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "storage/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char help[] =
    "Finds the pictures most like a given one, which need not be in the library.\n"
    "\n"
    "Usage: osprey similar [OPTION...] FILE\n"
    "\n"
    "  --others            leave out the picture itself and its exact copies\n"
    "  -k N                how many results (default 20)\n"
    "  --min-score X       only results with at least this score\n"
    "  --min-match X       only results at least so good a match, 0 to 1 (0.35: good)\n"
    "  --pages             every page of a scan, frame of a video that fits\n"
    "  --preview[=WxH]     show the pictures in the terminal, at most WxH characters\n" HELP_FILTERS
        HELP_LIBRARY HELP_MODEL HELP_PRECISION HELP_OUTPUT "\n"
    "Exit status: 0 found, 1 nothing found, 2 wrong usage, 3 failed.\n"
    "\n"
    "Examples:\n"
    "  osprey similar photo.jpg\n"
    "  osprey similar --others --min-score 0.8 --json photo.jpg\n";

/* The picture asked about. */
struct subject {
    float  *vector; /* (dim), L2-normalised */
    uint8_t hash[LIBRARY_HASH_BYTES];
};

static int64_t mtime_ns(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* Takes the stored embedding if the library has this very file unchanged;
 * *found says so. */
static int from_library(struct session *s, const char *file, struct subject *out, bool *found,
                        struct err *err)
{
    struct library_image image;
    struct library_model model;
    struct stat          st;
    char                *path = NULL;
    *found                    = false;
    int rc                    = path_absolute(file, &path, err);
    if (rc)
        return rc;
    if (s->common->model || stat(path, &st) || library_model_active(s->lib, &model, NULL) ||
        library_image_at(s->lib, path, &image, NULL)) {
        free(path);
        return 0;
    }
    if (image.size == st.st_size && image.mtime_ns == mtime_ns(&st)) {
        out->vector = mem_array((size_t)model.dim, sizeof *out->vector);
        rc          = out->vector ? library_embedding_get(s->lib, image.id, out->vector, err)
                                  : err_set(err, ERR_NOMEM, "out of memory");
        *found      = !rc;
        if (rc == ERR_NOTFOUND) { /* gone since, or not embedded yet */
            free(out->vector);
            out->vector = NULL;
            rc          = 0;
        }
        memcpy(out->hash, image.hash, sizeof out->hash);
    }
    library_image_release(&image);
    free(path);
    return rc;
}

static int from_file(struct session *s, const char *file, struct subject *out, struct err *err)
{
    uint8_t *bytes = NULL;
    size_t   len   = 0;
    int      rc    = file_read(file, QUERY_MAX_IMAGE_BYTES, &bytes, &len, err);
    if (!rc)
        rc = session_library_encoder(s, err);
    if (rc)
        goto out;
    out->vector = mem_array((size_t)encoder_info(s->enc)->dim, sizeof *out->vector);
    if (!out->vector) {
        rc = err_set(err, ERR_NOMEM, "out of memory");
        goto out;
    }
    rc = encoder_image_bytes(s->enc, s->scratch, bytes, len, out->vector, err);
    if (rc)
        err_prefix(err, "cannot search with %s", file);
    hash_bytes(bytes, len, out->hash);
out:
    free(bytes);
    return rc;
}

static int similar(struct session *s, const char *file, bool others,
                   struct results_request *request, size_t *shown, struct err *err)
{
    struct subject subject = {0};
    bool           found   = false;
    int            rc      = session_library(s, err);
    if (!rc)
        rc = from_library(s, file, &subject, &found, err);
    if (!rc && !found)
        rc = from_file(s, file, &subject, err);
    if (!rc) {
        request->vector   = subject.vector;
        request->kind     = LIBRARY_QUERY_IMAGE;
        request->not_hash = others ? subject.hash : NULL;
        rc                = results_show(s, request, shown, err);
    }
    free(subject.vector);
    return rc;
}

int cmd_similar(int argc, char **argv)
{
    struct common            common;
    struct args              args    = {0};
    struct results_request   request = {0};
    struct session           session = SESSION_INIT(&common);
    struct err               err     = ERR_INIT;
    bool                     others  = false;
    size_t                   shown   = 0;
    const struct option_spec own[]   = {
          {.name = "--others", .kind = OPTION_FLAG, .target = &others},
          {.name   = "--min-score",
           .kind   = OPTION_REAL,
           .target = &request.min_score,
           .given  = &request.has_min_score},
          {.name   = "--min-match",
           .kind   = OPTION_REAL,
           .target = &request.min_match,
           .given  = &request.has_min_match},
          FILTER_OPTIONS(request.filters),
          {.name = "--pages", .kind = OPTION_FLAG, .target = &request.every_page},
          {.name = "--preview", .kind = OPTION_MAYBE, .target = &request.preview},
    };
    const char *files[1];
    int         rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc && common.json && request.preview)
        rc = err_set(&err, ERR_USAGE, "--preview does not go with --json");
    if (!rc)
        rc = filters_parse(&request.filters, &err);
    if (!rc)
        rc = args_exactly(&args, 1, "one picture", files, &err);
    if (rc)
        goto out;
    request.k = common.k;
    rc        = similar(&session, files[0], others, &request, &shown, &err);
out:
    session_release(&session);
    args_release(&args);
    if (rc)
        return fail("similar", &err);
    return shown || common.help ? EXIT_FOUND : EXIT_NOTHING;
}
