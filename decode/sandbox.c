/* Shuts a process in: see sandbox.h. */
#include "decode/sandbox.h"

#include "image/decode_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ---- Limits ---- */

/* Bytes of address space in use; 0: unknown. */
static uint64_t mapped_bytes(void)
{
    unsigned long long pages = 0;
    FILE              *f     = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    if (fscanf(f, "%20llu", &pages) != 1)
        pages = 0;
    fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Never above what the user has set. */
static int limit(int resource, const char *name, uint64_t most, struct err *err)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)resource, &now))
        return err_set(err, ERR_IO, "cannot read the limit of %s: %s", name, strerror(errno));
    rlim_t value = most > (uint64_t)RLIM_INFINITY ? RLIM_INFINITY : (rlim_t)most;
    if (value > now.rlim_max)
        value = now.rlim_max;
    if (setrlimit((__rlimit_resource_t)resource, &(struct rlimit){value, value}))
        return err_set(err, ERR_IO, "cannot limit %s: %s", name, strerror(errno));
    return 0;
}

static int limit_all(const struct sandbox *box, uint32_t *holds, struct err *err)
{
    uint64_t mapped = SANITIZED ? 0 : mapped_bytes();
    int      rc     = limit(RLIMIT_CORE, "core files", 0, err);
    if (!rc)
        rc = limit(RLIMIT_FSIZE, "the size of files", 0, err);
    if (!rc && !box->threads) /* which count as such */
        rc = limit(RLIMIT_NPROC, "processes", 0, err);
    if (!rc)
        rc = limit(RLIMIT_NOFILE, "open files", 0, err);
    if (!rc)
        rc = limit(RLIMIT_CPU, "time", box->cpu_seconds, err);
    if (rc || !mapped)
        return rc;
    uint64_t most =
        box->memory_bytes > UINT64_MAX - mapped ? UINT64_MAX : mapped + box->memory_bytes;
    rc = limit(RLIMIT_AS, "memory", most, err);
    if (!rc)
        *holds |= WIRE_HOLDS_MEMORY;
    return rc;
}

/* ---- System calls ---- */

/* For reading questions, writing answers, memory, and ending. */
static const int allowed[] = {
    SCMP_SYS(read),           SCMP_SYS(write),        SCMP_SYS(munmap),
    SCMP_SYS(mremap),         SCMP_SYS(brk),          SCMP_SYS(madvise),
    SCMP_SYS(futex),          SCMP_SYS(getrandom),    SCMP_SYS(sched_yield),
    SCMP_SYS(clock_gettime),  SCMP_SYS(gettimeofday), SCMP_SYS(time),
    SCMP_SYS(getpid),         SCMP_SYS(gettid),       SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),           SCMP_SYS(exit_group),
};

/* What libraries try in good faith, and can do without. */
static const int refused[] = {
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(openat2),
    SCMP_SYS(close),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getcwd),
    SCMP_SYS(lseek),
    SCMP_SYS(ioctl),
    SCMP_SYS(fcntl),
    SCMP_SYS(getdents64),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrusage),
    SCMP_SYS(prlimit64),
    SCMP_SYS(getrlimit),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getcpu),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(prctl), /* naming a thread */
};

/* Sanitizers run a thread of their own and look at stacks. */
static const int sanitizers[] = {
    SCMP_SYS(sigaltstack), SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep),
    SCMP_SYS(mmap),        SCMP_SYS(mprotect),  SCMP_SYS(sched_getaffinity),
};

static int add(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = seccomp_rule_add(filter, action, calls[i], 0);
    return rc;
}

/* Memory that is private, of no file, and never to be run. */
static int add_memory(scmp_filter_ctx filter)
{
    const uint64_t kind = MAP_TYPE | MAP_ANONYMOUS;
    int            rc   = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
                                           SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
                                           SCMP_A3(SCMP_CMP_MASKED_EQ, kind, MAP_PRIVATE | MAP_ANONYMOUS));
    if (!rc)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return rc;
}

/* Signals to itself alone: abort(). */
static int add_signals(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                            SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
}

/* A thread of this process, as the C library makes one: nothing that a new process
 * or a namespace would need. The flags of clone3 lie in memory, where no filter
 * sees them; as if the kernel had none, the C library takes clone. */
static int add_threads(scmp_filter_ctx filter, bool allow)
{
    static const uint64_t flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                                  CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |
                                  CLONE_CHILD_CLEARTID;
    static const int own[] = {SCMP_SYS(set_robust_list), SCMP_SYS(rseq)};
    int              rc    = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (!rc && !allow)
        return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 0);
    if (!rc)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_EQ, flags));
    if (!rc && !SANITIZED) /* where it is what happens otherwise, and no rule may say so */
        rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_NE, flags));
    return rc ? rc : add(filter, SCMP_ACT_ALLOW, own, sizeof own / sizeof *own);
}

/* Returns a negative errno. */
static int filter_load(bool threads)
{
    uint32_t        otherwise = SANITIZED ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS;
    scmp_filter_ctx filter    = seccomp_init(otherwise);
    if (!filter)
        return -ENOMEM;
    int rc = add(filter, SCMP_ACT_ALLOW, allowed, sizeof allowed / sizeof *allowed);
    if (!rc && SANITIZED)
        rc = add(filter, SCMP_ACT_ALLOW, sanitizers, sizeof sanitizers / sizeof *sanitizers);
    if (!rc && !SANITIZED)
        rc = add(filter, SCMP_ACT_ERRNO(EPERM), refused, sizeof refused / sizeof *refused);
    if (!rc && !SANITIZED)
        rc = add_memory(filter);
    if (!rc && (!SANITIZED || threads))
        rc = add_threads(filter, threads);
    if (!rc)
        rc = add_signals(filter);
    if (!rc)
        rc = seccomp_load(filter);
    seccomp_release(filter);
    return rc;
}

/* Whether this kernel was built with filters; it refuses the NULL one otherwise
 * than it would refuse all. */
static bool kernel_has_filters(void)
{
    return prctl(PR_SET_SECCOMP, 2, NULL) < 0 && errno == EFAULT;
}

int sandbox_enter(const struct sandbox *box, uint32_t *holds, struct err *err)
{
    *holds = 0;
    if (!SANITIZED) /* whose reports go there */
        (void)dup2(STDIN_FILENO, STDERR_FILENO);
    int rc = limit_all(box, holds, err);
    if (rc)
        return rc;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
        return err_set(err, ERR_IO, "cannot give up privileges: %s", strerror(errno));
    if (!kernel_has_filters())
        return 0;
    int why = filter_load(box->threads);
    if (why)
        return err_set(err, ERR_FAILED, "cannot load the filter of system calls: %s",
                       strerror(-why));
    *holds |= WIRE_HOLDS_SECCOMP;
    return 0;
}
