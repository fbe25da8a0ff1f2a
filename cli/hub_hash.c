/* Hashes of files (hub_hash.h): SHA-256 (FIPS 180-4), and git's name of a blob. */
#include "cli/hub_hash.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (1u << 20)

static int hash_rest(int fd, const char *path, EVP_MD_CTX *ctx, const volatile sig_atomic_t *stop,
                     struct err *err)
{
    uint8_t *chunk = mem_array(CHUNK, 1);
    int      rc    = chunk ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    while (!rc) {
        ssize_t n = read(fd, chunk, CHUNK);
        if (n < 0 && errno == EINTR)
            n = 0;
        else if (n == 0)
            break;
        if (stop && *stop)
            rc = err_set(err, ERR_CANCELLED, "stopped");
        else if (n < 0)
            rc = err_set(err, ERR_IO, "cannot read %s: %s", path, strerror(errno));
        else if (EVP_DigestUpdate(ctx, chunk, (size_t)n) != 1)
            rc = err_set(err, ERR_FAILED, "cannot hash %s", path);
    }
    free(chunk);
    return rc;
}

int hash_file(const char *path, enum hash_kind kind, const volatile sig_atomic_t *stop,
              char out[HASH_HEX_MAX], struct err *err)
{
    struct stat   st;
    EVP_MD_CTX   *ctx = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned      n = 0;
    char          head[64];
    int           fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int           rc = 0;
    if (fd < 0 || fstat(fd, &st)) {
        rc = err_set(err, ERR_IO, "cannot read %s: %s", path, strerror(errno));
        goto out;
    }
    const EVP_MD *md = kind == HASH_SHA256 ? EVP_sha256() : EVP_sha1();
    if (!ctx || EVP_DigestInit_ex(ctx, md, NULL) != 1) {
        rc = err_set(err, ERR_FAILED, "cannot hash %s: libcrypto does not have the hash", path);
        goto out;
    }
    int len = snprintf(head, sizeof head, "blob %" PRId64, (int64_t)st.st_size);
    if (kind == HASH_GIT_BLOB && EVP_DigestUpdate(ctx, head, (size_t)len + 1) != 1)
        rc = err_set(err, ERR_FAILED, "cannot hash %s", path);
    if (!rc)
        rc = hash_rest(fd, path, ctx, stop, err);
    if (!rc && (EVP_DigestFinal_ex(ctx, digest, &n) != 1 || n * 2 >= HASH_HEX_MAX))
        rc = err_set(err, ERR_FAILED, "cannot hash %s", path);
    for (unsigned i = 0; !rc && i < n; i++)
        (void)snprintf(out + (size_t)i * 2, 3, "%02x", digest[i]);
out:
    EVP_MD_CTX_free(ctx);
    if (fd >= 0)
        close(fd);
    return rc;
}
