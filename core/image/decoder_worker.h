/* The worker process of a decoder and the memory shared with it, for
 * core/image/decoder.c alone: starting, asking, and learning how it ended. What
 * the answers mean is not known here.
 */
#ifndef OSPREY_IMAGE_DECODER_WORKER_H
#define OSPREY_IMAGE_DECODER_WORKER_H

#include "base/err.h"
#include "image/decode_wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Shared memory. Its size is sealed, so that no side can pull it away under the
 * other; pages exist as far as they were touched. */
struct room {
    int      fd; /* -1: not open */
    int      worker_fd;
    uint8_t *data;
    size_t   size; /* bytes */
};

/* writer: whether this side writes and the worker reads, or the reverse. */
int  room_open(struct room *room, bool writer, size_t size, struct err *err);
void room_release(struct room *room);
/* Gives back the memory of all but the first keep bytes, of used. */
void room_trim(const struct room *room, size_t used, size_t keep);

struct worker {
    pid_t    pid;    /* 0: none */
    int      socket; /* -1: none */
    uint32_t holds;  /* WIRE_HOLDS_* */
    uint32_t kinds;  /* format_bit: what it can decode */
};

enum worker_end {
    WORKER_ANSWERED, /* with a packet of the right size */
    WORKER_GONE,     /* it had ended before it could be asked */
    WORKER_DIED,     /* it ended instead of answering */
    WORKER_LATE,     /* it took too long */
    WORKER_NONSENSE  /* it sent something else than an answer */
};

struct worker_limits {
    uint64_t memory_bytes, cpu_seconds; /* as in wire_setup */
};

/* Starts a program and waits until it is ready. kinds: what it must be able to
 * decode (format_bit). */
int             worker_start(struct worker *w, const char *program, const struct room *input,
                             const struct room *output, const struct worker_limits *limits, uint32_t kinds,
                             struct err *err);
/* Asks and waits; ms as in decoder.h. */
enum worker_end worker_ask(struct worker *w, const struct wire_request *request,
                           struct wire_reply *reply, int ms);
/* Ends it, if it does not by itself, and returns its status as waitpid gives it
 * (-1: unknown; that of our own SIGKILL if patience, milliseconds, was not
 * enough). */
int             worker_stop(struct worker *w, int patience);

#endif
