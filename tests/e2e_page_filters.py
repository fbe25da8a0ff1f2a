#!/usr/bin/env python3
"""The page's filters by tag, rating, place, lens and caption, and its wider search, in a
real browser (Debian's chromium), held against what the daemon answers.

Skipped only where chromium or its driver is not installed."""

import json
import os
import sqlite3
import subprocess
import unittest
import urllib.parse

import searchd
import webdriver

PATHS = """[...document.querySelectorAll('.tile')].map((tile) => tile.querySelector('img').alt)"""


@unittest.skipUnless(webdriver.CHROMIUM and webdriver.DRIVER, "chromium or chromium-driver is not installed")
class PageFilters(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = searchd.Shop(40)
        cls.shop.index(cls.shop.folder)
        db = sqlite3.connect(os.path.join(cls.shop.library, "catalog.db"), timeout=30)
        with db:
            db.execute("UPDATE images SET rating = id % 6, lens = CASE WHEN id % 4 THEN '' ELSE"
                       " '50mm F1.8' END, latitude = 40 + id % 10, longitude = 10")
            db.execute("INSERT INTO tags (image_id, tag, source) SELECT id, CASE id % 3 WHEN 0 THEN"
                       " 'animal|dog' WHEN 1 THEN 'animal' ELSE 'plant' END, 'user' FROM images")
            db.execute("INSERT INTO tags (image_id, tag, source) SELECT id, 'holiday', 'picture' FROM"
                       " images WHERE id % 2")
            db.execute("INSERT INTO tags (image_id, tag, source) SELECT id, CASE id % 2 WHEN 0 THEN"
                       " 'Paris, France' ELSE 'Paris' END, 'user' FROM images WHERE id % 5 = 1")
            db.execute("INSERT INTO captions (image_id, source, text) SELECT id, 'user', 'A zeppelin"
                       " over town' FROM images WHERE id % 8 = 3")
        db.close()
        cls.daemon = searchd.Daemon("--port", "0", "--library", cls.shop.library)
        cls.browser = webdriver.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.daemon.stop()
        cls.shop.remove()

    def shows(self, results, first=None):
        """The page shows just these, or these first, in their order."""
        wanted = [r["path"].split("/")[-1] for r in results][:first]
        self.assertTrue(wanted)
        self.browser.wait("JSON.stringify(%s.slice(0, arguments[1])) === JSON.stringify(arguments[0])"
                          % PATHS, wanted, first or 1000)

    def listed(self, **query):
        return self.daemon.get("/v1/images?" + urllib.parse.urlencode(query, doseq=True)).json["images"]

    def query(self):
        return urllib.parse.parse_qs(urllib.parse.urlsplit(self.browser.url()).query)

    def set(self, name, value):
        self.browser.run("const f = document.querySelector('#f-' + arguments[0]); f.value = arguments[1];"
                         "f.dispatchEvent(new Event('input', {bubbles: true}))", name, value)

    def chip(self, name):
        return self.browser.run("return document.querySelector('#chips [data-filter=%s] .chip-text')"
                                "?.innerText ?? null" % name)

    def test_by_form_and_address(self):
        b = self.browser
        b.open(self.daemon.url + "/")
        b.wait("document.querySelectorAll('.tile.loaded').length > 2")
        b.click("#filter-button")
        self.set("tag", "Animal, holiday")
        self.shows(self.listed(tag=["animal", "holiday"]))
        self.assertEqual(self.chip("tag"), "tag: Animal, holiday")
        self.set("not_tag", "dog")
        self.shows(self.listed(tag=["animal", "holiday"], not_tag="dog"))
        self.set("rating", "1")
        self.shows(self.listed(tag=["animal", "holiday"], not_tag="dog", rating="1"))
        self.assertEqual(self.chip("rating"), "★ or more")
        self.assertEqual(self.query(), {"tag": ["Animal, holiday"], "not_tag": ["dog"], "rating": ["1"]})
        b.screenshot(os.path.join(searchd.BUILD, "screenshots", "filters-said.png"))
        b.press("Escape")
        for name in ("tag", "not_tag", "rating"):
            b.click("#chips [data-filter=%s] .chip-remove" % name)
        b.wait("!document.querySelector('#chips [data-filter]')")
        # a place half typed asks nothing
        b.click("#filter-button")
        self.set("near", "44, 10")
        self.set("lens", "50MM")
        self.shows(self.listed(lens="50MM"))
        self.set("near", "44, 10, 120")
        self.shows(self.listed(lens="50MM", near="44,10,120"))
        self.assertEqual(self.chip("near"), "within 120 km of 44, 10")
        b.open(self.daemon.url + "/?caption=zeppelin+TOWN")
        self.shows(self.listed(caption="zeppelin town"))
        self.assertEqual(b.complaints(), [])

    def test_all_films_are_one_choice(self):
        b = self.browser
        b.open(self.daemon.url + "/")
        b.click("#filter-button")
        b.wait("document.querySelector('#f-kind option[value=video]')")
        self.assertEqual(self.listed(kind="video"), [])
        self.set("kind", "video")
        b.wait("document.querySelector('#chips [data-filter=kind]')")
        self.assertEqual((self.chip("kind"), self.query()), ("All films", {"kind": ["video"]}))
        b.wait("document.querySelectorAll('.tile').length === 0")
        kind = self.listed()[0]["kind"]
        self.set("kind", kind)
        self.shows(self.listed(type=kind), 5)
        b.open(self.daemon.url + "/?kind=video")
        b.wait("document.querySelector('#f-kind').value === 'video'")
        self.assertEqual(b.run("return document.querySelectorAll('#f-kind option[value=video]').length"), 1)
        self.assertEqual(b.complaints(), [])

    def test_a_comma_in_a_tag(self):
        """Is the daemon's and the command line's as it stands; the page has a backslash before it."""
        b, tag = self.browser, "Paris, France"
        listed = self.listed(tag=tag)
        self.assertTrue(0 < len(listed) < len(self.listed(tag="paris")) + len(listed))
        done = subprocess.run([searchd.OSPREY, "search", "--json", "--library", self.shop.library,
                               "-k", "100", "--tag", tag], capture_output=True, check=True)
        self.assertEqual({json.loads(line)["id"] for line in done.stdout.splitlines()},
                         {image["id"] for image in listed})
        b.open(self.daemon.url + "/?" + urllib.parse.urlencode({"tag": "Paris\\, France"}))
        self.shows(listed)
        self.assertEqual(self.chip("tag"), "tag: Paris, France")
        b.click("#filter-button")
        self.set("tag", "Paris\\, France, animal")
        self.shows(self.listed(tag=[tag, "animal"]))
        self.assertEqual(self.query(), {"tag": ["Paris\\, France, animal"]})
        # given several times: all of them
        b.open(self.daemon.url + "/?" + urllib.parse.urlencode(
            {"tag": ["Paris\\, France", "animal"]}, doseq=True))
        self.shows(self.listed(tag=[tag, "animal"]))
        # a tag of a picture, clicked
        b.open(self.daemon.url + "/?view=%d" % listed[0]["id"])
        b.wait("document.querySelector('#viewer').open")
        if b.run("return document.querySelector('#details').hidden"):
            b.press("i")
        one = "[...document.querySelectorAll('.tags .link')].find((l) => l.textContent === arguments[0])"
        b.wait(one, tag)
        b.run(one + ".click()", tag)
        self.shows(listed)
        self.assertEqual(self.query(), {"tag": ["Paris\\, France"]})
        self.assertEqual(b.complaints(), [])

    def test_words_too(self):
        b = self.browser
        os.makedirs(os.path.join(searchd.BUILD, "screenshots"), exist_ok=True)
        b.open(self.daemon.url + "/?q=zeppelin")
        b.wait("document.querySelectorAll('.tile.loaded').length > 2")
        b.click("#filter-button")
        b.click("#f-hybrid")
        fused = self.daemon.get("/v1/search?q=zeppelin&k=60&hybrid=true").json["results"]
        self.assertIn("words_rank", fused[0])
        self.shows(fused, 8)
        self.assertEqual(self.chip("hybrid"), "Find written words, too")
        # a picture alone has no words: then it means nothing
        b.open(self.daemon.url + "/?like=%d&hybrid=true" % fused[0]["id"])
        self.shows(self.daemon.get("/v1/search?id=%d&k=60" % fused[0]["id"]).json["results"], 8)
        b.open(self.daemon.url + "/?tag=plant&hybrid=true")
        self.shows(self.listed(tag="plant"), 8)
        self.assertEqual(b.complaints(), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
