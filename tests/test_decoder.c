/* Tests of core/image/decoder: pictures through the worker are those decoded
 * here, and a worker that misbehaves in any way costs one error. */
#include "image/decoder.h"

#include "base/file.h"
#include "base/mem.h"
#include "image/decoder_worker.h"
#include "image/formats.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define IMAGES  TEST_DATA "/images/"
#define FORMATS TEST_DATA "/formats/"
#define WORKER  TEST_DECODERS "/osprey-decode"
#define BAD     TEST_DECODERS "/tests/bad-decoder"
#define PICTURE "baseline-420.jpg"

struct bytes {
    uint8_t *data;
    size_t   n;
};

static struct bytes load(const char *name)
{
    char         path[512];
    struct err   err = ERR_INIT;
    struct bytes out = {0};
    (void)snprintf(path, sizeof path, "%s%s", strchr(name, '/') ? "" : IMAGES, name);
    if (file_read(path, 1 << 20, &out.data, &out.n, &err))
        fail_msg("%s", err.msg);
    return out;
}

/* A good picture, followed by what bad-decoder looks for. */
static struct bytes marked(const char *word)
{
    struct bytes good = load(PICTURE);
    size_t       size = good.n + 64;
    struct bytes out  = {.data = mem_array(size, 1)};
    assert_non_null(out.data);
    memcpy(out.data, good.data, good.n);
    out.n = good.n + (size_t)snprintf((char *)out.data + good.n, 64, "OSPREY-TEST:%s", word);
    free(good.data);
    return out;
}

static struct decoder *opened(const struct decoder_options *options)
{
    struct decoder *d   = NULL;
    struct err      err = ERR_INIT;
    if (decoder_open(options, &d, &err))
        fail_msg("%s", err.msg);
    return d;
}

static bool same_pixels(const struct image *a, const struct image *b)
{
    return a->width == b->width && a->height == b->height && (!a->data == !b->data) &&
           (!a->data || !memcmp(a->data, b->data, (size_t)a->width * (size_t)a->height * 3));
}

static bool same_info(const struct image_info *a, const struct image_info *b)
{
    return a->kind == b->kind && a->width == b->width && a->height == b->height &&
           a->orientation == b->orientation && a->taken_at == b->taken_at &&
           !strcmp(a->camera, b->camera);
}

/* Through d it is what it is here, errors included. Returns whether it is a picture. */
static bool check_same(struct decoder *d, const uint8_t *bytes, size_t n, int min_side)
{
    struct err        here_err = ERR_INIT, there_err = ERR_INIT;
    struct image      here, there;
    struct image_info here_info, there_info;
    int here_rc  = image_decode(bytes, n, min_side, NULL, &here, &here_info, &here_err);
    int there_rc = decoder_decode(d, bytes, n, min_side, &there, &there_info, &there_err);
    if (here_rc != there_rc || strcmp(here_err.msg, there_err.msg) != 0)
        fail_msg("here %d '%s', there %d '%s'", here_rc, here_err.msg, there_rc, there_err.msg);
    assert_true(same_pixels(&here, &there));
    if (!here_rc) {
        assert_true(same_info(&here_info, &there_info));
        assert_int_equal(decoder_probe(d, bytes, n, &there_info, &there_err), 0);
        assert_true(same_info(&here_info, &there_info));
    }
    assert_false(decoder_is_broken(d));
    image_free(&here);
    return !here_rc;
}

/* All pictures of a folder whole, scaled, cut short and flipped. */
static void check_folder(struct decoder *d, const char *folder, int *good, int *bad)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char path[512];
        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s%s", folder, e->d_name);
        struct bytes file = load(path);
        *good += check_same(d, file.data, file.n, 0);
        *good += check_same(d, file.data, file.n, 4);
        *bad += !check_same(d, file.data, file.n / 2, 0);
        file.data[file.n / 3] ^= 0x55;
        (void)check_same(d, file.data, file.n, 0);
        free(file.data);
    }
    closedir(dir);
}

static void check_all(struct decoder *d)
{
    int good = 0, bad = 0;
    check_folder(d, IMAGES, &good, &bad);
    assert_true(good > 100);
    assert_true(bad > 50);
}

