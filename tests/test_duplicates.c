/* Tests of storage/duplicates.h and duplicates_keep.h: the one to keep, kinds. */
#include "storage/duplicates.h"

#include "storage/duplicates_keep.h"
#include "storage/library_fingerprints.h"
#include "storage/library_neighbours.h"
#include "storage/library_tags.h"
#include "tests/library_fixture.h"

#include <math.h>

/* ---- The one to keep ---- */

static struct duplicate_picture some(int64_t id)
{
    return (struct duplicate_picture){.id       = id,
                                      .size     = 1000,
                                      .mtime_ns = 5000000000,
                                      .width    = 400,
                                      .height   = 300,
                                      .colour   = true,
                                      .kind     = "JPEG"};
}

static void assert_keeps(const struct duplicate_picture *best,
                         const struct duplicate_picture *other, const char *why)
{
    const struct duplicate_picture *list[] = {other, best};
    char                            text[160];
    enum duplicate_reason           reason;
    assert_true(duplicate_rank(best, other) < 0);
    assert_true(duplicate_rank(other, best) > 0);
    assert_int_equal(duplicates_keep(list, 2, &reason, text, sizeof text), 1);
    if (reason != REASON_FIRST)
        assert_memory_equal(duplicate_reason_name(reason), why, strcspn(why, ":"));
    if (strncmp(text, why, strlen(why)) != 0)
        fail_msg("'%s' does not begin with '%s'", text, why);
}

static void the_reason_is_the_first_that_decides(void **state)
{
    (void)state;
    struct duplicate_picture a = some(9), b = some(1);
    assert_keeps(&b, &a, "it came into the library first");
    a.taken_at = 4; /* seconds: before the other's five */
    b.taken_at = 5;
    assert_keeps(&a, &b, "date");
    b.size = 1200;
    assert_keeps(&b, &a, "compression: 1200 bytes of JPEG, the next has 1000");
    snprintf(a.kind, sizeof a.kind, "PNG");
    assert_keeps(&a, &b, "format: PNG rather than JPEG");
    b.camera = true;
    assert_keeps(&b, &a, "metadata: it tells its camera and date");
    b.colour = false;
    assert_keeps(&a, &b, "colour");
    b.width = 401;
    assert_keeps(&b, &a, "resolution: 401 x 300, the next has 400 x 300");
    b.link = true;
    assert_keeps(&a, &b, "file: the next is a symbolic link");
}

/* ---- A library of copies ---- */

/* A fingerprint told by a seed, seen with a gain. */
static void fingerprint(uint64_t seed, double gain, uint8_t out[FINGERPRINT_BYTES])
{
    out[0] = FINGERPRINT_VERSION;
    out[1] = 40;
    for (int y = 0; y < FINGERPRINT_SIDE; y++)
        for (int x = 0; x < FINGERPRINT_SIDE; x++) {
            double   v      = 0;
            uint64_t random = seed * 7919;
            for (int i = 1; i < 6; i++) {
                double across = 0.3 * (2 * splitmix_unit(&random) - 1), phase;
                double down   = 0.3 * (2 * splitmix_unit(&random) - 1);
                phase         = 6.28 * splitmix_unit(&random);
                v += sin(across * x + down * y + phase);
            }
            double p                          = 110 + gain * 20 * v;
            out[2 + y * FINGERPRINT_SIDE + x] = (uint8_t)(p < 0 ? 0 : p > 255 ? 255 : p);
        }
}

struct library_of {
    char           *dir;
    struct library *lib;
    int64_t         model, folder;
};

static void open_library(struct library_of *l)
{
    struct err err = ERR_INIT;
    l->dir         = temporary_dir();
    assert_ok(library_open(l->dir, LIBRARY_CREATE, &l->lib, &err), &err);
    l->model  = fill_model(l->lib, "model", true);
    l->folder = add_folder(l->lib, "/pictures");
}

static void close_library(struct library_of *l)
{
    library_close(l->lib);
    remove_dir(l->dir);
}

