/* Duplicates as a shell script (dupes.h).
 *
 * It does nothing as it is written: each command is a comment. A name may hold any bytes:
 * those without control characters stand in single quotes; in others every such byte is
 * written as an octal escape, which the script's own function takes back, so that no name
 * can end a comment, or a quote, early.
 */
#include "cli/dupes.h"

#include "base/buf.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

#define CEILING ((size_t)1 << 30) /* bytes */

const char dupes_script_head[] =
    "#!/bin/sh\n"
    "# Duplicates, as `osprey dupes` found them. Read it before you run it: as it stands it\n"
    "# does nothing. Take away the # before a `drop` to have that file removed, then run it\n"
    "# with sh. `drop KEPT FILE` leaves FILE alone when KEPT is not there, or is the same file\n"
    "# by another name.\n"
    "set -eu\n"
    "# Where files go, below the path that they had; empty: they are deleted.\n"
    "AWAY=''\n"
    "name() { # takes back the escapes of a name with control characters\n"
    "    NAME=$(printf '%b.' \"$1\")\n"
    "    NAME=${NAME%.}\n"
    "}\n"
    "drop() {\n"
    "    if [ ! -f \"$1\" ]; then\n"
    "        printf 'left alone, for the one to keep is not there: %s\\n' \"$2\" >&2\n"
    "    elif [ \"$1\" -ef \"$2\" ]; then\n"
    "        printf 'left alone, for it is the one to keep by another name: %s\\n' \"$2\" >&2\n"
    "    elif [ -n \"$AWAY\" ]; then\n"
    "        mkdir -p -- \"$AWAY${2%/*}\"\n"
    "        mv -n -- \"$2\" \"$AWAY$2\"\n"
    "    else\n"
    "        rm -- \"$2\"\n"
    "    fi\n"
    "}\n"
    "drop_escaped() {\n"
    "    name \"$1\"\n"
    "    KEPT=$NAME\n"
    "    name \"$2\"\n"
    "    drop \"$KEPT\" \"$NAME\"\n"
    "}\n";

static bool has_controls(const char *path)
{
    for (const unsigned char *p = (const unsigned char *)path; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            return true;
    return false;
}

/* In single quotes; escaped: as printf's %b reads it. */
static int put_quoted(struct buf *out, const char *path, bool escaped, struct err *err)
{
    int rc = buf_append(out, "'", 1, err);
    for (const unsigned char *p = (const unsigned char *)path; *p && !rc; p++) {
        if (escaped && (*p < 0x20 || *p == 0x7f || *p == '\\'))
            rc = buf_appendf(out, err, "\\0%03o", *p);
        else if (*p == '\'')
            rc = buf_append_str(out, "'\\''", err);
        else
            rc = buf_append(out, p, 1, err);
    }
    return rc ? rc : buf_append(out, "'", 1, err);
}

static int put_drop(struct buf *out, const struct duplicates_picture *keep,
                    const struct duplicates_picture *drop, struct err *err)
{
    bool escaped = has_controls(keep->path) || has_controls(drop->path);
    int  rc      = buf_append_str(out, escaped ? "#drop_escaped " : "#drop ", err);
    if (!rc)
        rc = put_quoted(out, keep->path, escaped, err);
    if (!rc)
        rc = buf_append(out, " ", 1, err);
    if (!rc)
        rc = put_quoted(out, drop->path, escaped, err);
    return rc ? rc
              : buf_appendf(out, err, " # %s %.3f, %d x %d, %lld bytes\n",
                            duplicate_kind_name(drop->kind), (double)drop->score, drop->image.width,
                            drop->image.height, (long long)drop->image.size);
}

int dupes_script(struct library *lib, const struct duplicates *found, const char *file,
                 struct err *err)
{
    struct buf out;
    buf_init(&out, CEILING);
    int rc = buf_append_str(&out, dupes_script_head, err);
    for (size_t i = 0; i < found->n && !rc; i++) {
        struct duplicates_picture *pictures;
        size_t                     n;
        rc = duplicates_pictures(lib, &found->groups[i], SIZE_MAX, &pictures, &n, err);
        if (!rc && n > 0)
            rc = buf_appendf(&out, err, "\n# %zu: the first is to be kept. %s\n", i + 1,
                             found->groups[i].why);
        for (size_t j = 1; j < n && !rc; j++)
            rc = put_drop(&out, &pictures[0], &pictures[j], err);
        duplicates_pictures_free(pictures, n);
    }
    if (!rc)
        rc = file_replace(file, buf_str(&out), out.len, err);
    buf_release(&out);
    return rc;
}
