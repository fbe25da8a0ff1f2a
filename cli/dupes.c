/* osprey dupes: copies of pictures, and near ones. It never deletes anything. */
#include "cli/dupes.h"

#include "cli/commands.h"
#include "cli/dupes_look.h"
#include "cli/output.h"
#include "cli/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Finds duplicates: identical files, the same picture in other versions, and near ones.\n"
    "It deletes nothing.\n"
    "\n"
    "Usage: osprey dupes [OPTION...] [DIR...]\n"
    "\n"
    "Looks at all pictures of the library, or at those below the folders DIR. In a group\n"
    "every picture resembles every other; the one to keep comes first, with the reason.\n"
    "\n"
    "  --kinds LIST        which: identical,same,near (default: all three)\n"
    "                      same: resized, compressed anew, cut a little, turned, brighter, grey\n"
    "                      near: of one scene, as in a burst\n"
    "  --same X            how alike the same are at least, 0 to 1 (default 0.96)\n"
    "  --near X            how good a match near ones are at least, 0 to 1 (default 0.96)\n"
    "  --html FILE         write a page with small pictures, too\n"
    "  --script FILE       write a shell script to read, to edit and to run, too; as written it\n"
    "                      does nothing\n" HELP_LIBRARY HELP_OUTPUT "\n"
    "Exit status: 0 found, 1 nothing found, 2 wrong usage, 3 failed.\n"
    "\n"
    "Examples:\n"
    "  osprey dupes\n"
    "  osprey dupes --kinds identical,same --html duplicates.html ~/Pictures\n";

struct request {
    const char               *kinds, *html, *script;
    struct duplicates_options options;
};

/* ---- What is asked for ---- */

static int read_request(struct request *r, struct err *err)
{
    int rc = duplicates_read_kinds("--kinds", r->kinds, r->options.kinds, err);
    if (!rc)
        rc = duplicates_check_share("--same", r->options.same, err);
    return rc ? rc : duplicates_check_share("--near", r->options.near, err);
}

/* ---- What was found ---- */

static int print_json(const struct duplicates_group   *group,
                      const struct duplicates_picture *pictures, size_t n, struct err *err)
{
    struct jnode *o = jnode_object(), *members = jnode_array();
    int           failed = 0;
    failed |= o ? jnode_set_path(o, "keep", pictures[0].path) : -1;
    failed |= o ? jnode_set_str(o, "why", group->why) : -1;
    failed |= o ? jnode_set_str(o, "reason", duplicate_reason_name(group->reason)) : -1;
    for (size_t i = 0; i < n && members; i++) {
        const struct duplicates_picture *p = &pictures[i];
        struct jnode                    *m = jnode_object();
        failed |= m ? jnode_set_path(m, "path", p->path) : -1;
        failed |= m ? jnode_set_str(m, "kind", duplicate_kind_name(p->kind)) : -1;
        failed |= m ? jnode_set_real(m, "score", (double)p->score) : -1;
        failed |= m ? jnode_set_int(m, "id", p->image.id) : -1;
        failed |= m ? jnode_set_int(m, "width", p->image.width) : -1;
        failed |= m ? jnode_set_int(m, "height", p->image.height) : -1;
        failed |= m ? jnode_set_int(m, "size", p->image.size) : -1;
        failed |= jnode_push(members, m);
    }
    if (o)
        failed |= jnode_set(o, "members", members);
    else
        jnode_free(members);
    return out_json(o, failed, err);
}

static void print_text(const struct duplicates_group   *group,
                       const struct duplicates_picture *pictures, size_t n)
{
    printf("keep             ");
    out_path(pictures[0].path);
    printf("  (%s)\n", group->why);
    for (size_t i = 1; i < n; i++) {
        printf("  %-9s %.3f ", duplicate_kind_name(pictures[i].kind), (double)pictures[i].score);
        out_path(pictures[i].path);
        printf("  %d x %d\n", pictures[i].image.width, pictures[i].image.height);
    }
    putchar('\n');
}

