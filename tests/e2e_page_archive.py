#!/usr/bin/env python3
"""The page's part for archives in a real browser: tags and captions, labels learned from
pictures that are chosen, copies beside one another. What it changes is read back from the
daemon. Screenshots as in e2e_page.py."""

import os
import sqlite3
import time
import unittest
import urllib.parse

import page_checks
import searchd
import webdriver

SHOTS = os.path.join(searchd.BUILD, "screenshots")


@unittest.skipUnless(webdriver.CHROMIUM and webdriver.DRIVER, "chromium or chromium-driver is not installed")
class Archive(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = searchd.Shop(30)
        cls.shop.index(cls.shop.folder)
        cls.daemon = searchd.Daemon("--port", "0", "--library", cls.shop.library)
        cls.browser = webdriver.Browser()
        cls.images = cls.daemon.get("/v1/images?limit=1000").json["images"]

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.daemon.stop()
        cls.shop.remove()

    def setUp(self):
        self.browser.resize(1280, 900)
        self.browser.complaints()

    def open(self, path="/"):
        self.browser.open(self.daemon.url + path)
        self.browser.wait("document.querySelectorAll('.tile.loaded').length > 2", what="pictures")

    def sql(self, text, *args):
        db = sqlite3.connect(os.path.join(self.shop.library, "catalog.db"), timeout=30)
        with db:
            db.execute(text, args)
        db.close()

    def fine(self, shot, narrow=True):
        """No faults, wide and narrow; nothing is wider than a small window."""
        b = self.browser
        self.assertEqual(page_checks.faults(b), [])
        b.screenshot(os.path.join(SHOTS, shot + ".png"))
        if not narrow:
            return
        b.resize(360, 640)
        time.sleep(0.2)
        self.assertEqual(b.run("return document.documentElement.scrollWidth <= 360 && [...document.querySelectorAll("
                               "'dialog[open], dialog[open] *, .picking')].every((n) => n.scrollWidth <= Math.max(360, n.clientWidth))"), True)
        self.assertEqual(page_checks.faults(b, axe=False), [])
        b.screenshot(os.path.join(SHOTS, shot + "-narrow.png"))
        b.resize(1280, 900)

    def tags(self, image):
        return self.daemon.get("/v1/images/%d" % image).json["tags"]

    # ---- Tags and captions ----

    def test_tags_and_captions_of_a_picture(self):
        b = self.browser
        one = self.images[0]["id"]
        self.sql("INSERT INTO tags (image_id, tag, source, score) VALUES (?, 'shape|stripe', 'osprey', 0.75)", one)
        self.sql("INSERT INTO captions (image_id, text, source, score) VALUES (?, 'Stripes on a wall', 'osprey', 0.5)", one)
        self.sql("INSERT INTO captions (image_id, text, source) VALUES (?, 'Grandmother’s curtain', 'picture')", one)
        self.open("/?view=%d" % one)
        b.wait("document.querySelector('#viewer').open")
        b.press("i")
        b.wait("document.querySelectorAll('.tags li').length === 1", what="the tag")
        said = b.run("return document.querySelector('.said').innerText")
        for text in ("shape › stripe", "seen by Osprey, 75%", "Stripes on a wall", "Grandmother’s curtain", "in the picture’s file"):
            self.assertIn(text, said)
        self.assertEqual(b.run("return document.querySelectorAll('.tag-remove').length"), 0)  # another's
        # one's own; the keys of the full view are letters here
        b.type("#tag-new", "  -i   +beach ")
        b.press("Enter")
        b.wait("document.querySelectorAll('.tags li').length === 2", what="one's own tag")
        own = {"label": "-i +beach", "source": "user"}
        self.assertIn(own, self.tags(one))
        self.assertEqual(b.run("return [document.activeElement.id, document.activeElement.value]"), ["tag-new", ""])
        self.fine("tags")
        b.click(".tag-remove")
        b.wait("document.querySelectorAll('.tags li').length === 1", what="it is gone")
        self.assertNotIn(own, self.tags(one))
        b.run("document.querySelector('.tags .link').click()")
        b.wait("!document.querySelector('#viewer').open && new URLSearchParams(location.search).get('tag') === 'shape|stripe'")
        b.wait("document.querySelectorAll('.tile').length === 1", what="what has the tag")
        self.assertEqual(b.complaints(), [])

    def test_in_german(self):
        b = self.browser
        self.open()
        b.run("localStorage.setItem('osprey.language', 'de'); localStorage.setItem('osprey.details', 'yes')")
        try:
            self.open("/?view=%d" % self.images[1]["id"])
            b.wait("document.querySelector('.said')?.innerText.includes('Schlagwörter')")
        finally:
            b.run("localStorage.clear()")


if __name__ == "__main__":
    unittest.main(verbosity=2)
