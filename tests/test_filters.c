/* Unit tests of filters at 21,000 generated images: every kind alone and every two
 * together, against plain C over the rows as they are in the catalogue. So many, that
 * some filters are broad and go through the index, and others are looked up one by one.
 */
#include "image/formats.h"
#include "library_fixture.h"
#include "storage/catalog_db.h"
#include "storage/library_impl.h"
#include "storage/library_tags.h"

#include <ctype.h>
#include <math.h>

enum { N = 21000, BATCH = 500, MOST = 6 };

/* A row as it was fetched. */
struct row {
    int64_t     id, folder_id, size, taken_at;
    int         width, height, rating;
    double      latitude, longitude; /* NAN: nowhere */
    char        path[64], kind[16], camera[40], lens[40];
    const char *tags[MOST];
    size_t      n_tags;
    char        captions[120]; /* all, in one */
};

struct shelf {
    char           *dir;
    struct library *lib;
    int64_t         folders[3];
    struct row     *rows; /* (N), by id */
    float (*embeddings)[DIM];
};

static struct shelf shelf;

static const char *const cameras[]  = {"", "Osprey Talon", "osprey wing", "Kestrel 100% %_x"};
static const char *const kinds[]    = {"JPEG", "PNG", "TIFF"};
static const char *const tags[]     = {"animal|dog",  "Animal|Cat", "animal",  "plant|tree|oak",
                                       "\xc3\x96l",   "dogma",      "place|x", "holiday|animal|dog",
                                       "rare|needle", "a%b_c",      "plant"};
static const char *const captions[] = {
    "A dog runs on the beach",         "Two cats sleep in the sun",
    "the Beach at night, very quiet",  "Caf\xc3\xa9 in Z\xc3\xbcrich",
    "x-ray of a dog's paw \"quoted\"", "nothing to see"};

static uint64_t draw(uint64_t i, uint64_t what)
{
    uint64_t s = i * 1000003 + what;
    return splitmix_next(&s);
}

/* ---- Filling ---- */

static void add_images(int64_t model)
{
    struct err          err = ERR_INIT;
    struct library_item items[BATCH];
    static char         paths[BATCH][64];
    for (uint64_t i = 0; i < N; i += BATCH) {
        for (uint64_t j = 0; j < BATCH; j++) {
            uint64_t at = i + j;
            snprintf(paths[j], sizeof paths[j], "d%llu/s%llu/Pic_%llu%%.jpg",
                     (unsigned long long)(at % 7), (unsigned long long)(at % 3),
                     (unsigned long long)at);
            items[j] = picture(shelf.folders[at % 3], paths[j], at + 1, shelf.embeddings[at]);
            items[j].taken_at = draw(at, 1) % 5 == 0 ? 0 : (int64_t)(draw(at, 2) % 900000000);
            items[j].camera   = cameras[draw(at, 3) % 4];
            items[j].kind     = kinds[draw(at, 4) % 30 == 0 ? 2 : draw(at, 4) % 2];
            items[j].width    = 100 + (int)(draw(at, 5) % 4) * 50;
            items[j].height   = 100 + (int)(draw(at, 6) % 4) * 50;
            items[j].size     = 1000 + (int64_t)(draw(at, 7) % 5000);
        }
        assert_ok(library_add(shelf.lib, model, items, BATCH, &err), &err);
    }
}

