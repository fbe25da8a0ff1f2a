/* The worker's side of the decoding door: see serve.h.
 *
 * Everything that needs the system is done before the sandbox closes: mapping
 * the rooms, reading the time zone, loading the decoders that were asked for.
 * Afterwards the only system calls are those
 * of read, write and the allocator.
 */
#include "decode/serve.h"

#include "decode/sandbox.h"
#include "image/decode_wire.h"
#include "image/formats.h"
#include "image/modules.h"
#include "meta/metadata_wire.h"
#include "meta/xmp.h"
#include "text/utf8.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Of memory that the allocator keeps between pictures. */
#define KEPT_BYTES (48 << 20)

struct rooms {
    const uint8_t *input;
    uint8_t       *output;
    size_t         input_bytes, output_bytes;
};

/* A packet of exactly size bytes. 0, 1 at the end of the other side, -1 when it
 * is something else. */
static int receive(void *message, size_t size)
{
    uint8_t packet[sizeof(struct wire_request) + sizeof(struct wire_setup)];
    ssize_t got;
    do
        got = read(WIRE_SOCKET, packet, sizeof packet);
    while (got < 0 && errno == EINTR);
    if (got == 0 || (got < 0 && errno == ECONNRESET))
        return 1;
    if (got != (ssize_t)size)
        return -1;
    memcpy(message, packet, size);
    return 0;
}

static int send_whole(const void *message, size_t size)
{
    ssize_t sent;
    do
        sent = write(WIRE_SOCKET, message, size);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)size ? 0 : -1;
}

/* ---- Set-up ---- */

static int map_one(int fd, uint64_t bytes, int protection, void **out, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) || st.st_size < 0 || bytes == 0 || (uint64_t)st.st_size < bytes)
        return err_set(err, ERR_USAGE, "descriptor %d is not the memory that was announced", fd);
    *out = mmap(NULL, (size_t)bytes, protection, MAP_SHARED, fd, 0);
    if (*out == MAP_FAILED)
        return err_set(err, ERR_IO, "cannot map %llu bytes: %s", (unsigned long long)bytes,
                       strerror(errno));
    close(fd);
    return 0;
}

static int map_rooms(const struct wire_setup *setup, struct rooms *rooms, struct err *err)
{
    void *input = NULL, *output = NULL;
    int   rc = map_one(WIRE_INPUT, setup->input_bytes, PROT_READ, &input, err);
    if (!rc)
        rc = map_one(WIRE_OUTPUT, setup->output_bytes, PROT_READ | PROT_WRITE, &output, err);
    *rooms = (struct rooms){.input        = input,
                            .output       = output,
                            .input_bytes  = (size_t)setup->input_bytes,
                            .output_bytes = (size_t)setup->output_bytes};
    return rc;
}

/* The end of this process is the other side's to say: by closing the socket, or
 * by ending. A Ctrl-C is meant for it. */
static void live_with_parent(void)
{
    static const int others[] = WIRE_SIGNALS;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        signal(others[i], SIG_IGN);
}

static int set_up(struct rooms *rooms, struct err *err)
{
    struct wire_setup setup;
    live_with_parent();
    closefrom(WIRE_FIRST_FREE);
    int got = receive(&setup, sizeof setup);
    if (got || !wire_is(&setup.head, WIRE_SETUP))
        return err_set(err, ERR_USAGE,
                       "it is started by the programs of Osprey that need pictures decoded");
    int rc = map_rooms(&setup, rooms, err);
    if (rc)
        return rc;
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES / 2);
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    mallopt(M_ARENA_MAX, 1); /* an arena for each thread would count as much memory */
    tzset();
    xmp_warm_up();
    struct wire_ready ready = {.head = wire_head(WIRE_READY), .kinds = modules_load(setup.kinds)};
    unsigned          heif  = format_bit(IMAGE_HEIC) | format_bit(IMAGE_AVIF);
    struct sandbox    box   = {.memory_bytes = setup.memory_bytes,
                               .cpu_seconds  = setup.cpu_seconds,
                               .threads      = (setup.kinds & ready.kinds & heif) != 0};
    rc                      = sandbox_enter(&box, &ready.holds, err);
    if (!rc && send_whole(&ready, sizeof ready))
        rc = err_set(err, ERR_IO, "cannot answer: %s", strerror(errno));
    return rc;
}

