/* Tests of pages in a library: found by themselves, one hit an image unless asked,
 * through every way to search; and they go, stay and move with their image. */
#include "tests/library_fixture.h"

#include "base/file.h"
#include "storage/catalog_db.h"
#include "storage/library_neighbours.h"
#include "storage/library_parts.h"

#include <math.h>

#define IMAGES 60
#define PAGES  5 /* of every third image, beside the first */

struct world {
    char           *dir;
    struct library *lib;
    int64_t         folder, model;
    int64_t         id[IMAGES];
};

static uint64_t seed_of(int image, int page)
{
    return (uint64_t)(1 + image * 100 + page);
}

/* Image i has PAGES more pages if i % 3 == 0. */
static int pages_of(int image)
{
    return image % 3 ? 1 : 1 + PAGES;
}

static int64_t add_scan(struct library *lib, int64_t model, int64_t folder, const char *path,
                        int image, int pages, uint64_t content)
{
    struct err          err = ERR_INIT;
    float               first[DIM], others[PAGES][DIM];
    int                 numbers[PAGES];
    struct library_item item = picture(folder, path, content, first);
    unit_vector(first, DIM, seed_of(image, 1));
    for (int p = 0; p + 1 < pages; p++) {
        numbers[p] = p + 2;
        unit_vector(others[p], DIM, seed_of(image, p + 2));
    }
    item.n_parts         = (size_t)(pages - 1);
    item.part_pages      = numbers;
    item.part_embeddings = others[0];
    assert_ok(library_add(lib, model, &item, 1, &err), &err);
    return item.id;
}

static int open_world(void **state)
{
    struct world *w   = calloc(1, sizeof *w);
    struct err    err = ERR_INIT;
    assert_non_null(w);
    w->dir = temporary_dir();
    assert_ok(library_open(w->dir, LIBRARY_CREATE, &w->lib, &err), &err);
    w->folder = add_folder(w->lib, "/pictures");
    w->model  = fill_model(w->lib, "aaaa", true);
    for (int i = 0; i < IMAGES; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "%s/%02d.tif", i % 2 ? "odd" : "even", i);
        w->id[i] = add_scan(w->lib, w->model, w->folder, path, i, pages_of(i), (uint64_t)i + 1);
    }
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    library_close(w->lib);
    remove_dir(w->dir);
    free(w);
    return 0;
}

/* The best page of an image for a query, and its score. */
static float best_page(int image, const float *query, int *page)
{
    float best = -2;
    for (int p = 1; p <= pages_of(image); p++) {
        float vector[DIM], score = 0;
        unit_vector(vector, DIM, seed_of(image, p));
        for (int i = 0; i < DIM; i++)
            score += vector[i] * query[i];
        if (score > best) {
            best  = score;
            *page = p;
        }
    }
    return best;
}

/* Every hit is its image's best page, in order, and as many come as there are. */
static void check_search(struct world *w, const struct library_filter *filter, bool even_only,
                         size_t k)
{
    for (uint64_t q = 0; q < 20; q++) {
        struct err          err = ERR_INIT;
        float               query[DIM];
        struct library_hit *hits;
        size_t              n;
        bool                seen[IMAGES] = {false};
        size_t              there        = even_only ? IMAGES / 2 : IMAGES;
        unit_vector(query, DIM, q % 2 ? seed_of((int)q * 3 % IMAGES, 3) : 77777 + q);
        assert_ok(library_search(w->lib, query, k, filter, &hits, &n, &err), &err);
        assert_int_equal(n, k < there ? k : there);
        float least = n ? hits[n - 1].score : 2;
        for (size_t i = 0; i < n; i++) {
            int image = 0, page = 0;
            while (image < IMAGES && w->id[image] != hits[i].id)
                image++;
            assert_true(image < IMAGES && !seen[image] && !(even_only && image % 2));
            seen[image] = true;
            assert_float_equal(hits[i].score, best_page(image, query, &page), 2e-3);
            assert_int_equal(hits[i].page, pages_of(image) > 1 ? page : 0);
            assert_true(i == 0 || hits[i].score <= hits[i - 1].score);
        }
        for (int image = 0; image < IMAGES; image += even_only ? 2 : 1) {
            int page;
            if (!seen[image])
                assert_true(best_page(image, query, &page) <= least + 2e-3f);
        }
        free(hits);
    }
}

