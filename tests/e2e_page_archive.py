#!/usr/bin/env python3
"""The page's part for archives in a real browser: tags and captions, labels learned from
pictures that are chosen, copies beside one another. What it changes is read back from the
daemon. Screenshots as in page.py."""

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


class Pages(searchd.Served):
    """A library of what fill makes, a daemon and a browser."""

    @classmethod
    def setUpClass(cls):
        cls.shop = searchd.Shop(30)
        cls.fill()
        cls.serve()
        cls.browser = webdriver.Browser()
        cls.images = cls.daemon.get("/v1/images?limit=1000").json["images"]

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        super().tearDownClass()

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
        b.wait("document.documentElement.scrollWidth <= 360 && [...document.querySelectorAll("
               "'dialog[open], dialog[open] *, .picking')].every((n) => n.scrollWidth <= Math.max(360, n.clientWidth))",
               what="nothing wider than the window")
        self.assertEqual(page_checks.faults(b, axe=False), [])
        b.screenshot(os.path.join(SHOTS, shot + "-narrow.png"))
        b.resize(1280, 900)

    def choose(self, action):
        """From the menu."""
        b = self.browser
        b.click("#menu-button")
        b.run("[...document.querySelectorAll('#menu button')].find((n) => n.innerText === arguments[0]).click()", action)


@unittest.skipUnless(webdriver.CHROMIUM and webdriver.DRIVER, "chromium or chromium-driver is not installed")
class Archive(Pages, unittest.TestCase):
    @classmethod
    def fill(cls):
        for i in range(9):  # smooth ones among those of random blocks
            cls.shop.write("scene-%d.png" % i, scene(i, 120, 90))

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
        self.choose("Tag by examples")
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


GROUPS = """return [...document.querySelectorAll('.copies-group')].map((group) => [...group.querySelectorAll('.copy')].map((copy) =>
  [copy.querySelector('.copy-name').textContent, copy.classList.contains('keep')]))"""

# What the page is given for /v1/dupes in the daemon's place, a status and a body, until it is
# null or something else.
INSTEAD = """window.instead = arguments[0];
window.real ??= window.fetch;
window.fetch = (path, ...more) => {
  if (!String(path).startsWith('/v1/dupes') || !window.instead) return window.real.call(window, path, ...more);
  const [status, body] = window.instead;
  return Promise.resolve(new Response(JSON.stringify(body), {status, headers: {'Content-Type': 'application/json'}}));
}"""


