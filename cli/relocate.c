/* osprey relocate: tells the library that a folder has moved. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"

#include "base/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Tells the library that folders at or below OLD now lie at or below NEW. No\n"
    "picture is read or moved.\n"
    "\n"
    "Usage: osprey relocate [OPTION...] OLD NEW\n"
    "\n" HELP_LIBRARY HELP_OUTPUT "\n"
    "Example:\n"
    "  osprey relocate /mnt/old-disk/photos /mnt/new-disk/photos\n";

static int print(const struct common *common, const char *from, const char *to, int64_t folders,
                 struct err *err)
{
    if (!common->json) {
        note(common, "%" PRId64 " %s from %s to %s", folders,
             folders == 1 ? "folder went" : "folders went", from, to);
        return 0;
    }
    struct jnode *o      = jnode_object();
    int           failed = !o;
    if (o) {
        failed |= jnode_set_int(o, "folders", folders);
        failed |= jnode_set_path(o, "old", from);
        failed |= jnode_set_path(o, "new", to);
    }
    return out_json(o, failed, err);
}

/* OLD as it is written goes first: a link to NEW may stand in its place. */
static int relocate(struct session *s, const char *const *paths, struct err *err)
{
    char   *from = NULL, *resolved = NULL, *to = NULL;
    int64_t folders = 0;
    int     rc      = path_written(paths[0], &from, err);
    if (!rc)
        rc = path_absolute(paths[0], &resolved, err);
    if (!rc)
        rc = path_absolute(paths[1], &to, err);
    if (!rc)
        rc = session_library(s, err);
    if (rc)
        goto out;
    rc = library_relocate(s->lib, from, to, &folders, err);
    if (rc == ERR_NOTFOUND && strcmp(from, resolved) != 0)
        rc = library_relocate(s->lib, resolved, to, &folders, err);
    if (!rc && !file_is_dir(to))
        note(s->common, "%s does not exist (yet): its pictures are kept", to);
    if (!rc)
        rc = print(s->common, from, to, folders, err);
out:
    free(from);
    free(resolved);
    free(to);
    return rc;
}

int cmd_relocate(int argc, char **argv)
{
    struct common  common;
    struct args    args    = {0};
    struct session session = SESSION_INIT(&common);
    struct err     err     = ERR_INIT;
    const char    *paths[2];
    int            rc = options_parse(argc, argv, NULL, 0, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc)
        rc = args_exactly(&args, 2, "the old and the new folder", paths, &err);
    if (!rc)
        rc = relocate(&session, paths, &err);
out:
    session_release(&session);
    args_release(&args);
    return rc ? fail("relocate", &err) : EXIT_FOUND;
}