static void each_image_once_with_its_best_page(void **state)
{
    struct world         *w     = *state;
    struct library_filter exact = {.exact = true};
    struct library_filter even  = {.folder_id = w->folder, .below = "even"};
    static const size_t   ks[]  = {1, 3, 10, 59, 60, 1000};
    for (size_t i = 0; i < sizeof ks / sizeof ks[0]; i++) {
        check_search(w, NULL, false, ks[i]);
        check_search(w, &exact, false, ks[i]);
        check_search(w, &even, true, ks[i]);
    }
    struct err err = ERR_INIT;
    /* the same from the index's file */
    assert_ok(library_index_maintain(w->lib, true, &err), &err);
    for (size_t i = 0; i < sizeof ks / sizeof ks[0]; i++) {
        check_search(w, NULL, false, ks[i]);
        check_search(w, &even, true, ks[i]);
    }
    assert_sound(w->lib);
}

static void every_page_if_asked(void **state)
{
    struct world         *w    = *state;
    struct library_filter all  = {.every_page = true};
    struct err            err  = ERR_INIT;
    struct library_hit   *hits = NULL;
    size_t                n    = 0;
    float                 query[DIM];
    unit_vector(query, DIM, seed_of(3, 4));
    assert_ok(library_search(w->lib, query, 1000, &all, &hits, &n, &err), &err);
    assert_int_equal(n, IMAGES + IMAGES / 3 * PAGES);
    assert_int_equal(hits[0].id, w->id[3]);
    assert_int_equal(hits[0].page, 4);
    float vector[DIM]; /* pages are no images */
    assert_int_equal(library_embedding_get(w->lib, LIBRARY_FIRST_PART, vector, &err), ERR_NOTFOUND);
    int of_third = 0;
    for (size_t i = 0; i < n; i++)
        of_third += hits[i].id == w->id[3];
    assert_int_equal(of_third, 1 + PAGES);
    free(hits);
    assert_ok(library_search(w->lib, query, 7, &all, &hits, &n, &err), &err);
    assert_int_equal(n, 7);
    free(hits);
}

/* The best hit of all for a page of an image, which may be none of the world's. */
static struct library_hit best_hit(struct world *w, int image, int page)
{
    struct err          err = ERR_INIT;
    struct library_hit *hits;
    size_t              n;
    float               query[DIM];
    unit_vector(query, DIM, seed_of(image, page));
    assert_ok(library_search(w->lib, query, 1, NULL, &hits, &n, &err), &err);
    assert_int_equal(n, 1);
    struct library_hit hit = hits[0];
    free(hits);
    return hit;
}

/* The page of id that comes first for a page of an image, 0: another. */
static int page_found(struct world *w, int image, int page, int64_t id)
{
    struct library_hit hit = best_hit(w, image, page);
    return hit.score > 0.99F && hit.id == id ? hit.page : 0;
}

