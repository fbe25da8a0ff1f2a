/* Threads that go through the same phases together, without barriers that wait
 * for a thread which has not begun.
 *
 * A phase is a number of items. Each thread takes its own share first, in order,
 * then what the others have not begun; it leaves when all items are done. So a
 * thread that the system keeps from running costs its share of the speed, where
 * a barrier at each of the tens of phases of a forward pass would cost a time
 * slice each. A late thread finds nothing to take and hurries on.
 *
 *     for (int i = team_start(&m, items); i >= 0; i = team_next(&m))
 *         work(i);
 *
 * Every thread must go through the same phases with the same numbers of items.
 */
#ifndef OSPREY_NN_TEAM_H
#define OSPREY_NN_TEAM_H

#include <stdalign.h>
#include <stdatomic.h>

#define TEAM_ITEMS 128 /* the most that a phase can have */

struct team {
    alignas(64) atomic_uint done;              /* items, of all phases */
    alignas(64) atomic_uint taken[TEAM_ITEMS]; /* the last phase in which it was taken */
};

struct team_member {
    struct team *team; /* NULL for a team of one */
    int          id, n;
    unsigned     phase, target; /* done, once this phase is over */
    int          items, next, left, current;
};

void               team_init(struct team *team);
struct team_member team_join(struct team *team, int id, int n);

/* Both return the next item, or -1 once all items of the phase are done. */
int team_start(struct team_member *m, int items);
int team_next(struct team_member *m);

/* Where part i of n of the range [0, total) begins; part n begins at total. */
static inline int team_share(int total, int i, int n)
{
    return (int)((long)total * i / n);
}

#endif
