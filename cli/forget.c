/* osprey forget: removes a folder, or a part of one, from the library. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"

#include "base/file.h"
#include "base/mem.h"
#include "storage/library_places.h"
#include "text/fold.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Removes a folder from the library, or what lies below a folder inside one. The\n"
    "pictures themselves are left alone. What lies below a folder that stays comes back\n"
    "with the next `osprey index` if it is still there.\n"
    "\n"
    "Usage: osprey forget [OPTION...] DIR\n"
    "\n" HELP_LIBRARY HELP_OUTPUT "\n"
    "Example:\n"
    "  osprey forget /mnt/old-disk/photos\n";

static int print(const struct common *common, const char *path, int64_t removed, struct err *err)
{
    if (!common->json) {
        note(common, "%" PRId64 " %s of %s forgotten", removed,
             removed == 1 ? "picture" : "pictures", path);
        return 0;
    }
    struct jnode *o      = jnode_object();
    int           failed = !o;
    if (o) {
        failed |= jnode_set_path(o, "forgotten", path);
        failed |= jnode_set_int(o, "images", removed);
    }
    return out_json(o, failed, err);
}

/* As its name is spelled in the library. */
static int forget_spelled(struct library *lib, const char *path, int64_t *removed, struct err *err)
{
    struct library_folder *folders = NULL;
    struct library_places  places  = {0};
    size_t                 n       = 0;
    int                    rc      = library_places_find(lib, path, &places, err);
    if (!rc && places.n == 0)
        rc = err_set(err, ERR_NOTFOUND, "the library has no folder %s, nor one around or in it",
                     path);
    if (!rc)
        rc = library_folders(lib, &folders, &n, err);
    for (size_t i = 0; i < places.n && !rc; i++) {
        const struct library_place *p    = &places.places[i];
        int64_t                     some = 0;
        for (size_t k = 0; k < n && !rc; k++) {
            if (folders[k].id != p->folder_id)
                continue;
            char *whole =
                p->below ? path_join(folders[k].path, p->below) : mem_strdup(folders[k].path);
            rc = whole ? library_forget(lib, whole, &some, err)
                       : err_set(err, ERR_NOMEM, "out of memory");
            *removed += some;
            free(whole);
        }
    }
    library_folders_free(folders, n);
    library_places_release(&places);
    return rc;
}

/* The folder as it is written goes first, in case a link stands in its place. */
static int forget(struct session *s, const char *dir, struct err *err)
{
    char      *path = NULL, *resolved = NULL;
    int64_t    removed = 0;
    struct err why     = ERR_INIT;
    int        rc      = path_written(dir, &path, err);
    if (!rc)
        rc = path_absolute(dir, &resolved, err);
    if (!rc)
        rc = session_library(s, err);
    if (rc)
        goto out;
    rc = library_forget(s->lib, path, &removed, &why);
    if (rc == ERR_NOTFOUND && strcmp(path, resolved) != 0)
        rc = library_forget(s->lib, resolved, &removed, &why);
    if (rc == ERR_NOTFOUND && !text_is_ascii(resolved))
        rc = forget_spelled(s->lib, resolved, &removed, &why);
    if (rc)
        err_set(err, why.code, "%s", why.msg);
    else
        rc = print(s->common, path, removed, err);
out:
    free(path);
    free(resolved);
    return rc;
}

int cmd_forget(int argc, char **argv)
{
    struct common  common;
    struct args    args    = {0};
    struct session session = SESSION_INIT(&common);
    struct err     err     = ERR_INIT;
    const char    *dir[1];
    int            rc = options_parse(argc, argv, NULL, 0, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc)
        rc = args_exactly(&args, 1, "one folder", dir, &err);
    if (!rc)
        rc = forget(&session, dir[0], &err);
out:
    session_release(&session);
    args_release(&args);
    return rc ? fail("forget", &err) : EXIT_FOUND;
}
