/* Unit tests of filters and listings: against the same questions asked of the
 * pictures in memory, in searches and in pages. And a JPEG made and read again. */
#include "catalog_fixture.h"
#include "image/encode_jpeg.h"
#include "image/formats.h"
#include "picture.h"
#include "storage/library_impl.h"

#include <ctype.h>

enum { N = 400 };

struct shelf {
    struct room         room;
    int64_t             folders[2];
    struct library_item items[N];
    float               embeddings[N][DIM];
    char                paths[N][64];
};

static const char *const cameras[] = {"", "Osprey Talon", "osprey wing", "Kestrel 100% %_x"};
static const char *const kinds[]   = {"JPEG", "PNG"};

static struct shelf *open_shelf(void)
{
    struct err    err = ERR_INIT;
    struct shelf *s   = calloc(1, sizeof *s);
    assert_non_null(s);
    s->room       = room_open("/a");
    s->folders[0] = s->room.folder;
    s->folders[1] = add_folder(s->room.lib, "/b");
    for (int i = 0; i < N; i++) {
        struct library_item *item = &s->items[i];
        snprintf(s->paths[i], sizeof s->paths[i], "d%d/Pic_%d%%.jpg", i % 5, i);
        *item          = picture(s->folders[i % 2], s->paths[i], (uint64_t)i + 1, s->embeddings[i]);
        item->taken_at = i % 3 == 0 ? 0 : 1000000 + i % 50 * 1000;
        item->camera   = cameras[i % 4];
        item->colour   = i % 5 ? 0x1000000u + (uint32_t)i : 0;
        item->kind     = kinds[i % 7 == 0];
        item->width    = 100 + i % 3 * 50;
        item->height   = 100 + i % 2 * 50;
        item->size     = 1000 + i;
    }
    assert_ok(library_add(s->room.lib, s->room.model, s->items, N, &err), &err);
    return s;
}

static void close_shelf(struct shelf *s)
{
    library_close(s->room.lib);
    remove_dir(s->room.dir);
    free(s);
}

static bool has(const char *text, const char *part)
{
    return strcasestr(text, part) != NULL;
}

static bool allowed(const struct library_filter *f, const struct library_item *item)
{
    if (f->folder_id && item->folder_id != f->folder_id)
        return false;
    if (f->below && (strncmp(item->path, f->below, strlen(f->below)) != 0 ||
                     item->path[strlen(f->below)] != '/'))
        return false;
    if ((f->name && !has(item->path, f->name)) || (f->camera && !has(item->camera, f->camera)) ||
        (f->kinds && !format_is_among(item->kind, f->kinds)))
        return false;
    if (f->has_taken &&
        (item->taken_at == 0 || item->taken_at < f->taken_from || item->taken_at > f->taken_to))
        return false;
    if (item->size < f->min_size || (f->max_size && item->size > f->max_size) ||
        item->width < f->min_width || item->height < f->min_height)
        return false;
    return f->shape == LIBRARY_ANY_SHAPE ||
           (f->shape == LIBRARY_LANDSCAPE  ? item->width > item->height
            : f->shape == LIBRARY_PORTRAIT ? item->width < item->height
                                           : item->width == item->height);
}

static float dot(const float *a, const float *b)
{
    float sum = 0;
    for (int i = 0; i < DIM; i++)
        sum += a[i] * b[i];
    return sum;
}

static void check_filter(struct shelf *s, const struct library_filter *f)
{
    struct err            err = ERR_INIT;
    float                 query[DIM];
    struct library_hit   *hits     = NULL;
    struct library_image *images   = NULL;
    size_t                n        = 0;
    int64_t               expected = 0, count = -1;
    bool                  found[N] = {false};
    unit_vector(query, DIM, 77);
    for (int i = 0; i < N; i++)
        expected += allowed(f, &s->items[i]);
    assert_ok(library_search(s->room.lib, query, N, f, &hits, &n, &err), &err);
    assert_int_equal(n, expected);
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < N; k++) {
            if (s->items[k].id != hits[i].id)
                continue;
            assert_true(allowed(f, &s->items[k]));
            assert_float_equal(hits[i].score, dot(query, s->embeddings[k]), 2e-3);
            assert_false(found[k]);
            found[k] = true;
        }
        assert_true(i == 0 || hits[i - 1].score >= hits[i].score);
    }
    struct library_hit *first = NULL;
    size_t              few   = 0;
    assert_ok(library_search(s->room.lib, query, 3, f, &first, &few, &err), &err);
    assert_int_equal(few, n < 3 ? n : 3);
    for (size_t i = 0; i < few; i++)
        assert_int_equal(first[i].id, hits[i].id);
    free(first);
    free(hits);
    assert_ok(library_count(s->room.lib, f, &count, &err), &err);
    assert_int_equal(count, expected);
    assert_ok(library_list(s->room.lib, f, LIBRARY_BY_DATE, NULL, N, &images, &n, &err), &err);
    assert_int_equal(n, expected);
    for (size_t i = 0; i < n; i++)
        library_image_release(&images[i]);
    free(images);
}

