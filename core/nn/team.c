/* Phases shared by threads: see team.h. */
#include "nn/team.h"

#include <sched.h>
#include <stddef.h>

#define SPINS 2000 /* looks before the processor is given away: some tens of microseconds */

void team_init(struct team *team)
{
    atomic_init(&team->done, 0);
    for (int i = 0; i < TEAM_ITEMS; i++)
        atomic_init(&team->taken[i], 0);
}

struct team_member team_join(struct team *team, int id, int n)
{
    return (struct team_member){.team = n > 1 ? team : NULL, .id = id, .n = n};
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void wait_for_all(const struct team_member *m)
{
    for (int i = 0; atomic_load_explicit(&m->team->done, memory_order_acquire) < m->target; i++) {
        if (i < SPINS)
            relax();
        else
            sched_yield();
    }
}

/* Marks an item as this phase's; false when another thread was faster. A thread
 * that lags behind sees a later phase there, and takes nothing. */
static int take(const struct team_member *m, int item)
{
    atomic_uint *taken = &m->team->taken[item];
    unsigned     seen  = atomic_load_explicit(taken, memory_order_relaxed);
    return seen < m->phase &&
           atomic_compare_exchange_strong_explicit(taken, &seen, m->phase, memory_order_relaxed,
                                                   memory_order_relaxed);
}

int team_start(struct team_member *m, int items)
{
    m->items   = items;
    m->left    = items;
    m->current = -1;
    m->next    = m->team ? team_share(items, m->id, m->n) : 0;
    m->phase++;
    m->target += (unsigned)items;
    return team_next(m);
}

int team_next(struct team_member *m)
{
    if (!m->team)
        return m->next < m->items ? m->next++ : -1;
    if (m->current >= 0)
        atomic_fetch_add_explicit(&m->team->done, 1, memory_order_release);
    while (m->left > 0) {
        int item = m->next;
        m->next  = item + 1 < m->items ? item + 1 : 0;
        m->left--;
        if (take(m, item)) {
            m->current = item;
            return item;
        }
    }
    wait_for_all(m);
    return -1;
}