static void pages_follow_their_file(void **state)
{
    struct world        *w   = *state;
    struct err           err = ERR_INIT;
    struct library_stats stats;
    assert_ok(library_stats(w->lib, &stats, &err), &err);
    assert_int_equal(stats.images, IMAGES);
    assert_int_equal(stats.parts, IMAGES / 3 * PAGES);
    assert_int_equal(page_found(w, 0, 4, w->id[0]), 4);

    /* Touched: the same content keeps its pages. Then it has fewer, then none. */
    add_scan(w->lib, w->model, w->folder, "even/00.tif", 0, 1 + PAGES, 1);
    assert_int_equal(page_found(w, 0, 4, w->id[0]), 4);
    add_scan(w->lib, w->model, w->folder, "even/00.tif", 0, 3, 5001);
    assert_int_equal(page_found(w, 0, 4, w->id[0]), 0);
    assert_int_equal(page_found(w, 0, 3, w->id[0]), 3);
    add_scan(w->lib, w->model, w->folder, "even/00.tif", 0, 1, 5002);
    assert_int_equal(page_found(w, 0, 3, w->id[0]), 0);
    assert_ok(library_stats(w->lib, &stats, &err), &err);
    assert_int_equal(stats.parts, (IMAGES / 3 - 1) * PAGES);
    assert_sound(w->lib);

    /* A copy has the pages, too, and when the original goes it takes its place. */
    float               unused[DIM];
    struct library_item copy = picture(w->folder, "even/copy.tif", 7, unused);
    copy.copy_of             = w->id[6];
    copy.embedding           = NULL;
    assert_ok(library_add(w->lib, w->model, &copy, 1, &err), &err);
    assert_int_equal(page_found(w, 6, 5, w->id[6]), 5);
    assert_ok(library_stats(w->lib, &stats, &err), &err);
    assert_int_equal(stats.parts, IMAGES / 3 * PAGES);
    assert_ok(library_move(w->lib, w->id[6], copy.id, &err), &err);
    assert_int_equal(page_found(w, 6, 5, w->id[6]), 5);
    assert_sound(w->lib);

    /* A file that is gone, one that is broken now, and a folder that is forgotten. */
    const char *gone[] = {"odd/09.tif"};
    assert_ok(library_remove(w->lib, w->folder, gone, 1, &err), &err);
    assert_int_equal(page_found(w, 9, 2, w->id[9]), 0);
    struct library_item broken = {
        .folder_id = w->folder, .path = "even/12.tif", .size = 1, .error = "truncated"};
    assert_ok(library_add(w->lib, w->model, &broken, 1, &err), &err);
    assert_int_equal(page_found(w, 12, 2, w->id[12]), 0);
    assert_sound(w->lib);
    int64_t removed = 0;
    assert_ok(library_forget(w->lib, "/pictures", &removed, &err), &err);
    assert_ok(library_stats(w->lib, &stats, &err), &err);
    assert_int_equal(stats.images, 0);
    assert_int_equal(stats.parts, 0);
    assert_sound(w->lib);
}

static void another_model_sees_the_pages_again(void **state)
{
    struct world *w      = *state;
    struct err    err    = ERR_INIT;
    int64_t       second = fill_model(w->lib, "bbbb", false);
    for (int i = 0; i < IMAGES; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "%s/%02d.tif", i % 2 ? "odd" : "even", i);
        int64_t id = add_scan(w->lib, second, w->folder, path, i, pages_of(i), (uint64_t)i + 1);
        assert_int_equal(id, w->id[i]);
    }
    assert_ok(library_model_activate(w->lib, second, &err), &err);
    check_search(w, NULL, false, 10);
    assert_sound(w->lib);
}

/* Changes the catalogue behind the library's back. */
static void tamper(struct world *w, const char *sql)
{
    struct err      err  = ERR_INIT;
    struct catalog *cat  = NULL;
    char           *file = path_join(w->dir, "catalog.db");
    assert_non_null(file);
    library_close(w->lib);
    w->lib = NULL;
    assert_ok(catalog_open(file, false, &cat, &err), &err);
    assert_ok(catalog_exec(cat, sql, &err), &err);
    catalog_close(cat);
    free(file);
    assert_ok(library_open(w->dir, LIBRARY_EXISTING, &w->lib, &err), &err);
}

#define SAID 4000 /* bytes */

static void note_said(void *said, const char *finding)
{
    size_t n = strlen(said);
    (void)snprintf((char *)said + n, SAID - n, "%s\n", finding);
}

/* After a repair the image of a page waits to be indexed, as a file that changed whose
 * content nothing has; then all is as it was. */
