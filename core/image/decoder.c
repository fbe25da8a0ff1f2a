/* Decoding in a worker process: see decoder.h.
 *
 * Here: which worker, when it is replaced, what its answers are worth, and what
 * to say when it ends. An answer is checked as any other data from outside is,
 * for a picture may have taken the worker over.
 */
#include "image/decoder.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/moment.h"
#include "image/decoder_worker.h"
#include "image/formats.h"
#include "image/modules.h"
#include "meta/metadata_wire.h"
#include "text/utf8.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM      "osprey-decode"
#define IN_PROCESS   "in-process"
#define DEFAULT_MS   30000
#define MOST_SECONDS 3600
#define PICTURES     4096                  /* of one worker */
#define WORKER_MS    (INT64_C(600) * 1000) /* of one worker's life that it worked */
#define INPUT_BYTES  ((size_t)64 << 20)    /* of the room for files, at first */
#define KEPT_BYTES   ((size_t)16 << 20)    /* of each room, between pictures */
#define OWN_BYTES    (UINT64_C(64) << 20)  /* of a worker, beside what max_bytes allows */
#define PATIENCE_MS  1000                  /* for a worker that is ending anyway */

struct decoder {
    struct decoder_options options;
    char                  *program; /* NULL: in this process */
    struct room            input, output;
    struct worker          worker;
    unsigned               kinds; /* format_bit: what workers have to load */
    uint64_t               serial;
    int                    served; /* by this worker */
    int64_t                worked; /* ms, this worker */
    size_t                 used;   /* bytes of output, by the last picture */
    size_t                 given;  /* bytes of input, likewise */
    bool                   broken;
    struct image           held;  /* without a worker: the last picture */
    uint8_t               *bytes; /* likewise: decoder_input's */
};

/* ---- Which worker ---- */

/* osprey-decode beside this program, or where it is installed. */
static int find_program(char **out, struct err *err)
{
    char *dir = NULL;
    int   rc  = path_of_program(&dir, err);
    if (rc)
        return rc;
    char *beside = path_join(dir, PROGRAM), *libexec = path_join(dir, "../libexec/osprey/" PROGRAM);
    char **found = &beside;
    if (!beside || !libexec) {
        rc = err_set(err, ERR_NOMEM, "out of memory");
    } else if (access(beside, X_OK)) {
        found = &libexec;
        if (access(libexec, X_OK))
            rc = err_set(err, ERR_IO,
                         "cannot find the decoder: neither %s nor %s is there "
                         "($OSPREY_DECODE may name it)",
                         beside, libexec);
    }
    if (!rc) {
        *out   = *found;
        *found = NULL;
    }
    free(beside);
    free(libexec);
    free(dir);
    return rc;
}

static int choose_program(struct decoder *d, struct err *err)
{
    const char *name = d->options.program;
    if (!name || !*name)
        name = getenv("OSPREY_DECODE");
    if (!name || !*name)
        return find_program(&d->program, err);
    if (!strcmp(name, IN_PROCESS))
        return 0;
    if (!strchr(name, '/'))
        return err_set(err, ERR_USAGE,
                       "OSPREY_DECODE is '%s', neither in-process nor the path of a program", name);
    d->program = mem_strdup(name);
    return d->program ? 0 : err_set(err, ERR_NOMEM, "out of memory");
}

static int choose_time(struct decoder_options *options, struct err *err)
{
    const char *text = getenv("OSPREY_DECODE_SECONDS");
    if (options->ms > 0)
        return 0;
    options->ms = DEFAULT_MS;
    if (!text || !*text)
        return 0;
    char *end;
    long  seconds = strtol(text, &end, 10);
    if (*end || seconds < 1 || seconds > MOST_SECONDS)
        return err_set(err, ERR_USAGE, "OSPREY_DECODE_SECONDS is '%s', not between 1 and %d", text,
                       MOST_SECONDS);
    options->ms = (int)seconds * 1000;
    return 0;
}

