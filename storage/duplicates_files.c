/* Files behind names: see duplicates_files.h. */
#include "storage/duplicates_files.h"

#include "base/file.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct name {
    uint32_t place;
    bool     known; /* the file is there */
    bool     link;
    dev_t    device;
    ino_t    inode;
};

static int look(struct library *lib, int64_t id, struct name *out, struct err *err)
{
    struct library_image image;
    struct err           why = ERR_INIT;
    struct stat          st;
    int                  rc = library_image_get(lib, id, &image, &why);
    if (rc == ERR_NOTFOUND) /* went meanwhile */
        return 0;
    if (rc)
        return err_set(err, why.code, "%s", why.msg);
    char *path = path_join(image.folder, image.path);
    library_image_release(&image);
    if (!path)
        return err_set(err, ERR_NOMEM, "out of memory");
    out->known  = stat(path, &st) == 0;
    char *whole = out->known ? realpath(path, NULL) : NULL;
    out->link   = whole && strcmp(whole, path) != 0;
    if (out->known) {
        out->device = st.st_dev;
        out->inode  = st.st_ino;
    }
    free(whole);
    free(path);
    return 0;
}

static int by_file(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    if (x->known != y->known)
        return x->known ? -1 : 1;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    if (x->inode != y->inode)
        return x->inode < y->inode ? -1 : 1;
    if (x->link != y->link)
        return x->link ? 1 : -1;
    return (x->place > y->place) - (x->place < y->place);
}

static int by_place(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int duplicates_files(struct library *lib, struct duplicate_picture *list, uint32_t *places,
                     size_t *n, struct err *err)
{
    struct name *names = mem_zeroed(*n, sizeof *names);
    size_t       kept  = 0;
    int rc = names ? 0 : err_set(err, ERR_NOMEM, "out of memory for a group of %zu pictures", *n);
    for (size_t i = 0; i < *n && !rc; i++) {
        names[i].place = places[i];
        rc             = look(lib, list[places[i]].id, &names[i], err);
    }
    if (!rc) {
        qsort(names, *n, sizeof *names, by_file);
        for (size_t i = 0; i < *n; i++) {
            const struct name *before = i ? &names[i - 1] : NULL;
            if (before && names[i].known && before->device == names[i].device &&
                before->inode == names[i].inode)
                continue;
            list[names[i].place].link = names[i].link;
            places[kept++]            = names[i].place;
        }
        qsort(places, kept, sizeof *places, by_place);
        *n = kept;
    }
    free(names);
    return rc;
}