/* Of every format, each through a worker that has to load it. */
static void every_format_in_the_worker(void **state)
{
    (void)state;
    struct decoder *d    = opened(&(struct decoder_options){.program = WORKER});
    int             good = 0, bad = 0;
    check_folder(d, FORMATS, &good, &bad);
    assert_true(good > 50);
    assert_true(bad > 20);
    assert_non_null(strstr(decoder_text(d), "seccomp"));
    decoder_close(d);
}

static void a_worker_loads_what_it_is_asked_for(void **state)
{
    (void)state;
    unsigned        all = 0, able = 0, jpeg = format_bit(IMAGE_JPEG);
    struct decoder *d    = opened(&(struct decoder_options){.program = WORKER});
    struct decoder *here = opened(&(struct decoder_options){.program = "in-process"});
    struct err      err  = ERR_INIT;
    for (int kind = IMAGE_JPEG; kind < IMAGE_KINDS; kind++)
        all |= format_of((enum image_kind)kind)->built ? format_bit((enum image_kind)kind) : 0;
    assert_int_equal(decoder_kinds(d, jpeg, &able, &err), 0);
    assert_true(able & jpeg);
    assert_int_equal(able & (format_bit(IMAGE_HEIC) | format_bit(IMAGE_RAW)), 0);
    assert_int_equal(decoder_kinds(d, ~0u, &able, &err), 0);
    assert_int_equal(able, all);
    assert_int_equal(decoder_kinds(here, ~0u, &able, &err), 0);
    assert_int_equal(able, all);
    decoder_close(here);
    decoder_close(d);
}

static void the_worker_decodes_as_this_process(void **state)
{
    (void)state;
    struct decoder *d = opened(&(struct decoder_options){.program = WORKER});
    check_all(d);
    assert_false(check_same(d, NULL, 0, 0));
    assert_non_null(strstr(decoder_text(d), "seccomp"));
    decoder_close(d);
}

static void without_a_worker(void **state)
{
    (void)state;
    struct decoder *d     = opened(&(struct decoder_options){.program = "in-process"});
    struct bytes    file  = load(PICTURE);
    struct err      err   = ERR_INIT;
    uint8_t        *bytes = NULL;
    check_all(d);
    assert_int_equal(decoder_input(d, file.n, &bytes, &err), 0);
    memcpy(bytes, file.data, file.n);
    assert_true(check_same(d, bytes, file.n, 0));
    assert_string_equal(decoder_text(d), "in this process");
    free(file.data);
    decoder_close(d);
}

/* ---- Misbehaviour ---- */

/* Decodes a file marked with word, which must fail so; then a good one. */
static void check_bad(struct decoder *d, const char *word, int code, const char *message)
{
    struct bytes file = marked(word), good = load(PICTURE);
    struct err   err = ERR_INIT;
    struct image view;
    int          rc = decoder_decode(d, file.data, file.n, 0, &view, NULL, &err);
    if (rc != code || !strstr(err.msg, message))
        fail_msg("%s: %d '%s', not %d '%s'", word, rc, err.msg, code, message);
    assert_null(view.data);
    assert_false(decoder_is_broken(d));
    assert_true(check_same(d, good.data, good.n, 0));
    free(file.data);
    free(good.data);
}

static void misbehaviour_costs_one_error(void **state)
{
    (void)state;
    struct decoder *d = opened(&(struct decoder_options){.program = BAD, .ms = 1000});
    check_bad(d, "crash", ERR_FORMAT, "the decoder crashed (SIGSEGV)");
    check_bad(d, "hang", ERR_LIMIT, "decoding it took longer than 1 s");
    check_bad(d, "garbage", ERR_FORMAT, "the decoder answered nonsense");
    check_bad(d, "long", ERR_FORMAT, "the decoder answered nonsense");
    check_bad(d, "lie", ERR_FORMAT, "the decoder answered nonsense");
    check_bad(d, "die", ERR_FORMAT, "the decoder answered nonsense");
    check_bad(d, "exit", ERR_FORMAT, "the decoder ended with status 7");
    decoder_close(d);
}

/* A worker that does nothing for its time is given more of it first. */
static void a_worker_that_stands_still(void **state)
{
    (void)state;
    struct decoder *d = opened(&(struct decoder_options){.program = BAD, .ms = 200});
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    check_bad(d, "stop", ERR_LIMIT, "decoding it took longer than 0.2 s");
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000 >= 780);
    decoder_close(d);
}