static void repair_knows_pages(void **state)
{
    static const struct {
        const char *sql, *said;
    } cases[] = {
        {"UPDATE embeddings SET vector = zeroblob(length(vector))"
         " WHERE (key & 0xffffffffff) = (SELECT min(id) FROM parts)",
         "the embedding of page 549755813888 is not normalised"},
        {"DELETE FROM embeddings WHERE (key & 0xffffffffff) ="
         " (SELECT id FROM parts WHERE image_id = 1 AND page = 2)",
         "page 2 of image 1 (even/00.tif) has no embedding"},
    };
    struct world *w = *state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct err err        = ERR_INIT;
        int64_t    damage     = 0, id;
        char       said[SAID] = "";
        tamper(w, cases[c].sql);
        assert_ok(library_verify(w->lib, false, note_said, said, &damage, &err), &err);
        assert_true(damage > 0);
        if (!strstr(said, cases[c].said))
            fail_msg("\"%s\" does not say \"%s\"", said, cases[c].said);
        assert_ok(library_verify(w->lib, true, NULL, NULL, &damage, &err), &err);
        assert_int_equal(damage, 0);
        assert_sound(w->lib);
        struct library_known *known;
        size_t                n;
        assert_ok(library_known_after(w->lib, w->folder, w->model, "even/00.tif", "", 1, &known, &n,
                                      &err),
                  &err);
        assert_int_equal(n, 1);
        assert_true(known[0].mtime_ns < 0);
        assert_false(known[0].embedded);
        library_known_free(known, n);
        float               none[DIM];
        struct library_item same = picture(w->folder, "", 1, none);
        assert_int_equal(library_find_content(w->lib, w->model, same.hash, same.size, &id, &err),
                         ERR_NOTFOUND);
        assert_int_equal(add_scan(w->lib, w->model, w->folder, "even/00.tif", 0, 1 + PAGES, 1),
                         w->id[0]);
        assert_int_equal(page_found(w, 0, 2, w->id[0]), 2);
        check_search(w, NULL, false, 10);
        assert_sound(w->lib);
    }
}

static void odd_pages_are_refused(void **state)
{
    struct world       *w   = *state;
    struct err          err = ERR_INIT;
    float               first[DIM], others[2 * DIM] = {0};
    int                 numbers[2] = {2, 2};
    struct library_item item       = picture(w->folder, "even/new.tif", 900, first);
    item.n_parts                   = 2;
    item.part_pages                = numbers;
    item.part_embeddings           = others;
    assert_int_equal(library_add(w->lib, w->model, &item, 1, &err), ERR_USAGE);
    unit_vector(others, DIM, 1);
    unit_vector(others + DIM, DIM, 2);
    assert_int_equal(library_add(w->lib, w->model, &item, 1, &err), ERR_USAGE); /* twice 2 */
    numbers[1] = 9;
    assert_ok(library_add(w->lib, w->model, &item, 1, &err), &err);
    /* Pages 3 to 8 could not be read: the file has them. */
    struct library_part *parts = NULL;
    struct library_image image;
    size_t               n = 0;
    assert_ok(library_parts_get(w->lib, item.id, &parts, &n, &err), &err);
    assert_int_equal(n, 3);
    assert_int_equal(parts[2].page, 9);
    free(parts);
    assert_ok(library_image_get(w->lib, item.id, &image, &err), &err);
    assert_int_equal(image.pages, 9);
    library_image_release(&image);
    others[DIM] = NAN;
    assert_int_equal(library_add(w->lib, w->model, &item, 1, &err), ERR_USAGE);
}

/* Images of no pages, near a seed's vector, in one batch. */
static void add_images(struct world *w, int first, int n, const uint64_t *like, int64_t *ids)
{
    struct err           err   = ERR_INIT;
    struct library_item *items = calloc((size_t)n, sizeof *items);
    float(*vectors)[DIM]       = calloc((size_t)n, sizeof *vectors);
    char(*paths)[32]           = calloc((size_t)n, sizeof *paths);
    assert_true(items && vectors && paths);
    for (int i = 0; i < n; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "more/%05d.jpg", first + i);
        items[i] = picture(w->folder, paths[i], (uint64_t)(100000 + first + i), vectors[i]);
        unit_vector(vectors[i], DIM, like ? like[i] : (uint64_t)(200000 + first + i));
    }
    assert_ok(library_add(w->lib, w->model, items, (size_t)n, &err), &err);
    for (int i = 0; i < n; i++)
        ids[i] = items[i].id;
    free(items);
    free(vectors);
    free(paths);
}