@unittest.skipUnless(webdriver.CHROMIUM and webdriver.DRIVER, "chromium or chromium-driver is not installed")
class Duplicates(Pages, unittest.TestCase):
    @classmethod
    def fill(cls):
        cls.shop.write("whole.png", scene(1, 160, 120))
        cls.shop.write("far/below/copy.png", scene(1, 160, 120))
        cls.shop.write("far/it's small.png", scene(1, 80, 60))
        cls.shop.write("alone/one.png", scene(30, 60, 48))
        for seed in range(2, 16):
            cls.shop.write("small%02d.png" % seed, scene(seed, 60, 48))
            cls.shop.write("large%02d.png" % seed, scene(seed, 90, 72))

    def answer(self, query="?limit=100"):
        end = time.monotonic() + 60
        while (answer := self.daemon.get("/v1/dupes" + query).json)["state"] != "ready":
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        return answer

    def told(self, answer):
        """As GROUPS has it."""
        return [[[m["image"]["path"].split("/")[-1], m["kind"] == "keep"] for m in g["members"]] for g in answer["groups"]]

    def show(self, n=1):
        self.open()
        self.choose("Duplicates")
        self.groups(n)

    def groups(self, n):
        self.browser.wait("document.querySelectorAll('.copies-group').length >= arguments[0]", n, what="groups")

    def wait_for_all(self, wanted):
        """Scrolls until nothing more comes."""
        b = self.browser
        end = time.monotonic() + 40
        while b.run(GROUPS) != wanted:
            b.run("document.querySelector('#dupes .sheet-body').scrollTo(0, 1e9)")
            self.assertLess(time.monotonic(), end, b.describe())
            time.sleep(0.05)

    def query(self, name):
        return self.browser.run("return new URLSearchParams(location.search).get(arguments[0])", name)

    def test_the_groups_are_those_of_the_interface(self):
        b = self.browser
        answer = self.answer()
        self.assertEqual(answer["total"], 15)
        self.show(10)
        self.assertEqual(self.query("dupes"), "identical,same,near")
        self.assertEqual(b.run(GROUPS)[:10], self.told(answer)[:10])
        b.wait("document.querySelector('.dupes-state').innerText === arguments[0]",
               "15 groups: 16 of %d pictures could go." % answer["pictures"])
        self.assertIn("deletes nothing", b.run("return document.querySelector('#dupes').innerText"))
        b.wait("[...document.querySelectorAll('.copy img')].slice(0, 4).every((i) => i.complete && i.naturalWidth)", what="thumbnails")
        lengths = [len(g["members"]) for g in answer["groups"]]
        three, two = lengths.index(3), lengths.index(2)
        self.wait_for_all(self.told(answer))
        text = b.run("return document.querySelectorAll('.copies-group')[arguments[0]].textContent", three)  # innerText lacks what is not drawn yet
        for part in ("3 pictures", "kept as the ", "Keep", "160 × 120 pixels",
                     "80 × 60 pixels", "Identical", "The same picture", "largest file", "most pixels"):
            self.assertIn(part, text)
        folder = os.path.join(self.shop.folder, "far")
        self.assertIn(folder, text)
        pair = b.run("return document.querySelectorAll('.copies-group')[arguments[0]].textContent", two)
        self.assertIn("kept for its resolution", pair)
        b.run("document.querySelector('#dupes .sheet-body').scrollTo(0, 0)")
        self.fine("dupes")
        b.emulate(prefers_color_scheme="dark")
        self.fine("dupes-dark", narrow=False)
        b.emulate(prefers_color_scheme="light")
        b.resize(3840, 2160)
        b.wait("document.querySelector('#dupes').open")
        b.screenshot(os.path.join(SHOTS, "dupes-wide.png"))
        b.resize(1280, 900)
        self.assertEqual(b.complaints(), [])

    def test_the_full_view_leads_through_the_groups(self):
        b = self.browser
        answer = self.answer()
        self.show()
        b.click(".copies-group:nth-child(2) .copy:nth-child(2) .copy-open")
        b.wait("document.querySelector('#viewer').open", what="the full view")
        flat = [m["image"] for g in answer["groups"] for m in g["members"]]
        i = len(answer["groups"][0]["members"]) + 1
        self.assertEqual(self.query("view"), str(flat[i]["id"]))
        b.wait("document.querySelector('.viewer .next').checkVisibility()")
        b.press("Right")
        b.wait("new URLSearchParams(location.search).get('view') === arguments[0]", str(flat[i + 1]["id"]))
        b.press("Escape")
        b.wait("!document.querySelector('#viewer').open && document.querySelector('#dupes').open", what="the groups again")
        b.wait("document.activeElement.dataset.i === arguments[0]", str(i + 1), what="the focus on what was seen last")
        b.back()
        b.wait("!document.querySelector('#dupes').open", what="back closes it")
        self.assertIsNone(self.query("dupes"))
        b.forward()
        self.groups(1)
        b.press("Escape")
        b.wait("!document.querySelector('#dupes').open && !location.search", what="Escape closes it")
        # a link to it has nothing behind it
        b.open(self.daemon.url + "/?dupes=same")
        self.groups(1)
        b.click("#dupes .sheet-head button")
        b.wait("!document.querySelector('#dupes').open && !location.search")
        b.wait("document.querySelectorAll('.tile').length > 2")
        # what the full view leads to closes it
        self.show()
        b.click(".copy-open")
        b.wait("document.querySelector('#viewer').open")
        b.press("+")
        b.wait("!document.querySelector('#dupes').open && !document.querySelector('#viewer').open && location.search.includes('like=')")

    def test_kinds_are_chosen(self):
        b = self.browser
        self.show(10)
        b.click("#dupes input[name=near]")
        b.click("#dupes input[name=same]")
        b.wait("new URLSearchParams(location.search).get('dupes') === 'identical'")
        self.wait_for_all(self.told(self.answer("?kinds=identical")))
        self.assertEqual(sorted(name for name, _ in b.run(GROUPS)[0]), ["copy.png", "whole.png"])
        # one kind is always left
        b.run("document.querySelector('#dupes input[name=identical]').click()")
        self.assertEqual(b.run("return [...document.querySelectorAll('.dupes-kinds input')].map((n) => n.checked)"), [True, False, False])
        b.run("window.before = true; location.reload()")
        b.wait("!window.before && document.querySelectorAll('.copies-group').length === 1", what="the same after loading")
        self.assertEqual(b.run("return [...document.querySelectorAll('.dupes-kinds input')].map((n) => n.checked)"), [True, False, False])
        # with the keyboard
        b.run("document.querySelector('#dupes input[name=same]').focus()")
        b.press(" ")
        b.wait("new URLSearchParams(location.search).get('dupes') === 'identical,same'")
        self.groups(2)
        self.assertEqual(b.run("return document.activeElement.name"), "same")

    def test_what_can_be_copied(self):
        b = self.browser
        b.open(self.daemon.url + "/?dupes=identical,same&folder=" + urllib.parse.quote(os.path.join(self.shop.folder, "far")))
        self.groups(1)
        b.wait("document.querySelector('#dupes').innerText.includes(arguments[0])", "Only in " + os.path.join(self.shop.folder, "far"))
        b.run("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
        b.click("#dupes .sheet-foot button:nth-of-type(1)")
        b.wait("window.copied")
        self.assertEqual(b.run("return window.copied"), os.path.join(self.shop.folder, "far/it's small.png") + "\n")
        b.wait("document.querySelector('.sheet-count').innerText === '1 path copied.'")
        b.click("#dupes .sheet-foot button:nth-of-type(2)")
        command = "osprey dupes --kinds identical,same --script tidy.sh " + os.path.join(self.shop.folder, "far")
        b.wait("document.querySelector('.sheet-count code')?.innerText === arguments[0]", command)
        self.assertEqual(b.run("return window.copied"), command)
        # where the clipboard is not given
        b.run("navigator.clipboard.writeText = () => Promise.reject(new Error('no')); document.execCommand = (what) => { window.copied = getSelection().toString() || document.activeElement.value; return true; }")
        b.click("#dupes .sheet-foot button:nth-of-type(1)")
        b.wait("window.copied.endsWith('small.png\\n')", what="the other way")
        self.fine("dupes-copied")

    def test_states(self):
        b = self.browser
        self.open()
        took = {"took_ms": {"total": 1}, "groups": []}
        b.run(INSTEAD, [200, dict(took, state="running", progress=0.4)])
        self.choose("Duplicates")
        b.wait("document.querySelector('.dupes-state').innerText === 'Looking for duplicates … 40%'")
        self.assertTrue(b.run("return document.querySelector('.dupes-progress').checkVisibility()"))
        self.fine("dupes-looking", narrow=False)
        b.run(INSTEAD, [500, {"error": {"code": "internal", "message": "something failed here"}}])
        b.wait("document.querySelector('.dupes-state').innerText === 'That did not work'")
        self.assertFalse(b.run("return document.querySelector('.dupes-progress').checkVisibility()"))
        b.run(INSTEAD, [200, dict(took, state="ready", version=7, total=0, copies=0, pictures=1200, blind=12)])
        b.click("#dupes .more button")
        b.wait("document.querySelector('.dupes-state').innerText === 'No duplicates among 1,200 pictures.'")
        self.assertIn("12 pictures have not been looked at", b.run("return document.querySelector('.dupes-blind').innerText"))
        self.assertIn("osprey dupes", b.run("return document.querySelector('.dupes-blind').innerText"))
        self.assertTrue(b.run("return document.querySelector('#dupes .sheet-foot button').disabled"))
        self.fine("dupes-none")
        # there truly are none
        b.open(self.daemon.url + "/?dupes=identical,same&folder=" + urllib.parse.quote(os.path.join(self.shop.folder, "alone")))
        b.wait("document.querySelector('.dupes-state')?.innerText === 'No duplicates among 1 picture.'")
        self.assertFalse(b.run("return document.querySelector('.dupes-blind').checkVisibility()"))
        # what is not found yet, and what was found before
        old = self.answer("?kinds=same&limit=1")
        del old["next"]
        self.open()
        b.run(INSTEAD, [200, dict(old, state="running", progress=0.5)])
        self.choose("Duplicates")
        b.wait("document.querySelector('.dupes-state').innerText.endsWith('Looking again …')")
        self.groups(1)
        b.run(INSTEAD, None)
        self.groups(10)

    def test_in_german(self):
        b = self.browser
        self.open()
        b.run("localStorage.setItem('osprey.language', 'de')")
        try:
            b.resize(360, 640)
            b.open(self.daemon.url + "/?dupes=identical,same")
            self.groups(10)
            text = b.run("return document.querySelector('#dupes').textContent")
            for part in ("Doppelte", "15 Gruppen: 16 von 62 Bildern sind entbehrlich", "Behalten", "das erste hat die höchste Auflösung",
                         "Dasselbe Bild", "löscht nichts", "meiste Pixel"):
                self.assertIn(part, text)
            b.resize(1280, 900)
            self.fine("dupes-german")
        finally:
            b.run("localStorage.clear()")


if __name__ == "__main__":
    unittest.main(verbosity=2)
