/* Unit tests of searchd/lighttable: an answer is shared, and stays what it was when a newer
 * one comes; a failure is told once; after a stop nothing is looked for. */
#include "library_fixture.h"
#include "searchd/lighttable.h"

#include <time.h>

#define PATIENCE 60000 /* questions, a millisecond apart */

struct world {
    char                      *dir;
    struct library            *lib;
    struct shelf              *shelf;
    struct lighttable         *table;
    int64_t                    model, folder;
    struct lighttable_question question; /* for identical ones */
};

/* Two copies and another picture; no model answers, as for these none is needed. */
static void open_world(struct world *w)
{
    struct err err = ERR_INIT;
    w->dir         = temporary_dir();
    assert_ok(library_open(w->dir, LIBRARY_CREATE, &w->lib, &err), &err);
    w->folder = add_folder(w->lib, "/pictures");
    w->model  = fill_model(w->lib, "aaaa", false);
    add_one(w->lib, w->model, w->folder, "a.jpg", 7);
    add_one(w->lib, w->model, w->folder, "b.jpg", 7);
    add_one(w->lib, w->model, w->folder, "c.jpg", 8);
    const struct shelf_options options = {.handles = 1};
    assert_ok(shelf_open("test", w->dir, &options, &w->shelf, &err), &err);
    assert_ok(lighttable_open(&w->table, &err), &err);
    w->question.shelf                      = w->shelf;
    w->question.kinds[DUPLICATE_IDENTICAL] = true;
}

/* Asks until that fails, *found is NULL then, or an answer of that version is ready. */
static int wait_for(struct world *w, int64_t version, const struct lighttable_found **found)
{
    for (int i = 0; i < PATIENCE; i++) {
        struct err               err = ERR_INIT;
        struct library_stats     stats;
        struct lighttable_answer answer;
        assert_ok(library_stats(w->lib, &stats, &err), &err);
        int rc = lighttable_ask(w->table, &w->question, stats.generation, &answer, &err);
        *found = answer.found;
        if (rc || (answer.ready && answer.found->version == version))
            return rc;
        assert_true(i > 0 || version > 1 || !answer.found); /* it takes its time */
        lighttable_give(w->table, answer.found);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    fail_msg("no answer of version %lld", (long long)version);
    return -1;
}

static void answers_are_shared_and_a_failure_is_told_once(void **state)
{
    (void)state;
    struct world                   w = {0};
    const struct lighttable_found *got[6];
    char                           away[64];
    open_world(&w);
    assert_int_equal(wait_for(&w, 1, &got[0]), 0);
    assert_int_equal(wait_for(&w, 1, &got[1]), 0);
    assert_ptr_equal(got[0], got[1]);
    add_one(w.lib, w.model, w.folder, "d.jpg", 7);
    assert_int_equal(wait_for(&w, 2, &got[2]), 0);
    w.question.folder_id = w.folder, w.question.below = "nowhere"; /* another question */
    assert_int_equal(wait_for(&w, 3, &got[3]), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(got[i]->copies.n, 1);
        assert_int_equal(got[i]->copies.groups[0].n, i < 2 ? 2 : 3);
        assert_int_equal(got[i]->goers, i < 2 ? 1 : 2);
    }
    assert_int_equal(got[3]->copies.n + got[3]->copies.pictures + got[3]->goers, 0);
    w.question.below = NULL; /* and one whose library has gone for a moment */
    snprintf(away, sizeof away, "%s-away", w.dir);
    assert_int_equal(rename(w.dir, away), 0);
    assert_int_equal(wait_for(&w, 4, &got[4]), ERR_NOTFOUND);
    assert_int_equal(rename(away, w.dir), 0);
    assert_int_equal(wait_for(&w, 4, &got[4]), 0);
    lighttable_stop(w.table);
    w.question.below = "elsewhere";
    assert_int_equal(wait_for(&w, 5, &got[5]), ERR_BUSY);
    for (int i = 0; i < 6; i++)
        lighttable_give(w.table, got[i]);
    lighttable_close(w.table);
    shelf_close(w.shelf);
    library_close(w.lib);
    remove_dir(w.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_shared_and_a_failure_is_told_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
