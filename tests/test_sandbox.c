/* Tests of decode/sandbox: a process inside it tries what a picture must not
 * reach. Each try is a child of its own, for one may end it. */
#include "decode/sandbox.h"
#include "image/decode_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What a try comes to: the child's exit status, or 128 + its signal. */
enum { DONE = 0, REFUSED = 10, NO_SANDBOX = 11 };

typedef long try_function(void);

static int run_with(try_function *attempt, bool threads, uint32_t *holds)
{
    int report[2];
    assert_int_equal(pipe(report), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct sandbox box   = {.memory_bytes = 256 << 20, .cpu_seconds = 60, .threads = threads};
        uint32_t       inner = 0;
        struct err     err   = ERR_INIT;
        if (sandbox_enter(&box, &inner, &err))
            _exit(NO_SANDBOX);
        if (write(report[1], &inner, sizeof inner) != sizeof inner)
            _exit(NO_SANDBOX);
        errno     = 0;
        long done = attempt();
        _exit(done >= 0 ? DONE : REFUSED);
    }
    close(report[1]);
    *holds      = 0;
    ssize_t got = read(report[0], holds, sizeof *holds);
    close(report[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(got, sizeof *holds);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run(try_function *attempt, uint32_t *holds)
{
    return run_with(attempt, false, holds);
}

static long try_nothing(void)
{
    return 0;
}

static long try_open(void)
{
    return open("/etc/passwd", O_RDONLY);
}

static long try_create(void)
{
    return open("/tmp/osprey-sandbox-test", O_WRONLY | O_CREAT, 0600);
}

static long try_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0);
}

static long try_exec(void)
{
    char *argv[] = {"/bin/true", NULL};
    return execve("/bin/true", argv, NULL);
}

static long try_fork(void)
{
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return pid;
}

static long try_ptrace(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static long try_kill(void)
{
    return kill(getppid(), 0);
}

static long try_tgkill(void)
{
    return syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static long try_executable_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
               ? -1
               : 0;
}

static long try_shared_memory(void)
{
    return mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static long try_limits(void)
{
    return setrlimit(RLIMIT_AS, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
}

static long try_prctl(void)
{
    return syscall(SYS_prctl, 4 /* PR_SET_DUMPABLE */, 1, 0, 0, 0);
}

static void *thread_run(void *arg)
{
    *(int *)arg = 1;
    return NULL;
}

static long try_thread(void)
{
    pthread_t thread;
    int       ran = 0;
    if (pthread_create(&thread, NULL, thread_run, &ran))
        return -1;
    return pthread_join(thread, NULL) || !ran ? -1 : 0;
}

static int try_odd_thread_body(void *arg)
{
    (void)arg;
    return 0;
}

/* Threads of another kind than pthread_create makes. */
static long try_odd_thread(void)
{
    static char stack[65536];
    return clone(try_odd_thread_body, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
}

static long try_memory(void)
{
    char *volatile block = malloc(64 << 20); /* within the limit */
    if (!block)
        return -1;
    memset(block, 1, 64 << 20);
    char *volatile more = realloc(block, 100 << 20);
    free(more);
    return more ? 0 : -1;
}

static long try_too_much(void)
{
    char *volatile block = malloc((size_t)1 << 30);
    free(block);
    return block ? 0 : -1;
}

/* Refused, by an error or by the end. */
static void assert_refused(try_function *attempt)
{
    uint32_t holds;
    int      end = run(attempt, &holds);
    if (!(holds & WIRE_HOLDS_SECCOMP))
        return; /* seccomp_holds says whether that may be */
    if (end != REFUSED)
        assert_int_equal(end, 128 + SIGSYS);
}

static void work_goes_on(void **state)
{
    (void)state;
    uint32_t holds;
    assert_int_equal(run(try_nothing, &holds), DONE);
    assert_int_equal(run(try_memory, &holds), DONE);
    if ((holds & WIRE_HOLDS_MEMORY) && !TEST_EMULATED) /* qemu takes the limit and forgets it */
        assert_int_equal(run(try_too_much, &holds), REFUSED);
}

/* The kernels that this is tested on have it; through qemu there is none. */
static void seccomp_holds(void **state)
{
    (void)state;
    uint32_t holds;
    assert_int_equal(run(try_nothing, &holds), DONE);
    if (!TEST_EMULATED)
        assert_true(holds & WIRE_HOLDS_SECCOMP);
}

static void nothing_else_is_reached(void **state)
{
    (void)state;
    static try_function *const all[] = {
        try_open,   try_create, try_socket, try_exec,   try_fork,
        try_ptrace, try_kill,   try_tgkill, try_limits, try_prctl,
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_refused(all[i]);
    assert_int_not_equal(access("/tmp/osprey-sandbox-test", F_OK), 0);
}

static void threads_where_they_must_be(void **state)
{
    (void)state;
    uint32_t holds;
    assert_int_equal(run_with(try_thread, true, &holds), DONE);
    static try_function *const all[] = {try_open, try_socket, try_exec,       try_fork,
                                        try_kill, try_prctl,  try_odd_thread, try_limits};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int end = run_with(all[i], true, &holds);
        if ((holds & WIRE_HOLDS_SECCOMP) && end != REFUSED)
            assert_int_equal(end, 128 + SIGSYS);
    }
    run(try_nothing, &holds);
    if (!(holds & WIRE_HOLDS_MEMORY))
        return; /* a sanitizer's build, which is asked for nothing more */
    assert_refused(try_thread);
    assert_refused(try_odd_thread);
}

static void memory_is_private_and_not_run(void **state)
{
    (void)state;
    uint32_t holds;
    run(try_nothing, &holds);
    if (!(holds & WIRE_HOLDS_MEMORY))
        skip(); /* a sanitizer's build, whose runtime maps what it likes */
    assert_refused(try_executable_memory);
    assert_refused(try_shared_memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_goes_on),
        cmocka_unit_test(seccomp_holds),
        cmocka_unit_test(nothing_else_is_reached),
        cmocka_unit_test(threads_where_they_must_be),
        cmocka_unit_test(memory_is_private_and_not_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
