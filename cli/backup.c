/* osprey backup: a consistent copy of the catalogue while others go on. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"

#include <stdio.h>

static const char help[] =
    "Copies the catalogue to a file while others read and write it. The catalogue is\n"
    "all that a library needs: put back as catalog.db in an empty folder it is the\n"
    "library again, and its vector index is derived from it.\n"
    "\n"
    "Usage: osprey backup [OPTION...] FILE\n"
    "\n" HELP_LIBRARY HELP_OUTPUT "\n"
    "Example:\n"
    "  osprey backup /mnt/backup/catalog.db\n";

static int print(const struct common *common, const char *file, struct err *err)
{
    if (!common->json) {
        note(common, "the catalogue was copied to %s", file);
        return 0;
    }
    struct jnode *o = jnode_object();
    return out_json(o, !o || jnode_set_path(o, "backup", file), err);
}

int cmd_backup(int argc, char **argv)
{
    struct common  common;
    struct args    args    = {0};
    struct session session = SESSION_INIT(&common);
    struct err     err     = ERR_INIT;
    const char    *file[1];
    int            rc = options_parse(argc, argv, NULL, 0, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc)
        rc = args_exactly(&args, 1, "the file to write", file, &err);
    if (!rc)
        rc = session_library(&session, &err);
    if (!rc)
        rc = library_backup(session.lib, file[0], &err);
    if (!rc)
        rc = print(&common, file[0], &err);
out:
    session_release(&session);
    args_release(&args);
    return rc ? fail("backup", &err) : EXIT_FOUND;
}
