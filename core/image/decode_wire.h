/* What the two sides of the decoding door say to each other, for
 * core/image/decoder*.c (who asks) and decode/ (osprey-decode, who answers).
 *
 * Each message is one packet of a SOCK_SEQPACKET socket, of exactly its
 * structure's size, without padding. A file's bytes and the pixels lie in two
 * rooms of shared memory instead: input, which the worker can only read, and
 * output. Both sides come from one build, so that a version is either the same
 * or an error. Neither side trusts the other: whoever receives checks all of it.
 */
#ifndef OSPREY_IMAGE_DECODE_WIRE_H
#define OSPREY_IMAGE_DECODE_WIRE_H

#include "image/image.h"

#include <signal.h>
#include <stdint.h>

/* What a terminal, or a session that ends, sends to all of its programs: meant for the other
 * side, never for a worker. Blocked when one is started, ignored once it runs. */
#define WIRE_SIGNALS                                                                               \
    {                                                                                              \
        SIGINT, SIGTERM, SIGHUP, SIGQUIT                                                           \
    }

#define WIRE_MAGIC   UINT32_C(0x4F445731) /* "ODW1" */
#define WIRE_VERSION 3

/* The descriptors that a worker is born with; it closes all others. */
enum { WIRE_SOCKET = 3, WIRE_INPUT = 4, WIRE_OUTPUT = 5, WIRE_FIRST_FREE = 6 };

/* setup -> , <- ready; then, as often as wanted: probe, decode or metadata -> , <- done. */
enum wire_kind { WIRE_SETUP = 1, WIRE_READY, WIRE_PROBE, WIRE_DECODE, WIRE_DONE, WIRE_METADATA };

/* What holds a worker in. */
enum {
    WIRE_HOLDS_SECCOMP = 1, /* system calls */
    WIRE_HOLDS_MEMORY  = 2  /* memory, by the system's limits */
};

struct wire_head {
    uint32_t magic;
    uint16_t version;
    uint16_t kind;
};

struct wire_setup {
    struct wire_head head;
    uint64_t         input_bytes, output_bytes; /* of the rooms */
    uint64_t         memory_bytes;              /* that decoding may take beside them */
    uint64_t         cpu_seconds;               /* in its whole life */
    uint32_t         kinds;                     /* format_bit: what it must be able to decode */
    uint32_t         unused;
};

struct wire_ready {
    struct wire_head head;
    uint32_t         holds; /* WIRE_HOLDS_* */
    uint32_t         kinds; /* format_bit: what it can decode */
};

struct wire_request {
    struct wire_head head;
    uint64_t         serial;     /* comes back with the answer */
    uint64_t         n;          /* bytes of the file, from the start of the input room */
    uint64_t         more, wish; /* of metadata: bytes of the sidecar, then of a wish, behind it
                                    (meta/metadata_wire.h) */
    uint64_t         max_pixels, max_bytes;
    int32_t          min_side;
    int32_t          page; /* as in image_part, and the next two */
    int32_t          frames;
    int32_t          time_ms;
};

struct wire_reply {
    struct wire_head head;
    uint64_t         serial;
    uint64_t         said; /* of metadata: bytes in the output room */
    int64_t          taken_at;
    int32_t          code;          /* 0 or an err_code */
    int32_t          width, height; /* of the pixels in the output room; 0 after a probe */
    int32_t          kind;          /* from here as in image_info */
    int32_t          info_width, info_height;
    int32_t          orientation;
    int32_t          pages;
    int32_t          colours;
    uint32_t         unused;
    int32_t          times_ms[IMAGE_FRAMES_MAX];
    char             camera[sizeof((struct image_info *)0)->camera];
    char             msg[512]; /* why it failed */
};

static inline struct wire_head wire_head(enum wire_kind kind)
{
    return (struct wire_head){.magic = WIRE_MAGIC, .version = WIRE_VERSION, .kind = (uint16_t)kind};
}

static inline int wire_is(const struct wire_head *head, enum wire_kind kind)
{
    return head->magic == WIRE_MAGIC && head->version == WIRE_VERSION && head->kind == kind;
}

#endif
