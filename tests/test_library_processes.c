/* Tests of storage/library with several processes: a reader that may not write, batches
 * that are seen whole or not at all, and processes killed at any moment. */
#include "library_truth.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

/* Processes are started anew (--writer, --reader), not merely forked: OpenMP's
 * threads do not come along in a fork. */
static pid_t process_start(const char *what, const struct room *r, uint64_t seed, int batches)
{
    char text[4][24];
    snprintf(text[0], sizeof(text[0]), "%lld", (long long)r->model);
    snprintf(text[1], sizeof(text[1]), "%lld", (long long)r->folder);
    snprintf(text[2], sizeof(text[2]), "%llu", (unsigned long long)seed);
    snprintf(text[3], sizeof(text[3]), "%d", batches);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "test_library_processes", what, r->dir, text[0], text[1], text[2],
              text[3], (char *)NULL);
        _exit(9);
    }
    assert_true(child > 0);
    return child;
}

/* Searches and checks a library that it may not write, and is told so. */
static void reader(const char *dir, int64_t folder)
{
    struct err          err = ERR_INIT;
    struct library     *lib;
    struct library_hit *hits;
    size_t              n;
    int64_t             damage = -1;
    float               query[DIM];
    const char         *path = "x/000000.jpg";
    if (geteuid() == 0 && setuid(65534) != 0)
        _exit(1);
    unit_vector(query, DIM, 5);
    if (library_open(dir, LIBRARY_EXISTING, &lib, &err) ||
        library_search(lib, query, 10, NULL, &hits, &n, &err) ||
        library_verify(lib, false, NULL, NULL, &damage, &err) || damage != 0) {
        fprintf(stderr, "reader: %s\n", err.msg);
        _exit(2);
    }
    free(hits);
    bool refused = library_remove(lib, folder, &path, 1, &err) == ERR_IO;
    library_close(lib);
    _exit(n == 10 && refused && strstr(err.msg, "read-only") ? 0 : 3);
}

/* As on a read-only medium: nothing in the folder may be written, by a user who
 * is not root. */