int decoder_open(const struct decoder_options *options, struct decoder **out, struct err *err)
{
    struct decoder *d = mem_zeroed(1, sizeof *d);
    *out              = NULL;
    if (!d)
        return err_set(err, ERR_NOMEM, "out of memory for a decoder");
    if (options)
        d->options = *options;
    if (!d->options.limits.max_pixels)
        d->options.limits = image_limits_default();
    if (d->options.pictures < 1)
        d->options.pictures = PICTURES;
    d->worker = (struct worker){.socket = -1};
    d->input = d->output = (struct room){.fd = -1, .worker_fd = -1};
    int rc               = choose_program(d, err);
    if (!rc)
        rc = choose_time(&d->options, err);
    d->options.program = NULL; /* the caller's */
    if (rc) {
        decoder_close(d);
        return rc;
    }
    *out = d;
    return 0;
}

void decoder_close(struct decoder *d)
{
    if (!d)
        return;
    worker_stop(&d->worker, PATIENCE_MS);
    room_release(&d->input);
    room_release(&d->output);
    image_free(&d->held);
    free(d->bytes);
    free(d->program);
    free(d);
}

/* ---- Workers come and go ---- */

static uint64_t memory_limit(const struct decoder *d)
{
    uint64_t max = d->options.limits.max_bytes;
    return max > UINT64_MAX - OWN_BYTES ? UINT64_MAX : max + OWN_BYTES;
}

static int open_rooms(struct decoder *d, struct err *err)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size;
    int    rc   = d->input.data ? 0 : room_open(&d->input, true, INPUT_BYTES, err);
    if (rc || d->output.data)
        return rc;
    if (d->options.limits.max_pixels > (uint64_t)INT64_MAX / 3 ||
        !size_add((size_t)d->options.limits.max_pixels * 3, page - 1, &size))
        return err_set(err, ERR_LIMIT, "the limit of pixels is too high for a decoder");
    return room_open(&d->output, false, size / page * page, err);
}

int decoder_start(struct decoder *d, struct err *err)
{
    d->broken = false;
    if (!d->program || d->worker.pid)
        return 0;
    int      rc                 = open_rooms(d, err);
    /* More than a worker can use before it is replaced. */
    uint64_t cpu_seconds        = (uint64_t)(WORKER_MS + 4 * (int64_t)d->options.ms) / 1000 + 60;
    struct worker_limits limits = {.memory_bytes = memory_limit(d), .cpu_seconds = cpu_seconds};
    if (!rc)
        rc = worker_start(&d->worker, d->program, &d->input, &d->output, &limits, d->kinds, err);
    d->served = 0;
    d->worked = 0;
    d->broken = rc != 0;
    return rc;
}

/* From now on workers have what these kinds need. */
static void want_kinds(struct decoder *d, unsigned kinds)
{
    if ((d->kinds | kinds) == d->kinds)
        return;
    d->kinds |= kinds;
    worker_stop(&d->worker, PATIENCE_MS);
}

int decoder_kinds(struct decoder *d, unsigned wanted, unsigned *able, struct err *err)
{
    *able = 0;
    if (!d->program) {
        *able = modules_load(wanted);
        return 0;
    }
    want_kinds(d, wanted);
    int rc = decoder_start(d, err);
    if (!rc)
        *able = d->worker.kinds;
    return rc;
}

int decoder_input(struct decoder *d, size_t n, uint8_t **bytes, struct err *err)
{
    if (!d->program) {
        free(d->bytes);
        d->bytes = mem_array(n, 1);
        *bytes   = d->bytes;
        return d->bytes ? 0 : err_set(err, ERR_NOMEM, "out of memory for a file of %zu bytes", n);
    }
    room_trim(&d->input, d->given, KEPT_BYTES);
    d->given = 0;
    if (d->input.data && n > d->input.size) { /* a worker knows but one room */
        worker_stop(&d->worker, PATIENCE_MS);
        room_release(&d->input);
    }
    if (!d->input.data) {
        size_t size = INPUT_BYTES;
        while (size < n && size <= SIZE_MAX / 4)
            size *= 2;
        int rc    = room_open(&d->input, true, size, err);
        d->broken = rc != 0;
        if (rc)
            return rc;
    }
    if (n > d->input.size)
        return err_set(err, ERR_NOMEM, "out of memory for a file of %zu bytes", n);
    d->given = n;
    *bytes   = d->input.data;
    return 0;
}

