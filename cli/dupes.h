/* What osprey dupes found, as files for people: a page, and a script to read and run. */
#ifndef OSPREY_CLI_DUPES_H
#define OSPREY_CLI_DUPES_H

#include "base/err.h"
#include "storage/duplicates.h"

/* ERR_USAGE where file is there and neither is empty nor begins as `head` does: it is not ours
 * to replace. */
int dupes_check_file(const char *file, const char *head, struct err *err);
extern const char dupes_html_head[], dupes_script_head[];

/* Replaces file by a page that needs nothing else: groups with small pictures. */
int dupes_html(struct library *lib, const struct duplicates *found, const char *file,
               struct err *err);
/* Replaces file by a shell script whose every command is commented out. */
int dupes_script(struct library *lib, const struct duplicates *found, const char *file,
                 struct err *err);

#endif
