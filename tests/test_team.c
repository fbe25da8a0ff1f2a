/* Unit tests of phases shared by threads: each item once, none before the last
 * phase is over, and a thread that is late holds nobody up.
 */
#include "nn/team.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>

#define PHASES  3000
#define MEMBERS 5

struct work {
    struct team *team;
    uint64_t (*cells)[TEAM_ITEMS];
    int id, n;
};

/* Item i of a phase is the sum of the phase before plus i: wrong as soon as one
 * item is lost, done twice or read too early. */
static void *go_through(void *arg)
{
    const struct work *w    = arg;
    struct team_member m    = team_join(w->team, w->id, w->n);
    int                last = 1;
    for (int p = 0; p < PHASES; p++) {
        int items = 1 + p * 7 % TEAM_ITEMS;
        for (int i = team_start(&m, items); i >= 0; i = team_next(&m)) {
            uint64_t sum = (uint64_t)i;
            for (int j = 0; j < last; j++)
                sum += w->cells[p % 2][j];
            w->cells[1 - p % 2][i] = sum % 1000003;
        }
        last = items;
    }
    return NULL;
}

static uint64_t run_phases(int n)
{
    static uint64_t cells[2][TEAM_ITEMS];
    struct team     team;
    struct work     work[MEMBERS];
    pthread_t       threads[MEMBERS];
    memset(cells, 0, sizeof(cells));
    team_init(&team);
    for (int i = 0; i < n; i++) {
        work[i] = (struct work){&team, cells, i, n};
        assert_int_equal(pthread_create(&threads[i], NULL, go_through, &work[i]), 0);
    }
    for (int i = 0; i < n; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    return cells[PHASES % 2][0];
}

static void every_item_once_and_in_turn(void **state)
{
    (void)state;
    uint64_t alone = run_phases(1);
    for (int threads = 2; threads <= MEMBERS; threads++)
        assert_int_equal(run_phases(threads), alone);
}

struct late {
    struct team team;
    int         took;
};

#define SHORT_PHASES 20

static void *come_late(void *arg)
{
    struct late       *late = arg;
    struct team_member m    = team_join(&late->team, 1, 2);
    for (int p = 0; p < SHORT_PHASES; p++) {
        for (int i = team_start(&m, 8); i >= 0; i = team_next(&m))
            late->took++;
    }
    return NULL;
}

/* A member that never came does not stop the other; when it comes, nothing is left. */
static void nobody_waits_for_who_is_absent(void **state)
{
    (void)state;
    struct late        late;
    struct team_member m;
    pthread_t          thread;
    int                took = 0;
    late.took               = 0;
    team_init(&late.team);
    m = team_join(&late.team, 0, 2);
    for (int p = 0; p < SHORT_PHASES; p++) {
        for (int i = team_start(&m, 8); i >= 0; i = team_next(&m))
            took++;
    }
    assert_int_equal(took, 8 * SHORT_PHASES);
    assert_int_equal(pthread_create(&thread, NULL, come_late, &late), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(late.took, 0);
}

static void a_team_of_one_goes_in_order(void **state)
{
    (void)state;
    struct team_member m = team_join(NULL, 0, 1);
    for (int p = 0; p < 3; p++) {
        int want = 0;
        for (int i = team_start(&m, 5); i >= 0; i = team_next(&m))
            assert_int_equal(i, want++);
        assert_int_equal(want, 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_once_and_in_turn),
        cmocka_unit_test(nobody_waits_for_who_is_absent),
        cmocka_unit_test(a_team_of_one_goes_in_order),
    };
    return cmocka_run_group_tests_name("team", tests, NULL, NULL);
}