/* ---- What an answer is worth ---- */

/* Text from a worker: ended, UTF-8, without control characters. */
static bool is_text(const char *text, size_t size)
{
    size_t n = strnlen(text, size);
    if (n == size)
        return false;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t   len       = utf8_decode(text + i, n - i, &cp);
        bool     malformed = cp == UTF8_REPLACEMENT && memcmp(text + i, "\xEF\xBF\xBD", 3) != 0;
        if (cp < ' ' || (cp >= 0x7F && cp < 0xA0) || malformed)
            return false;
        i += len;
    }
    return true;
}

/* Times of frames that a worker tells. */
static bool are_times(const struct wire_reply *r)
{
    for (int i = 0; i < IMAGE_FRAMES_MAX; i++) {
        bool rises = i == 0 || r->times_ms[i] > r->times_ms[i - 1];
        if (r->times_ms[i] < 0 || (r->times_ms[i] && (i >= r->pages || !rises)))
            return false;
    }
    return true;
}

static bool is_info(const struct wire_reply *r)
{
    return r->kind >= IMAGE_UNKNOWN && r->kind < IMAGE_KINDS && r->info_width >= 0 &&
           r->info_height >= 0 && r->orientation >= 1 && r->orientation <= 8 && r->pages >= 0 &&
           r->colours >= 0 && r->colours < IMAGE_COLOURS_KINDS && r->taken_at >= MOMENT_FIRST &&
           r->taken_at < MOMENT_END && is_text(r->camera, sizeof r->camera) && are_times(r);
}

static bool is_answer(const struct decoder *d, const struct wire_request *q,
                      const struct wire_reply *r)
{
    if (!wire_is(&r->head, WIRE_DONE) || r->serial != q->serial || !is_info(r))
        return false;
    if (r->code)
        return r->code >= ERR_UNSUPPORTED && r->code < 0 && is_text(r->msg, sizeof r->msg) &&
               r->msg[0];
    if (q->head.kind == WIRE_METADATA)
        return r->said <= METADATA_ANSWER_MAX && r->said <= d->output.size;
    if (r->kind == IMAGE_UNKNOWN || r->info_width < 1 || r->info_height < 1)
        return false;
    if (q->head.kind == WIRE_PROBE)
        return true;
    return r->width >= 1 && r->height >= 1 &&
           (uint64_t)r->width * (uint64_t)r->height <= d->options.limits.max_pixels;
}

static void take_info(const struct wire_reply *r, struct image_info *info)
{
    *info = (struct image_info){.kind        = (enum image_kind)r->kind,
                                .width       = r->info_width,
                                .height      = r->info_height,
                                .orientation = r->orientation,
                                .pages       = r->pages,
                                .colours     = (enum image_colours)r->colours,
                                .taken_at    = r->taken_at};
    memcpy(info->camera, r->camera, sizeof info->camera);
    memcpy(info->times_ms, r->times_ms, sizeof info->times_ms);
}

/* ---- Asking ---- */

static void died(int status, struct err *err)
{
    const char *name = status >= 0 && WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;
    if (status < 0)
        err_set(err, ERR_FORMAT, "the decoder ended");
    else if (WIFEXITED(status))
        err_set(err, ERR_FORMAT, "the decoder ended with status %d", WEXITSTATUS(status));
    else if (WTERMSIG(status) == SIGKILL) /* not by us, and twice: want of memory, most likely */
        err_set(err, ERR_IO, "the decoder was killed (SIGKILL)");
    else if (WTERMSIG(status) == SIGXCPU)
        err_set(err, ERR_LIMIT, "the decoder used up its time (SIGXCPU)");
    else if (WTERMSIG(status) == SIGSYS)
        err_set(err, ERR_FORMAT, "the decoder tried what it may not, and was killed (SIGSYS)");
    else
        err_set(err, ERR_FORMAT, "the decoder crashed (SIG%s)", name ? name : "?");
}

/* The worker did not answer, or not sensibly; it is gone now. again: whether the
 * picture may not be to blame. */
