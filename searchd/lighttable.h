/* The light table: where copies among a library's pictures are looked for, for
 * requests that do not wait for it.
 *
 * One thread, at the lowest priority and with a handle of its own, works on one
 * question at a time; the last few answers are kept. An answer stands while the
 * pictures are what they were (duplicates_basis; tags and captions do not count), and
 * at least for twice the time that it took, so that an indexer at work does not keep
 * the table busy for ever. While it is looked anew, the one from before is shown.
 *
 * Another question stops the one under way, unless that one has stopped another itself
 * and somebody still waits for it: two who ask different things both get their answers.
 */
#ifndef OSPREY_SEARCHD_LIGHTTABLE_H
#define OSPREY_SEARCHD_LIGHTTABLE_H

#include "base/err.h"
#include "searchd/shelf.h"
#include "storage/duplicates.h"

struct lighttable;

struct lighttable_question {
    struct shelf *shelf;
    bool          kinds[DUPLICATE_KINDS];
    double        same, near;
    int64_t       folder_id; /* 0: all */
    const char   *below;     /* a path inside the folder, or NULL */
};

/* Copies that were found; shared, and never changed. */
struct lighttable_found {
    struct duplicates copies;
    int64_t           version; /* another one for each look that found out anew */
    size_t            goers;   /* pictures that are not those to keep */
};

struct lighttable_answer {
    bool                           ready;    /* found is of the pictures as they are */
    double                         progress; /* 0 to 1, while it is not */
    const struct lighttable_found *found;    /* NULL: none yet */
};

int  lighttable_open(struct lighttable **out, struct err *err);
/* Stops what is under way; from now on nothing is looked for. */
void lighttable_stop(struct lighttable *t);  /* NULL-safe */
void lighttable_close(struct lighttable *t); /* NULL-safe; nothing may be out */

/* Never waits. generation: the library's now. A look that failed is told once, and tried
 * again by the next one who asks; ERR_BUSY once it was stopped. */
int  lighttable_ask(struct lighttable *t, const struct lighttable_question *q, int64_t generation,
                    struct lighttable_answer *out, struct err *err);
/* Gives back what an answer shared; NULL-safe. */
void lighttable_give(struct lighttable *t, const struct lighttable_found *found);

#endif