static void what_the_sandbox_stops(void **state)
{
    (void)state;
    struct decoder *d   = opened(&(struct decoder_options){.program = BAD});
    struct err      err = ERR_INIT;
    assert_int_equal(decoder_start(d, &err), 0);
    bool limited = strstr(decoder_text(d), "limits") != NULL;
    if (!limited) { /* a sanitizer's build holds no memory, and only refuses */
        decoder_close(d);
        skip();
    }
    check_bad(d, "swell", ERR_LIMIT, "wants more than 2.2 GB of memory");
    check_bad(d, "socket", ERR_FORMAT, "tried what it may not, and was killed (SIGSYS)");
    decoder_close(d);
    d = opened(&(struct decoder_options){.program = BAD,
                                         .limits  = {.max_pixels = 1000000, .max_bytes = 1 << 20}});
    check_bad(d, "swell", ERR_LIMIT, "wants more than 0.1 GB of memory");
    decoder_close(d);
}

static void programs_that_are_no_decoders(void **state)
{
    (void)state;
    static const char *const programs[][2] = {
        {"/no/such/osprey-decode", "cannot start the decoder /no/such/osprey-decode: No such file"},
        {"/bin/true", "the decoder /bin/true does not start: it ended with status 0"},
        {"/etc/passwd", "cannot start the decoder /etc/passwd: Permission denied"},
    };
    struct bytes good = load(PICTURE);
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        struct decoder *d   = opened(&(struct decoder_options){.program = programs[i][0]});
        struct err      err = ERR_INIT;
        struct image    view;
        assert_true(decoder_start(d, &err) < 0);
        if (!strstr(err.msg, programs[i][1]))
            fail_msg("'%s', not '%s'", err.msg, programs[i][1]);
        assert_true(decoder_decode(d, good.data, good.n, 0, &view, NULL, &err) < 0);
        assert_true(decoder_is_broken(d));
        decoder_close(d);
    }
    free(good.data);
    struct decoder *d   = NULL;
    struct err      err = ERR_INIT;
    assert_int_equal(decoder_open(&(struct decoder_options){.program = "true"}, &d, &err),
                     ERR_USAGE);
    assert_null(d);
}

/* ---- Lives of workers ---- */

/* The only child of this thread, as the system knows it. */
static int only_child(void)
{
    int   pid = 0, other = 0;
    FILE *f = fopen("/proc/thread-self/children", "r");
    if (!f)
        return -1; /* a kernel without it */
    int n = fscanf(f, "%d %d", &pid, &other);
    fclose(f);
    assert_true(n <= 1);
    return n == 1 ? pid : 0;
}

static void a_worker_is_used_again_and_replaced(void **state)
{
    (void)state;
    struct decoder *d    = opened(&(struct decoder_options){.program = WORKER, .pictures = 3});
    struct bytes    good = load(PICTURE);
    int             pids[9];
    for (int i = 0; i < 9; i++) {
        struct err   err = ERR_INIT;
        struct image view;
        assert_int_equal(decoder_decode(d, good.data, good.n, 0, &view, NULL, &err), 0);
        pids[i] = only_child();
    }
    decoder_close(d);
    free(good.data);
    if (pids[0] < 0)
        skip();
    for (int i = 1; i < 9; i++)
        assert_int_equal(pids[i] == pids[i - 1], i % 3 != 0);
    assert_int_equal(only_child(), 0); /* closing leaves none */
}

static void a_worker_that_others_kill(void **state)
{
    (void)state;
    struct decoder *d    = opened(&(struct decoder_options){.program = WORKER});
    struct bytes    good = load(PICTURE);
    for (int i = 0; i < 20; i++) {
        assert_true(check_same(d, good.data, good.n, 0));
        int pid = only_child();
        if (pid < 0)
            break;
        kill(pid, SIGKILL); /* dead before, while or after it is asked */
    }
    assert_true(check_same(d, good.data, good.n, 0));
    decoder_close(d);
    free(good.data);
}

