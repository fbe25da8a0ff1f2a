/* Listening sockets: see server_listen.h. */
#include "searchd/server_listen.h"

#include "searchd/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 128

/* An IP address in its binary form; its length, or 0. */
static socklen_t parse_address(const char *text, uint16_t port, struct sockaddr_storage *out)
{
    struct sockaddr_in  v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(out, &v4, sizeof v4);
        return sizeof v4;
    }
    if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        memcpy(out, &v6, sizeof v6);
        return sizeof v6;
    }
    return 0;
}

bool server_address_is_local(const char *address)
{
    struct in_addr  v4;
    struct in6_addr v6;
    if (!strncmp(address, LISTEN_UNIX, sizeof LISTEN_UNIX - 1))
        return true;
    if (inet_pton(AF_INET, address, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static int listen_ip(const char *address, uint16_t *port, int *out, struct err *err)
{
    struct sockaddr_storage where = {0};
    socklen_t               len   = parse_address(address, *port, &where);
    int                     one   = 1;
    if (!len)
        return err_set(err, ERR_USAGE, "cannot listen on %s: an IP address or unix:/path is needed",
                       address);
    int fd = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (where.ss_family == AF_INET6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    }
    if (fd < 0 || bind(fd, (struct sockaddr *)&where, len) || listen(fd, BACKLOG) ||
        getsockname(fd, (struct sockaddr *)&where, &len)) {
        int why = errno;
        if (fd >= 0)
            close(fd);
        return err_set(err, ERR_IO, "cannot listen on %s port %u: %s", address, *port,
                       strerror(why));
    }
    *port = ntohs(where.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&where)->sin6_port
                                              : ((struct sockaddr_in *)&where)->sin_port);
    *out  = fd;
    return 0;
}

/* A socket's file that nobody answers behind is what a killed daemon left. */
static void remove_stale(const struct sockaddr_un *where)
{
    struct stat st;
    if (lstat(where->sun_path, &st) || !S_ISSOCK(st.st_mode))
        return;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return;
    if (connect(probe, (const struct sockaddr *)where, sizeof *where) && errno == ECONNREFUSED)
        unlink(where->sun_path);
    close(probe);
}

static int listen_unix(const char *path, int *out, struct err *err)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof where.sun_path)
        return err_set(err, ERR_USAGE,
                       "cannot listen on unix:%s: a path of 1 to %zu bytes is needed", path,
                       sizeof where.sun_path - 1);
    memcpy(where.sun_path, path, strlen(path) + 1);
    remove_stale(&where);
    int    fd     = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Who may connect is who may write to the file: this user and group. */
    mode_t was    = umask(0117);
    int    failed = fd < 0 || bind(fd, (struct sockaddr *)&where, sizeof where);
    int    why    = errno;
    umask(was);
    if (!failed && (failed = listen(fd, BACKLOG)))
        why = errno;
    if (failed) {
        if (fd >= 0)
            close(fd);
        return err_set(err, ERR_IO, "cannot listen on unix:%s: %s", path, strerror(why));
    }
    *out = fd;
    return 0;
}

int listen_open(const char *address, uint16_t *port, int *fd, struct err *err)
{
    if (strncmp(address, LISTEN_UNIX, sizeof LISTEN_UNIX - 1) != 0)
        return listen_ip(address, port, fd, err);
    *port = 0;
    return listen_unix(address + sizeof LISTEN_UNIX - 1, fd, err);
}

void listen_clean(const char *address)
{
    if (!strncmp(address, LISTEN_UNIX, sizeof LISTEN_UNIX - 1))
        unlink(address + sizeof LISTEN_UNIX - 1);
}
