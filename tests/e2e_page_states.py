#!/usr/bin/env python3
"""The page where things are not as they should be, or not yet: no pictures, an indexer
at work, a token asked for, a daemon that stops and comes again, files that went,
matches that are not good. Screenshots as in page.py."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import page_checks
import pictures
import searchd
import webdriver
from searchd import BUILD, OSPREY

SHOTS = os.path.join(BUILD, "screenshots")
TITLE = "document.querySelector('#notice:not([hidden]) h2')?.innerText"


@unittest.skipUnless(webdriver.CHROMIUM and webdriver.DRIVER, "chromium or chromium-driver is not installed")
class States(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        os.makedirs(SHOTS, exist_ok=True)
        cls.shop = searchd.Shop(30)
        cls.shop.index(cls.shop.folder)
        cls.browser = webdriver.Browser()
        cls.browser.resize(1280, 900)

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.shop.remove()

    def serve(self, *args, library=None, port=0):
        daemon = searchd.Daemon("--port", str(port), "--library", library or self.shop.library, *args)
        self.addCleanup(daemon.stop)
        return daemon

    def shot(self, name):
        time.sleep(0.3)
        self.browser.screenshot(os.path.join(SHOTS, name + ".png"))

    def loaded(self):
        self.browser.wait("document.querySelectorAll('.tile.loaded').length > 2", what="pictures")

    def accessible(self):
        self.assertEqual(page_checks.faults(self.browser), [])

    def test_a_daemon_that_stops_and_comes_again(self):
        b = self.browser
        daemon = self.serve()
        b.open(daemon.url + "/")
        self.loaded()
        port = daemon.port
        daemon.stop()
        b.type("#q", "red")
        b.wait(TITLE + " === 'Osprey cannot be reached'")
        self.assertTrue(b.run("return document.querySelector('#notice button').innerText"))
        self.accessible()
        self.shot("daemon-stopped")
        daemon = self.serve(port=port)
        self.loaded()  # by itself
        self.assertTrue(b.run("return document.querySelector('#notice').hidden"))
        self.assertEqual(b.run("return document.querySelector('#q').value"), "red")

    def test_no_pictures_then_an_indexer(self):
        b = self.browser
        tmp = tempfile.mkdtemp(prefix="osprey-page-")
        self.addCleanup(shutil.rmtree, tmp)
        folder, library = os.path.join(tmp, "pictures"), os.path.join(tmp, "library")
        os.makedirs(os.path.join(folder, "a"))
        subprocess.run([OSPREY, "index", "--quiet", "--library", library, folder], capture_output=True)
        daemon = self.serve(library=library)
        b.open(daemon.url + "/")
        b.wait(TITLE + " === 'No pictures yet'")
        self.assertIn("osprey index", b.run("return document.querySelector('#notice').innerText"))
        self.accessible()
        self.shot("no-pictures")
        b.open(daemon.url + "/?q=red")
        b.wait(TITLE + " === 'No pictures yet'")
        # Held in the middle of its work, to be seen there; so much that a machine that is busy
        # with other things cannot be done with it first.
        pictures.fill(folder, 3000)
        index = subprocess.Popen([OSPREY, "index", "--quiet", "--library", library, folder],
                                 start_new_session=True, env=dict(os.environ, OMP_NUM_THREADS="1"))
        try:
            while not daemon.get("/v1/stats").json["images"]:
                self.assertIsNone(index.poll())
                time.sleep(0.01)
            os.killpg(index.pid, signal.SIGSTOP)
            stats = daemon.get("/v1/stats").json
            self.assertTrue(stats["indexing"])
            self.assertEqual(stats["progress"]["total"], 3000)
            self.assertLessEqual(stats["images"], stats["progress"]["done"] + 128)
            b.open(daemon.url + "/")
            b.wait("document.querySelector('#indexing').checkVisibility() && document.querySelector('#indexing').innerText.includes(arguments[0])",
                   "Indexing: {:,} of 3,000 files".format(stats["progress"]["done"]), what="the indexer's progress")
            self.shot("indexing")
            self.loaded()
        finally:
            os.killpg(index.pid, signal.SIGCONT)
            os.killpg(index.pid, signal.SIGINT)
            index.wait()
        # The listing grows to what the library has, by itself.
        images = daemon.get("/v1/stats").json["images"]
        self.assertGreaterEqual(images, stats["images"])
        b.wait("document.querySelector('#count').innerText === arguments[0]", "{:,} pictures".format(images),
               seconds=30, what="all of them")
        self.assertNotIn("progress", daemon.get("/v1/stats").json)

    def test_login(self):
        b = self.browser
        tokens = os.path.join(self.shop.tmp, "tokens")
        with open(tokens, "w", encoding="utf-8") as f:
            f.write("open-sesame-0123456789\n")
        os.chmod(tokens, 0o600)
        daemon = self.serve("--token-file", tokens)
        b.open(daemon.url + "/?q=red")
        b.wait("document.querySelector('#login').open")
        self.accessible()
        self.shot("login")
        b.type("#token", "open-barley-0123456789")
        b.press("Enter")
        b.wait("document.querySelector('#login-error').innerText !== ''")
        self.assertTrue(b.run("return document.querySelector('#login').open"))
        b.run("document.querySelector('#token').value = ''")
        b.type("#token", "open-sesame-0123456789")
        b.press("Enter")
        self.loaded()
        self.assertEqual(b.run("return document.cookie"), "")  # scripts cannot read it
        b.open(daemon.url + "/?q=blue")
        self.loaded()
        b.click("#menu-button")
        b.run("[...document.querySelectorAll('#menu button')].at(-1).click()")
        b.wait("document.querySelector('#login').open")
        b.complaints()

    def test_a_file_that_went(self):
        b = self.browser
        shop = searchd.Shop(12)
        self.addCleanup(shop.remove)
        shop.index(shop.folder)
        daemon = self.serve(library=shop.library)
        gone = daemon.get("/v1/images").json["images"][1]
        os.remove(os.path.join(gone["folder"], gone["path"]))
        b.open(daemon.url + "/")
        b.wait("document.querySelector('.tile.broken')?.innerText.includes(arguments[0])", gone["path"].split("/")[-1])
        self.shot("file-gone")
        b.run("document.querySelector('.tile.broken a').click()")
        b.wait("document.querySelector('.broken-note').checkVisibility()")
        self.shot("file-gone-full-view")
        b.open(daemon.url + "/?view=999999")
        self.loaded()
        b.wait("location.search === ''")

    def test_a_daemon_that_gives_few_at_a_time(self):
        daemon = self.serve("--max-k", "9", "--k", "5")
        self.browser.open(daemon.url + "/?q=red")
        self.loaded()
        self.browser.run("scrollTo(0, document.documentElement.scrollHeight)")
        self.browser.wait("document.querySelector('.tile[data-i=\"29\"]') && document.querySelector('#more').checkVisibility()",
                          what="all, page by page")
        self.browser.complaints()

    def test_a_picture_that_was_forgotten(self):
        b = self.browser
        daemon = self.serve()
        b.open(daemon.url + "/?picture=abc123")
        b.wait(TITLE + " === 'The picture is no longer here'")
        self.accessible()
        self.shot("picture-forgotten")

    def test_where_good_matches_end(self):
        """Answers with `match` and the line between good ones and others."""
        b = self.browser
        daemon = self.serve()
        for least, good, text in ((0.5, 7, "Good matches end here"), (2, 0, "These come closest")):
            added = b.cdp("Page.addScriptToEvaluateOnNewDocument", {"source": """
                const real = window.fetch;
                window.fetch = async (address, options) => {
                  const answer = await real(address, options);
                  if (!String(address).startsWith('/v1/search')) return answer;
                  const body = await answer.json();
                  body.good_match = %s;
                  for (const r of body.results) r.match = r.rank <= 7 ? 0.9 : 0.3;
                  return new Response(JSON.stringify(body));
                };""" % json.dumps(least)})
            try:
                b.open(daemon.url + "/?q=red")
                self.loaded()
                self.assertEqual(b.wait("document.querySelector('#good-end').innerText"), text)
                above = b.run("""const line = document.querySelector('#good-end').getBoundingClientRect();
                    return [...document.querySelectorAll('.tile')].filter((t) => t.getBoundingClientRect().bottom <= line.top + 1).length""")
                self.assertEqual(above, good)
                self.assertIn("7 good matches" if good else "No good match", b.run("return document.querySelector('#count').innerText"))
                self.accessible()
                self.shot("good-matches" if good else "no-good-match")
            finally:
                b.cdp("Page.removeScriptToEvaluateOnNewDocument", {"identifier": added["identifier"]})


if __name__ == "__main__":
    unittest.main(verbosity=2)