static void say(int64_t id, uint64_t at)
{
    struct err          err = ERR_INIT;
    struct library_said said[3];
    for (int source = 0; source < LIBRARY_SOURCES; source++) {
        struct library_saying saying = {.image_id = id, .said = said};
        for (uint64_t t = 0; t < 2; t++) {
            uint64_t    r   = draw(at, 20 + (uint64_t)source * 2 + t);
            const char *tag = r % 3000 < 3 ? tags[8 + r % 3000] : tags[r % 8];
            if (r % 5 < 2 && (saying.n == 0 || strcmp(said[0].text, tag) != 0))
                said[saying.n++] = (struct library_said){.text = strdup(tag), .score = 0.5};
        }
        if (saying.n)
            assert_ok(library_tags_replace(shelf.lib, (enum library_source)source, &saying, 1, NULL,
                                           &err),
                      &err);
        for (size_t t = 0; t < saying.n; t++)
            free(said[t].text);
    }
    for (uint64_t c = 0; c < 2; c++) {
        uint64_t              r      = draw(at, 40 + c);
        struct library_said   one    = {.text = strdup(captions[r % 6]), .score = 0.5};
        struct library_saying saying = {.image_id = id, .said = &one, .n = 1};
        if (r % 4 == 0)
            assert_ok(library_captions_replace(shelf.lib, c ? LIBRARY_USER : LIBRARY_PICTURE,
                                               &saying, 1, NULL, &err),
                      &err);
        free(one.text);
    }
}

static void sql(const char *text)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(shelf.lib->catalog_path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 10000);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(db));
    sqlite3_close(db);
}

/* ---- Fetching ---- */

static struct row *row_of(int64_t id)
{
    size_t low = 0, high = N;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (shelf.rows[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    assert_true(low < N && shelf.rows[low].id == id);
    return &shelf.rows[low];
}

static sqlite3_stmt *ask(sqlite3 *db, const char *text)
{
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &stmt, NULL), SQLITE_OK);
    return stmt;
}

static double place(sqlite3_stmt *stmt, int column)
{
    return sqlite3_column_type(stmt, column) == SQLITE_NULL ? (double)NAN
                                                            : sqlite3_column_double(stmt, column);
}

static void fetch(void)
{
    sqlite3      *db;
    sqlite3_stmt *stmt;
    size_t        n = 0;
    assert_int_equal(sqlite3_open(shelf.lib->catalog_path, &db), SQLITE_OK);
    stmt = ask(db, "SELECT id, folder_id, size, taken_at, width, height, rating, latitude,"
                   " longitude, CAST(path AS TEXT), kind, camera, lens FROM images ORDER BY id");
    for (; sqlite3_step(stmt) == SQLITE_ROW; n++) {
        struct row *r = &shelf.rows[n];
        assert_true(n < N);
        *r = (struct row){.id        = sqlite3_column_int64(stmt, 0),
                          .folder_id = sqlite3_column_int64(stmt, 1),
                          .size      = sqlite3_column_int64(stmt, 2),
                          .taken_at  = sqlite3_column_int64(stmt, 3),
                          .width     = sqlite3_column_int(stmt, 4),
                          .height    = sqlite3_column_int(stmt, 5),
                          .rating    = sqlite3_column_int(stmt, 6),
                          .latitude  = place(stmt, 7),
                          .longitude = place(stmt, 8)};
        snprintf(r->path, sizeof r->path, "%s", (const char *)sqlite3_column_text(stmt, 9));
        snprintf(r->kind, sizeof r->kind, "%s", (const char *)sqlite3_column_text(stmt, 10));
        snprintf(r->camera, sizeof r->camera, "%s", (const char *)sqlite3_column_text(stmt, 11));
        snprintf(r->lens, sizeof r->lens, "%s", (const char *)sqlite3_column_text(stmt, 12));
    }
    sqlite3_finalize(stmt);
    assert_int_equal(n, N);
    stmt = ask(db, "SELECT image_id, tag FROM tags");
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        struct row *r = row_of(sqlite3_column_int64(stmt, 0));
        assert_true(r->n_tags < MOST);
        for (size_t t = 0; t < sizeof tags / sizeof *tags; t++)
            if (strcmp(tags[t], (const char *)sqlite3_column_text(stmt, 1)) == 0)
                r->tags[r->n_tags++] = tags[t];
    }
    sqlite3_finalize(stmt);
    stmt = ask(db, "SELECT image_id, text FROM captions");
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        struct row *r  = row_of(sqlite3_column_int64(stmt, 0));
        size_t      at = strlen(r->captions);
        snprintf(r->captions + at, sizeof r->captions - at, " %s ",
                 (const char *)sqlite3_column_text(stmt, 1));
    }
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

