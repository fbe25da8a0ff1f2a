/* The two streams: results on standard output, messages on standard error.
 *
 * With --json standard output holds JSON, one object a line, and nothing else.
 * Write errors are remembered by the stream and reported once, at the end. For
 * people, control characters in names are shown as escapes (\n, \x1b), so that
 * a name can neither break a line nor command the terminal.
 */
#ifndef OSPREY_CLI_OUTPUT_H
#define OSPREY_CLI_OUTPUT_H

#include "base/err.h"
#include "base/json.h"
#include "cli/options.h"

#include <stdbool.h>
#include <stdint.h>

/* Makes sure that descriptors 0 to 2 are taken, so that no file that is opened
 * later receives what was meant for a closed standard stream. */
void output_init(void);
/* Flushes standard output; a failed write turns status into EXIT_FAILED with a
 * message, silently where the reader closed the pipe. */
int  output_finish(int status);
/* Something could not be written: longer output is pointless. */
bool output_broken(void);

/* One line of JSON; frees object. failed: what the setters that filled it
 * returned, ORed; ERR_NOMEM then. */
int out_json(struct jnode *object, int failed, struct err *err);

/* Seconds since 1970 as "2024-05-01T12:00:00Z"; out: at least 32 bytes. */
const char *time_text(int64_t seconds, char out[32]);

/* A path for people. */
void out_path(const char *path);

/* A message that is no failure, unless --quiet. */
__attribute__((format(printf, 2, 3))) void note(const struct common *common, const char *fmt, ...);
/* Prints the message and returns the exit status that goes with its code.
 * command: named in the hint that follows a wrong usage, or NULL. */
int                                        fail(const char *command, const struct err *err);

#endif
