/* The two streams (output.h). */
#include "cli/output.h"

#include "base/mem.h"

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
