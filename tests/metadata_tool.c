/* For end-to-end tests: tags a picture of any kind that core/meta writes into, whether
 * this build can decode it or not.
 *
 *   metadata-tool file|sidecar PICTURE [TAG...]     no tags: takes Osprey's out
 *
 * Prints what it changed. 0: changed, 1: all was so already, 2: failed.
 */
#include "base/file_swap.h"
#include "base/mem.h"
#include "meta/container.h"
#include "meta/metadata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int put(const char *picture, const char *sidecar, const struct metadata_files *files,
               bool beside, const struct metadata_edit *edit, struct err *err)
{
    struct container_parts parts = {0};
    struct stat            st;
    const char            *path  = beside ? sidecar : picture;
    bool                   there = !stat(path, &st);
    if (beside && edit->outcome == METADATA_DROP)
        return file_remove_seen(path, &st, err);
    if (beside) {
        struct file_part all = {edit->packet, edit->len};
        return file_swap(path, there ? &st : NULL, false, &all, 1, NULL, err);
    }
    int rc =
        container_splice(files->picture, files->picture_n, edit->packet, edit->len, &parts, err);
    if (!rc)
        rc = file_swap(path, &st, true, parts.part, parts.n, NULL, err);
    container_parts_release(&parts);
    return rc;
}

int main(int argc, char **argv)
{
    struct err            err     = ERR_INIT;
    struct metadata_wish  wish    = {.set_tags = true};
    struct metadata_edit  edit    = {0};
    struct metadata_files files   = {0};
    uint8_t              *picture = NULL, *beside = NULL;
    if (argc < 3)
        return 2;
    wish.sidecar = !strcmp(argv[1], "sidecar");
    size_t room  = strlen(argv[2]) + sizeof METADATA_SIDECAR;
    char  *other = mem_array(room, 1);
    if (!other)
        return 2;
    (void)snprintf(other, room, "%s%s", argv[2], METADATA_SIDECAR);
    int rc = file_read(argv[2], 1 << 28, &picture, &files.picture_n, &err);
    if (!rc && wish.sidecar && file_exists(other))
        rc = file_read(other, 1 << 24, &beside, &files.sidecar_n, &err);
    files.picture = picture;
    files.sidecar = beside;
    for (int i = 3; i < argc && !rc; i++)
        rc = strings_add(&wish.tags, argv[i], &err);
    if (!rc)
        rc = metadata_change(&files, &wish, &edit, &err);
    if (!rc && edit.outcome != METADATA_SAME)
        rc = put(argv[2], other, &files, wish.sidecar, &edit, &err);
    for (size_t i = 0; i < edit.changes.n && !rc; i++)
        puts(edit.changes.list[i]);
    if (rc)
        fprintf(stderr, "metadata-tool: %s\n", err.msg);
    int status = rc ? 2 : edit.outcome == METADATA_SAME;
    metadata_edit_release(&edit);
    metadata_wish_release(&wish);
    free(picture);
    free(beside);
    free(other);
    return status;
}
