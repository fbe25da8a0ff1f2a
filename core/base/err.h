/* Errors as values.
 *
 * A function that can fail returns 0 or one of the negative codes below, and
 * fills the caller's struct err, which it leaves alone on success. The message
 * says what was being done, to what, and why it failed. Libraries never print
 * and never exit. A NULL struct err is allowed everywhere: only the code is
 * then returned.
 */
#ifndef OSPREY_BASE_ERR_H
#define OSPREY_BASE_ERR_H

enum err_code {
    ERR_FAILED      = -1, /* anything that has no code of its own */
    ERR_NOMEM       = -2,
    ERR_IO          = -3, /* the operating system refused: errno is in the message */
    ERR_FORMAT      = -4, /* data from outside is not what it should be */
    ERR_LIMIT       = -5, /* a ceiling on bytes, pixels or counts was reached */
    ERR_NOTFOUND    = -6,
    ERR_USAGE       = -7, /* the caller asked for something that cannot be */
    ERR_BUSY        = -8, /* another process holds it */
    ERR_CANCELLED   = -9,
    ERR_DAMAGED     = -10, /* our own files contradict each other */
    ERR_UNSUPPORTED = -11  /* well-formed, but not something this build can do */
};

struct err {
    enum err_code code;      /* 0 while nothing failed */
    char          msg[1024]; /* UTF-8 as far as its parts were, no final newline */
};

#define ERR_INIT                                                                                   \
    {                                                                                              \
        .code = 0, .msg = ""                                                                       \
    }

/* Fills err and returns code, so that a failing path reads
 * `return err_set(err, ERR_IO, "cannot open %s: %s", path, strerror(errno));` */
__attribute__((format(printf, 3, 4))) int err_set(struct err *err, enum err_code code,
                                                  const char *fmt, ...);

/* Puts "what: " before a message already there; returns err's code
 * (ERR_FAILED if err is NULL). */
__attribute__((format(printf, 2, 3))) int err_prefix(struct err *err, const char *fmt, ...);

#endif
