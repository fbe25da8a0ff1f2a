/* Thumbnails as they are kept: see thumbnail_store.h. */
#include "searchd/thumbnail_store.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SMALL ((size_t)8 << 20) /* bytes of a thumbnail */
#define ENDING    ".jpg"

struct thumbnail_store {
    char        *dir;
    int64_t      limit;
    int64_t      known; /* bytes when they were last counted; -1: never */
    atomic_llong since; /* bytes that came since */
};

int thumbnail_store_new(const char *library_dir, int64_t limit, struct thumbnail_store **out,
                        struct err *err)
{
    struct thumbnail_store *store = mem_zeroed(1, sizeof *store);
    if (store)
        store->dir = path_join(library_dir, "thumbnails");
    if (!store || !store->dir) {
        free(store);
        return err_set(err, ERR_NOMEM, "out of memory");
    }
    store->limit = limit;
    store->known = -1;
    *out         = store;
    return 0;
}

void thumbnail_store_free(struct thumbnail_store *store)
{
    if (!store)
        return;
    free(store->dir);
    free(store);
}

void thumbnail_name(const uint8_t hash[LIBRARY_HASH_BYTES], const struct image_part *part, int side,
                    char out[THUMBNAIL_NAME])
{
    char text[HASH_HEX], which[16] = "";
    hash_hex(hash, text);
    if (part && part->time_ms >= 0)
        snprintf(which, sizeof which, "-t%d", part->time_ms);
    else if (part)
        snprintf(which, sizeof which, "-p%d", part->page + 1);
    snprintf(out, THUMBNAIL_NAME, "%s%s-%d", text, which, side);
}

/* "DIR/ab/abcd...-320.jpg", and where its folder's part ends. */
static char *place_of(const struct thumbnail_store *store, const char *name, size_t *folder)
{
    size_t n   = strlen(store->dir) + strlen(name) + 16;
    char  *out = mem_array(n, 1);
    if (out) {
        *folder = (size_t)snprintf(out, n, "%s/%.2s", store->dir, name);
        snprintf(out + *folder, n - *folder, "/%s" ENDING, name);
    }
    return out;
}

int thumbnail_store_get(const struct thumbnail_store *store, const char *name, uint8_t **jpeg,
                        size_t *len)
{
    size_t folder;
    char  *place = place_of(store, name, &folder);
    int    rc    = place ? file_read(place, MAX_SMALL, jpeg, len, NULL) : ERR_NOMEM;
    if (!rc && *len == 0) {
        free(*jpeg);
        rc = ERR_NOTFOUND;
    }
    free(place);
    return rc;
}

void thumbnail_store_put(struct thumbnail_store *store, const char *name, const uint8_t *jpeg,
                         size_t len)
{
    size_t folder = 0;
    char  *place  = (int64_t)len <= store->limit ? place_of(store, name, &folder) : NULL;
    if (!place)
        return;
    place[folder] = '\0';
    int rc        = file_mkdirs(place, NULL);
    place[folder] = '/';
    if (!rc && !file_replace(place, jpeg, len, NULL))
        atomic_fetch_add(&store->since, (long long)len);
    free(place);
}

/* ---- Trimming ---- */

struct kept {
    int64_t mtime_ns, size;
    char    name[THUMBNAIL_NAME + sizeof ENDING];
};

struct kept_list {
    struct kept *items; /* (n) */
    size_t       n, room;
    int64_t      bytes; /* of all */
};

static int by_age(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;
    if (x->mtime_ns != y->mtime_ns)
        return x->mtime_ns < y->mtime_ns ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Whether a file in the folder `sub` is one of ours. */
static bool is_ours(const char *sub, const char *name)
{
    size_t n = strlen(name), ending = sizeof ENDING - 1;
    return n > ending && n < sizeof((struct kept *)0)->name && !strncmp(name, sub, 2) &&
           !strcmp(name + n - ending, ENDING);
}

static int list_add(struct kept_list *list, const char *name, const struct stat *st)
{
    if (list->n == list->room) {
        size_t       more  = list->room ? list->room * 2 : 1024;
        struct kept *items = mem_regrow(list->items, more, sizeof *items);
        if (!items)
            return ERR_NOMEM;
        list->items = items;
        list->room  = more;
    }
    struct kept *kept = &list->items[list->n++];
    kept->mtime_ns    = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    kept->size        = st->st_size;
    snprintf(kept->name, sizeof kept->name, "%s", name);
    list->bytes += kept->size;
    return 0;
}

static int list_folder(struct kept_list *list, int root, const char *sub)
{
    int  rc  = 0;
    int  fd  = openat(root, sub, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir && fd >= 0)
        close(fd);
    for (struct dirent *e; !rc && dir && (e = readdir(dir));) {
        struct stat st;
        if (is_ours(sub, e->d_name) && !fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
            S_ISREG(st.st_mode))
            rc = list_add(list, e->d_name, &st);
    }
    if (dir)
        closedir(dir);
    return rc;
}

/* Another daemon may take the same ones away: what is gone counts as removed. */
static void remove_oldest(struct kept_list *list, int root, int64_t wanted)
{
    qsort(list->items, list->n, sizeof *list->items, by_age);
    for (size_t i = 0; i < list->n && list->bytes > wanted; i++) {
        char path[sizeof list->items->name + 4];
        snprintf(path, sizeof path, "%.2s/%s", list->items[i].name, list->items[i].name);
        (void)unlinkat(root, path, 0);
        list->bytes -= list->items[i].size;
    }
}

void thumbnail_store_trim(struct thumbnail_store *store)
{
    long long since = atomic_load(&store->since);
    if (since == 0 || (store->known >= 0 && store->known + since <= store->limit))
        return;
    struct kept_list list = {.n = 0};
    int              root = open(store->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    atomic_fetch_sub(&store->since, since);
    for (int i = 0; i < 256 && root >= 0 && !rc; i++) {
        char sub[3];
        snprintf(sub, sizeof sub, "%02x", i);
        rc = list_folder(&list, root, sub);
    }
    /* A tenth less, so that the folder is not read again at the next one. */
    if (!rc && list.bytes > store->limit)
        remove_oldest(&list, root, store->limit - store->limit / 10);
    store->known = list.bytes;
    if (root >= 0)
        close(root);
    free(list.items);
}
