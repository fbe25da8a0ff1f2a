/* osprey forget: removes a folder, or a part of one, from the library. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"

#include "base/file.h"

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

/* The folder as it is written goes first, in case a link stands in its place. */
static int forget(struct session *s, const char *dir, struct err *err)
{
    char   *path = NULL, *resolved = NULL;
    int64_t removed = 0;
    int     rc      = path_written(dir, &path, err);
    if (!rc)
        rc = path_absolute(dir, &resolved, err);
    if (!rc)
        rc = session_library(s, err);
    if (rc)
        goto out;
    rc = library_forget(s->lib, path, &removed, err);
    if (rc == ERR_NOTFOUND && strcmp(path, resolved) != 0)
        rc = library_forget(s->lib, resolved, &removed, err);
    if (!rc)
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