/* ---- Questions ---- */

/* Text that may hold anything, as text. */
static void clean(const char *from, char *to, size_t size)
{
    size_t n = strlen(from), k = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t   len = utf8_decode(from + i, n - i, &cp);
        char     bytes[4];
        bool     control = cp < ' ' || (cp >= 0x7F && cp < 0xA0);
        size_t   out     = utf8_encode(control ? ' ' : cp, bytes);
        if (k + out >= size)
            break;
        memcpy(to + k, bytes, out);
        k += out;
        i += len;
    }
    to[k] = '\0';
}

/* What a picture says of itself, into the output room. */
static int metadata(const struct wire_request *q, const struct rooms *rooms, uint64_t *said,
                    struct err *err)
{
    struct buf out;
    buf_init(&out,
             rooms->output_bytes < METADATA_ANSWER_MAX ? rooms->output_bytes : METADATA_ANSWER_MAX);
    int rc =
        metadata_answer(rooms->input, (size_t)q->n, (size_t)q->more, (size_t)q->wish, &out, err);
    if (!rc && out.len)
        memcpy(rooms->output, out.data, out.len);
    *said = rc ? 0 : out.len;
    buf_release(&out);
    return rc;
}

static int decode(const struct wire_request *q, const struct rooms *rooms, serve_hook *hook,
                  struct image *image, struct image_info *info, struct err *err)
{
    struct image_limits limits = {.max_pixels = q->max_pixels, .max_bytes = q->max_bytes};
    struct image_part   part   = {.page = q->page, .frames = q->frames, .time_ms = q->time_ms};
    int                 rc     = hook ? hook(q, rooms->input, err) : 0;
    if (rc)
        return rc;
    if (q->head.kind == WIRE_PROBE)
        return image_probe(rooms->input, (size_t)q->n, info, err);
    return image_decode_into(rooms->input, (size_t)q->n, &part, q->min_side, &limits, rooms->output,
                             rooms->output_bytes, image, info, err);
}

static void answer(const struct wire_request *q, const struct rooms *rooms, serve_hook *hook,
                   struct wire_reply *reply)
{
    struct image      image = {0};
    struct image_info info  = {.orientation = 1};
    struct err        err   = ERR_INIT;
    memset(reply, 0, sizeof *reply);
    reply->head        = wire_head(WIRE_DONE);
    reply->serial      = q->serial;
    reply->code        = q->head.kind == WIRE_METADATA ? metadata(q, rooms, &reply->said, &err)
                                                       : decode(q, rooms, hook, &image, &info, &err);
    reply->kind        = (int32_t)info.kind;
    reply->width       = image.width;
    reply->height      = image.height;
    reply->info_width  = info.width;
    reply->info_height = info.height;
    reply->orientation = info.orientation;
    reply->pages       = info.pages;
    reply->colours     = (int32_t)info.colours;
    reply->taken_at    = info.taken_at;
    memcpy(reply->times_ms, info.times_ms, sizeof reply->times_ms);
    memcpy(reply->camera, info.camera, sizeof reply->camera);
    if (reply->code)
        clean(err.msg, reply->msg, sizeof reply->msg);
}

static bool is_request(const struct wire_request *q, const struct rooms *rooms)
{
    if (q->n > rooms->input_bytes || q->min_side < 0 || q->page < 0 || q->frames < 0 ||
        q->time_ms < IMAGE_ANY_TIME)
        return false;
    if (wire_is(&q->head, WIRE_METADATA))
        return q->more <= rooms->input_bytes - q->n &&
               q->wish <= rooms->input_bytes - q->n - q->more;
    return wire_is(&q->head, WIRE_PROBE) || wire_is(&q->head, WIRE_DECODE);
}

int serve(serve_hook *hook)
{
    struct rooms rooms;
    struct err   err = ERR_INIT;
    if (set_up(&rooms, &err)) {
        fprintf(stderr, "osprey-decode: %s\n", err.msg);
        return 2;
    }
    for (;;) {
        struct wire_request request;
        struct wire_reply   reply;
        int                 got = receive(&request, sizeof request);
        if (got)
            _exit(got > 0 ? 0 : 3);
        if (!is_request(&request, &rooms))
            _exit(3);
        answer(&request, &rooms, hook, &reply);
        if (send_whole(&reply, sizeof reply))
            _exit(0); /* nobody is there any more */
    }
}
