/* The worker's side of the decoding door: sets up, shuts itself in, and answers
 * questions until the other side is gone (core/image/decode_wire.h).
 */
#ifndef OSPREY_DECODE_SERVE_H
#define OSPREY_DECODE_SERVE_H

#include "base/err.h"

#include <stdint.h>

struct wire_request;

/* What a test's worker does with a file before it is decoded, from inside the
 * sandbox: misbehave, usually. A nonzero return is answered as decoding's own. */
typedef int serve_hook(const struct wire_request *request, const uint8_t *bytes, struct err *err);

/* Returns the process's exit status. hook may be NULL. */
int serve(serve_hook *hook);

#endif
