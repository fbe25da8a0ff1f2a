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
import pictures
import searchd
import webdriver
from e2e_dupes import scene

SHOTS = os.path.join(searchd.BUILD, "screenshots")


@unittest.skipUnless(webdriver.CHROMIUM and webdriver.DRIVER, "chromium or chromium-driver is not installed")
class Archive(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = searchd.Shop(30)
        for i in range(9):  # smooth ones among those of random blocks
            pictures.write(os.path.join(cls.shop.folder, "scene-%d.png" % i), scene(i, 120, 90))
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
        one = next(i["id"] for i in self.images if not i["path"].startswith("scene-"))
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

    # ---- By examples ----

    def start(self):
        b = self.browser
        b.click("#menu-button")
        b.run("[...document.querySelectorAll('#menu button')].find((n) => n.innerText === 'Tag by examples').click()")
        b.wait("document.querySelector('#picking').checkVisibility()")

    def tile(self, image):
        return '.tile:has(img[alt="%s"])' % image["path"].split("/")[-1]

    def test_a_label_by_examples(self):
        b = self.browser
        scenes = [i for i in self.images if i["path"].startswith("scene")]
        self.open()
        self.start()
        self.assertTrue(b.run("return document.querySelector('#picking .strong').disabled"))
        for image in scenes[:4]:  # with the mouse
            b.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", self.tile(image))
            b.click(self.tile(image) + " a")
        self.assertIn("4 pictures chosen", b.run("return document.querySelector('#picking').innerText"))
        # with the keyboard: the last one off and on again
        b.run("document.querySelector(arguments[0] + ' a').focus()", self.tile(scenes[3]))
        checked = "return document.querySelector(arguments[0] + ' a').getAttribute('aria-checked')"
        b.press(" ")
        self.assertEqual(b.run(checked, self.tile(scenes[3])), "false")
        b.press(" ")
        self.assertEqual(b.run(checked, self.tile(scenes[3])), "true")
        self.assertFalse(b.run("return document.querySelector('#viewer').open"))
        b.type("#teach-label", "Scene")
        self.fine("examples-chosen")
        # what is chosen stays through another search
        b.run("history.pushState({}, '', '/?q=red'); dispatchEvent(new PopStateEvent('popstate'))")
        b.wait("document.querySelector('#count').innerText.includes('match') || document.querySelector('#count').innerText.includes('first')")
        self.assertIn("4 pictures chosen", b.run("return document.querySelector('#picking').innerText"))
        b.click("#picking .strong")
        b.wait("document.querySelectorAll('.choice').length > 4", what="what else would get it")
        answer = self.daemon.post("/v1/tags/suggest", {"label": "Scene", "ids": [i["id"] for i in scenes[:4]], "limit": 150}).json
        names = "return [...document.querySelectorAll('.choice img')].map((n) => n.alt)"
        self.assertEqual(b.run(names), [r["image"]["path"].split("/")[-1] for r in answer["results"]])
        ticks = "return [...document.querySelectorAll('.choice input')].map((n) => n.checked)"
        self.assertEqual(b.run(ticks), [r["score"] >= answer["threshold"] for r in answer["results"]])
        b.wait("[...document.querySelectorAll('.choice img')].slice(0, 6).every((i) => i.complete)")
        self.fine("examples-found")
        # one is taken out, and learned from; it is not offered again
        first = b.run(names)[0]
        self.assertTrue(b.run(ticks)[0])
        b.click(".choice")
        b.run("[...document.querySelectorAll('#teach .pill')].find((n) => n.innerText.startsWith('Learn')).click()")
        b.wait("![...document.querySelectorAll('.choice img')].some((n) => n.alt === arguments[0])", first, what="another look")
        # a person decides
        wanted = {i["path"] for i in scenes[:4]}
        for i, name in enumerate(b.run(names)):
            if b.run(ticks)[i] != name.startswith("scene-"):
                b.run("document.querySelectorAll('.choice input')[arguments[0]].click()", i)
            if name.startswith("scene-"):
                wanted.add(name)
        self.assertGreater(len(wanted), 4)
        self.assertIn("Tag %d pictures" % len(wanted), b.run("return document.querySelector('#teach .strong').innerText"))
        self.assertEqual([t for t in self.daemon.get("/v1/tags").json["tags"] if t["label"] == "Scene"], [])
        b.click("#teach .strong")
        b.wait("!document.querySelector('#teach').open && new URLSearchParams(location.search).get('tag') === 'Scene'")
        b.wait("document.querySelectorAll('.tile').length === arguments[0]", len(wanted), what="those that have it now")
        tagged = {i["path"] for i in self.images if {"label": "Scene", "source": "user"} in self.tags(i["id"])}
        self.assertEqual(tagged, wanted)
        self.assertFalse(b.run("return document.querySelector('#picking').checkVisibility() || Boolean(document.querySelector('.tile [role=checkbox]'))"))
        self.assertEqual(b.complaints(), [])

    def test_choosing_with_a_finger(self):
        b = self.browser
        self.open()
        self.start()
        x, y = b.run("const r = document.querySelector('.tile').getBoundingClientRect(); return [Math.round(r.x + 30), Math.round(r.y + 30)]")
        b.swipe(x, y, x, y)
        b.wait("document.querySelector('#picking').innerText.includes('1 picture chosen')", what="a tap")
        b.click("#picking button:not(.strong)")
        b.wait("!document.querySelector('#picking').checkVisibility() && !document.querySelector('.tile.picked')")
        b.click(".tile a")
        b.wait("document.querySelector('#viewer').open", what="pictures open again")

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