static void filters_allow_what_they_say(void **state)
{
    (void)state;
    struct shelf *s   = open_shelf();
    struct err    err = ERR_INIT;
    for (int round = 0; round < 2; round++) {
        const struct library_filter filters[] = {
            {.folder_id = s->folders[0]},
            {.folder_id = s->folders[1], .below = "d3"},
            {.below = "d2"},
            {.below = "d"},
            {.folder_id = 99},
            {.name = "PIC_1"},
            {.name = "%"},
            {.name = "_7%"},
            {.name = "none"},
            {.camera = "OSPREY"},
            {.camera = "100% %_"},
            {.kinds = 1u << IMAGE_PNG},
            {.kinds = 1u << IMAGE_WEBM},
            {.has_taken = true, .taken_from = 1010000, .taken_to = 1020000},
            {.has_taken = true, .taken_from = INT64_MIN, .taken_to = INT64_MAX},
            {.has_taken = true, .taken_from = 5, .taken_to = 4},
            {.min_size = 1100, .max_size = 1200},
            {.max_size = 1000},
            {.min_width = 150, .min_height = 150},
            {.shape = LIBRARY_LANDSCAPE},
            {.shape = LIBRARY_PORTRAIT},
            {.shape     = LIBRARY_SQUARE,
             .kinds     = 1u << IMAGE_JPEG,
             .folder_id = s->folders[0],
             .below     = "d4"},
            {.name = ""},
        };
        for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
            check_filter(s, &filters[i]);
        /* the second time with a base and nothing beside it */
        assert_ok(library_index_maintain(s->room.lib, true, &err), &err);
    }
    close_shelf(s);
}

/* All that the filter allows, in pages of 13; how many they were. */
static size_t turn_pages(struct shelf *s, const struct library_filter *filter,
                         enum library_order order)
{
    struct err            err    = ERR_INIT;
    struct library_cursor cursor = {.id = 0};
    size_t                seen   = 0, n;
    do {
        struct library_image *images = NULL;
        assert_ok(library_list(s->room.lib, filter, order, &cursor, 13, &images, &n, &err), &err);
        for (size_t i = 0; i < n; i++) {
            const struct library_image *im = &images[i];
            if (filter)
                assert_true(format_is_among(im->kind, filter->kinds));
            if (cursor.id && order == LIBRARY_BY_DATE)
                assert_true(im->taken_at < cursor.taken_at ||
                            (im->taken_at == cursor.taken_at && im->id < cursor.id));
            else if (cursor.id)
                assert_true(im->id < cursor.id);
            cursor = (struct library_cursor){im->taken_at, im->id};
            library_image_release(&images[i]);
        }
        free(images);
        seen += n;
    } while (n == 13);
    return seen;
}

static void pages_follow_one_another(void **state)
{
    (void)state;
    struct shelf               *s        = open_shelf();
    const struct library_filter filter   = {.kinds = 1u << IMAGE_JPEG};
    const enum library_order    orders[] = {LIBRARY_BY_DATE, LIBRARY_BY_ID};
    for (int o = 0; o < 2; o++) {
        assert_int_equal(turn_pages(s, &filter, orders[o]), N - (N + 6) / 7);
        assert_int_equal(turn_pages(s, NULL, orders[o]), N);
    }
    close_shelf(s);
}

static void assert_colour(struct library *lib, int64_t id, uint32_t colour)
{
    struct library_image image;
    struct err           err = ERR_INIT;
    assert_ok(library_image_get(lib, id, &image, &err), &err);
    assert_int_equal(image.colour, colour);
    library_image_release(&image);
}