static bool are_neighbours(struct world *w, const int64_t *ids, size_t n, int64_t a, int64_t b)
{
    struct err           err   = ERR_INIT;
    struct library_pair *pairs = NULL;
    size_t               n_pairs;
    bool                 found = false;
    assert_ok(library_neighbours(w->lib, ids, n, 3, &pairs, &n_pairs, NULL, NULL, &err), &err);
    for (size_t i = 0; i < n_pairs; i++) {
        int64_t x = ids[pairs[i].a], y = ids[pairs[i].b];
        found |= (x == a && y == b) || (x == b && y == a);
    }
    free(pairs);
    return found;
}

/* Near seed 4242's vector, to one side of it. */
static void lean(float *v, int side)
{
    double sum = 0;
    unit_vector(v, DIM, 4242);
    v[side] += 0.2F;
    for (int i = 0; i < DIM; i++)
        sum += (double)v[i] * (double)v[i];
    for (int i = 0; i < DIM; i++)
        v[i] = (float)((double)v[i] / sqrt(sum));
}

/* A scan and a copy of its first page, to both of which its other pages are nearer than
 * they are to one another: neither those nor pictures that nobody asked about keep the
 * two from being neighbours. */
static void pages_crowd_no_neighbours_out(void **state)
{
    enum { MANY = 4200, CROWD = 60 };
    struct world       *w   = *state;
    struct err          err = ERR_INIT;
    float               first[DIM], *others = calloc(CROWD * DIM, sizeof *others);
    int                 numbers[CROWD];
    int64_t            *ids  = calloc(MANY + IMAGES + 1, sizeof *ids), copy, crowd[CROWD];
    struct library_item scan = picture(w->folder, "scan.tif", 900, first);
    uint64_t            like[CROWD];
    assert_true(ids && others);
    for (int i = 0; i < CROWD; i++) {
        like[i]    = 4242;
        numbers[i] = i + 2;
        unit_vector(others + (size_t)i * DIM, DIM, 4242);
    }
    lean(first, 0);
    scan.n_parts         = CROWD;
    scan.part_pages      = numbers;
    scan.part_embeddings = others;
    for (int i = 0; i < IMAGES; i++)
        ids[i] = w->id[i];
    add_images(w, 0, MANY, NULL, ids + IMAGES);
    float               near[DIM];
    struct library_item item = picture(w->folder, "zcopy.jpg", 901, near);
    lean(near, DIM - 1);
    assert_ok(library_add(w->lib, w->model, &item, 1, &err), &err);
    copy = ids[MANY + IMAGES] = item.id;
    assert_ok(library_add(w->lib, w->model, &scan, 1, &err), &err);
    assert_ok(library_index_maintain(w->lib, true, &err), &err);

    int64_t *all = calloc(MANY + IMAGES + 2, sizeof *all), two[2] = {copy, scan.id};
    assert_non_null(all);
    memcpy(all, ids, (MANY + IMAGES + 1) * sizeof *ids);
    all[MANY + IMAGES + 1] = scan.id;
    assert_true(are_neighbours(w, all, MANY + IMAGES + 2, copy, scan.id));
    assert_true(are_neighbours(w, two, 2, copy, scan.id));

    add_images(w, MANY, CROWD, like, crowd); /* others as near, which are not asked about */
    assert_true(are_neighbours(w, all, MANY + IMAGES + 2, copy, scan.id));
    assert_true(are_neighbours(w, two, 2, copy, scan.id));
    free(all);
    free(ids);
    free(others);
}