/* An embedding near that of seed `like`, a fingerprint of seed `print` (0: none). */
static int64_t add(struct library_of *l, const char *path, uint64_t seed, uint64_t like,
                   uint64_t print, double gain, int width)
{
    struct err          err = ERR_INIT;
    float               v[DIM], noise[DIM];
    uint8_t             bytes[FINGERPRINT_BYTES];
    struct library_item item = picture(l->folder, path, seed, v);
    double              sum  = 0;
    unit_vector(v, DIM, like);
    unit_vector(noise, DIM, seed + 1000);
    for (int i = 0; i < DIM; i++) {
        v[i] += 0.05f * noise[i];
        sum += (double)(v[i] * v[i]);
    }
    for (int i = 0; i < DIM; i++)
        v[i] = (float)((double)v[i] / sqrt(sum));
    item.width = width;
    if (print) {
        fingerprint(print, gain, bytes);
        item.fingerprint = bytes;
    }
    assert_ok(library_add(l->lib, l->model, &item, 1, &err), &err);
    return item.id;
}

static const struct duplicates_options all = {
    .kinds = {true, true, true}, .same = DUPLICATES_SAME, .near = DUPLICATES_NEAR};

static void find(struct library *lib, const struct duplicates_options *o, struct duplicates *out)
{
    struct err err = ERR_INIT;
    assert_ok(duplicates_find(lib, o, out, &err), &err);
}

static void fill_with_others(struct library_of *l, int n)
{
    char path[32];
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "other%02d.jpg", i);
        add(l, path, 500 + (uint64_t)i, 500 + (uint64_t)i, 100 + 3 * (uint64_t)i, 1, 640);
    }
}

static void kinds_are_told_apart(void **state)
{
    (void)state;
    struct library_of l;
    struct duplicates d;
    open_library(&l);
    fill_with_others(&l, 30);
    int64_t                    a     = add(&l, "a.jpg", 1, 1, 11, 1, 640);
    int64_t                    copy  = add(&l, "copy.jpg", 1, 1, 11, 1, 640);
    int64_t                    large = add(&l, "large.jpg", 2, 1, 11, 1.2, 1280);
    int64_t                    burst = add(&l, "burst.jpg", 3, 1, 11, 1, 640);
    struct err                 err   = ERR_INIT;
    struct library_fingerprint print;
    memset(print.hash, 0, sizeof print.hash);
    uint64_t seed = 3;
    memcpy(print.hash, &seed, sizeof seed);
    fingerprint(11, 1, print.bytes); /* something has moved */
    for (int y = 6; y < 14; y++)
        memset(print.bytes + 2 + y * FINGERPRINT_SIDE + 8, 250, 8);
    assert_ok(library_fingerprints_put(l.lib, &print, 1, &err), &err);

    find(l.lib, &all, &d);
    assert_int_equal(d.pictures, 34);
    assert_int_equal(d.n, 1);
    const struct duplicates_group *g = &d.groups[0];
    assert_int_equal(g->n, 4);
    assert_int_equal(g->members[0].id, large);
    assert_int_equal(g->members[0].kind, DUPLICATE_KEEP);
    assert_non_null(strstr(g->why, "resolution: 1280 x 480"));
    assert_int_equal(g->members[1].kind, DUPLICATE_SAME);
    assert_int_equal(g->members[2].kind, DUPLICATE_SAME);
    assert_int_equal(g->members[1].id + g->members[2].id, a + copy);
    assert_int_equal(g->members[3].id, burst);
    assert_int_equal(g->members[3].kind, DUPLICATE_NEAR);
    duplicates_release(&d);

    struct duplicates_options some_kinds = all;
    some_kinds.kinds[DUPLICATE_NEAR]     = false;
    find(l.lib, &some_kinds, &d);
    assert_int_equal(d.n, 1);
    assert_int_equal(d.groups[0].n, 3);
    duplicates_release(&d);
    some_kinds.kinds[DUPLICATE_SAME] = false;
    find(l.lib, &some_kinds, &d);
    assert_int_equal(d.n, 1);
    assert_int_equal(d.groups[0].n, 2);
    assert_int_equal(d.groups[0].members[1].kind, DUPLICATE_IDENTICAL);
    assert_true(d.groups[0].members[1].score == 1);
    duplicates_release(&d);
    close_library(&l);
}

