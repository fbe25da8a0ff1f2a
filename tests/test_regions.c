/* Unit tests of the library's regions (storage/library_regions, catalog_regions):
 * they come and go with the picture, and filling them in leaves the rest alone. */
#include "catalog_fixture.h"

#include "storage/library_impl.h"

#define BYTES 3000 /* more than a page's row holds at once */

static void want(struct room *r, const char *hash)
{
    struct err err = ERR_INIT;
    assert_ok(library_regions_want(r->lib, r->model, hash, BYTES, &err), &err);
}

/* Adds a picture with regions made from a number (0: without). */
static struct library_item add(struct room *r, const char *path, uint64_t seed, int regions)
{
    struct err          err = ERR_INIT;
    float               embedding[DIM];
    uint8_t             kept[BYTES];
    struct library_item item = picture(r->folder, path, seed, embedding);
    memset(kept, regions, sizeof kept);
    item.regions = regions ? kept : NULL;
    assert_ok(library_add(r->lib, r->model, &item, 1, &err), &err);
    assert_true(item.id > 0);
    return item;
}

/* The number that a picture's regions were made from; 0: it has none. */
static int regions_of(struct room *r, const char *hash, int64_t id)
{
    struct err             err = ERR_INIT;
    struct library_regions of;
    uint8_t                kept[BYTES];
    int                    rc = library_regions_find(r->lib, hash, &of, &err);
    if (rc == 0)
        rc = library_regions_get(r->lib, &of, id, kept, &err);
    if (rc == ERR_NOTFOUND)
        return 0;
    assert_int_equal(rc, 0);
    for (int i = 1; i < BYTES; i++)
        assert_int_equal(kept[i], kept[0]);
    return kept[0];
}

static int64_t count(struct room *r, const char *hash)
{
    struct err             err = ERR_INIT;
    struct library_regions of;
    assert_ok(library_regions_find(r->lib, hash, &of, &err), &err);
    assert_int_equal(of.bytes, BYTES);
    assert_string_equal(of.hash, hash);
    return of.images;
}

static int64_t last_change(struct room *r)
{
    struct err err = ERR_INIT;
    int64_t    seq, stamp;
    assert_ok(catalog_change_last(r->lib->cat, &seq, &stamp, &err), &err);
    return seq;
}

static bool known_as_embedded(struct room *r, const char *path)
{
    struct err            err   = ERR_INIT;
    struct library_known *known = NULL;
    size_t                n     = 0;
    assert_ok(library_known_after(r->lib, r->folder, r->model, path, "", 1, &known, &n, &err),
              &err);
    assert_int_equal(n, 1);
    bool embedded = known[0].embedded;
    library_known_free(known, n);
    return embedded;
}

static void regions_come_and_go_with_the_picture(void **state)
{
    (void)state;
    struct err             err = ERR_INIT;
    struct room            r   = room_open("/pictures");
    struct library_regions of;
    assert_int_equal(library_regions_find(r.lib, NULL, &of, &err), ERR_NOTFOUND);
    want(&r, "aaaa");
    int64_t a = add(&r, "a.jpg", 1, 7).id, b = add(&r, "b.jpg", 2, 8).id;
    int64_t c = add(&r, "c.jpg", 3, 0).id;
    assert_int_equal(regions_of(&r, "aaaa", a), 7);
    assert_int_equal(regions_of(&r, "aaaa", b), 8);
    assert_int_equal(regions_of(&r, "aaaa", c), 0);
    assert_int_equal(regions_of(&r, "bbbb", a), 0);
    assert_int_equal(count(&r, "aaaa"), 2);
    assert_int_equal(add(&r, "a.jpg", 1, 9).id, a); /* again: replaced, counted once */
    assert_int_equal(regions_of(&r, "aaaa", a), 9);
    assert_int_equal(count(&r, "aaaa"), 2);

    /* New content without regions: the old ones are void. */
    assert_int_equal(add(&r, "b.jpg", 4, 0).id, b);
    assert_int_equal(regions_of(&r, "aaaa", b), 0);
    assert_int_equal(count(&r, "aaaa"), 1);

    const char *gone[] = {"a.jpg"};
    assert_ok(library_remove(r.lib, r.folder, gone, 1, &err), &err);
    assert_int_equal(regions_of(&r, "aaaa", a), 0);
    assert_int_equal(count(&r, "aaaa"), 0);
    room_close(&r);
}

static void copies_and_moves_take_them_along(void **state)
{
    (void)state;
    struct err  err = ERR_INIT;
    struct room r   = room_open("/pictures");
    float       embedding[DIM];
    want(&r, "aaaa");
    int64_t             a    = add(&r, "a.jpg", 1, 7).id;
    struct library_item copy = picture(r.folder, "copy.jpg", 1, embedding);
    copy.embedding           = NULL;
    copy.copy_of             = a;
    assert_ok(library_add(r.lib, r.model, &copy, 1, &err), &err);
    assert_int_equal(regions_of(&r, "aaaa", copy.id), 7);
    assert_int_equal(count(&r, "aaaa"), 2);
    assert_ok(library_move(r.lib, a, copy.id, &err), &err);
    assert_int_equal(regions_of(&r, "aaaa", a), 7);
    assert_int_equal(count(&r, "aaaa"), 1);
    room_close(&r);
}

