/* What the user sees of a transfer: a bar on a terminal, plain lines elsewhere,
 * JSON with --json, or nothing. All but the JSON goes to standard error.
 */
#ifndef OSPREY_CLI_HUB_PROGRESS_H
#define OSPREY_CLI_HUB_PROGRESS_H

#include "base/err.h"
#include "cli/options.h"

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const struct common *common;
    bool                 terminal, drawn;
    int64_t              total;   /* bytes in all, as far as known */
    int64_t              whole;   /* bytes of the files that are done */
    int64_t              arrived; /* bytes that came over the network in this run */
    const char          *file;    /* on its way */
    double               shown;   /* when something was last shown, seconds */
    double               rate_at; /* when the rate was taken, seconds */
    int64_t              rate_bytes;
    double               rate; /* bytes a second */
};

void progress_init(struct progress *p, const struct common *common);
/* Leaves the terminal clean. */
void progress_finish(struct progress *p);
/* done: bytes of the file on its way that are here. Shown when it is time to. */
void progress_show(struct progress *p, int64_t done);
/* Something that the user should know. */
__attribute__((format(printf, 2, 3))) void progress_note(struct progress *p, const char *fmt, ...);
/* "605 MB"; returns out. */
const char                                *bytes_text(int64_t bytes, char out[32]);

#endif
