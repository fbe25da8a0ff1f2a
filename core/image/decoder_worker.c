/* The worker process of a decoder: see decoder_worker.h. */
#include "image/decoder_worker.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_MS    20000   /* for a worker to be ready, on a machine that is busy */
#define START_TRIES 5       /* of one that others kill meanwhile */
#define ENDING_MS   1000    /* for a worker that is ending anyway */
#define SLOW_AT     4       /* periods that a worker gets that got no time on a core */
#define HIGH_FD     10      /* above the descriptors that a worker is born with */
#define PATH_FD     32      /* bytes of "/proc/self/fd/N" */
#define NO_EXEC     0x0008U /* MFD_NOEXEC_SEAL, which headers before Linux 6.3 lack */
#define SPARE_ENV   16

/* What a worker may know of the environment: how to find and how to check its
 * libraries. */
static const char *const inherited[] = {"LD_LIBRARY_PATH", "LD_PRELOAD",   "ASAN_OPTIONS",
                                        "UBSAN_OPTIONS",   "TSAN_OPTIONS", "LSAN_OPTIONS"};

static int memory_fd(void)
{
    int fd = memfd_create("osprey-decode", MFD_CLOEXEC | MFD_ALLOW_SEALING | NO_EXEC);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("osprey-decode", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd;
}

int room_open(struct room *room, bool writer, size_t size, struct err *err)
{
    char path[PATH_FD];
    *room    = (struct room){.fd = memory_fd(), .worker_fd = -1};
    int seal = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    if (room->fd < 0 || ftruncate(room->fd, (off_t)size) ||
        fcntl(room->fd, F_ADD_SEALS, seal) < 0) {
        int rc = err_set(err, ERR_IO, "cannot share memory with the decoder: %s", strerror(errno));
        room_release(room);
        return rc;
    }
    /* Opened again, for a descriptor that cannot be used to write. */
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", room->fd);
    room->worker_fd = open(path, (writer ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    void *data =
        mmap(NULL, size, writer ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, room->fd, 0);
    if (room->worker_fd < 0 || data == MAP_FAILED) {
        int rc = err_set(err, ERR_IO, "cannot share %zu bytes with the decoder: %s", size,
                         strerror(errno));
        if (data != MAP_FAILED)
            munmap(data, size);
        room_release(room);
        return rc;
    }
    room->data = data;
    room->size = size;
    return 0;
}

void room_release(struct room *room)
{
    if (room->data)
        munmap(room->data, room->size);
    if (room->fd >= 0)
        close(room->fd);
    if (room->worker_fd >= 0)
        close(room->worker_fd);
    *room = (struct room){.fd = -1, .worker_fd = -1};
}

void room_trim(const struct room *room, size_t used, size_t keep)
{
    if (used > keep) /* what cannot be given back is used again */
        (void)fallocate(room->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)keep,
                        (off_t)(room->size - keep));
}

/* ---- Starting ---- */

static int add_actions(posix_spawn_file_actions_t *actions, const int from[3])
{
    int why = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
    if (!why)
        why = posix_spawn_file_actions_adddup2(actions, STDIN_FILENO, STDOUT_FILENO);
    for (int i = 0; i < 3 && !why; i++)
        why = posix_spawn_file_actions_adddup2(actions, from[i], WIRE_SOCKET + i);
    return why;
}

/* Every signal as it is for a new program, whatever this one catches or blocks, but for those
 * that must not end a worker that did not come to ignore them yet. */
static int add_signals(posix_spawnattr_t *attributes)
{
    static const int others[] = WIRE_SIGNALS;
    sigset_t         blocked, all;
    sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        sigaddset(&blocked, others[i]);
    sigfillset(&all);
    int why = posix_spawnattr_setsigmask(attributes, &blocked);
    if (!why)
        why = posix_spawnattr_setsigdefault(attributes, &all);
    if (!why)
        why = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return why;
}

/* "NAME=value" for what is inherited; strings are to be freed. */
static void environment_make(char *env[SPARE_ENV])
{
    size_t n = 0;
    for (size_t i = 0; i < sizeof inherited / sizeof *inherited; i++) {
        const char *value = getenv(inherited[i]);
        size_t      size  = value ? strlen(inherited[i]) + strlen(value) + 2 : 0;
        if (value && (env[n] = mem_array(size, 1)))
            (void)snprintf(env[n++], size, "%s=%s", inherited[i], value);
    }
    env[n] = NULL;
}

/* Returns an errno. from: socket, input, output. */
static int spawn(const char *program, const int from[3], pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t          attributes;
    char                      *env[SPARE_ENV], name[] = "osprey-decode";
    char                      *argv[] = {name, NULL};
    int                        why    = posix_spawn_file_actions_init(&actions);
    if (why)
        return why;
    why = posix_spawnattr_init(&attributes);
    if (why)
        goto out;
    environment_make(env);
    why = add_actions(&actions, from);
    if (!why)
        why = add_signals(&attributes);
    if (!why)
        why = posix_spawn(pid, program, &actions, &attributes, argv, env);
    for (char **e = env; *e; e++)
        free(*e);
    posix_spawnattr_destroy(&attributes);
out:
    posix_spawn_file_actions_destroy(&actions);
    return why;
}

static int spawn_with_rooms(struct worker *w, const char *program, const struct room *input,
                            const struct room *output, struct err *err)
{
    int pair[2], from[3] = {-1, -1, -1}, why = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        return err_set(err, ERR_IO, "cannot start the decoder: %s", strerror(errno));
    const int own[3] = {pair[1], input->worker_fd, output->worker_fd};
    for (int i = 0; i < 3 && !why; i++) {
        from[i] = fcntl(own[i], F_DUPFD_CLOEXEC, HIGH_FD);
        why     = from[i] < 0 ? errno : 0;
    }
    if (!why)
        why = spawn(program, from, &w->pid);
    close(pair[1]);
    for (int i = 0; i < 3; i++) {
        if (from[i] >= 0)
            close(from[i]);
    }
    if (!why) {
        w->socket = pair[0];
        return 0;
    }
    close(pair[0]);
    w->pid = 0;
    return err_set(err, ERR_IO, "cannot start the decoder %s: %s", program, strerror(why));
}

/* ---- Talking ---- */

static int64_t now_ms(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t))
        return -1;
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits for a packet, or the end of the socket. False when ms were not enough. */
static bool wait_readable(int socket, int64_t ms)
{
    int64_t until = now_ms(CLOCK_MONOTONIC) + ms;
    for (;;) {
        int64_t       left = until - now_ms(CLOCK_MONOTONIC);
        struct pollfd p    = {.fd = socket, .events = POLLIN};
        int           n    = poll(&p, 1, left < 0 ? 0 : (int)left);
        if (n > 0)
            return true;
        if (n == 0 && left <= 0)
            return false;
        if (n < 0 && errno != EINTR)
            return false;
    }
}

static enum worker_end receive(int socket, void *message, size_t size)
{
    ssize_t got = recv(socket, message, size, MSG_DONTWAIT | MSG_TRUNC);
    if (got == 0 || (got < 0 && errno == ECONNRESET))
        return WORKER_DIED;
    return got == (ssize_t)size ? WORKER_ANSWERED : WORKER_NONSENSE;
}

enum worker_end worker_ask(struct worker *w, const struct wire_request *request,
                           struct wire_reply *reply, int ms)
{
    clockid_t clock;
    int64_t   begun = clock_getcpuclockid(w->pid, &clock) ? -1 : now_ms(clock);
    if (send(w->socket, request, sizeof *request, MSG_NOSIGNAL | MSG_DONTWAIT) !=
        (ssize_t)sizeof *request)
        return WORKER_GONE;
    for (int period = 1; !wait_readable(w->socket, ms); period++) {
        /* Late by the clock; but the machine may be overloaded, or have been
         * stopped for a while. */
        int64_t used = begun < 0 ? -1 : now_ms(clock) - begun;
        if (begun < 0 || used < 0 || used >= ms / 2 || period >= SLOW_AT)
            return WORKER_LATE;
    }
    return receive(w->socket, reply, sizeof *reply);
}

int worker_stop(struct worker *w, int patience)
{
    int   status = -1;
    pid_t got    = 0;
    if (w->socket >= 0)
        close(w->socket); /* which is a worker's sign to end */
    w->socket = -1;
    if (w->pid <= 0)
        return -1;
    for (int ms = 0; ms <= patience && !got; ms++) {
        if (ms)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        got = waitpid(w->pid, &status, WNOHANG);
        if (got < 0 && errno == EINTR)
            got = 0;
    }
    if (!got) {
        kill(w->pid, SIGKILL);
        do
            got = waitpid(w->pid, &status, 0);
        while (got < 0 && errno == EINTR);
    }
    w->pid = 0;
    return got > 0 ? status : -1;
}

/* One try; *killed: someone ended it before it was ready. */
static int start_once(struct worker *w, const char *program, const struct room *input,
                      const struct room *output, const struct wire_setup *setup, bool *killed,
                      struct err *err)
{
    struct wire_ready ready;
    int               rc = spawn_with_rooms(w, program, input, output, err);
    *killed              = false;
    if (rc)
        return rc;
    enum worker_end end = WORKER_DIED;
    if (send(w->socket, setup, sizeof *setup, MSG_NOSIGNAL) == (ssize_t)sizeof *setup)
        end = wait_readable(w->socket, START_MS) ? receive(w->socket, &ready, sizeof ready)
                                                 : WORKER_LATE;
    if (end == WORKER_ANSWERED && wire_is(&ready.head, WIRE_READY)) {
        w->holds = ready.holds;
        w->kinds = ready.kinds;
        return 0;
    }
    int status = worker_stop(w, end == WORKER_DIED ? ENDING_MS : 0);
    if (end == WORKER_LATE)
        return err_set(err, ERR_FAILED, "the decoder %s does not start: no word from it in %d s",
                       program, START_MS / 1000);
    if (end == WORKER_DIED && status >= 0 && WIFEXITED(status))
        return err_set(err, ERR_FAILED, "the decoder %s does not start: it ended with status %d",
                       program, WEXITSTATUS(status));
    *killed = end == WORKER_DIED && status >= 0 && WTERMSIG(status) == SIGKILL;
    if (end == WORKER_DIED && status >= 0)
        return err_set(err, ERR_FAILED, "the decoder %s does not start: %s", program,
                       strsignal(WTERMSIG(status)));
    return err_set(err, ERR_FAILED, "%s is not the decoder that belongs to this program", program);
}

int worker_start(struct worker *w, const char *program, const struct room *input,
                 const struct room *output, const struct worker_limits *limits, uint32_t kinds,
                 struct err *err)
{
    struct wire_setup setup = {.head         = wire_head(WIRE_SETUP),
                               .input_bytes  = input->size,
                               .output_bytes = output->size,
                               .memory_bytes = limits->memory_bytes,
                               .cpu_seconds  = limits->cpu_seconds,
                               .kinds        = kinds};
    for (int tries = 1;; tries++) {
        struct err why = ERR_INIT;
        bool       killed;
        *w     = (struct worker){.socket = -1};
        int rc = start_once(w, program, input, output, &setup, &killed, &why);
        if (rc && (!killed || tries == START_TRIES))
            return err_set(err, why.code, "%s", why.msg);
        if (!rc)
            return 0;
    }
}