/* The same, which is that page. */
static struct library_hit hit_of(struct world *w, int image, int page)
{
    struct library_hit hit = best_hit(w, image, page);
    assert_true(hit.score > 0.99F);
    return hit;
}

/* 1: the image is shown by it, 0: it is another part of it, or an error. */
static int find_part(struct world *w, int64_t id, int page, int32_t time_ms)
{
    struct err err   = ERR_INIT;
    bool       first = false;
    int        rc    = library_part_find(w->lib, id, page, time_ms, &first, &err);
    return rc ? rc : first;
}

/* An image's parts are these pages of it, or frames at these times. */
static void check_parts(struct world *w, int64_t id, size_t n, const int32_t *times)
{
    struct err           err   = ERR_INIT;
    struct library_part *parts = NULL;
    struct library_image image;
    size_t               found = 0;
    assert_ok(library_parts_get(w->lib, id, &parts, &found, &err), &err);
    assert_int_equal(found, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(parts[i].page, i + 1);
        assert_int_equal(parts[i].time_ms, times ? times[i] : -1);
    }
    free(parts);
    assert_ok(library_image_get(w->lib, id, &image, &err), &err);
    assert_int_equal(image.pages, n);
    library_image_release(&image);
}

static void an_image_comes_whole(void **state)
{
    struct world        *w   = *state;
    struct err           err = ERR_INIT;
    struct library_whole whole;
    float                wanted[DIM];
    for (int image = 3; image <= 4; image++) {
        assert_ok(library_whole_get(w->lib, w->id[image], &whole, &err), &err);
        assert_int_equal(whole.image.id, w->id[image]);
        assert_int_equal(whole.n, pages_of(image));
        assert_int_equal(whole.dim, DIM);
        assert_null(whole.times);
        for (int page = 1; page <= pages_of(image); page++) {
            assert_int_equal(whole.pages[page - 1], page);
            unit_vector(wanted, DIM, seed_of(image, page));
            for (int i = 0; i < DIM; i++)
                assert_float_equal(whole.embeddings[(page - 1) * DIM + i], wanted[i], 1e-3);
        }
        library_whole_release(&whole);
        check_parts(w, w->id[image], (size_t)pages_of(image), NULL);
    }
    struct library_part *none   = NULL;
    size_t               no_one = 1;
    assert_int_equal(library_parts_get(w->lib, 999, &none, &no_one, &err), ERR_NOTFOUND);
    assert_true(!none && no_one == 0);
    err = (struct err)ERR_INIT;
    assert_int_equal(find_part(w, w->id[3], 1, CATALOG_NO_TIME), 1);
    assert_int_equal(find_part(w, w->id[3], 1 + PAGES, CATALOG_NO_TIME), 0);
    assert_int_equal(find_part(w, w->id[3], 2 + PAGES, CATALOG_NO_TIME), ERR_NOTFOUND);
    assert_int_equal(find_part(w, w->id[3], 1, 0), ERR_NOTFOUND);
    assert_int_equal(find_part(w, w->id[4], 2, CATALOG_NO_TIME), ERR_NOTFOUND);
    assert_int_equal(library_whole_get(w->lib, 999, &whole, &err), ERR_NOTFOUND);
    err = (struct err)ERR_INIT;
    assert_int_equal(library_whole_get(w->lib, LIBRARY_FIRST_PART, &whole, &err), ERR_NOTFOUND);
    /* A page without its embedding: then it is not whole. */
    err = (struct err)ERR_INIT;
    tamper(w, "DELETE FROM embeddings WHERE (key & 0xffffffffff) ="
              " (SELECT max(id) FROM parts WHERE image_id = 7)");
    assert_int_equal(w->id[6], 7);
    assert_int_equal(library_whole_get(w->lib, w->id[6], &whole, &err), ERR_NOTFOUND);
}

