"""Pages of scans and frames of films over HTTP and on the page: every one that fits, what it
looks like and what it is called."""

import json
import os
import shutil
import subprocess
import time
import unittest

import page_checks
import searchd
import webdriver
from searchd import OSPREY, SOURCE

FORMATS = os.path.join(SOURCE, "tests", "data", "formats")
VIDEOS = os.path.join(SOURCE, "tests", "data", "videos")


class World:
    """A library with a scan of three pages, its second page as a picture, and a film."""

    @classmethod
    def setUpClass(cls):
        cls.shop, cls.empty = searchd.Shop(3), searchd.Shop(1)
        for name in ("pages.tif", "page-2.png"):
            shutil.copy(os.path.join(FORMATS, name), cls.shop.folder)
        shutil.copy(os.path.join(VIDEOS, "h264.mp4"), cls.shop.folder)
        for shop in (cls.shop, cls.empty):
            shop.index(shop.folder)
        cls.daemon = searchd.Daemon("--port", "0", "--library", "other=" + cls.empty.library,
                                    "--library", "archive=" + cls.shop.library)
        cls.images = {i["path"]: i for i in
                      cls.daemon.get("/v1/images?limit=1000&library=archive").json["images"]}

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        cls.shop.remove()
        cls.empty.remove()

    def setUp(self):
        for name in ("pages.tif", "h264.mp4"):
            if name not in self.images:
                self.skipTest("without libtiff or FFmpeg")
        self.scan, self.page, self.film = (
            self.images[name]["id"] for name in ("pages.tif", "page-2.png", "h264.mp4"))

    def search(self, **asked):
        return self.daemon.post("/v1/search?library=archive", asked).json["results"]

    def parts(self, results):
        return [(r["id"], r.get("page"), r.get("time_ms")) for r in results]


