"""Pages of scans and frames of films over HTTP: every one that fits, and what it looks like."""

import json
import os
import shutil
import subprocess
import unittest

import searchd
import webdriver
from searchd import OSPREY, SOURCE

FORMATS = os.path.join(SOURCE, "tests", "data", "formats")
VIDEOS = os.path.join(SOURCE, "tests", "data", "videos")


class Parts(unittest.TestCase):
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

    def thumbnail(self, number, more, expect=200, **options):
        return self.daemon.get("/v1/images/%d/thumbnail?library=archive%s" % (number, more),
                               expect, **options)

    def parts(self, results):
        return [(r["id"], r.get("page"), r.get("time_ms")) for r in results]

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

    def test_the_command_line_asks_the_daemon(self):
        run = [OSPREY, "search", "--json", "--pages", "-k", "100", "stripes"]
        here, there, found = (
            [json.loads(line) for line in subprocess.run(
                run + more, check=True, capture_output=True).stdout.splitlines()]
            for more in (["--library", self.shop.library, "--server", "none"],
                         ["--server", self.daemon.url + "/?library=archive"],
                         ["--library", self.shop.library]))
        key = [(h["path"], h.get("page"), h.get("time_ms")) for h in here]
        self.assertEqual(len(key), len(self.images) + 4)
        for other in (there, found):
            self.assertEqual([(h["path"], h.get("page"), h.get("time_ms")) for h in other], key)

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

    @unittest.skipUnless(webdriver.CHROMIUM and webdriver.DRIVER,
                         "chromium or chromium-driver is not installed")
    def test_the_page_shows_it(self):
        browser = webdriver.Browser()
        try:
            browser.open(self.daemon.url + "/?library=archive&like=%d" % self.page)
            tile = "document.querySelector('.tile.loaded img[alt=\"pages.tif\"]')"
            browser.wait(tile, what="the scan")
            self.assertIn("page=2", browser.run("return %s.src" % tile))
            browser.run(tile + ".closest('a').click()")
            browser.wait("[...document.querySelectorAll('#viewer[open] img')].some((n) => "
                         "n.src.includes('page=2') && n.src.includes('size=1280') && "
                         "n.naturalWidth > 0)", what="its second page, large")
            self.assertEqual(browser.complaints(), [])
        finally:
            browser.close()

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


if __name__ == "__main__":
    unittest.main()
