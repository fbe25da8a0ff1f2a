/* osprey-decode's worst day, for tests: decodes as it does, except that a file
 * which ends in "OSPREY-TEST:word" makes it crash, hang, swell, lie or die.
 */
#include "decode/serve.h"

#include "base/mem.h"
#include "image/decode_wire.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TEN_GB ((size_t)10 << 30)

static void crash(void)
{
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's */
    raise(SIGSEGV);
}

static void hang(void)
{
    for (volatile unsigned i = 0;; i++) {
    }
}

/* What a decoder does that is asked for too much: takes what it gets. */
static int swell(struct err *err)
{
    char *block = mem_array(TEN_GB, 1);
    for (size_t i = 0; block && i < TEN_GB; i += 4096)
        block[i] = 1;
    if (block && block[4096 * 7] == 1)
        _exit(9);
    free(block);
    return err_set(err, ERR_NOMEM, "out of memory for 10 GB");
}

/* A picture larger than the room for it. */
static void lie(const struct wire_request *request)
{
    struct wire_reply reply;
    memset(&reply, 0, sizeof reply);
    reply.head        = wire_head(WIRE_DONE);
    reply.serial      = request->serial;
    reply.kind        = IMAGE_JPEG;
    reply.orientation = 1;
    reply.info_width = reply.info_height = 1;
    reply.width = reply.height = INT32_MAX;
    (void)!write(WIRE_SOCKET, &reply, sizeof reply);
}

static void babble(size_t n)
{
    static const char noise[1 << 16] = "what?";
    (void)!write(WIRE_SOCKET, noise, n);
}

static int misbehave(const struct wire_request *request, const uint8_t *bytes, struct err *err)
{
    size_t            n      = (size_t)request->n;
    static const char mark[] = "OSPREY-TEST:";
    size_t            at     = n > 64 ? n - 64 : 0;
    const char       *found  = memmem(bytes + at, n - at, mark, sizeof mark - 1);
    if (!found)
        return 0;
    const char *word = found + sizeof mark - 1;
    size_t      left = n - (size_t)((const uint8_t *)word - bytes);
#define IS(text) (left == sizeof(text) - 1 && !memcmp(word, text, left))
    if (IS("crash"))
        crash();
    if (IS("hang"))
        hang();
    if (IS("stop"))
        raise(SIGSTOP);
    if (IS("swell"))
        return swell(err);
    if (IS("lie") && request->head.kind == WIRE_DECODE)
        lie(request);
    if (IS("garbage"))
        babble(sizeof(struct wire_reply));
    if (IS("long"))
        babble(1 << 16);
    if (IS("die")) {
        babble(sizeof(struct wire_reply) / 2);
        _exit(0);
    }
    if (IS("exit"))
        _exit(7);
    if (IS("socket")) /* what only the sandbox keeps from happening */
        (void)!syscall(SYS_socket, 1, 1, 0);
    return 0;
}

int main(void)
{
    return serve(misbehave);
}
