/* The two streams (output.h). */
#include "cli/output.h"

#include "base/mem.h"
#include "text/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void output_init(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        /* For reading alone: writing to it goes on failing, as it should. */
        int got = open("/dev/null", O_RDONLY);
        if (got >= 0 && got != fd)
            close(got);
    }
}

bool output_broken(void)
{
    return ferror(stdout) != 0;
}

int output_finish(int status)
{
    int earlier = ferror(stdout);
    errno       = 0;
    if (fflush(stdout) == 0 && !earlier)
        return status;
    if (errno != EPIPE)
        fprintf(stderr, "osprey: cannot write to standard output%s%s\n", errno ? ": " : "",
                errno ? strerror(errno) : "");
    return status == EXIT_USAGE ? status : EXIT_FAILED;
}

int out_json(struct jnode *object, int failed, struct err *err)
{
    char *line = failed || !object ? NULL : jnode_write(object);
    jnode_free(object);
    if (!line)
        return err_set(err, ERR_NOMEM, "out of memory for a line of JSON");
    fputs(line, stdout);
    putchar('\n');
    free(line);
    return 0;
}

static char *base64(const unsigned char *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char             *out      = mem_array((n + 2) / 3 * 4 + 1, 1);
    if (!out)
        return NULL;
    char *o = out;
    for (size_t i = 0; i < n; i += 3) {
        unsigned b = (unsigned)bytes[i] << 16;
        b |= i + 1 < n ? (unsigned)bytes[i + 1] << 8 : 0;
        b |= i + 2 < n ? bytes[i + 2] : 0;
        *o++ = digits[b >> 18];
        *o++ = digits[b >> 12 & 63];
        *o++ = i + 1 < n ? digits[b >> 6 & 63] : '=';
        *o++ = i + 2 < n ? digits[b & 63] : '=';
    }
    *o = '\0';
    return out;
}

int json_set_path(struct jnode *object, const char *key, const char *path)
{
    size_t n  = strlen(path);
    int    rc = jnode_set_strn(object, key, path, n);
    if (rc || utf8_valid(path, n))
        return rc;
    size_t key_n     = strlen(key);
    char  *bytes_key = mem_array(key_n + sizeof "_bytes", 1);
    char  *encoded   = base64((const unsigned char *)path, n);
    rc               = -1;
    if (bytes_key && encoded) {
        memcpy(bytes_key, key, key_n);
        memcpy(bytes_key + key_n, "_bytes", sizeof "_bytes");
        rc = jnode_set_str(object, bytes_key, encoded);
    }
    free(bytes_key);
    free(encoded);
    return rc;
}

const char *time_text(int64_t seconds, char out[32])
{
    struct tm tm;
    time_t    t = (time_t)seconds;
    if (!gmtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        out[0] = '\0';
    return out;
}

void out_path(const char *path)
{
    for (const unsigned char *p = (const unsigned char *)path; *p; p++) {
        if (*p == '\n')
            fputs("\\n", stdout);
        else if (*p < 0x20 || *p == 0x7f)
            printf("\\x%02x", *p);
        else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) /* C1 controls in UTF-8 */
            printf("\\u%04x", *++p);
        else
            putchar(*p);
    }
}

void note(const struct common *common, const char *fmt, ...)
{
    if (common->quiet)
        return;
    va_list ap;
    va_start(ap, fmt);
    fputs("osprey: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

int fail(const char *command, const struct err *err)
{
    fflush(stdout); /* what was found before comes first, also on a terminal */
    fprintf(stderr, "osprey: %s\n", err->msg[0] ? err->msg : "failed for an unknown reason");
    if (err->code != ERR_USAGE)
        return EXIT_FAILED;
    if (command)
        fprintf(stderr, "Try `osprey %s --help`.\n", command);
    return EXIT_USAGE;
}
