/* Unit tests of storage/library_places: where a folder lies, in whatever way it is spelled,
 * and what cannot be there. */
#include "library_fixture.h"
#include "storage/library_places.h"

#define KAESE_C "K\xc3\xa4se"  /* composed */
#define KAESE_D "Ka\xcc\x88se" /* decomposed */
#define MUELL_C "M\xc3\xbcller"
#define MUELL_D "Mu\xcc\x88ller"

struct shelf {
    char           *dir;
    struct library *lib;
    int64_t         pictures, scans; /* folders */
};

static int open_shelf(void **state)
{
    static struct shelf s;
    struct err          err = ERR_INIT;
    s.dir                   = temporary_dir();
    assert_ok(library_open(s.dir, LIBRARY_CREATE, &s.lib, &err), &err);
    int64_t model                          = fill_model(s.lib, "m", true);
    s.pictures                             = add_folder(s.lib, "/pictures");
    s.scans                                = add_folder(s.lib, "/" KAESE_D "/scans");
    static const char *const in_pictures[] = {"a.jpg",
                                              "2004/b.jpg",
                                              KAESE_D "/" MUELL_C "/1.jpg",
                                              KAESE_D "/x.jpg",
                                              KAESE_D ".jpg",
                                              "Kb.jpg",
                                              "K/y.jpg",
                                              "K\xc3\xa4tze/2.jpg",
                                              "one/" MUELL_D "/3.jpg",
                                              "one/" MUELL_C "/4.jpg",
                                              "bad\xff/5.jpg"};
    for (size_t i = 0; i < sizeof in_pictures / sizeof *in_pictures; i++)
        add_one(s.lib, model, s.pictures, in_pictures[i], i + 1);
    add_one(s.lib, model, s.scans, MUELL_D "/p.jpg", 100);
    add_one(s.lib, model, s.scans, "2004/p.jpg", 101);
    *state = &s;
    return 0;
}

static int close_shelf(void **state)
{
    struct shelf *s = *state;
    library_close(s->lib);
    remove_dir(s->dir);
    return 0;
}

/* The only place of a path; below NULL: the whole folder. */
static void lies(struct shelf *s, const char *dir, int64_t folder, const char *below)
{
    struct library_places p;
    struct err            err = ERR_INIT;
    assert_ok(library_places_find(s->lib, dir, &p, &err), &err);
    assert_int_equal(p.n, 1);
    assert_false(p.empty);
    assert_int_equal(p.places[0].folder_id, folder);
    if (below)
        assert_string_equal(p.places[0].below, below);
    else
        assert_null(p.places[0].below);
    library_places_release(&p);
}

static void nowhere(struct shelf *s, const char *dir, size_t n)
{
    struct library_places p;
    struct err            err = ERR_INIT;
    assert_ok(library_places_find(s->lib, dir, &p, &err), &err);
    assert_int_equal(p.n, n);
    assert_int_equal(p.empty, n > 0);
    library_places_release(&p);
}

static void paths_are_found_as_written(void **state)
{
    struct shelf *s = *state;
    lies(s, "/pictures", s->pictures, NULL);
    lies(s, "/pictures/", s->pictures, NULL);
    lies(s, "/pictures/2004", s->pictures, "2004");
    lies(s, "/pictures/2004//", s->pictures, "2004");
    lies(s, "/pictures/2004/b.jpg", s->pictures, "2004/b.jpg");
    lies(s, "/pictures/bad\xff", s->pictures, "bad\xff");
    lies(s, "/" KAESE_D, s->scans, NULL);
    nowhere(s, "/pict", 0);
    nowhere(s, "/picturesque", 0);
    nowhere(s, "", 0);
    nowhere(s, "/pictures/200", 1);
    nowhere(s, "/pictures/2004/c", 1);
}

static void other_spellings_are_found(void **state)
{
    struct shelf *s = *state;
    lies(s, "/pictures/" KAESE_C, s->pictures, KAESE_D);
    lies(s, "/pictures/" KAESE_D, s->pictures, KAESE_D);
    lies(s, "/pictures/" KAESE_C "/" MUELL_C, s->pictures, KAESE_D "/" MUELL_C);
    lies(s, "/pictures/" KAESE_C "/" MUELL_D, s->pictures, KAESE_D "/" MUELL_C);
    lies(s, "/pictures/" KAESE_C ".jpg", s->pictures, KAESE_D ".jpg");
    lies(s, "/" KAESE_C, s->scans, NULL);
    lies(s, "/" KAESE_C "/scans", s->scans, NULL);
    lies(s, "/" KAESE_C "/scans/2004", s->scans, "2004");
    lies(s, "/" KAESE_C "/scans/" MUELL_C "/p.jpg", s->scans, MUELL_D "/p.jpg");
    /* both are there: the one that was named */
    lies(s, "/pictures/one/" MUELL_C, s->pictures, "one/" MUELL_C);
    lies(s, "/pictures/one/" MUELL_D, s->pictures, "one/" MUELL_D);
    nowhere(s, "/pictures/Kase", 1);
    nowhere(s, "/pictures/" KAESE_C "/" MUELL_C "/2", 1);
    nowhere(s, "/pictures/K\xc3\xa4s", 1);
    nowhere(s, "/pictures/\xff", 1);
    nowhere(s, "/" KAESE_C "s", 0);
}

static void several_folders_may_have_it(void **state)
{
    struct shelf         *s = *state;
    struct library_places p;
    struct err            err = ERR_INIT;
    assert_ok(library_places_find(s->lib, "/", &p, &err), &err);
    assert_int_equal(p.n, 2);
    assert_false(p.empty);
    library_places_release(&p);
    /* below any of them */
    assert_ok(library_places_find(s->lib, "2004", &p, &err), &err);
    assert_int_equal(p.n, 2);
    assert_false(p.empty);
    assert_string_equal(p.places[1].below, "2004");
    library_places_release(&p);
    lies(s, KAESE_C "/" MUELL_D, s->pictures, KAESE_D "/" MUELL_C);
    nowhere(s, "2005", 2);
}

/* A filter over such a place is the same as over what is there. */
static void forgetting_nothing_is_told(void **state)
{
    struct shelf *s       = *state;
    struct err    err     = ERR_INIT;
    int64_t       removed = -1;
    assert_int_equal(library_forget(s->lib, "/pictures/2005", &removed, &err), ERR_NOTFOUND);
    assert_int_equal(removed, 0);
    assert_non_null(strstr(err.msg, "/pictures/2005"));
    assert_ok(library_forget(s->lib, "/pictures/2004", &removed, &err), &err);
    assert_int_equal(removed, 1);
    assert_int_equal(library_forget(s->lib, "/pictures/2004", &removed, &err), ERR_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_found_as_written),
        cmocka_unit_test(other_spellings_are_found),
        cmocka_unit_test(several_folders_may_have_it),
        cmocka_unit_test(forgetting_nothing_is_told),
    };
    return cmocka_run_group_tests(tests, open_shelf, close_shelf);
}