static void filling_in_leaves_embeddings_and_index_alone(void **state)
{
    (void)state;
    struct err          err = ERR_INIT;
    struct room         r   = room_open("/pictures");
    struct library_item found;
    int64_t             id = add(&r, "a.jpg", 1, 0).id, other = 0;
    int64_t             seq = last_change(&r);
    assert_true(known_as_embedded(&r, "a.jpg"));
    want(&r, "aaaa");
    assert_false(known_as_embedded(&r, "a.jpg")); /* so that the scan hands it on */
    uint8_t hash[LIBRARY_HASH_BYTES] = {1};
    assert_int_equal(library_find_content(r.lib, r.model, hash, 1001, &other, &err), ERR_NOTFOUND);
    found = add(&r, "a.jpg", 1, 7);
    assert_true(found.embedded);
    assert_int_equal(found.id, id);
    assert_int_equal(last_change(&r), seq);
    assert_int_equal(regions_of(&r, "aaaa", id), 7);
    assert_true(known_as_embedded(&r, "a.jpg"));
    assert_ok(library_find_content(r.lib, r.model, hash, 1001, &other, &err), &err);
    assert_int_equal(other, id);
    /* New content is another matter. */
    found = add(&r, "a.jpg", 2, 8);
    assert_false(found.embedded);
    assert_true(last_change(&r) > seq);
    room_close(&r);
}

static void another_reranker_takes_over(void **state)
{
    (void)state;
    struct err             err = ERR_INIT;
    struct room            r   = room_open("/pictures");
    struct library_regions of;
    want(&r, "aaaa");
    int64_t id = add(&r, "a.jpg", 1, 7).id;
    want(&r, "bbbb");
    assert_false(known_as_embedded(&r, "a.jpg"));
    assert_int_equal(add(&r, "a.jpg", 1, 8).id, id);
    assert_int_equal(regions_of(&r, "aaaa", id), 7); /* until the run is complete */
    assert_int_equal(regions_of(&r, "bbbb", id), 8);
    assert_ok(library_regions_settle(r.lib, &err), &err);
    assert_int_equal(regions_of(&r, "aaaa", id), 0);
    assert_int_equal(count(&r, "aaaa"), 0);
    assert_int_equal(regions_of(&r, "bbbb", id), 8);
    assert_ok(library_regions_find(r.lib, NULL, &of, &err), &err);
    assert_string_equal(of.hash, "bbbb");
    assert_int_equal(library_regions_want(r.lib, r.model, "bbbb", BYTES - 1, &err), ERR_DAMAGED);

    /* Another model: its towers see otherwise, so nothing of the old one stays. */
    int64_t newer = fill_model(r.lib, "fedcba9876543210fedcba9876543210", true);
    assert_int_equal(library_regions_find(r.lib, NULL, &of, &err), ERR_NOTFOUND);
    r.model = newer;
    add(&r, "a.jpg", 1, 0); /* for the check of soundness */
    library_close(r.lib);
    assert_int_equal(ask_catalog(r.dir, "SELECT count(*) FROM regions"), 0);
    assert_ok(library_open(r.dir, LIBRARY_EXISTING, &r.lib, &err), &err);
    room_close(&r);
}

static void verify_finds_what_is_wrong_and_puts_it_right(void **state)
{
    (void)state;
    static const char *const damage[] = {
        "INSERT INTO regions (key, kept) VALUES ((1 << 40) | 99, x'00')",
        "UPDATE regions SET kept = x'0102' WHERE key = (1 << 40) | 1",
        "UPDATE rerankers SET images = 77",
    };
    struct err  err = ERR_INIT;
    struct room r   = room_open("/pictures");
    want(&r, "aaaa");
    int64_t id = add(&r, "a.jpg", 1, 7).id;
    assert_int_equal(id, 1);
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        int64_t left = 0;
        change_catalog(r.dir, damage[i]);
        assert_ok(library_verify(r.lib, false, NULL, NULL, &left, &err), &err);
        assert_true(left > 0);
        assert_ok(library_verify(r.lib, true, NULL, NULL, &left, &err), &err);
        assert_int_equal(left, 0);
        assert_sound(r.lib);
    }
    assert_int_equal(regions_of(&r, "aaaa", id), 0); /* what was damaged is gone */
    room_close(&r);
}

static void backups_hold_them(void **state)
{
    (void)state;
    struct err      err = ERR_INIT;
    struct room     r   = room_open("/pictures");
    struct catalog *cat = NULL;
    want(&r, "aaaa");
    int64_t                id   = add(&r, "a.jpg", 1, 7).id;
    char                  *file = path_join(r.dir, "copy.db");
    struct library_regions of;
    uint8_t                kept[BYTES];
    assert_ok(library_backup(r.lib, file, &err), &err);
    assert_ok(catalog_open(file, false, &cat, &err), &err);
    assert_ok(catalog_reranker_find(cat, r.model, "aaaa", &of, &err), &err);
    assert_ok(catalog_regions_get(cat, &of, id, kept, &err), &err);
    assert_int_equal(kept[BYTES - 1], 7);
    catalog_close(cat);
    free(file);
    room_close(&r);
}

/* A catalogue from before there were regions is brought forward. */
static void older_catalogues_are_brought_forward(void **state)
{
    (void)state;
    struct err  err = ERR_INIT;
    struct room r   = room_open("/pictures");
    int64_t     id  = add(&r, "a.jpg", 1, 0).id;
    library_close(r.lib);
    age_catalog(r.dir, 2);
    assert_ok(library_open(r.dir, LIBRARY_EXISTING, &r.lib, &err), &err);
    want(&r, "aaaa");
    assert_int_equal(add(&r, "a.jpg", 1, 7).id, id);
    assert_int_equal(regions_of(&r, "aaaa", id), 7);
    room_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_come_and_go_with_the_picture),
        cmocka_unit_test(copies_and_moves_take_them_along),
        cmocka_unit_test(filling_in_leaves_embeddings_and_index_alone),
        cmocka_unit_test(another_reranker_takes_over),
        cmocka_unit_test(verify_finds_what_is_wrong_and_puts_it_right),
        cmocka_unit_test(backups_hold_them),
        cmocka_unit_test(older_catalogues_are_brought_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