class Parts(World, unittest.TestCase):
    def thumbnail(self, number, more, expect=200, **options):
        return self.daemon.get("/v1/images/%d/thumbnail?library=archive%s" % (number, more),
                               expect, **options)

    def test_every_page_is_a_result(self):
        once = self.search(id=self.page, k=100)
        self.assertEqual(len(once), len(self.images))
        self.assertIn((self.scan, 2, None), self.parts(once)[:2])
        every = self.search(id=self.page, k=100, pages=True)
        self.assertEqual(len(every), len(self.images) + 2 + 2)
        self.assertEqual({p for p in self.parts(every) if p[0] in (self.scan, self.film)},
                         {(self.scan, 1, None), (self.scan, 2, None), (self.scan, 3, None),
                          (self.film, None, 500), (self.film, None, 2500),
                          (self.film, None, 4000)})
        by_query = self.daemon.get("/v1/search?library=archive&k=100&pages=true&id=%d" % self.page)
        by_form = self.daemon.post("/v1/search?library=archive", parts=[
            ("terms", json.dumps([{"id": self.page}])), ("k", "100"), ("pages", "true")])
        like = self.daemon.get("/v1/images/%d/similar?library=archive&k=100&pages=true" % self.page)
        self.assertEqual(by_query.json["results"], every)
        self.assertEqual(self.parts(by_form.json["results"]), self.parts(every))
        self.assertEqual(set(self.parts(like.json["results"])) - {(self.page, None, None)},
                         set(self.parts(every)) - {(self.page, None, None)})
        self.assertEqual(self.search(id=self.page, k=100, pages=False), once)
        second = self.search(id=self.page, k=2, offset=1, pages=True)
        self.assertEqual(second, every[1:3])

    def test_it_is_told_how_many_parts_a_file_has(self):
        """In each description; and which, of one that is asked for by its id."""
        told = {"pages.tif": (3, None), "h264.mp4": (3, True)}
        other = self.daemon.get("/v1/images/%d?library=archive" % self.page).json
        self.assertEqual({"pages", "film", "parts"} & set(other), set())
        listed = self.daemon.get("/v1/search?library=archive&kind=TIFF").json["results"]
        self.assertEqual([i["path"] for i in listed], ["pages.tif"])
        for found in (self.images.values(), listed, self.search(id=self.page, k=100),
                      self.search(id=self.page, k=100, pages=True)):
            for i in found:
                self.assertEqual((i.get("pages"), i.get("film")), told.get(i["path"], (None, None)))
                self.assertNotIn("parts", i)
        scan, film = (self.daemon.get("/v1/images/%d?library=archive" % i).json
                      for i in (self.scan, self.film))
        self.assertEqual([(p.get("page"), p.get("time_ms")) for p in scan["parts"]],
                         [(1, None), (2, None), (3, None)])
        self.assertEqual([(p.get("page"), p.get("time_ms")) for p in film["parts"]],
                         [(None, 500), (None, 2500), (None, 4000)])
        # Each is shown as the result is that it would be.
        as_results = {self.parts([r])[0]: r["thumbnail"]
                      for r in self.search(id=self.page, k=100, pages=True)}
        for whole in (scan, film):
            for p in whole["parts"]:
                self.assertEqual(p["thumbnail"],
                                 as_results[whole["id"], p.get("page"), p.get("time_ms")])

    def test_the_kinds_of_files_are_told(self):
        kinds = self.daemon.get("/v1/stats?library=archive").json["kinds"]
        films = {k["kind"] for k in kinds if k.get("film")}
        self.assertEqual(films, {"MP4", "MOV", "Matroska", "WebM", "AVI"})
        self.assertLessEqual({i["kind"] for i in self.images.values()}, {k["kind"] for k in kinds})
        self.assertEqual(len({k["kind"] for k in kinds}), len(kinds))

    def test_the_command_line_asks_the_daemon(self):
        run = [OSPREY, "search", "--json", "--pages", "-k", "100", "stripes"]
        here, there, found = (
            [json.loads(line) for line in subprocess.run(
                run + more, check=True, capture_output=True).stdout.splitlines()]
            for more in (["--library", self.shop.library, "--server", "none"],
                         ["--server", self.daemon.url + "/?library=archive"],
                         ["--library", self.shop.library]))
        keys = [[[h.get(name) for name in ("path", "page", "time_ms", "pages", "film")] for h in one]
                for one in (here, there, found)]
        self.assertEqual(len(keys[0]), len(self.images) + 4)
        self.assertEqual(keys[1:], keys[:1] * 2)
        told = {os.path.basename(path): more for path, _, _, *more in keys[0]}
        self.assertEqual((told["pages.tif"], told["h264.mp4"], told["page-2.png"]),
                         ([3, None], [3, True], [None, None]))

    def test_a_result_shows_its_page(self):
        every = self.search(id=self.page, k=100, pages=True)
        seen = {}
        for r in every:
            if r["id"] not in (self.scan, self.film):
                continue
            self.assertIn("library=archive", r["thumbnail"])
            reply = self.daemon.get(r["thumbnail"])
            self.assertEqual(reply.headers["Content-Type"], "image/jpeg")
            seen[self.parts([r])[0]] = reply.body
        self.assertEqual(len(seen), 6)
        self.assertEqual(len(set(seen.values())), 6)
        # A frame's, asked with, finds the frame that it is of.
        for part, jpeg in seen.items():
            if part[0] == self.film:
                found = self.daemon.post("/v1/search?library=archive", parts=[
                    ("image", jpeg), ("pages", "true"), ("k", "100")]).json["results"]
                best = next(f for f in found if f["id"] == self.film)
                self.assertEqual(self.parts([best]), [part])
        self.assertEqual(self.thumbnail(self.scan, "&page=2").body,
                         self.thumbnail(self.page, "").body)

    def test_tags_tell_pages_apart(self):
        tags = {more: self.thumbnail(self.scan, more + "&size=160").headers["ETag"]
                for more in ("", "&page=1", "&page=2", "&page=3")}
        self.assertEqual(tags[""], tags["&page=1"])
        self.assertEqual(len(set(tags.values())), 3)
        self.thumbnail(self.scan, "&page=2&size=160", 304,
                       headers={"If-None-Match": tags["&page=2"]})
        self.thumbnail(self.scan, "&page=3&size=160", 200,
                       headers={"If-None-Match": tags["&page=2"]})
        first = self.thumbnail(self.film, "")
        self.assertEqual(self.thumbnail(self.film, "&time=500").headers["ETag"],
                         first.headers["ETag"])
        self.assertNotEqual(self.thumbnail(self.film, "&time=2500").body, first.body)
        self.assertEqual(self.thumbnail(self.film, "&time=2500").body,
                         self.thumbnail(self.film, "&time=2500").body)
        self.assertEqual(self.thumbnail(self.page, "&page=1").body,
                         self.thumbnail(self.page, "").body)

    def test_what_is_not_there(self):
        for number, more in ((self.scan, "page=4"), (self.scan, "page=1000000"),
                             (self.page, "page=2"), (self.film, "page=2"),
                             (self.film, "time=501"), (self.film, "time=0"),
                             (self.scan, "time=500"), (self.page, "time=0"), (10 ** 9, "page=1")):
            self.thumbnail(number, "&" + more, 404)
        for more in ("page=0", "page=-1", "page=x", "page=1.5", "page=1000001", "time=-1",
                     "time=2147483648", "time=", "page=1&time=500", "page=1&page=2"):
            self.thumbnail(self.film, "&" + more, 400)
        for more in ("pages=2", "pages=", "pages=true&hybrid=true"):
            self.daemon.get("/v1/search?library=archive&q=x&" + more, 400)

    def test_a_scan_that_lost_pages_shows_none(self):
        """Until it is indexed again."""
        path = os.path.join(self.shop.folder, "pages.tif")
        with open(path, "rb") as f:
            before = f.read()
        try:
            shutil.copy(os.path.join(FORMATS, "tiled.tif"), path)
            self.thumbnail(self.scan, "&page=3&size=640", 404)
        finally:
            with open(path, "wb") as f:
                f.write(before)
        reply = self.thumbnail(self.scan, "&page=3&size=640")
        self.assertIn("ETag", reply.headers)