/* Two scans whose first pages are one picture, and that page as a picture of its own. */
static void scans_that_begin_alike_are_no_copies(void **state)
{
    (void)state;
    struct library_of   l;
    struct duplicates   d;
    struct err          err = ERR_INIT;
    float               v[DIM], part[DIM];
    uint8_t             bytes[FINGERPRINT_BYTES];
    static const int    page = 2;
    struct library_item items[2];
    open_library(&l);
    fill_with_others(&l, 10);
    fingerprint(11, 1, bytes);
    unit_vector(part, DIM, 77);
    for (uint64_t i = 0; i < 2; i++) {
        items[i]                 = picture(l.folder, i ? "b.tif" : "a.tif", 20 + i, v);
        items[i].fingerprint     = bytes;
        items[i].n_parts         = 1;
        items[i].part_pages      = &page;
        items[i].part_embeddings = part;
    }
    unit_vector(v, DIM, 1);
    assert_ok(library_add(l.lib, l.model, items, 2, &err), &err);
    add(&l, "first page.jpg", 30, 1, 11, 1, 1280);
    find(l.lib, &all, &d);
    assert_int_equal(d.n, 0);
    assert_int_equal(d.blind, 0);
    duplicates_release(&d);
    items[1]          = picture(l.folder, "copy of a.tif", 20, v); /* the same bytes */
    items[1].hash[15] = items[0].hash[15];
    items[1].n_parts  = 0;
    items[1].copy_of  = items[0].id;
    assert_ok(library_add(l.lib, l.model, &items[1], 1, &err), &err);
    find(l.lib, &all, &d);
    assert_int_equal(d.n, 1);
    assert_int_equal(d.groups[0].members[1].kind, DUPLICATE_IDENTICAL);
    duplicates_release(&d);
    close_library(&l);
}

static void what_turned_is_found_by_its_shape(void **state)
{
    (void)state;
    struct library_of l;
    struct duplicates d;
    open_library(&l);
    fill_with_others(&l, 30);
    add(&l, "a.jpg", 1, 1, 11, 1, 640);
    int64_t                    turned = add(&l, "turned.jpg", 2, 2, 12, 1, 480);
    struct err                 err    = ERR_INIT;
    struct library_fingerprint print  = {0};
    uint8_t                    plain[FINGERPRINT_BYTES];
    uint64_t                   seed = 2;
    memcpy(print.hash, &seed, sizeof seed);
    fingerprint(11, 1, plain);
    memcpy(print.bytes, plain, 2);
    for (int y = 0; y < FINGERPRINT_SIDE; y++)
        for (int x = 0; x < FINGERPRINT_SIDE; x++)
            print.bytes[2 + (FINGERPRINT_SIDE - 1 - x) * FINGERPRINT_SIDE + y] =
                plain[2 + y * FINGERPRINT_SIDE + x];
    assert_ok(library_fingerprints_put(l.lib, &print, 1, &err), &err);
    find(l.lib, &all, &d);
    assert_int_equal(d.n, 1);
    assert_int_equal(d.groups[0].n, 2);
    assert_int_equal(d.groups[0].members[1].id, turned);
    assert_int_equal(d.groups[0].members[1].kind, DUPLICATE_SAME);
    duplicates_release(&d);
    close_library(&l);
}

static void places_are_kept_to(void **state)
{
    (void)state;
    struct library_of l;
    struct duplicates d;
    open_library(&l);
    add(&l, "in/a.jpg", 1, 1, 11, 1, 640);
    add(&l, "in/b.jpg", 1, 1, 11, 1, 640);
    add(&l, "out/c.jpg", 1, 1, 11, 1, 640);
    const struct library_filter places[] = {{.folder_id = l.folder, .below = "in"},
                                            {.folder_id = l.folder, .below = "in/a.jpg"}};
    struct duplicates_options   o        = all;
    o.places                             = places;
    o.n_places                           = 2;
    find(l.lib, &o, &d);
    assert_int_equal(d.pictures, 2);
    assert_int_equal(d.n, 1);
    assert_int_equal(d.groups[0].n, 2);
    duplicates_release(&d);
    close_library(&l);
}

/* Says stop at the n-th question; each tells more than the one before, as far as it is known. */
struct patience {
    int    left;
    double done;
    bool   told_wrongly;
};

static int ask_patience(void *ctx, double done, struct err *err)
{
    struct patience *p = ctx;
    p->told_wrongly |= !(done >= 0 && done <= 1);
    p->done = done;
    return p->left-- > 0 ? 0 : err_set(err, ERR_CANCELLED, "enough");
}