/* Each its own, a copy that of what it is a copy of, and one that changed its new one. */
static void colours_are_kept(void **state)
{
    (void)state;
    struct shelf *s   = open_shelf();
    struct err    err = ERR_INIT;
    for (int i = 0; i < N; i++)
        assert_colour(s->room.lib, s->items[i].id, s->items[i].colour);
    struct library_item  items[] = {s->items[1], s->items[2], s->items[3]};
    struct library_model model;
    items[0].path      = "copy.jpg";
    items[0].copy_of   = s->items[1].id; /* the copy of one */
    items[1].copy_of   = s->items[2].id; /* touched alone */
    items[2].colour    = 0x1abcdef;      /* changed */
    items[0].embedding = items[1].embedding = NULL;
    items[0].colour = items[1].colour = 0;
    items[2].hash[0] ^= 1;
    assert_ok(library_model_active(s->room.lib, &model, &err), &err);
    assert_ok(library_add(s->room.lib, model.id, items, 3, &err), &err);
    assert_int_not_equal(items[0].id, s->items[1].id);
    assert_colour(s->room.lib, items[0].id, s->items[1].colour);
    assert_colour(s->room.lib, s->items[2].id, s->items[2].colour);
    assert_colour(s->room.lib, s->items[3].id, 0x1abcdef);
    close_shelf(s);
}

/* A reader that keeps its index still sees everything. */
static void a_kept_index_catches_up(void **state)
{
    (void)state;
    struct shelf        *s   = open_shelf();
    struct err           err = ERR_INIT;
    struct library      *reader;
    struct library_hit  *hits = NULL;
    struct library_model model;
    size_t               n = 0;
    float                query[DIM];
    unit_vector(query, DIM, 5);
    assert_ok(library_index_maintain(s->room.lib, true, &err), &err);
    assert_ok(library_open(s->room.dir, LIBRARY_EXISTING, &reader, &err), &err);
    library_keep_index(reader, true);
    assert_ok(library_catch_up(reader, &err), &err);
    reader->tuning.delta_min  = 4;
    struct vindex *first_base = reader->base;
    assert_non_null(first_base);
    assert_ok(library_model_active(s->room.lib, &model, &err), &err);
    for (uint64_t i = 0; i < 100; i++) {
        char path[32];
        snprintf(path, sizeof path, "new/%d", (int)i);
        add_one(s->room.lib, model.id, s->folders[0], path, 9000 + i);
    }
    assert_ok(library_index_maintain(s->room.lib, true, &err), &err);
    assert_ok(library_search(reader, query, 1000, NULL, &hits, &n, &err), &err);
    assert_int_equal(n, N + 100);
    free(hits);
    assert_ptr_equal(reader->base, first_base);
    assert_int_equal(reader->delta.live, 100);
    library_keep_index(reader, false);
    assert_ok(library_catch_up(reader, &err), &err);
    assert_int_equal(reader->delta.live, 0);
    assert_int_equal(vindex_info(reader->base)->count, N + 100);
    library_close(reader);
    close_shelf(s);
}

static void a_jpeg_is_what_went_in(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {7, 3}, {64, 64}, {333, 17}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct err        err  = ERR_INIT;
        struct image      back = {0}, img = picture_new(sizes[i][0], sizes[i][1], 0);
        struct image_info info;
        uint8_t          *bytes = NULL;
        size_t            n     = 0;
        double            sum   = 0;
        for (int y = 0; y < img.height; y++) /* smooth, so that little is lost */
            for (int x = 0; x < img.width * 3; x++)
                img.data[(size_t)y * (size_t)img.width * 3 + (size_t)x] =
                    (uint8_t)(40 + x / 3 * 100 / img.width + y * 80 / img.height);
        assert_ok(image_encode_jpeg(&img, 90, &bytes, &n, &err), &err);
        assert_ok(image_decode(bytes, n, 0, NULL, &back, &info, &err), &err);
        assert_int_equal(info.kind, IMAGE_JPEG);
        assert_int_equal(back.width, img.width);
        assert_int_equal(back.height, img.height);
        size_t values = (size_t)img.width * (size_t)img.height * 3;
        for (size_t k = 0; k < values; k++)
            sum += ((double)img.data[k] - back.data[k]) * ((double)img.data[k] - back.data[k]);
        assert_true(sum / (double)values < 4);
        free(bytes);
        image_free(&back);
        image_free(&img);
    }
    struct image empty = {.width = 70000, .height = 1};
    uint8_t     *bytes = NULL;
    size_t       n     = 0;
    assert_int_equal(image_encode_jpeg(&empty, 90, &bytes, &n, NULL), ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_allow_what_they_say),
        cmocka_unit_test(pages_follow_one_another),
        cmocka_unit_test(colours_are_kept),
        cmocka_unit_test(a_kept_index_catches_up),
        cmocka_unit_test(a_jpeg_is_what_went_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