def called(result):
    """What the page calls a result's part, to the eye and to the ear."""
    if "page" in result:
        return ("page %d" % result["page"],) * 2
    if "time_ms" in result:
        seconds = result["time_ms"] // 1000
        return "at 0:%02d" % seconds, "at %d second%s" % (seconds, "" if seconds == 1 else "s")
    if result.get("film"):
        return ("film",) * 2
    return ("%d pages" % result["pages"],) * 2 if "pages" in result else (None, None)


@unittest.skipUnless(webdriver.CHROMIUM and webdriver.DRIVER,
                     "chromium or chromium-driver is not installed")
class Page(World, unittest.TestCase):
    TILES = """[...document.querySelectorAll('.tile.loaded')].map((n) => [n.querySelector('img').alt,
        n.querySelector('.part [aria-hidden]')?.textContent ?? null])"""
    SHOWN = "document.querySelector('#viewer[open] .big')?.naturalWidth > 0"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser = webdriver.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.browser.complaints()
        self.like = "&like=%d" % self.page

    def open(self, more):
        self.browser.open(self.daemon.url + "/?library=archive" + more)

    def wait_for_tiles(self, results):
        wanted = [[os.path.basename(r["path"]), called(r)[0]] for r in results]
        self.browser.wait("JSON.stringify(%s) === JSON.stringify(arguments[0])" % self.TILES, wanted,
                          what="tiles %s" % wanted)

    def wait_for_view(self, number, part, words):
        """In full: the thumbnail of a part ("page=2"), what is said of it, and the address."""
        b = self.browser
        b.wait(self.SHOWN + " && document.querySelector('.stage .part').innerText === arguments[0]",
               words, what="%s of %d" % (words or "no part", number))
        source, address = b.run("return [document.querySelector('#viewer .big').src, location.search]")
        self.assertIn("/images/%d/" % number, source)
        self.assertIn("view=%d" % number, address)
        if part:
            if part != "page=1":  # the file's own thumbnail
                self.assertIn(part, source.split("?")[1].split("&"))
            self.assertTrue(address.endswith("&" + part), address)

    def words(self, result):
        """What the full view says of a result's part."""
        if result.get("film"):
            return "%s, %d of 3" % (called(result)[0], [500, 2500, 4000].index(result["time_ms"]) + 1)
        return "page %d of 3" % result["page"] if "page" in result else ""

    def ways(self):
        """Whether there is a way back, and on; None where there is nothing to turn."""
        return self.browser.run("""return [...document.querySelectorAll('.turner button')].map(
            (n) => n.checkVisibility() ? n.getAttribute('aria-disabled') !== 'true' : null)""")

    def labels(self):
        """The names of the tiles' links, as the browser computes them for a screen reader."""
        found = self.browser.call("POST", "/elements", {"using": "css selector", "value": ".tile a"})
        return [self.browser.call("GET", "/element/%s/computedlabel" % e[webdriver.ELEMENT])
                for e in found]

    def test_tiles_say_which_page(self):
        results = self.search(id=self.page, k=60)
        self.assertEqual({called(r)[0] for r in results if r["id"] == self.scan}, {"page 2"})
        self.open(self.like)
        self.wait_for_tiles(results)
        self.assertEqual([label.replace(" ,", ",") for label in self.labels()],
                         [", ".join(filter(None, [os.path.basename(r["path"]), called(r)[1]]))
                          for r in results])
        self.assertEqual(page_checks.faults(self.browser), [])
        self.open("")
        listed = self.daemon.get("/v1/images?library=archive").json["images"]
        self.assertEqual({called(i)[0] for i in listed}, {"film", "3 pages", None})
        self.wait_for_tiles(listed)
        self.assertEqual(self.browser.complaints(), [])

    def test_the_full_view_says_which_page(self):
        b = self.browser
        self.open(self.like)
        self.wait_for_tiles(self.search(id=self.page, k=60))
        b.click('.tile:has(img[alt="pages.tif"]) a')
        self.wait_for_view(self.scan, "page=2", "page 2 of 3")
        b.wait("document.querySelector('#viewer .big').src.includes('size=1280')", what="it large")
        self.assertEqual(b.run("return document.querySelector('#viewer .big').alt"), "pages.tif, page 2")
        self.assertRegex(b.run("return document.querySelector('#viewer .place').textContent"),
                         "[0-9], page 2$")
        if b.run("return document.querySelector('#details').hidden"):
            b.press("i")
        rows = """Object.fromEntries([...document.querySelectorAll('#details dl > div')].map((n) =>
            [n.querySelector('dt').innerText, n.querySelector('dd').innerText]))"""
        found = b.run("return " + rows)
        self.assertEqual((found["Page"], found["File type"]), ("2 of 3", "TIFF"))
        self.assertEqual(page_checks.faults(b), [])
        b.press("Escape")
        b.wait("!document.querySelector('#viewer').open && !/view|page/.test(location.search)")
        # What one sends to somebody is this page, found or not.
        for more in ("", self.like):
            self.open(more + "&view=%d&page=3" % self.scan)
            self.wait_for_view(self.scan, "page=3", "page 3 of 3")
        b.wait("!document.querySelector('#viewer .next').hidden", what="the way on in the list")
        self.open("&view=%d&time=4000" % self.film)
        self.wait_for_view(self.film, "time=4000", "at 0:04, 3 of 3")
        if b.run("return document.querySelector('#details').hidden"):
            b.press("i")
        found = b.run("return " + rows)
        self.assertEqual((found["Time in the film"], found.get("Page")), ("0:04", None))
        self.assertEqual(found["File type"], "Film, MP4")
        self.assertEqual(self.browser.complaints(), [])

    def test_pages_are_turned(self):
        b = self.browser
        self.open(self.like)
        self.wait_for_tiles(self.search(id=self.page, k=60))
        b.click('.tile:has(img[alt="pages.tif"]) a')
        self.wait_for_view(self.scan, "page=2", "page 2 of 3")
        if b.run("return document.querySelector('#details').hidden"):
            b.press("i")
        rows = "[...document.querySelectorAll('#details dt')].map((n) => n.innerText)"
        b.wait("%s.includes('Score')" % rows, what="how near it is")
        place = b.run("return document.querySelector('#viewer .place').innerText").split(",")[0]
        # By the button, which keeps the focus at the end, and by keys.
        b.click(".turner button:last-child")
        self.wait_for_view(self.scan, "page=3", "page 3 of 3")
        self.assertEqual(self.ways(), [True, False])
        self.assertEqual(b.run("return [document.activeElement.title, document.activeElement.matches('.turner button')]"),
                         ["Next page", True])
        self.assertEqual(b.run("return document.querySelector('.turner').getAttribute('aria-label')"), "page 3")
        self.assertEqual(b.run("return document.querySelector('#viewer .big').alt"), "pages.tif, page 3")
        self.assertNotIn("Score", b.run("return " + rows), "another page's")
        b.screenshot(os.path.join(os.environ["OSPREY_BUILD"], "screenshots", "pages.png"))
        b.press("PageDown")
        b.press("PageUp")
        self.wait_for_view(self.scan, "page=2", "page 2 of 3")
        b.wait("%s.includes('Score')" % rows, what="how near the page found is")
        b.press("PageUp")
        self.wait_for_view(self.scan, "page=1", "page 1 of 3")
        self.assertEqual(self.ways(), [False, True])
        self.assertTrue(b.run("return document.querySelector('#viewer .place').innerText").startswith(place))
        self.assertEqual(page_checks.faults(b), [])
        # The address is the page's; what was opened by one click is closed by one step back.
        b.call("POST", "/refresh")
        self.wait_for_view(self.scan, "page=1", "page 1 of 3")
        b.press("Escape")
        b.wait("!document.querySelector('#viewer').open && !/view|page/.test(location.search)")
        # From a listing, which names no page.
        self.open("")
        self.wait_for_tiles(self.daemon.get("/v1/images?library=archive").json["images"])
        b.click('.tile:has(img[alt="pages.tif"]) a')
        self.wait_for_view(self.scan, None, "page 1 of 3")
        b.press("PageDown")
        self.wait_for_view(self.scan, "page=2", "page 2 of 3")
        self.open("&view=%d" % self.page)
        self.wait_for_view(self.page, None, "")
        self.assertEqual(self.ways(), [None, None])
        b.press("PageDown")
        self.wait_for_view(self.page, None, "")
        self.assertEqual(b.complaints(), [])

    def test_moments_of_a_film(self):
        b = self.browser
        self.open("&view=%d" % self.film)
        self.wait_for_view(self.film, None, "at 0:00, 1 of 3")
        b.press("PageDown", "PageDown")
        self.wait_for_view(self.film, "time=4000", "at 0:04, 3 of 3")
        self.assertEqual(self.ways(), [True, False])
        b.screenshot(os.path.join(os.environ["OSPREY_BUILD"], "screenshots", "moments.png"))
        b.click(".turner button")
        self.wait_for_view(self.film, "time=2500", "at 0:02, 2 of 3")
        self.assertEqual(page_checks.faults(b), [])
        self.assertEqual(b.complaints(), [])

    def test_addresses_of_before(self):
        """They have no page, and open what was found."""
        self.open("&view=%d" % self.scan)
        self.wait_for_view(self.scan, None, "page 1 of 3")
        self.open("&view=%d" % self.film)
        self.wait_for_view(self.film, None, "at 0:00, 1 of 3")
        self.open(self.like + "&view=%d" % self.scan)
        self.wait_for_view(self.scan, None, "page 2 of 3")
        self.assertEqual(self.browser.complaints(), [])

    def test_a_page_that_is_not_there(self):
        """The file is shown, and the address no longer names the page."""
        for part in ("page=9", "page=9999999", "time=500"):
            self.open("&view=%d&%s" % (self.scan, part))
            self.wait_for_view(self.scan, None, "page 1 of 3")
            self.browser.wait("location.search.endsWith('&view=%d')" % self.scan)
            # The console tells of the refusal, maybe later: it is this test's, not the next one's.
            end = time.monotonic() + 40
            while not any("&" + part in said for said in self.browser.complaints()):
                self.assertLess(time.monotonic(), end, "the daemon was not asked for " + part)
                time.sleep(0.04)

    def test_every_page(self):
        b = self.browser
        once, every = self.search(id=self.page, k=60), self.search(id=self.page, k=60, pages=True)
        self.open(self.like)
        self.wait_for_tiles(once)
        b.click("#every-page")
        self.wait_for_tiles(every)
        self.assertEqual(b.run("return [location.search.includes('pages=1'), "
                               "document.querySelector('#every-page').getAttribute('aria-pressed')]"),
                         [True, "true"])
        third = self.parts(every).index((self.scan, 3, None))
        b.click('.tile[data-i="%d"] a' % third)
        self.wait_for_view(self.scan, "page=3", "page 3 of 3")
        other = every[third - 1]
        b.press("Left")
        part = [name + "=%d" % other[key] for key, name in (("page", "page"), ("time_ms", "time")) if key in other]
        self.wait_for_view(other["id"], part[0] if part else None, self.words(other))
        b.press("Escape")
        b.wait("!document.querySelector('#viewer').open")
        b.click("#every-page")
        self.wait_for_tiles(once)
        self.open("&like=%d&name=0001" % self.page)
        b.wait("document.querySelector('.tile.loaded') && document.querySelector('#every-page').hidden",
               what="no switch where nothing has pages")
        self.assertEqual(b.complaints(), [])

    def test_films_alone(self):
        b = self.browser
        self.open("")
        b.click("#filter-button")
        b.wait("!document.querySelector('#filters').hidden", what="the filters")
        b.wait("[...document.querySelectorAll('#f-kind option')].some((o) => o.label === 'Film, MP4')",
               what="the kinds of files")
        b.type("#f-kind", "Film, MP4")
        b.wait("location.search.includes('kind=MP4')")
        self.wait_for_tiles([self.images["h264.mp4"]])
        # A kind that the daemon does not tell of stays asked for.
        self.open("&kind=mp4")
        self.wait_for_tiles([self.images["h264.mp4"]])
        b.click("#filter-button")
        b.type("#f-name", "264")
        b.wait("location.search.includes('name=264') && location.search.includes('kind=mp4')")

    def test_in_german(self):
        b = self.browser
        self.open("")
        b.run("localStorage.setItem('osprey.language', 'de')")
        try:
            self.open(self.like)
            tile = """document.querySelector('.tile:has(img[alt="%s"]) .part')"""
            b.wait(tile % "pages.tif" + "?.innerText.includes('Seite 2')", what="the page in German")
            self.assertIn("bei 0:0", b.run("return %s.innerText" % (tile % "h264.mp4")))
            self.open("&view=%d&time=2500" % self.film)
            self.wait_for_view(self.film, "time=2500", "bei 0:02, 2 von 3")
            self.assertEqual(b.run("return [...document.querySelectorAll('.turner button')].map((n) => n.title)"),
                             ["Vorige Stelle", "Nächste Stelle"])
            self.assertIn("h264.mp4, bei 2 Sekunden", b.run("return document.querySelector('#viewer .big').alt"))
        finally:
            b.run("localStorage.removeItem('osprey.language')")

    def test_times(self):
        self.open("")
        said = self.browser.run_async("""const done = arguments[0];
            import('/page/strings.js').then(({clock, clockSaid}) =>
              done([999, 59999, 83000, 3600000, 3723456].map((ms) => [clock(ms), clockSaid(ms)])));""")
        self.assertEqual(said, [["0:00", "0 seconds"], ["0:59", "59 seconds"],
                                ["1:23", "1 minute, 23 seconds"], ["1:00:00", "1 hour"],
                                ["1:02:03", "1 hour, 2 minutes, 3 seconds"]])


if __name__ == "__main__":
    unittest.main()
