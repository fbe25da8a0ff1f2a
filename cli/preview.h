/* Pictures in the terminal, through libchafa.
 *
 * Kitty's, iTerm's or sixel graphics where the terminal is known for them, else
 * coloured Unicode symbols. Only for terminals: elsewhere there is no preview,
 * unless $OSPREY_PREVIEW ("symbols", "sixel", "kitty", "iterm", "none") says
 * what to write.
 */
#ifndef OSPREY_CLI_PREVIEW_H
#define OSPREY_CLI_PREVIEW_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct preview;

/* size: "WxH" in character cells, or "" for a size that suits the terminal.
 * *out is NULL where pictures cannot be shown. ERR_USAGE for a bad size. */
int  preview_open(const char *size, struct preview **out, struct err *err);
void preview_close(struct preview *p); /* NULL-safe */
/* Writes one picture, given as its file's bytes, to standard output. */
int  preview_print(struct preview *p, const uint8_t *bytes, size_t n, struct err *err);

#endif
