/* Decoders over libraries that most runs do without, each in a file of its own,
 * formats/NAME.so beside the program: loaded when a picture of that format comes,
 * so that a search pays for none, and the worker is exposed to none before.
 *
 * The sandbox ends loading: what is wanted inside it has to be loaded before
 * (modules_load). For core/image and decode/.
 */
#ifndef OSPREY_IMAGE_MODULES_H
#define OSPREY_IMAGE_MODULES_H

#include "image/decode.h"

#include <stddef.h>

/* What such a file defines, under the name DECODE_MODULE. */
struct decode_module {
    const char *version;   /* OSPREY_VERSION, and */
    size_t      job_bytes; /* sizeof(struct decode_job): both sides are of one build */
    /* Once, after loading and before any sandbox: for libraries that read files of
     * their own. Returns the kinds that it can decode on this system (format_bit). */
    unsigned (*begin)(void);
    int (*decode)(struct decode_job *job, struct err *err);
};

#define DECODE_MODULE        osprey_decode_module
#define DECODE_MODULE_SYMBOL "osprey_decode_module"
extern const struct decode_module DECODE_MODULE;

/* Loads what these kinds need. Returns those of all kinds that can be decoded now:
 * those that need no module, and those of modules loaded so far. */
unsigned modules_load(unsigned kinds);

/* Decodes with the kind's module, which is loaded where it is not yet. The error
 * names the library that is missing. */
int module_decode(enum image_kind kind, struct decode_job *job, struct err *err);

#endif
