/* How far the indexer is: see library_progress.h. Nothing is synced: whoever starts
 * after a crash finds a lock that nobody holds. */
#include "storage/library_progress.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME     "indexer.progress"
#define MAX_TEXT ((size_t)4096)

struct jnode *library_progress_node(const struct library_progress *p)
{
    struct jnode *node = jnode_object();
    int           bad  = jnode_set_int(node, "done", p->done);
    bad |= jnode_set_int(node, "total", p->total);
    bad |= jnode_set_bool(node, "counting", p->counting);
    bad |= jnode_set_int(node, "errors", p->errors);
    bad |= jnode_set_real(node, "per_s", p->per_s);
    if (p->seconds_left >= 0)
        bad |= jnode_set_real(node, "seconds_left", p->seconds_left);
    if (!bad)
        return node;
    jnode_free(node);
    return NULL;
}

static int write_aside(const char *aside, const char *text, struct err *err)
{
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot open %s: %s", aside, strerror(errno));
    ssize_t n  = write(fd, text, strlen(text));
    int     rc = n == (ssize_t)strlen(text)
                     ? 0
                     : err_set(err, ERR_IO, "cannot write %s: %s", aside, strerror(errno));
    close(fd);
    return rc;
}

int library_progress_write(const char *library_dir, const struct library_progress *progress,
                           struct err *err)
{
    char         *path  = path_join(library_dir, NAME);
    char         *aside = path_join(library_dir, NAME ".new");
    struct jnode *node  = library_progress_node(progress);
    char         *text  = node ? jnode_write(node) : NULL;
    int           rc =
        path && aside && text ? 0 : err_set(err, ERR_NOMEM, "cannot tell how far it is: no memory");
    if (!rc)
        rc = write_aside(aside, text, err);
    if (!rc && rename(aside, path))
        rc = err_set(err, ERR_IO, "cannot rename %s: %s", aside, strerror(errno));
    free(text);
    jnode_free(node);
    free(aside);
    free(path);
    return rc;
}

int library_progress_read(const char *library_dir, struct library_progress *out, struct err *err)
{
    struct jnode *node = NULL;
    char         *path = path_join(library_dir, NAME);
    int           rc =
        path ? jnode_parse_file(path, MAX_TEXT, &node, err) : err_set(err, ERR_NOMEM, "no memory");
    if (!rc) {
        *out = (struct library_progress){.seconds_left = -1};
        (void)jnode_to_double(jnode_get(node, "seconds_left"), &out->seconds_left);
        if (!jnode_to_int(jnode_get(node, "done"), &out->done) ||
            !jnode_to_int(jnode_get(node, "total"), &out->total) ||
            !jnode_to_bool(jnode_get(node, "counting"), &out->counting) ||
            !jnode_to_int(jnode_get(node, "errors"), &out->errors) ||
            !jnode_to_double(jnode_get(node, "per_s"), &out->per_s) || out->done < 0 ||
            out->total < 0 || out->errors < 0 || !(out->per_s >= 0))
            rc = err_set(err, ERR_FORMAT, "%s does not say how far an indexer is", path);
    }
    jnode_free(node);
    free(path);
    return rc;
}

void library_progress_remove(const char *library_dir)
{
    char *path = path_join(library_dir, NAME);
    if (path)
        unlink(path);
    free(path);
}
