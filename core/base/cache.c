/* Where files lie that cost only time when they are gone: see cache.h. */
#include "base/cache.h"

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define USED_EVERY 86400        /* seconds: how exactly a file's time says when it was last used */
#define UNUSED     (60 * 86400) /* seconds after which a file is removed */

char *cache_dir(const char *kind)
{
    const char *xdg  = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    char       *base = NULL;
    if (xdg && xdg[0] == '/') /* the XDG specification says to ignore relative ones */
        base = path_join(xdg, "osprey");
    else if (home && home[0] == '/')
        base = path_join(home, ".cache/osprey");
    char *dir = base ? path_join(base, kind) : NULL;
    free(base);
    if (dir && file_mkdirs(dir, NULL)) {
        free(dir);
        dir = NULL;
    }
    return dir;
}

void cache_touch(const char *path)
{
    struct stat sb;
    if (!stat(path, &sb) && time(NULL) - sb.st_mtime > USED_EVERY)
        (void)utimensat(AT_FDCWD, path, NULL, 0);
}

void cache_remove_unused(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat sb;
        if (!fstatat(dirfd(d), e->d_name, &sb, AT_SYMLINK_NOFOLLOW) && S_ISREG(sb.st_mode) &&
            time(NULL) - sb.st_mtime > UNUSED)
            (void)unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d)
        closedir(d);
}
