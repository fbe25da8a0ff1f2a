"""The page in a real browser (Debian's chromium) for tests: a library with demo pictures
and a small one, what the page shows, and what the daemon itself answers. Screenshots of
each state land in $OSPREY_BUILD/screenshots, for a look.

Skipped only where chromium or its driver is not installed (tools/setup/packages/test.txt
has both)."""

import glob
import os
import shutil
import time
import unittest
import urllib.parse

import searchd
import stamps
import webdriver
from searchd import BUILD

SHOTS = os.path.join(BUILD, "screenshots")
STAMPS = str(stamps.STAMPS)

PATHS = """[...document.querySelectorAll('.tile')].map((tile) => tile.querySelector('img').alt)"""


def demo_pictures(shop):
    """Debian's stamps of some kinds, where they are installed: a picture and its subject."""
    for kind in ("animals/birds", "food/fruit", "vehicles/emergency"):
        for path in sorted(glob.glob(os.path.join(STAMPS, kind, "*.png")))[:12]:
            to = os.path.join(shop.folder, "demo", kind.split("/")[0])
            os.makedirs(to, exist_ok=True)
            shutil.copy(path, to)


@unittest.skipUnless(webdriver.CHROMIUM and webdriver.DRIVER, "chromium or chromium-driver is not installed")
class Page(unittest.TestCase):
    """Two libraries, a daemon and a browser."""

    @classmethod
    def setUpClass(cls):
        os.makedirs(SHOTS, exist_ok=True)
        cls.shop = searchd.Shop(90)
        for name in ("exif.jpg", "orient-6.jpg", "orient-1.jpg", "exif.png"):
            cls.shop.copy(name, "real")
        demo_pictures(cls.shop)
        cls.shop.index(cls.shop.folder)
        cls.other = searchd.Shop(3)
        cls.other.index(cls.other.folder)
        cls.daemon = searchd.Daemon("--port", "0", "--library", "first=" + cls.shop.library,
                                    "--library", "second=" + cls.other.library)
        cls.browser = webdriver.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.daemon.stop()
        cls.shop.remove()
        cls.other.remove()

    def setUp(self):
        self.browser.resize(1280, 900)
        self.browser.emulate(prefers_color_scheme="light")
        self.addCleanup(self.browser.run, "localStorage.clear()")
        self.browser.complaints()

    def open(self, path="/", wait=True):
        self.browser.open(self.daemon.url + path)
        if wait:
            self.loaded()

    def loaded(self):
        self.browser.wait("document.querySelectorAll('.tile.loaded').length > 2", what="pictures")

    def shot(self, name):
        # What moves comes to rest; pictures in view have come.
        self.browser.wait("[...document.querySelectorAll('.tile img[src]')].every((i) => i.complete)")
        time.sleep(0.25)
        self.browser.screenshot(os.path.join(SHOTS, name + ".png"))

    def names(self):
        return self.browser.run("return " + PATHS)

    def shows(self, results, what):
        """The page shows these results, in their order."""
        wanted = [r["path"].split("/")[-1] for r in results]
        self.browser.wait("JSON.stringify(%s.slice(0, arguments[0].length)) === JSON.stringify(arguments[0])"
                          % PATHS, wanted, what=what)

    def api(self, **query):
        return self.daemon.get("/v1/search?" + urllib.parse.urlencode(query)).json["results"]

    def terms(self, *terms, **more):
        return self.daemon.post("/v1/search", dict(more, terms=list(terms), k=8)).json["results"]

    def query(self):
        return urllib.parse.parse_qs(urllib.parse.urlsplit(self.browser.url()).query)

    def complains(self, *allowed):
        return [c for c in self.browser.complaints() if not any(a in c for a in allowed)]

    def picture(self, end):
        images = self.daemon.get("/v1/images?limit=1000").json["images"]
        return next(i for i in images if i["path"].endswith(end))
