/* Which pictures an evaluation is over: see eval_sets.h. */
#include "cli/eval_sets.h"

#include "cli/eval_encode.h"
#include "cli/output.h"

#include "base/file.h"
#include "base/mem.h"
#include "learn/picture_files.h"
#include "model/encoder_features.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- Sets ---- */

int pictures_below(const char *dir, char *const *files, size_t n, struct pictures *out,
                   struct err *err)
{
    out->paths = mem_array(n, sizeof *out->paths);
    int rc     = out->paths ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu pictures", n);
    for (size_t i = 0; !rc && i < n; i++) {
        if ((out->paths[i] = path_join(dir, files[i])))
            out->n++;
        else
            rc = err_set(err, ERR_NOMEM, "out of memory for %zu pictures", n);
    }
    if (rc)
        pictures_release(out);
    return rc;
}

int pictures_in(const char *dir, struct pictures *out, struct err *err)
{
    struct picture_files files = {0};
    int                  rc    = picture_files_list(dir, &files, err);
    if (!rc && files.n == 0)
        rc = err_set(err, ERR_FORMAT, "there are no pictures in %s", dir);
    if (!rc)
        rc = pictures_below(dir, files.paths, files.n, out, err);
    picture_files_release(&files);
    return rc;
}

/* The name of the folder that a picture is in, directly below the one listed. */
static int add_label(struct pictures *set, const char *path, struct err *err)
{
    size_t len   = strcspn(path, "/");
    char  *label = mem_strndup(path, len);
    if (!label)
        return err_set(err, ERR_NOMEM, "out of memory");
    for (char *c = label; *c; c++)
        if (*c == '_')
            *c = ' ';
    set->labels[set->n_labels++] = label;
    return 0;
}

/* Numbers the labels of files, which are sorted; those that lie in no folder are
 * left out. kept: (n) the others. */
static int take_labels(const struct picture_files *files, struct pictures *set, char **kept,
                       size_t *n_kept, struct err *err)
{
    const char *last = NULL;
    for (size_t i = 0; i < files->n; i++) {
        const char *path = files->paths[i];
        size_t      len  = strcspn(path, "/");
        if (!path[len])
            continue;
        if (!last || strncmp(path, last, len + 1) != 0) {
            int rc = add_label(set, path, err);
            if (rc)
                return rc;
        }
        last                = path;
        set->label[*n_kept] = (int)set->n_labels - 1;
        kept[(*n_kept)++]   = files->paths[i];
    }
    return 0;
}

int pictures_labelled(const char *dir, size_t least, struct pictures *out, struct err *err)
{
    struct picture_files files = {0};
    size_t               n     = 0;
    char               **kept  = NULL;
    int                  rc    = picture_files_list(dir, &files, err);
    if (rc)
        return rc;
    if (files.n > INT_MAX) {
        rc = err_set(err, ERR_LIMIT, "%s has more than %d pictures", dir, INT_MAX);
        goto out;
    }
    kept        = mem_array(files.n, sizeof *kept);
    out->label  = mem_array(files.n, sizeof *out->label);
    out->labels = mem_array(files.n, sizeof *out->labels);
    rc          = kept && out->label && out->labels
                      ? take_labels(&files, out, kept, &n, err)
                      : err_set(err, ERR_NOMEM, "out of memory for %zu pictures", files.n);
    if (!rc && out->n_labels < least)
        rc = err_set(err, ERR_FORMAT, "%s has pictures in %s: a folder for each %s is needed", dir,
                     out->n_labels ? "one folder alone" : "no folder",
                     least > 1 ? "of several labels" : "label");
    if (!rc)
        rc = pictures_below(dir, kept, n, out, err);
out:
    if (rc)
        pictures_release(out);
    free(kept);
    picture_files_release(&files);
    return rc;
}

void pictures_release(struct pictures *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->n; i++)
        free(set->paths[i]);
    for (size_t i = 0; i < set->n_labels; i++)
        free(set->labels[i]);
    free(set->paths);
    free(set->label);
    free(set->labels);
    *set = (struct pictures){0};
}

/* ---- Their embeddings ---- */

/* Takes the broken ones out of the set; returns how many there were. out: (n, dim),
 * pooled: (n, features) or NULL. */
static size_t drop_broken(struct session *s, struct pictures *set, char *const *why, float *out,
                          float *pooled)
{
    size_t dim = (size_t)encoder_info(s->enc)->dim, kept = 0;
    size_t features = pooled ? (size_t)encoder_feature_sizes(s->enc).image : 0;
    for (size_t i = 0; i < set->n; i++) {
        if (why[i]) {
            note(s->common, "%s", why[i]);
            free(set->paths[i]);
            continue;
        }
        set->paths[kept] = set->paths[i];
        if (set->label)
            set->label[kept] = set->label[i];
        if (kept != i)
            memcpy(out + kept * dim, out + i * dim, dim * sizeof *out);
        if (kept != i && pooled)
            memcpy(pooled + kept * features, pooled + i * features, features * sizeof *pooled);
        kept++;
    }
    size_t broken = set->n - kept;
    set->n        = kept;
    return broken;
}

int pictures_encode(struct session *s, struct pictures *set, float **out, float **pooled,
                    size_t *broken, struct err *err)
{
    size_t n   = set->n;
    char **why = mem_zeroed(n, sizeof *why);
    float *e   = mem_array(n * (size_t)encoder_info(s->enc)->dim, sizeof *e);
    float *f   = pooled ? mem_array(n * (size_t)encoder_feature_sizes(s->enc).image, sizeof *f) : e;
    int    rc  = why && e && f ? 0 : err_set(err, ERR_NOMEM, "out of memory for %zu embeddings", n);
    if (!rc) {
        const struct encode_pictures job = {.paths  = (const char *const *)set->paths,
                                            .n      = n,
                                            .broken = why,
                                            .pooled = pooled ? f : NULL};
        note(s->common, "encoding %zu pictures", n);
        rc = encode_pictures(s, &job, e, err);
    }
    if (!rc) {
        size_t gone = drop_broken(s, set, why, e, pooled ? f : NULL);
        if (gone)
            note(s->common, "left out %zu of %zu pictures: they cannot be read", gone, n);
        if (set->n == 0)
            rc = err_set(err, ERR_FORMAT, "none of %zu pictures can be read", n);
        *broken = gone;
    }
    for (size_t i = 0; why && i < n; i++)
        free(why[i]);
    free(why);
    if (rc) {
        free(e);
        if (pooled)
            free(f);
        return rc;
    }
    *out = e;
    if (pooled)
        *pooled = f;
    return 0;
}