static int show(struct session *s, const struct duplicates *found, struct err *err)
{
    size_t copies = 0;
    int    rc     = 0;
    for (size_t i = 0; i < found->n && !rc && !output_broken(); i++) {
        struct duplicates_picture *pictures;
        size_t                     n;
        rc = duplicates_pictures(s->lib, &found->groups[i], SIZE_MAX, &pictures, &n, err);
        if (!rc && n > 0 && s->common->json)
            rc = print_json(&found->groups[i], pictures, n, err);
        else if (!rc && n > 0)
            print_text(&found->groups[i], pictures, n);
        copies += n > 0 ? n - 1 : 0;
        duplicates_pictures_free(pictures, n);
    }
    if (!rc)
        note(s->common, "%zu picture%s in %zu group%s could go, of %zu looked at", copies,
             copies == 1 ? "" : "s", found->n, found->n == 1 ? "" : "s", found->pictures);
    return rc;
}

#define MARK 64 /* bytes of a head that tell whose a file is */

int dupes_check_file(const char *file, const char *head, struct err *err)
{
    char   begin[MARK] = {0};
    FILE  *f           = fopen(file, "rbe");
    size_t n           = f ? fread(begin, 1, sizeof begin, f) : 0;
    bool   bad         = f && ferror(f);
    if (f)
        (void)fclose(f);
    if (!bad && (n == 0 || memcmp(begin, head, n < MARK ? n : MARK) == 0))
        return 0;
    return err_set(err, ERR_USAGE,
                   "%s is there already, and nothing that osprey dupes wrote: name another file",
                   file);
}

static int dupes(struct session *s, const struct request *r, const char *const *dirs, size_t n_dirs,
                 size_t *groups, struct err *err)
{
    struct places             places  = {0};
    struct duplicates         found   = {0};
    struct duplicates_options options = r->options;
    size_t                    unread  = 0;
    int                       rc = r->html ? dupes_check_file(r->html, dupes_html_head, err) : 0;
    if (!rc && r->script)
        rc = dupes_check_file(r->script, dupes_script_head, err);
    if (!rc)
        rc = session_library(s, err);
    if (!rc)
        rc = places_init(&places, s, dirs, n_dirs, err);
    if (!rc && (options.kinds[DUPLICATE_SAME] || options.kinds[DUPLICATE_NEAR]))
        rc = dupes_look(s->lib, s->common, &places, &unread, err);
    if (!rc && unread)
        note(s->common,
             "%zu pictures cannot be read, or have changed since they were indexed: only identical "
             "files are found of them",
             unread);
    options.places   = n_dirs ? places.filters : NULL;
    options.n_places = n_dirs ? places.n : 0;
    if (!rc)
        rc = duplicates_find(s->lib, &options, &found, err);
    if (!rc)
        rc = show(s, &found, err);
    if (!rc && r->html)
        rc = dupes_html(s->lib, &found, r->html, err);
    if (!rc && r->script)
        rc = dupes_script(s->lib, &found, r->script, err);
    *groups = found.n;
    duplicates_release(&found);
    places_release(&places);
    return rc;
}

int cmd_dupes(int argc, char **argv)
{
    struct common  common;
    struct args    args    = {0};
    struct request request = {.options = {.same = DUPLICATES_SAME, .near = DUPLICATES_NEAR}};
    struct session session = SESSION_INIT(&common);
    struct err     err     = ERR_INIT;
    const char   **dirs    = NULL;
    size_t         groups = 0, n_dirs = 0;
    const struct option_spec own[] = {
        {.name = "--kinds", .kind = OPTION_TEXT, .target = &request.kinds},
        {.name = "--same", .kind = OPTION_REAL, .target = &request.options.same},
        {.name = "--near", .kind = OPTION_REAL, .target = &request.options.near},
        {.name = "--html", .kind = OPTION_TEXT, .target = &request.html},
        {.name = "--script", .kind = OPTION_TEXT, .target = &request.script},
    };
    int rc = options_parse(argc, argv, own, sizeof own / sizeof *own, &common, &args, &err);
    if (!rc && common.help) {
        fputs(help, stdout);
        goto out;
    }
    if (!rc)
        rc = read_request(&request, &err);
    if (!rc)
        rc = args_folders(&args, &dirs, &n_dirs, &err);
    if (!rc)
        rc = dupes(&session, &request, dirs, n_dirs, &groups, &err);
out:
    session_release(&session);
    args_release(&args);
    free(dirs);
    if (rc)
        return fail("dupes", &err);
    return groups || common.help ? EXIT_FOUND : EXIT_NOTHING;
}