static void frames_have_times(void **state)
{
    static const int32_t begins = 400, times[] = {2500, 70000};
    static const int     frames[] = {2, 3};
    struct world        *w        = *state;
    struct err           err      = ERR_INIT;
    float                first[DIM], others[2][DIM], unused[DIM];
    struct library_item  film = picture(w->folder, "even/film.mp4", 500, first);
    unit_vector(first, DIM, seed_of(500, 1));
    unit_vector(others[0], DIM, seed_of(500, 2));
    unit_vector(others[1], DIM, seed_of(500, 3));
    film.time_ms         = &begins;
    film.n_parts         = 2;
    film.part_pages      = frames;
    film.part_times      = times;
    film.part_embeddings = others[0];
    assert_ok(library_add(w->lib, w->model, &film, 1, &err), &err);
    for (int frame = 1; frame <= 3; frame++) {
        struct library_hit hit = hit_of(w, 500, frame);
        assert_int_equal(hit.id, film.id);
        assert_true(hit.timed);
        assert_int_equal(hit.time_ms, frame == 1 ? begins : times[frame - 2]);
        assert_int_equal(hit.page, 0);
    }
    assert_false(hit_of(w, 3, 2).timed);
    assert_int_equal(hit_of(w, 3, 2).page, 2);
    struct library_whole whole;
    assert_ok(library_whole_get(w->lib, film.id, &whole, &err), &err);
    assert_int_equal(whole.n, 3);
    for (int frame = 1; frame <= 3; frame++)
        assert_int_equal(whole.times[frame - 1], frame == 1 ? begins : times[frame - 2]);
    library_whole_release(&whole);
    assert_int_equal(find_part(w, film.id, 0, begins), 1);
    assert_int_equal(find_part(w, film.id, 0, times[1]), 0);
    assert_int_equal(find_part(w, film.id, 0, times[1] + 1), ERR_NOTFOUND);
    assert_int_equal(find_part(w, film.id, 2, CATALOG_NO_TIME), ERR_NOTFOUND);
    const int32_t all[] = {begins, times[0], times[1]};
    check_parts(w, film.id, 3, all);
    /* A copy has them, too, when the original is gone. */
    struct library_item copy = picture(w->folder, "even/copy.mp4", 500, unused);
    copy.embedding           = NULL;
    copy.copy_of             = film.id;
    assert_ok(library_add(w->lib, w->model, &copy, 1, &err), &err);
    const char *gone[] = {"even/film.mp4"};
    assert_ok(library_remove(w->lib, w->folder, gone, 1, &err), &err);
    assert_int_equal(hit_of(w, 500, 1).id, copy.id);
    assert_int_equal(hit_of(w, 500, 1).time_ms, begins);
    assert_int_equal(hit_of(w, 500, 3).time_ms, times[1]);
    /* One frame alone; then there is a picture in its place. */
    struct library_item one = picture(w->folder, "even/copy.mp4", 501, first);
    one.time_ms             = &begins;
    unit_vector(first, DIM, seed_of(500, 1));
    assert_ok(library_add(w->lib, w->model, &one, 1, &err), &err);
    assert_true(hit_of(w, 500, 1).timed);
    check_parts(w, one.id, 1, all);
    one = picture(w->folder, "even/copy.mp4", 502, first);
    unit_vector(first, DIM, seed_of(500, 1));
    assert_ok(library_add(w->lib, w->model, &one, 1, &err), &err);
    assert_false(hit_of(w, 500, 1).timed);
    assert_sound(w->lib);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_image_once_with_its_best_page, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(every_page_if_asked, open_world, close_world),
        cmocka_unit_test_setup_teardown(pages_follow_their_file, open_world, close_world),
        cmocka_unit_test_setup_teardown(another_model_sees_the_pages_again, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(repair_knows_pages, open_world, close_world),
        cmocka_unit_test_setup_teardown(an_image_comes_whole, open_world, close_world),
        cmocka_unit_test_setup_teardown(frames_have_times, open_world, close_world),
        cmocka_unit_test_setup_teardown(odd_pages_are_refused, open_world, close_world),
        cmocka_unit_test_setup_teardown(pages_crowd_no_neighbours_out, open_world, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