static int set_up(void **state)
{
    (void)state;
    struct err err   = ERR_INIT;
    shelf.dir        = temporary_dir();
    shelf.rows       = calloc(N, sizeof *shelf.rows);
    shelf.embeddings = calloc(N, sizeof *shelf.embeddings);
    assert_true(shelf.rows && shelf.embeddings);
    assert_ok(library_open(shelf.dir, LIBRARY_CREATE, &shelf.lib, &err), &err);
    int64_t model    = fill_model(shelf.lib, "h1", true);
    shelf.folders[0] = add_folder(shelf.lib, "/a");
    shelf.folders[1] = add_folder(shelf.lib, "/b");
    shelf.folders[2] = add_folder(shelf.lib, "/c d");
    add_images(model);
    sql("PRAGMA synchronous = OFF;"
        "UPDATE images SET lens = CASE id % 4 WHEN 1 THEN '50mm F1.8' WHEN 2 THEN '24-70mm F4'"
        " WHEN 3 THEN 'Macro 50MM' ELSE '' END, rating = (id * 7919 % 13) % 7 - 1;"
        "UPDATE images SET latitude = (id * 104729 % 1800) / 10.0 - 90,"
        " longitude = (id * 1299709 % 3600) / 10.0 - 180 WHERE id % 3 <> 0;");
    for (uint64_t i = 0; i < N; i += 3) /* a third, of which each is a transaction */
        say((int64_t)i + 1, i);
    fetch();
    assert_ok(library_index_maintain(shelf.lib, true, &err), &err);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    library_close(shelf.lib);
    remove_dir(shelf.dir);
    free(shelf.rows);
    free(shelf.embeddings);
    return 0;
}

/* ---- The same in plain C ---- */

/* Whether the levels of tag, without regard to case, begin or go on with wanted's. */
static bool tag_fits(const char *tag, const char *wanted)
{
    if (strcmp(tag, "\xc3\x96l") == 0)
        tag = "\xc3\xb6l";
    if (strcmp(wanted, "\xc3\x96L") == 0)
        wanted = "\xc3\xb6l";
    size_t n = strlen(wanted);
    for (const char *at = tag; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (strncasecmp(at, wanted, n) == 0 && (!at[n] || at[n] == '|'))
            return true;
    return false;
}

static bool has_tag(const struct row *r, const char *wanted)
{
    for (size_t t = 0; t < r->n_tags; t++)
        if (tag_fits(r->tags[t], wanted))
            return true;
    return false;
}

/* Whether a word, with no letter or digit beside it, is in the text. */
static bool has_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = text; (at = strcasestr(at, word)); at++)
        if ((at == text || !isalnum((unsigned char)at[-1])) && !isalnum((unsigned char)at[n]))
            return true;
    return false;
}

static double km(const struct row *r, const struct library_filter *f)
{
    /* by the angle between the two directions, not by the formula under test */
    double d = acos(-1) / 180, a = r->latitude * d, b = f->latitude * d;
    double cosine = sin(a) * sin(b) + cos(a) * cos(b) * cos((r->longitude - f->longitude) * d);
    return 6371.0088 * acos(cosine > 1 ? 1 : cosine < -1 ? -1 : cosine);
}

static bool inside(const struct row *r, int64_t folder, const char *below)
{
    return (!folder || r->folder_id == folder) &&
           (!below || (strncmp(r->path, below, strlen(below)) == 0 &&
                       (r->path[strlen(below)] == '/' || !r->path[strlen(below)])));
}