static void explain(struct decoder *d, enum worker_end end, bool *again, struct err *err)
{
    int status =
        worker_stop(&d->worker, end == WORKER_DIED || end == WORKER_GONE ? PATIENCE_MS : 0);
    *again = false;
    switch (end) {
    case WORKER_GONE:
        *again = true;
        err_set(err, ERR_IO, "the decoder ended before it was asked");
        return;
    case WORKER_DIED:
        *again = status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        died(status, err);
        return;
    case WORKER_LATE:
        err_set(err, ERR_LIMIT, "decoding it took longer than %g s", d->options.ms / 1e3);
        return;
    case WORKER_ANSWERED:
    case WORKER_NONSENSE:
    default:
        err_set(err, ERR_FORMAT, "the decoder answered nonsense");
    }
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Asks until there is an answer to believe: a second time where someone else
 * ended the worker. */
static int ask(struct decoder *d, struct wire_request *q, struct wire_reply *r, struct err *err)
{
    if (d->worker.pid && (d->served >= d->options.pictures || d->worked >= WORKER_MS))
        worker_stop(&d->worker, PATIENCE_MS);
    for (bool second = false;; second = true) {
        int rc = decoder_start(d, err);
        if (rc)
            return rc;
        q->serial             = ++d->serial;
        int64_t         begun = now_ms();
        enum worker_end end   = worker_ask(&d->worker, q, r, d->options.ms);
        d->worked += now_ms() - begun;
        if (end == WORKER_ANSWERED && is_answer(d, q, r))
            return 0;
        bool       again;
        struct err why = ERR_INIT;
        explain(d, end, &again, &why);
        if (!again || second)
            return err_set(err, why.code, "%s", why.msg);
    }
}

/* What the worker itself says that it failed for. */
static int failed(const struct decoder *d, const struct wire_reply *r, struct err *err)
{
    if (r->code == ERR_NOMEM && d->worker.holds & WIRE_HOLDS_MEMORY)
        return err_set(err, ERR_LIMIT, "decoding it wants more than %.1f GB of memory",
                       (double)memory_limit(d) / 1e9);
    return err_set(err, (enum err_code)r->code, "%s", r->msg);
}

/* One question about bytes, which may lie in the input room already. */
static int run(struct decoder *d, enum wire_kind kind, const uint8_t *bytes, size_t n,
               const struct image_part *part, int min_side, struct wire_reply *r, struct err *err)
{
    struct wire_request q = {.head       = wire_head(kind),
                             .n          = n,
                             .max_pixels = d->options.limits.max_pixels,
                             .max_bytes  = d->options.limits.max_bytes,
                             .min_side   = min_side,
                             .page       = part ? part->page : 0,
                             .frames     = part ? part->frames : 0,
                             .time_ms    = part ? part->time_ms : IMAGE_ANY_TIME};
    uint8_t            *room;
    enum image_kind     format = image_kind_of(bytes, n);
    d->broken                  = false;
    if (format_of(format)->module && format_of(format)->built)
        want_kinds(d, format_bit(format));
    if (!d->input.data || bytes != d->input.data || n > d->given) {
        int rc = decoder_input(d, n, &room, err);
        if (rc)
            return rc;
        if (n)
            memcpy(room, bytes, n);
    }
    room_trim(&d->output, d->used, KEPT_BYTES);
    d->used = 0;
    int rc  = ask(d, &q, r, err);
    if (rc)
        return rc;
    if (r->code) {
        rc = failed(d, r, err);
        /* Libraries may forget memory of a broken picture: no other shall lack it. */
        if (format_of(format)->module)
            worker_stop(&d->worker, PATIENCE_MS);
        return rc;
    }
    d->used = kind == WIRE_DECODE ? (size_t)r->width * (size_t)r->height * 3 : 0;
    return 0;
}

int decoder_probe(struct decoder *d, const uint8_t *bytes, size_t n, struct image_info *info,
                  struct err *err)
{
    struct wire_reply r;
    if (!d->program)
        return image_probe(bytes, n, info, err);
    int rc = run(d, WIRE_PROBE, bytes, n, NULL, 0, &r, err);
    if (!rc)
        take_info(&r, info);
    return rc;
}

/* Without a worker. */
static int decode_here(struct decoder *d, const uint8_t *bytes, size_t n,
                       const struct image_part *part, int min_side, struct image_info *info,
                       struct err *err)
{
    image_free(&d->held);
    return image_decode_part(bytes, n, part, min_side, &d->options.limits, &d->held, info, err);
}

int decoder_decode_part(struct decoder *d, const uint8_t *bytes, size_t n,
                        const struct image_part *part, int min_side, struct image *view,
                        struct image_info *info, struct err *err)
{
    struct wire_reply r;
    *view = (struct image){0};
    if (!d->program) {
        int rc = decode_here(d, bytes, n, part, min_side, info, err);
        *view  = d->held;
        return rc;
    }
    int rc = run(d, WIRE_DECODE, bytes, n, part, min_side, &r, err);
    if (rc)
        return rc;
    d->served++;
    *view = (struct image){.width = r.width, .height = r.height, .data = d->output.data};
    if (info)
        take_info(&r, info);
    return 0;
}

/* ---- What a picture says of itself ---- */

/* Puts a question about what lies in the input room, and an answer into out. */
static int question(struct decoder *d, size_t picture_n, size_t sidecar_n, size_t wish_n,
                    struct buf *out, struct err *err)
{
    struct wire_request q = {
        .head = wire_head(WIRE_METADATA), .n = picture_n, .more = sidecar_n, .wish = wish_n};
    struct wire_reply r;
    d->broken = false;
    if (!d->program)
        return metadata_answer(d->bytes, picture_n, sidecar_n, wish_n, out, err);
    room_trim(&d->output, d->used, KEPT_BYTES);
    d->used = 0;
    int rc  = ask(d, &q, &r, err);
    if (rc)
        return rc;
    if (r.code)
        return failed(d, &r, err);
    d->used = (size_t)r.said;
    return buf_append(out, d->output.data, d->used, err);
}

int decoder_metadata(struct decoder *d, size_t picture_n, size_t sidecar_n, struct metadata *out,
                     struct err *err)
{
    struct buf answer;
    buf_init(&answer, METADATA_ANSWER_MAX);
    *out   = (struct metadata){0};
    int rc = question(d, picture_n, sidecar_n, 0, &answer, err);
    if (!rc)
        rc = metadata_unpack((const uint8_t *)answer.data, answer.len, out, err);
    buf_release(&answer);
    return rc;
}

int decoder_change(struct decoder *d, size_t picture_n, size_t sidecar_n,
                   const struct metadata_wish *wish, struct metadata_edit *out, struct err *err)
{
    struct buf packed, answer;
    buf_init(&packed, DECODER_WISH_ROOM);
    buf_init(&answer, METADATA_ANSWER_MAX);
    *out   = (struct metadata_edit){0};
    int rc = metadata_wish_pack(wish, &packed, err);
    if (!rc) {
        uint8_t *room = d->program ? d->input.data : d->bytes;
        memcpy(room + picture_n + sidecar_n, packed.data, packed.len);
        rc = question(d, picture_n, sidecar_n, packed.len, &answer, err);
    }
    if (!rc)
        rc = metadata_edit_unpack((const uint8_t *)answer.data, answer.len, out, err);
    buf_release(&packed);
    buf_release(&answer);
    return rc;
}

int decoder_decode(struct decoder *d, const uint8_t *bytes, size_t n, int min_side,
                   struct image *view, struct image_info *info, struct err *err)
{
    return decoder_decode_part(d, bytes, n, NULL, min_side, view, info, err);
}

bool decoder_is_broken(const struct decoder *d)
{
    return d->broken;
}

const char *decoder_text(const struct decoder *d)
{
    if (!d->program)
        return "in this process";
    switch (d->worker.holds) {
    case WIRE_HOLDS_SECCOMP | WIRE_HOLDS_MEMORY:
        return "sandboxed (seccomp, limits)";
    case WIRE_HOLDS_SECCOMP:
        return "sandboxed (seccomp)";
    case WIRE_HOLDS_MEMORY:
        return "a process of its own (limits; this kernel has no seccomp)";
    default:
        return "a process of its own";
    }
}
