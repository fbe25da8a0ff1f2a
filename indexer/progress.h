/* What the user sees while a run goes on: a bar on a terminal, plain lines
 * elsewhere, one JSON object a line with --json, or nothing. Everything but the
 * JSON goes to standard error. How far it is is left in the library as well
 * (storage/library_progress.h). Used by one thread.
 */
#ifndef OSPREY_INDEXER_PROGRESS_H
#define OSPREY_INDEXER_PROGRESS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct progress;

struct progress_state {
    int64_t done;  /* files dealt with */
    int64_t total; /* files found; with counting, so far */
    bool    counting;
    int64_t errors;
    int64_t encoded;
};

int  progress_new(const char *library_dir, bool json, bool quiet, struct progress **out,
                  struct err *err);
void progress_free(struct progress *p); /* NULL-safe; leaves the terminal clean */
/* Shows the state when it is time to. */
void progress_show(struct progress *p, const struct progress_state *state);
/* Something that the user should know. */
void progress_note(struct progress *p, const char *text);
/* A picture that cannot be read. path: below root, or absolute with root NULL. */
void progress_error(struct progress *p, const char *root, const char *path, const char *reason);
/* One that was broken before, and still is: for programs that read along; people
 * were told, and get a count. path: absolute. */
void progress_old_error(struct progress *p, const char *path, const char *reason);

#endif