static bool said_allows(const struct row *r, const struct library_filter *f)
{
    for (size_t i = 0; i < f->n_tags; i++)
        if (!has_tag(r, f->tags[i]))
            return false;
    for (size_t i = 0; i < f->n_not_tags; i++)
        if (has_tag(r, f->not_tags[i]))
            return false;
    if (f->caption) {
        char words[64], *rest = words;
        snprintf(words, sizeof words, "%s", f->caption);
        for (char *w; (w = strsep(&rest, " "));)
            if (!has_word(r->captions, w))
                return false;
    }
    return true;
}

static bool allows(const struct row *r, const struct library_filter *f)
{
    bool in = f->n_places == 0;
    for (size_t i = 0; i < f->n_places; i++)
        in = in || inside(r, f->places[i].folder_id, f->places[i].below);
    if (!in || (f->n_places == 0 && !inside(r, f->folder_id, f->below)))
        return false;
    if ((f->name && !strcasestr(r->path, f->name)) ||
        (f->camera && !strcasestr(r->camera, f->camera)) ||
        (f->lens && !strcasestr(r->lens, f->lens)) ||
        (f->kinds && !format_is_among(r->kind, f->kinds)))
        return false;
    if (f->has_taken && (!r->taken_at || r->taken_at < f->taken_from || r->taken_at > f->taken_to))
        return false;
    if (r->size < f->min_size || (f->max_size && r->size > f->max_size) ||
        r->width < f->min_width || r->height < f->min_height)
        return false;
    if (f->has_rating && (r->rating < f->min_rating || r->rating > f->max_rating))
        return false;
    if (f->has_near && !(km(r, f) <= f->near_km))
        return false;
    if ((f->shape == LIBRARY_LANDSCAPE && r->width <= r->height) ||
        (f->shape == LIBRARY_PORTRAIT && r->width >= r->height) ||
        (f->shape == LIBRARY_SQUARE && r->width != r->height))
        return false;
    return said_allows(r, f);
}

/* ---- Comparing ---- */

static float dot(const float *a, const float *b)
{
    float sum = 0;
    for (int i = 0; i < DIM; i++)
        sum += a[i] * b[i];
    return sum;
}

/* What it finds are, in order, the best of those that the filter allows. */
static void check_search(const struct library_filter *f, const bool *allowed, size_t expected)
{
    struct err          err  = ERR_INIT;
    struct library_hit *hits = NULL;
    size_t              n    = 0;
    float               query[DIM], worst = 2;
    unit_vector(query, DIM, 4711);
    assert_ok(library_search(shelf.lib, query, 10, f, &hits, &n, &err), &err);
    assert_int_equal(n, expected < 10 ? expected : 10);
    for (size_t i = 0; i < n; i++) {
        size_t at = (size_t)(row_of(hits[i].id) - shelf.rows);
        assert_true(allowed[at]);
        assert_true(i == 0 || hits[i - 1].score >= hits[i].score);
        worst = hits[i].score;
    }
    for (size_t i = 0; i < N && n > 0; i++) {
        bool found = false;
        if (!allowed[i] || dot(query, shelf.embeddings[i]) < worst + 2e-3F)
            continue;
        for (size_t h = 0; h < n; h++)
            found = found || hits[h].id == shelf.rows[i].id;
        assert_true(found);
    }
    free(hits);
}

static void check_list(const struct library_filter *f, const bool *allowed, size_t expected)
{
    struct err            err    = ERR_INIT;
    struct library_image *images = NULL;
    size_t                n      = 0;
    assert_ok(library_list(shelf.lib, f, LIBRARY_BY_DATE, NULL, 50, &images, &n, &err), &err);
    assert_int_equal(n, expected < 50 ? expected : 50);
    for (size_t i = 0; i < n; i++) {
        assert_true(allowed[row_of(images[i].id) - shelf.rows]);
        assert_true(
            i == 0 || images[i - 1].taken_at > images[i].taken_at ||
            (images[i - 1].taken_at == images[i].taken_at && images[i - 1].id > images[i].id));
    }
    /* nothing that it left out comes before the last one */
    for (size_t i = 0; i < N && n == 50; i++) {
        bool listed = false;
        for (size_t k = 0; k < n; k++)
            listed = listed || images[k].id == shelf.rows[i].id;
        if (allowed[i] && !listed)
            assert_true(shelf.rows[i].taken_at <= images[n - 1].taken_at);
    }
    for (size_t i = 0; i < n; i++)
        library_image_release(&images[i]);
    free(images);
}

