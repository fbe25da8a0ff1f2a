/* The indexer's lock: a file in the library that its holder has locked and has
 * written its name into. The kernel lets go of it when the process ends, however
 * it ends; what is left in the file then means nothing.
 */
#include "storage/library_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

static int busy(struct library *lib, int fd, struct err *err)
{
    char    holder[256];
    ssize_t n = pread(fd, holder, sizeof(holder) - 1, 0);
    if (n <= 0)
        return err_set(err, ERR_BUSY, "library %s is being indexed by another process", lib->dir);
    holder[n]                     = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    return err_set(err, ERR_BUSY, "library %s is being indexed by %s", lib->dir, holder);
}

static void write_holder(int fd)
{
    char      host[128] = "unknown", since[64] = "", text[256];
    time_t    now = time(NULL);
    struct tm tm;
    gethostname(host, sizeof(host) - 1);
    if (localtime_r(&now, &tm))
        strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S", &tm);
    int n =
        snprintf(text, sizeof(text), "process %ld on %s, since %s\n", (long)getpid(), host, since);
    /* For people only: a lock without a name in it still locks. */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n)
        return;
}

int library_lock(struct library *lib, struct err *err)
{
    if (lib->lock_fd >= 0)
        return 0;
    int fd = open(lib->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_set(err, ERR_IO, "cannot open %s: %s", lib->lock_path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int rc = errno == EWOULDBLOCK
                     ? busy(lib, fd, err)
                     : err_set(err, ERR_IO, "cannot lock %s: %s", lib->lock_path, strerror(errno));
        close(fd);
        return rc;
    }
    write_holder(fd);
    lib->lock_fd = fd;
    return 0;
}

bool library_is_locked(const struct library *lib)
{
    struct stat st;
    char        line[256], kind[16], mode[16], access[16];
    bool        found = false;
    FILE       *f     = stat(lib->lock_path, &st) ? NULL : fopen("/proc/locks", "re");
    while (f && !found && fgets(line, sizeof(line), f)) {
        unsigned      major, minor;
        unsigned long inode;
        /* "1: FLOCK  ADVISORY  WRITE 708 fe:01:1234 0 EOF" */
        found = sscanf(line, "%*d: %15s %15s %15s %*d %x:%x:%lu", kind, mode, access, &major,
                       &minor, &inode) == 6 &&
                strcmp(kind, "FLOCK") == 0 && inode == st.st_ino && major == major(st.st_dev) &&
                minor == minor(st.st_dev);
    }
    if (f)
        fclose(f);
    return found;
}

void library_unlock(struct library *lib)
{
    if (lib->lock_fd < 0)
        return;
    close(lib->lock_fd);
    lib->lock_fd = -1;
}
