/* osprey verify: cross-checks catalogue and vector index, repairs what is derived. */
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"

#include <inttypes.h>
#include <stdio.h>

static const char help[] =
    "Checks that the library's catalogue and its vector index agree.\n"
    "\n"
    "Usage: osprey verify [OPTION...]\n"
    "\n"
    "  --repair            rebuild what is derived, drop what cannot be kept\n" HELP_LIBRARY
        HELP_OUTPUT "\n"
    "Exit status: 0 sound (or repaired), 2 wrong usage, 3 damaged or failed.\n"
    "\n"
    "Examples:\n"
    "  osprey verify\n"
    "  osprey verify --repair\n";

struct report {
    const struct common *common;
    int64_t              findings;
    int                  rc; /* of the first line that could not be written */
    struct err           err;
};

static void print_finding(void *ctx, const char *finding)
{
    struct report *r = ctx;
    r->findings++;
    if (!r->common->json) {
        out_path(finding);
        putchar('\n');
        return;
    }
    struct jnode *o      = jnode_object();
    int           failed = !o || jnode_set_str(o, "finding", finding);
    int           rc     = out_json(o, failed, &r->err);
    if (!r->rc)
        r->rc = rc;
}

/* images: -1 where a damaged catalogue cannot tell. */
static int print_verdict(const struct common *common, int64_t findings, int64_t damage,
                         int64_t images, bool repair, struct err *err)
{
    if (!common->json) {
        if (damage)
            printf("damaged: %" PRId64 " %s wrong%s\n", damage,
                   damage == 1 ? "thing is" : "things are",
                   repair ? " after the repair" : "; `osprey verify --repair` mends what it can");
        else if (!common->quiet)
            printf("sound%s: %" PRId64 " images\n", repair && findings ? " after the repair" : "",
                   images);
        return 0;
    }
    struct jnode *o      = jnode_object();
    int           failed = !o;
    if (o) {
        failed |= jnode_set_bool(o, "sound", damage == 0);
        failed |= jnode_set_int(o, "damage", damage);
        failed |= jnode_set_int(o, "findings", findings);
        failed |= jnode_set_bool(o, "repair", repair);
        failed |=
            images < 0 ? jnode_set_str(o, "images", NULL) : jnode_set_int(o, "images", images);
    }
    return out_json(o, failed, err);
}

static int verify(struct session *s, bool repair, int64_t *damage, struct err *err)
{
    struct report        report = {.common = s->common, .err = ERR_INIT};
    struct library_stats stats  = {0};
    int                  rc = library_verify(s->lib, repair, print_finding, &report, damage, err);
    if (!rc && *damage && library_stats(s->lib, &stats, NULL))
        stats.images = -1; /* the verdict stands all the same */
    else if (!rc && !*damage)
        rc = library_stats(s->lib, &stats, err);
    if (!rc && report.rc) {
        *err = report.err;
        rc   = report.rc;
    }
    return rc ? rc : print_verdict(s->common, report.findings, *damage, stats.images, repair, err);
}

int cmd_verify(int argc, char **argv)
{
    struct common            common;
    struct args              args    = {0};
    struct session           session = SESSION_INIT(&common);
    struct err               err     = ERR_INIT;
    bool                     repair  = false;
    int64_t                  damage  = 0;
    const struct option_spec own[]   = {
          {.name = "--repair", .kind = OPTION_FLAG, .target = &repair},
    };
    int rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc)
        rc = args_exactly(&args, 0, "no argument", NULL, &err);
    if (!rc)
        rc = session_library(&session, &err);
    if (rc == ERR_DAMAGED || rc == ERR_FORMAT) /* too damaged to be looked into */
        rc = err_set(&err, rc,
                     "%s: restore a backup of the catalogue, or move the library away and index "
                     "again",
                     err.msg);
    if (!rc)
        rc = verify(&session, repair, &damage, &err);
out:
    session_release(&session);
    args_release(&args);
    if (rc)
        return fail("verify", &err);
    return damage ? EXIT_FAILED : EXIT_FOUND;
}