static void check(const struct library_filter *f, bool whole)
{
    struct err             err   = ERR_INIT;
    struct catalog_filter *ready = NULL;
    static bool            allowed[N], seen[N];
    int64_t               *ids = NULL, count = -1;
    size_t                 expected = 0, n = 0;
    for (size_t i = 0; i < N; i++) {
        allowed[i] = allows(&shelf.rows[i], f);
        expected += allowed[i];
    }
    memset(seen, 0, sizeof seen);
    assert_ok(catalog_words_catch_up(shelf.lib->cat, &err), &err);
    assert_ok(catalog_filter_new(shelf.lib->cat, f, &ready, &err), &err);
    assert_ok(catalog_filter_ids(ready, SIZE_MAX, &ids, &n, &err), &err);
    assert_int_equal(n, expected);
    for (size_t i = 0; i < n; i++) {
        size_t at = (size_t)(row_of(ids[i]) - shelf.rows);
        assert_true(allowed[at]);
        assert_false(seen[at]);
        seen[at] = true;
    }
    free(ids);
    for (uint64_t i = 0; i < 40; i++) {
        size_t at  = draw(i, expected) % N;
        bool   yes = !allowed[at];
        assert_ok(catalog_filter_match(ready, shelf.rows[at].id, &yes, &err), &err);
        assert_int_equal(yes, allowed[at]);
    }
    catalog_filter_free(ready);
    check_search(f, allowed, expected);
    if (!whole)
        return;
    assert_ok(library_count(shelf.lib, f, &count, &err), &err);
    assert_int_equal(count, expected);
    check_list(f, allowed, expected);
}

/* One of each kind; several of those that may be broad or narrow. */
static const char *const animal[] = {"ANIMAL"}, *const oak[] = {"tree|oak", "dogma"},
                         *const needle[] = {"needle"}, *const oil[] = {"\xc3\x96L"},
                         *const dog[] = {"animal|dog"}, *const odd[] = {"a%b_c"};
static struct library_place places[2];

static size_t all_filters(struct library_filter *out)
{
    places[0]                          = (struct library_place){shelf.folders[0], NULL};
    places[1]                          = (struct library_place){shelf.folders[1], "d3/s1"};
    const struct library_filter list[] = {
        {.folder_id = shelf.folders[1]},
        {.folder_id = shelf.folders[2], .below = "d2"},
        {.below = "d5/s0"},
        {.places = places, .n_places = 2},
        {.name = "pic_1"},
        {.camera = "OSPREY"},
        {.camera = "100% %_"},
        {.lens = "50mm"},
        {.kinds = 1u << IMAGE_TIFF},
        {.kinds = 1u << IMAGE_PNG | 1u << IMAGE_TIFF | 1u << IMAGE_MP4},
        {.tags = animal, .n_tags = 1},
        {.tags = oak, .n_tags = 2},
        {.tags = needle, .n_tags = 1},
        {.tags = oil, .n_tags = 1},
        {.tags = odd, .n_tags = 1},
        {.not_tags = needle, .n_not_tags = 1},
        {.not_tags = dog, .n_not_tags = 1},
        {.not_tags = oak, .n_not_tags = 2},
        {.has_taken = true, .taken_from = 1000000, .taken_to = 9000000},
        {.has_taken = true, .taken_from = 5000, .taken_to = INT64_MAX},
        {.has_rating = true, .min_rating = 4, .max_rating = 5},
        {.has_rating = true, .min_rating = -1, .max_rating = 0},
        {.has_near = true, .latitude = 48.2, .longitude = 16.4, .near_km = 900},
        {.has_near = true, .latitude = -89.5, .longitude = 0, .near_km = 700},
        {.has_near = true, .latitude = 3, .longitude = 179.9, .near_km = 2500},
        {.shape = LIBRARY_PORTRAIT},
        {.shape = LIBRARY_SQUARE},
        {.min_size = 3000},
        {.max_size = 1200},
        {.min_width = 200, .min_height = 150},
        {.caption = "beach dog"},
        {.caption = "the"},
        {.caption = "nowhere"},
    };
    memcpy(out, list, sizeof list);
    return sizeof list / sizeof *list;
}