static void no_worker_outlives_its_program(void **state)
{
    (void)state;
    int pipes[2], worker = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct decoder *d   = NULL;
        struct err      err = ERR_INIT;
        if (decoder_open(&(struct decoder_options){.program = WORKER}, &d, &err) ||
            decoder_start(d, &err))
            _exit(1);
        worker = only_child();
        _exit(write(pipes[1], &worker, sizeof worker) == sizeof worker ? 0 : 1);
    }
    close(pipes[1]);
    assert_int_equal(read(pipes[0], &worker, sizeof worker), sizeof worker);
    close(pipes[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    if (worker <= 0)
        skip();
    char path[64], state_of = 'R';
    (void)snprintf(path, sizeof path, "/proc/%d/stat", worker);
    for (int i = 0; i < 500 && state_of != 'Z' && state_of != 'X'; i++) {
        FILE *f = fopen(path, "r");
        if (!f)
            return; /* gone */
        if (fscanf(f, "%*d %*s %c", &state_of) != 1)
            state_of = 'X';
        fclose(f);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    assert_true(state_of == 'Z' || state_of == 'X');
}

static void long_files(void **state)
{
    (void)state;
    struct decoder     *d       = opened(&(struct decoder_options){.program = WORKER});
    struct bytes        good    = load(PICTURE);
    static const size_t sizes[] = {100, 70 << 20, 20 << 20, 200 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct err   err   = ERR_INIT;
        uint8_t     *bytes = NULL;
        struct image here, view;
        size_t       n = sizes[i] < good.n ? good.n : sizes[i];
        assert_int_equal(decoder_input(d, n, &bytes, &err), 0);
        memcpy(bytes, good.data, good.n);
        if (n > good.n)
            bytes[n - 1] = 7;
        assert_int_equal(decoder_decode(d, bytes, n, 0, &view, NULL, &err), 0);
        assert_int_equal(image_decode(good.data, good.n, 0, NULL, &here, NULL, &err), 0);
        assert_true(same_pixels(&here, &view));
        image_free(&here);
    }
    decoder_close(d);
    free(good.data);
}

static void rooms_hold(void **state)
{
    (void)state;
    struct room room;
    struct err  err = ERR_INIT;
    assert_int_equal(room_open(&room, true, 1 << 20, &err), 0);
    memset(room.data, 5, room.size);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, room.worker_fd, 0),
                     MAP_FAILED);
    assert_int_not_equal(ftruncate(room.fd, 0), 0);
    assert_int_not_equal(ftruncate(room.fd, 2 << 20), 0);
    room_trim(&room, 1 << 20, 4096);
    assert_int_equal(room.data[4095], 5);
    assert_int_equal(room.data[4096], 0);
    room_release(&room);
}

/* ---- Threads ---- */

static void *decode_much(void *arg)
{
    const char     *word = arg;
    struct decoder *d    = opened(&(struct decoder_options){.program = BAD, .pictures = 10});
    for (int i = 0; i < 4; i++) {
        struct bytes good = load("exif.jpg");
        for (int k = 0; k < 12; k++)
            assert_true(check_same(d, good.data, good.n, 0));
        free(good.data);
        check_bad(d, word, ERR_FORMAT, "the decoder");
    }
    decoder_close(d);
    return NULL;
}

static void threads_have_a_worker_each(void **state)
{
    (void)state;
    pthread_t threads[3];
    char      words[3][8] = {"crash", "exit", "garbage"};
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, decode_much, words[i]), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest here[] = {
        cmocka_unit_test(without_a_worker),
        cmocka_unit_test(rooms_hold),
    };
    const struct CMUnitTest there[] = {
        cmocka_unit_test(the_worker_decodes_as_this_process),
        cmocka_unit_test(every_format_in_the_worker),
        cmocka_unit_test(a_worker_loads_what_it_is_asked_for),
        cmocka_unit_test(misbehaviour_costs_one_error),
        cmocka_unit_test(a_worker_that_stands_still),
        cmocka_unit_test(what_the_sandbox_stops),
        cmocka_unit_test(programs_that_are_no_decoders),
        cmocka_unit_test(a_worker_is_used_again_and_replaced),
        cmocka_unit_test(a_worker_that_others_kill),
        cmocka_unit_test(no_worker_outlives_its_program),
        cmocka_unit_test(long_files),
        cmocka_unit_test(threads_have_a_worker_each),
    };
    unsetenv("OSPREY_DECODE_SECONDS");
    int failed = cmocka_run_group_tests(here, NULL, NULL);
    if (!TEST_EMULATED) /* where no program can start another */
        failed += cmocka_run_group_tests(there, NULL, NULL);
    return failed;
}