static void a_read_only_library_is_searched(void **state)
{
    (void)state;
    static struct truth truth;
    struct err          err = ERR_INIT;
    struct room         r   = room_with(&truth, 200);
    char                command[4200];
    int                 status;
    assert_ok(library_index_maintain(r.lib, true, &err), &err);
    library_close(r.lib);
    r.lib = NULL;
    snprintf(command, sizeof(command), "chmod a=r '%s'/* && chmod a=rx '%s'", r.dir, r.dir);
    assert_int_equal(system(command), 0);
    pid_t child = process_start("--reader", &r, 0, 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    chmod(r.dir, 0700);
    room_close(&r);
}

#define BATCH 16

static void writer(const char *dir, int64_t model, int64_t folder, uint64_t s, int batches)
{
    struct err          err = ERR_INIT;
    struct library     *lib;
    float               embeddings[BATCH][DIM];
    char                paths[BATCH][32];
    struct library_item items[BATCH];
    if (library_open(dir, LIBRARY_EXISTING, &lib, &err))
        _exit(1);
    lib->tuning = (struct library_tuning){400, 800, 40}; /* through all three kinds */
    for (int b = 0; b != batches; b++) {
        uint64_t group = splitmix_next(&s) >> 32;
        for (int i = 0; i < BATCH; i++) { /* a batch is the same picture in one folder */
            snprintf(paths[i], sizeof(paths[i]), "%08x/%d.jpg", (unsigned)group, i);
            items[i] = picture(folder, paths[i], group, embeddings[i]);
        }
        if (library_add(lib, model, items, BATCH, &err) ||
            library_index_maintain(lib, false, &err)) {
            fprintf(stderr, "writer: %s\n", err.msg);
            _exit(2);
        }
        if (b % 5 == 4) { /* and one goes again, whole */
            const char *list[BATCH];
            for (int i = 0; i < BATCH; i++)
                list[i] = paths[i];
            if (library_remove(lib, folder, list, BATCH, &err))
                _exit(3);
        }
    }
    library_close(lib);
    _exit(0);
}

static void no_half_batch_is_ever_seen(void **state)
{
    (void)state;
    struct err           err = ERR_INIT;
    static struct truth  truth;
    struct room          r = room_with(&truth, 0);
    struct library_stats stats;
    int                  status = 0, searches = 0;
    size_t               most = 0;
    library_close(r.lib);
    pid_t children[2];
    for (int i = 0; i < 2; i++)
        children[i] = process_start("--writer", &r, 31 + (uint64_t)i, 60);
    assert_ok(library_open(r.dir, LIBRARY_EXISTING, &r.lib, &err), &err);
    r.lib->tuning.delta_min = 40;
    for (int left = 2; left > 0; searches++) {
        struct library_hit *hits;
        size_t              n;
        float               query[DIM];
        unit_vector(query, DIM, (uint64_t)searches);
        assert_ok(library_search(r.lib, query, SIZE_MAX, NULL, &hits, &n, &err), &err);
        assert_int_equal(n % BATCH, 0);
        for (size_t i = 0; i < n; i++) /* groups, each all of it */
            assert_true(hits[i].score == hits[i - i % BATCH].score);
        most = n > most ? n : most;
        free(hits);
        assert_ok(library_search(r.lib, query, BATCH, NULL, &hits, &n, &err), &err);
        assert_true(n == BATCH || n == 0); /* 0 only before the first batch */
        assert_true(n == BATCH || most == 0);
        free(hits);
        for (int i = 0; i < 2; i++) {
            if (children[i] > 0 && waitpid(children[i], &status, WNOHANG) == children[i]) {
                assert_int_equal(status, 0);
                children[i] = 0;
                left--;
            }
        }
    }
    assert_true(searches > 10);
    assert_ok(library_stats(r.lib, &stats, &err), &err);
    assert_int_equal(stats.images, 2 * (60 - 12) * BATCH);
    assert_string_equal(stats.index_kind, "ivf");
    assert_true(most > 0);
    assert_sound(r.lib);
    room_close(&r);
}

static void killed_at_any_moment_nothing_is_damaged(void **state)
{
    (void)state;
    struct err           err = ERR_INIT;
    static struct truth  truth;
    struct room          r = room_with(&truth, 0);
    struct library_stats stats;
    uint64_t             s      = 99;
    int64_t              before = 0;
    library_close(r.lib);
    r.lib = NULL;
    for (int round = 0; round < 20; round++) {
        pid_t           child = process_start("--writer", &r, 1000 + (uint64_t)round, -1);
        int             status;
        struct timespec wait = {0, (long)(splitmix_next(&s) % 300000000) + 1000000};
        nanosleep(&wait, NULL);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_ok(library_open(r.dir, LIBRARY_EXISTING, &r.lib, &err), &err);
        assert_ok(library_stats(r.lib, &stats, &err), &err);
        assert_int_equal(stats.images % BATCH, 0);
        assert_true(stats.generation >= before);
        before = stats.generation;
        assert_sound(r.lib);
        library_close(r.lib);
    }
    assert_true(before > 20); /* on a busy machine, too, something was written */
    assert_ok(library_open(r.dir, LIBRARY_EXISTING, &r.lib, &err), &err);
    room_close(&r);
}

int main(int argc, char **argv)
{
    if (argc == 7 && strcmp(argv[1], "--reader") == 0)
        reader(argv[2], atoll(argv[4]));
    if (argc == 7 && strcmp(argv[1], "--writer") == 0)
        writer(argv[2], atoll(argv[3]), atoll(argv[4]), strtoull(argv[5], NULL, 10), atoi(argv[6]));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_only_library_is_searched),
        cmocka_unit_test(no_half_batch_is_ever_seen),
        cmocka_unit_test(killed_at_any_moment_nothing_is_damaged),
    };
    if (getenv("TEST_ONLY"))
        cmocka_set_test_filter(getenv("TEST_ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