/* Both at once; false where they ask for the same. */
static bool both(const struct library_filter *a, const struct library_filter *b,
                 struct library_filter *out)
{
    *out = *a;
#define JOIN(given, assign)                                                                        \
    do {                                                                                           \
        const struct library_filter *f = a;                                                        \
        bool                         x = given;                                                    \
        f                              = b;                                                        \
        bool y                         = given;                                                    \
        if (x && y)                                                                                \
            return false;                                                                          \
        if (y) {                                                                                   \
            assign;                                                                                \
        }                                                                                          \
    } while (0)
    JOIN(f->folder_id || f->below || f->n_places,
         (out->folder_id = f->folder_id, out->below = f->below, out->places = f->places,
          out->n_places = f->n_places));
    JOIN(f->name, out->name = f->name);
    JOIN(f->camera, out->camera = f->camera);
    JOIN(f->lens, out->lens = f->lens);
    JOIN(f->kinds, out->kinds = f->kinds);
    JOIN(f->caption, out->caption = f->caption);
    JOIN(f->n_tags, (out->tags = f->tags, out->n_tags = f->n_tags));
    JOIN(f->n_not_tags, (out->not_tags = f->not_tags, out->n_not_tags = f->n_not_tags));
    JOIN(f->has_taken,
         (out->has_taken = true, out->taken_from = f->taken_from, out->taken_to = f->taken_to));
    JOIN(f->has_rating, (out->has_rating = true, out->min_rating = f->min_rating,
                         out->max_rating = f->max_rating));
    JOIN(f->has_near, (out->has_near = true, out->latitude = f->latitude,
                       out->longitude = f->longitude, out->near_km = f->near_km));
    JOIN(f->shape != LIBRARY_ANY_SHAPE, out->shape = f->shape);
    JOIN(f->min_size || f->max_size, (out->min_size = f->min_size, out->max_size = f->max_size));
    JOIN(f->min_width || f->min_height,
         (out->min_width = f->min_width, out->min_height = f->min_height));
#undef JOIN
    return true;
}

static void each_filter_alone(void **state)
{
    (void)state;
    struct library_filter filters[40];
    size_t                n = all_filters(filters), broad = 0, few = 0;
    for (size_t i = 0; i < n; i++) {
        struct err err   = ERR_INIT;
        int64_t    count = 0;
        check(&filters[i], true);
        assert_ok(library_count(shelf.lib, &filters[i], &count, &err), &err);
        broad += count > CATALOG_FILTER_FEW;
        few += count > 0 && count < 50;
    }
    assert_true(broad > 0 && few > 1); /* both ways were gone */
}

static void every_two_together(void **state)
{
    (void)state;
    struct library_filter filters[40], pair;
    size_t                n = all_filters(filters), pairs = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = i + 1; k < n; k++) {
            if (!both(&filters[i], &filters[k], &pair))
                continue;
            check(&pair, pairs % 7 == 0);
            pairs++;
        }
    }
    assert_true(pairs > 300);
}