static void it_can_be_stopped_anywhere(void **state)
{
    (void)state;
    struct library_of l;
    struct duplicates d;
    int               asked = 0, rc = ERR_CANCELLED;
    open_library(&l);
    fill_with_others(&l, 10);
    add(&l, "a.jpg", 1, 1, 11, 1, 640);
    add(&l, "b.jpg", 2, 1, 11, 1.2, 1280);
    for (; rc && asked < 1000; asked++) {
        struct err                err      = ERR_INIT;
        struct patience           patience = {.left = asked};
        struct duplicates_options o        = all;
        o.go_on                            = (struct go_on){.ask = ask_patience, .ctx = &patience};
        rc                                 = duplicates_find(l.lib, &o, &d, &err);
        assert_false(patience.told_wrongly);
        if (rc) {
            assert_int_equal(rc, ERR_CANCELLED);
            assert_string_equal(err.msg, "enough");
            assert_null(d.groups);
        } else {
            assert_true(patience.done >= 0.9);
        }
    }
    assert_int_equal(rc, 0);
    assert_in_range(asked, 5, 999); /* in each step */
    assert_int_equal(d.n, 1);
    assert_int_equal(d.groups[0].reason, REASON_RESOLUTION);
    duplicates_release(&d);

    struct err                err = ERR_INIT;
    struct duplicates_options few = all;
    few.most                      = 11;
    assert_int_equal(duplicates_find(l.lib, &few, &d, &err), ERR_LIMIT);
    few.most = 12;
    find(l.lib, &few, &d);
    duplicates_release(&d);
    close_library(&l);
}

static void the_basis_is_what_it_depends_on(void **state)
{
    (void)state;
    struct library_of          l;
    struct err                 err = ERR_INIT;
    uint8_t                    before[HASH_BYTES], after[HASH_BYTES];
    struct library_fingerprint print = {0};
    uint64_t                   seed  = 2;
    open_library(&l);
    int64_t a = add(&l, "a.jpg", 1, 1, 11, 1, 640);
    add(&l, "b.jpg", 2, 2, 0, 1, 640);
    assert_ok(duplicates_basis(l.lib, &all, before, &err), &err);
    const char *const              label   = "beach";
    const struct library_tags_edit edit    = {.add = &label, .n_add = 1};
    int64_t                        changed = 0;
    assert_ok(library_tags_change(l.lib, LIBRARY_USER, &a, 1, &edit, &changed, &err), &err);
    assert_int_equal(changed, 1);
    assert_ok(duplicates_basis(l.lib, &all, after, &err), &err);
    assert_memory_equal(before, after, sizeof before);

    memcpy(print.hash, &seed, sizeof seed); /* b's */
    fingerprint(12, 1, print.bytes);
    assert_ok(library_fingerprints_put(l.lib, &print, 1, &err), &err);
    assert_ok(duplicates_basis(l.lib, &all, after, &err), &err);
    assert_memory_not_equal(before, after, sizeof before);
    memcpy(before, after, sizeof before);
    add(&l, "c.jpg", 3, 3, 0, 1, 640);
    assert_ok(duplicates_basis(l.lib, &all, after, &err), &err);
    assert_memory_not_equal(before, after, sizeof before);
    const struct library_filter place = {.folder_id = l.folder, .below = "b.jpg"};
    struct duplicates_options   o     = all;
    o.places                          = &place;
    o.n_places                        = 1;
    assert_ok(duplicates_basis(l.lib, &o, before, &err), &err);
    assert_memory_not_equal(before, after, sizeof before);
    close_library(&l);
}

static void an_empty_library_has_none(void **state)
{
    (void)state;
    struct library_of l;
    struct duplicates d;
    open_library(&l);
    find(l.lib, &all, &d);
    assert_int_equal(d.n, 0);
    assert_int_equal(d.pictures, 0);
    duplicates_release(&d);
    close_library(&l);
}

/* ---- Fingerprints come and go with contents ---- */

static bool has_print(struct library *lib, uint64_t seed)
{
    uint8_t hash[LIBRARY_HASH_BYTES] = {0}, out[FINGERPRINT_BYTES];
    memcpy(hash, &seed, sizeof seed);
    return library_fingerprint_get(lib, hash, out, NULL) == 0;
}

