/* A picture file (or, after a first byte 'S', a sidecar beside a small JPEG): what it says
 * of itself travels through the packed form; what shall be said in it is there afterwards,
 * once, and goes again without a trace of what others said.
 */
#include "tests/fuzz/fuzz.h"

#include "base/moment.h"
#include "meta/container.h"
#include "meta/metadata.h"
#include "meta/metadata_wire.h"
#include "meta/xmp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX ((size_t)20 << 20)

static const uint8_t jpeg[] = {0xFF, 0xD8, 0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0xFF, 0xD9};

/* What it says, checked; freed with metadata_release. */
static struct metadata read_all(const struct metadata_files *files)
{
    struct metadata said, back;
    struct err      err = ERR_INIT;
    struct buf      packed;
    buf_init(&packed, ANSWER_MAX);
    fuzz_check(metadata_read(files, &said, &err) == 0);
    fuzz_check(said.tags.n <= METADATA_TAGS && said.rating >= -1 && said.rating <= 5);
    fuzz_check(fabs(said.latitude) <= 90 && fabs(said.longitude) <= 180);
    fuzz_check(metadata_pack(&said, &packed, &err) == 0);
    fuzz_check(metadata_unpack((const uint8_t *)packed.data, packed.len, &back, &err) == 0);
    fuzz_check(strings_equal(&said.tags, &back.tags) && said.has_place == back.has_place);
    fuzz_check(strings_equal(&said.people, &back.people));
    fuzz_check(!said.caption == !back.caption && !strcmp(said.lens, back.lens));
    fuzz_check(said.taken_at == back.taken_at && said.is_made == back.is_made);
    fuzz_check(said.taken_at >= MOMENT_FIRST && said.taken_at < MOMENT_END);
    metadata_release(&back);
    buf_release(&packed);
    return said;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

/* False for a broken TIFF that points behind its end, where something is once it has grown. */
static bool check_same(const struct metadata *a, const struct metadata_files *files)
{
    struct metadata b    = read_all(files);
    bool            same = strings_equal(&a->tags, &b.tags) && a->rating == b.rating &&
                a->taken_at == b.taken_at && a->has_place == b.has_place &&
                same_text(a->caption, b.caption) && same_text(a->alt_text, b.alt_text);
    fuzz_check(same || container_kind_of(files->picture, files->picture_n) == CONTAINER_TIFF);
    metadata_release(&b);
    return same;
}

/* The files with an edit applied, in memory of its own; false where it cannot be. */
static bool apply(const struct metadata_files *files, bool sidecar, const struct metadata_edit *e,
                  struct metadata_files *out)
{
    struct container_parts parts;
    struct err             err = ERR_INIT;
    size_t                 n   = 0;
    *out                       = *files;
    if (sidecar) {
        out->sidecar   = e->packet ? fuzz_exact((const uint8_t *)e->packet, e->len) : NULL;
        out->sidecar_n = e->len;
        return true;
    }
    int rc = container_splice(files->picture, files->picture_n, e->packet, e->len, &parts, &err);
    fuzz_check_err(rc, &err);
    if (rc)
        return false;
    for (size_t i = 0; i < parts.n; i++)
        n += parts.part[i].len;
    uint8_t *bytes = malloc(n + 1);
    fuzz_check(bytes);
    out->picture   = bytes;
    out->picture_n = n;
    for (size_t i = 0; i < parts.n; i++) {
        memcpy(bytes, parts.part[i].data, parts.part[i].len);
        bytes += parts.part[i].len;
    }
    container_parts_release(&parts);
    return true;
}

static void release(bool sidecar, struct metadata_files *f)
{
    free((void *)(sidecar ? f->sidecar : f->picture));
}

static void change(const struct metadata_files *files, bool sidecar, const struct metadata *said)
{
    struct metadata_wish  wish = {.sidecar = sidecar, .set_tags = true, .set_caption = true};
    struct metadata_wish  none = wish;
    struct metadata_edit  edit, again, gone;
    struct metadata_files with, without;
    struct err            err    = ERR_INIT;
    char                  text[] = "a caption";
    fuzz_check(strings_add(&wish.tags, "fuzz|tag", &err) == 0);
    wish.caption = text;
    int rc       = metadata_change(files, &wish, &edit, &err);
    fuzz_check_err(rc, &err);
    if (!rc && edit.outcome != METADATA_SAME && apply(files, sidecar, &edit, &with)) {
        bool same = check_same(said, &with);
        fuzz_check(metadata_change(&with, &wish, &again, &err) == 0);
        fuzz_check(again.outcome == METADATA_SAME || !same);
        fuzz_check(metadata_change(&with, &none, &gone, &err) == 0);
        fuzz_check(gone.outcome != METADATA_SAME);
        if (apply(&with, sidecar, &gone, &without)) {
            (void)check_same(said, &without);
            release(sidecar, &without);
        }
        metadata_edit_release(&again);
        metadata_edit_release(&gone);
        release(sidecar, &with);
    }
    if (!rc)
        metadata_edit_release(&edit);
    wish.caption = NULL;
    metadata_wish_release(&wish);
}

/* What a person says is there for all, and settled once it is written, or taken away;
 * but in a broken TIFF, see check_same. */
static void change_people(const struct metadata_files *files, bool sidecar)
{
    struct metadata_wish  wish = {.sidecar = sidecar, .set_tags = true};
    struct metadata_wish  gone = wish;
    struct metadata_edit  edit, again, third;
    struct metadata_files with, without;
    struct err            err = ERR_INIT;
    bool tiff = container_kind_of(files->picture, files->picture_n) == CONTAINER_TIFF;
    fuzz_check(strings_add(&wish.people, "fuzz|person", &err) == 0);
    fuzz_check(strings_add(&gone.taken, "fuzz|person", &err) == 0);
    int rc = metadata_change(files, &wish, &edit, &err);
    fuzz_check_err(rc, &err);
    if (!rc && edit.outcome != METADATA_SAME && apply(files, sidecar, &edit, &with)) {
        fuzz_check(metadata_change(&with, &wish, &again, &err) == 0);
        fuzz_check(again.outcome == METADATA_SAME || tiff);
        metadata_edit_release(&again);
        fuzz_check(metadata_change(&with, &gone, &again, &err) == 0);
        if (again.outcome != METADATA_SAME && apply(&with, sidecar, &again, &without)) {
            fuzz_check(metadata_change(&without, &gone, &third, &err) == 0);
            fuzz_check(third.outcome == METADATA_SAME || tiff);
            metadata_edit_release(&third);
            release(sidecar, &without);
        }
        metadata_edit_release(&again);
        release(sidecar, &with);
    }
    if (!rc)
        metadata_edit_release(&edit);
    metadata_wish_release(&wish);
    metadata_wish_release(&gone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool                  sidecar = size && data[0] == 'S';
    uint8_t              *copy    = fuzz_exact(data + sidecar, size - sidecar);
    struct metadata_files files   = {.picture = copy, .picture_n = size};
    if (sidecar)
        files = (struct metadata_files){jpeg, copy, sizeof jpeg, size - 1};
    struct metadata said = read_all(&files);
    if (xmp_is_here()) {
        change(&files, sidecar, &said);
        change_people(&files, sidecar);
    }
    metadata_release(&said);
    free(copy);
    /* And as the other side of the worker's door. */
    struct metadata_wish wish;
    struct metadata_edit edit;
    if (!metadata_wish_unpack(data, size, &wish, NULL))
        metadata_wish_release(&wish);
    if (!metadata_edit_unpack(data, size, &edit, NULL))
        metadata_edit_release(&edit);
    return 0;
}
