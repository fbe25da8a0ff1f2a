/* Shuts this process in, for good: no files, no sockets, no programs, no other
 * processes, bounded memory and time. What is open stays open.
 *
 * System calls are filtered by seccomp, through libseccomp. What a picture can
 * have no reason for kills the process (SIGSYS); what a library may try in good
 * faith, opening a file, say, fails with EPERM. Where the kernel has no seccomp,
 * the limits alone hold. Under sanitizers, which need more of the system, there
 * is no limit of memory, and what would kill fails with EPERM.
 *
 * Threads, where a library needs them, are under the same filter, share the one
 * limit of memory and of time, and are no way to a process: of all that clone can
 * do, the filter lets through what pthread_create asks for.
 */
#ifndef OSPREY_DECODE_SANDBOX_H
#define OSPREY_DECODE_SANDBOX_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct sandbox {
    uint64_t memory_bytes; /* that may be taken beside what is mapped now */
    uint64_t cpu_seconds;  /* in the whole life of the process */
    bool     threads;      /* whether a library cannot do without threads of its own */
};

/* *holds: WIRE_HOLDS_*, what is in effect. */
int sandbox_enter(const struct sandbox *box, uint32_t *holds, struct err *err);

#endif
