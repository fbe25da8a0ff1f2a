/* How far the indexer is, for others to see: a small file in the library beside its
 * lock, replaced whole about twice a second. It means something only while the lock is
 * held (library_is_locked), and is gone when a run has ended well.
 */
#ifndef OSPREY_STORAGE_LIBRARY_PROGRESS_H
#define OSPREY_STORAGE_LIBRARY_PROGRESS_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

struct library_progress {
    int64_t done;  /* files dealt with */
    int64_t total; /* files found; with counting, so far */
    bool    counting;
    int64_t errors;
    double  per_s;        /* files a second, lately */
    double  seconds_left; /* negative: not known */
};

/* The object that it is wherever it is told: `osprey index --json`, the file,
 * /v1/stats. NULL when out of memory. */
struct jnode *library_progress_node(const struct library_progress *progress);

int  library_progress_write(const char *library_dir, const struct library_progress *progress,
                            struct err *err);
/* ERR_NOTFOUND where none was left. */
int  library_progress_read(const char *library_dir, struct library_progress *out, struct err *err);
void library_progress_remove(const char *library_dir);

#endif