static void fingerprints_go_with_their_contents(void **state)
{
    (void)state;
    struct library_of     l;
    struct err            err = ERR_INIT;
    struct library_image *missing;
    size_t                n;
    const char           *a = "a.jpg", *b = "b.jpg";
    open_library(&l);
    add(&l, "a.jpg", 1, 1, 11, 1, 640);
    add(&l, "b.jpg", 1, 1, 0, 1, 640);
    int64_t bare = add(&l, "bare.jpg", 2, 2, 0, 1, 640);
    add(&l, "bare2.jpg", 2, 2, 0, 1, 640);
    assert_true(has_print(l.lib, 1));
    assert_ok(library_fingerprints_missing(l.lib, 0, 10, &missing, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_int_equal(missing[0].id, bare);
    library_image_release(&missing[0]);
    free(missing);
    assert_ok(library_fingerprints_missing(l.lib, bare, 10, &missing, &n, &err), &err);
    assert_int_equal(n, 0);
    free(missing);

    assert_ok(library_remove(l.lib, l.folder, &a, 1, &err), &err);
    assert_true(has_print(l.lib, 1)); /* b has this content, too */
    assert_ok(library_remove(l.lib, l.folder, &b, 1, &err), &err);
    assert_false(has_print(l.lib, 1));
    add(&l, "c.jpg", 3, 3, 13, 1, 640);
    add(&l, "c.jpg", 4, 4, 0, 1, 640); /* its content changes */
    assert_false(has_print(l.lib, 3));

    struct library_fingerprint nobodys = {.hash = {99}};
    fingerprint(1, 1, nobodys.bytes);
    assert_ok(library_fingerprints_put(l.lib, &nobodys, 1, &err), &err);
    assert_int_equal(library_fingerprint_get(l.lib, nobodys.hash, nobodys.bytes, &err),
                     ERR_NOTFOUND);
    assert_sound(l.lib);
    close_library(&l);
}

/* ---- Neighbours ---- */

static int64_t ids_of(struct library_of *l, int from, int n, int64_t *ids)
{
    char path[32];
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "n%03d.jpg", from + i);
        ids[i] =
            add(l, path, 2000 + (uint64_t)(from + i), 2000 + (uint64_t)((from + i) / 2), 0, 1, 640);
    }
    return ids[0];
}

/* Twins (two of one embedding and noise) find one another: in the delta, in the base, and
 * between the two. */
static void twins_are_neighbours(void **state)
{
    (void)state;
    struct library_of    l;
    struct err           err = ERR_INIT;
    int64_t              ids[101];
    struct library_match matches[101];
    struct library_pair *pairs;
    size_t               n;
    open_library(&l);
    ids_of(&l, 0, 61, ids);
    for (int round = 0; round < 2; round++) {
        size_t count = round ? 101 : 61, twins = 0;
        if (round) {
            assert_ok(library_index_maintain(l.lib, true, &err), &err);
            ids_of(&l, 61, 40, ids + 61); /* the first of them is the twin of the last before */
        }
        assert_ok(library_neighbours(l.lib, ids, count, 3, &pairs, &n, matches, NULL, &err), &err);
        for (size_t i = 0; i < n; i++) {
            assert_true(pairs[i].a < pairs[i].b);
            assert_true(i == 0 || pairs[i - 1].a < pairs[i].a ||
                        (pairs[i - 1].a == pairs[i].a && pairs[i - 1].b < pairs[i].b));
            float exact;
            assert_ok(library_nearness(l.lib, ids[pairs[i].a], ids[pairs[i].b], &exact, &err),
                      &err);
            assert_float_equal(exact, pairs[i].score, 2e-3);
            twins += pairs[i].a / 2 == pairs[i].b / 2;
        }
        assert_int_equal(twins, round ? 50 : 30);
        for (size_t i = 0; i < count; i++)
            assert_true(matches[i].known);
        free(pairs);
    }
    close_library(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reason_is_the_first_that_decides),
        cmocka_unit_test(kinds_are_told_apart),
        cmocka_unit_test(scans_that_begin_alike_are_no_copies),
        cmocka_unit_test(what_turned_is_found_by_its_shape),
        cmocka_unit_test(places_are_kept_to),
        cmocka_unit_test(it_can_be_stopped_anywhere),
        cmocka_unit_test(the_basis_is_what_it_depends_on),
        cmocka_unit_test(an_empty_library_has_none),
        cmocka_unit_test(fingerprints_go_with_their_contents),
        cmocka_unit_test(twins_are_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
