/* What osprey dupes found, as files for people: a page, and a script to read and run. */
#ifndef OSPREY_CLI_DUPES_H
#define OSPREY_CLI_DUPES_H

#include "base/err.h"
#include "storage/duplicates.h"

/* A member of a group, with its entry in the library. */
struct dupes_picture {
    struct library_image image;
    char                *path; /* absolute */
    enum duplicate_kind  kind;
    float                score;
};

/* The entries of a group's members that are still there, the one to keep first; *n is 0 when
 * that one has gone, or is alone. Freed with dupes_pictures_free. */
int  dupes_pictures(struct library *lib, const struct duplicates_group *group,
                    struct dupes_picture **out, size_t *n, struct err *err);
void dupes_pictures_free(struct dupes_picture *pictures, size_t n);

/* Replaces file by a page that needs nothing else: groups with small pictures. */
int dupes_html(struct library *lib, const struct duplicates *found, const char *file,
               struct err *err);
/* Replaces file by a shell script whose every command is commented out. */
int dupes_script(struct library *lib, const struct duplicates *found, const char *file,
                 struct err *err);

#endif