static void what_is_said_counts_at_once(void **state)
{
    (void)state;
    struct err            err     = ERR_INIT;
    const char *const     wanted  = "Sea|Otter";
    struct library_filter tagged  = {.tags = &wanted, .n_tags = 1},
                          told    = {.caption = "otter floats"};
    struct library_said   tag     = {.text = strdup("sea|otter"), .score = 1};
    struct library_said   caption = {.text = strdup("An otter floats."), .score = 1};
    struct library_saying saying  = {.image_id = 77, .said = &tag, .n = 1};
    int64_t               n       = -1;
    assert_ok(library_count(shelf.lib, &tagged, &n, &err), &err);
    assert_int_equal(n, 0);
    assert_ok(library_tags_replace(shelf.lib, LIBRARY_USER, &saying, 1, NULL, &err), &err);
    saying.said = &caption;
    assert_ok(library_captions_replace(shelf.lib, LIBRARY_USER, &saying, 1, NULL, &err), &err);
    assert_ok(library_count(shelf.lib, &tagged, &n, &err), &err);
    assert_int_equal(n, 1);
    assert_ok(library_count(shelf.lib, &told, &n, &err), &err);
    assert_int_equal(n, 1);
    saying.n = 0;
    assert_ok(library_captions_replace(shelf.lib, LIBRARY_USER, &saying, 1, NULL, &err), &err);
    assert_ok(library_count(shelf.lib, &told, &n, &err), &err);
    assert_int_equal(n, 0);
    free(tag.text);
    free(caption.text);
}

static void what_cannot_be_asked_is_refused(void **state)
{
    (void)state;
    struct err                  err   = ERR_INIT;
    int64_t                     n     = 0;
    const char *const           empty = "||";
    const struct library_filter bad[] = {
        {.caption = "-- !!"},
        {.tags = &empty, .n_tags = 1},
        {.not_tags = &empty, .n_not_tags = 1},
        {.has_near = true, .latitude = NAN},
        {.has_near = true, .near_km = -1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(library_count(shelf.lib, &bad[i], &n, &err), ERR_USAGE);
}

/* What is kept of the images that pass serves until one of them changes. */
static void the_few_are_those_of_now(void **state)
{
    (void)state;
    const uint64_t        at     = 3; /* of d3/s0, in the first folder */
    struct err            err    = ERR_INIT;
    struct library_filter filter = {.folder_id = shelf.folders[0], .below = "d3/s0"};
    struct library_model  model;
    struct library_hit   *hits = NULL;
    size_t                n    = 0;
    float                 query[DIM], changed[DIM];
    struct library_item   item = picture(shelf.folders[0], "d3/s0/Pic_3%.jpg", N + 77, changed);
    unit_vector(query, DIM, N + 77);
    for (int i = 0; i < 3; i++)
        check(&filter, false);
    for (int i = 0; i < 3; i++) {
        assert_ok(library_search(shelf.lib, query, 5, &filter, &hits, &n, &err), &err);
        assert_int_equal(n, 5);
        assert_true(hits[0].score < 0.9);
        free(hits);
    }
    assert_true(shelf.lib->few.held > 5);
    assert_ok(library_model_active(shelf.lib, &model, &err), &err);
    assert_ok(library_add(shelf.lib, model.id, &item, 1, &err), &err);
    for (int i = 0; i < 3; i++) {
        assert_ok(library_search(shelf.lib, query, 5, &filter, &hits, &n, &err), &err);
        assert_int_equal(hits[0].id, shelf.rows[at].id);
        assert_true(hits[0].score > 0.999);
        free(hits);
    }
    const char *const path = item.path;
    assert_ok(library_remove(shelf.lib, shelf.folders[0], &path, 1, &err), &err);
    assert_ok(library_search(shelf.lib, query, 5, &filter, &hits, &n, &err), &err);
    assert_true(hits[0].score < 0.9);
    free(hits);
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(each_filter_alone),
        cmocka_unit_test(every_two_together),
        cmocka_unit_test(what_is_said_counts_at_once),
        cmocka_unit_test(what_cannot_be_asked_is_refused),
        cmocka_unit_test(the_few_are_those_of_now), /* last: rows are stale then */
    };
    return cmocka_run_group_tests(all, set_up, tear_down);
}
