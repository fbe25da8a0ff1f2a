#!/usr/bin/env python3
"""The page in a real browser (page.py): what a person types, drops, clicks and presses,
held against what the daemon itself answers."""

import json
import os
import time
import unittest
import urllib.parse

import page
import searchd
from page import STAMPS

IDS = """[...document.querySelectorAll('.tile a')].map((a) => Number(new URL(a.href).searchParams.get('view')))"""
# A drop (or a paste) of the files at some addresses, as a browser would send it.
DROP = """
const [addresses, kind, done] = arguments;
(async () => {
  const data = new DataTransfer();
  for (const address of addresses) {
    const blob = await (await fetch(address)).blob();
    data.items.add(new File([blob], 'dropped.' + blob.type.split('/')[1], {type: blob.type}));
  }
  const more = {bubbles: true, cancelable: true};
  if (kind === 'paste') {
    document.body.dispatchEvent(new ClipboardEvent('paste', {...more, clipboardData: data}));
  } else {
    const target = document.querySelector('#results');
    for (const name of ['dragenter', 'dragover']) target.dispatchEvent(new DragEvent(name, {...more, dataTransfer: data}));
    window.dropShown = !document.querySelector('#drop').hidden;
    target.dispatchEvent(new DragEvent('drop', {...more, dataTransfer: data}));
  }
  done(true);
})();"""


class Finding(page.Page):
    # ---- Searching ----

    def test_all_pictures_by_date(self):
        self.open()
        images = self.daemon.get("/v1/images?limit=10").json
        self.shows(images["images"], "the library by date")
        self.assertIn("%d pictures" % images["total"], self.browser.run("return document.body.innerText"))
        self.shot("all")
        self.assertEqual(self.complains(), [])

    def test_typing_finds_and_the_address_keeps_it(self):
        self.open()
        self.browser.type("#q", "a dog on a beach")
        self.shows(self.api(q="a dog on a beach", k=8), "what was typed")
        self.assertEqual(self.query(), {"q": ["a dog on a beach"]})
        self.browser.press("Enter")
        self.browser.run("document.querySelector('#q').value = ''")
        self.browser.type("#q", "a tree")
        self.shows(self.api(q="a tree", k=8), "the second query")
        self.shot("typed")
        self.browser.back()
        self.shows(self.api(q="a dog on a beach", k=8), "the first query, after back")
        self.assertEqual(self.browser.run("return document.querySelector('#q').value"), "a dog on a beach")
        self.browser.back()
        self.shows(self.daemon.get("/v1/images?limit=8").json["images"], "all of them, after back")
        self.browser.forward()
        self.shows(self.api(q="a dog on a beach", k=8), "forward again")
        self.assertIn("a dog on a beach", self.browser.run("return document.title"))
        self.assertEqual(self.complains(), [])

    def test_good_matches_are_counted_as_the_daemon_judges(self):
        for query in ("red", "a photo", "a bird"):
            answer = self.daemon.get("/v1/search?" + urllib.parse.urlencode({"q": query, "k": 60})).json
            good = sum(r["match"] >= answer["good_match"] for r in answer["results"])
            self.open("/?" + urllib.parse.urlencode({"q": query}))
            text = self.browser.run("return document.querySelector('#count').innerText")
            if 0 < good < 60:
                self.assertRegex(text, r"^%d good match(es)?," % good)
                self.assertEqual(self.browser.run("return document.querySelector('#good-end').innerText"), "Good matches end here")
            elif good == 0:
                self.assertRegex(text, "^No good match,")

    def test_good_matches_only(self):
        least = self.daemon.get("/v1/stats").json["good_match"]
        kinds = {}  # a query that has good ones and others, and one that has none
        for query in ("a bird", "an apple", "a fire engine", "red", "a photo", "stripes", "xyzzy", "a tax return"):
            results = self.api(q=query, k=60)
            good = [r for r in results if r["match"] >= least]
            kinds.setdefault("some" if 0 < len(good) < 60 else "none" if not good else "all", (query, good))
        query, good = kinds["some"]
        b = self.browser
        self.open("/?" + urllib.parse.urlencode({"q": query}))
        b.click("#good-only")
        b.wait("document.querySelectorAll('.tile').length === arguments[0]", len(good), what="the good ones alone")
        self.shows(good, "in their order")
        self.assertEqual(self.query(), {"q": [query], "good": ["1"]})
        self.assertRegex(b.run("return document.querySelector('#count').innerText"), r"^%d good match(es)?," % len(good))
        self.assertIsNone(b.run("return document.querySelector('#good-end')"))
        self.shot("good-only")
        b.back()
        b.wait("document.querySelectorAll('.tile').length > arguments[0]", len(good), what="all again")
        self.assertEqual(b.run("return document.querySelector('#good-only').getAttribute('aria-pressed')"), "false")
        query, _ = kinds["none"]
        self.open("/?good=1&" + urllib.parse.urlencode({"q": query}), wait=False)
        b.wait("document.querySelector('#notice h2')?.innerText === 'No good match'")
        self.shot("good-only-none")
        b.click("#notice button")
        self.shows(self.api(q=query, k=8), "what comes closest")
        self.assertEqual(self.query(), {"q": [query]})

    def test_looking_twice(self):
        b = self.browser
        query = "a small bird on a branch"
        once, twice = self.api(q=query, k=60), self.api(q=query, k=60, rerank=50)
        self.assertNotEqual([r["id"] for r in once[:8]], [r["id"] for r in twice[:8]])
        self.open("/?" + urllib.parse.urlencode({"q": query}))
        self.shows(once[:8], "the first look")
        b.click("#rerank")
        self.shows(twice[:8], "the second look")
        self.assertEqual(self.query(), {"q": [query], "rerank": ["1"]})
        self.shot("twice")
        b.run("scrollTo(0, 1e6)")  # what follows comes once, after those that changed places
        wanted = len(self.api(q=query, k=1000))
        b.wait("document.querySelector('#more').checkVisibility()", what="the end")
        b.run("scrollTo(0, 1e6)")
        b.wait("[...document.querySelectorAll('.tile')].at(-1)?.getAttribute('aria-posinset') === arguments[0]", str(wanted), what="each once")
        # Without words there is nothing to look at again by.
        self.open("/?rerank=1&like=%d" % once[0]["id"])
        self.assertFalse(b.run("return document.querySelector('#rerank').checkVisibility()"))
        self.shows(self.terms({"id": once[0]["id"], "weight": 1}), "as without it")

    def test_a_word_not_wanted(self):
        self.open("/?q=" + urllib.parse.quote_plus("blue stripes - water"))
        self.shows(self.terms({"text": "blue stripes"}, {"text": "water", "weight": -1}), "a sum of texts")

    @unittest.skipUnless(os.path.isdir(STAMPS), "Debian's tuxpaint stamps are not installed")
    def test_words_find_what_they_say(self):
        for words, folder in (("a bird", "/animals/"), ("fruit", "/food/")):
            self.open("/?q=" + urllib.parse.quote_plus(words))
            ids = self.browser.run("return " + IDS)[:5]
            paths = ["/" + self.daemon.get("/v1/images/%d" % i).json["path"] for i in ids]
            self.assertGreaterEqual(sum(folder in p for p in paths), 4, (words, paths))
        self.shot("words")

    def test_a_picture_dropped_or_pasted_finds_itself(self):
        wanted = self.picture("real/exif.png")
        for kind in ("drop", "paste"):
            self.open()
            self.browser.run_async(DROP, [wanted["file"]], kind)
            self.browser.wait("%s[0] === arguments[0]" % IDS, wanted["id"], what="the picture itself first")
            self.assertEqual(self.browser.run("return document.querySelectorAll('#chips .chip-picture').length"), 1)
        self.assertTrue(self.browser.run("return window.dropShown ?? true"))
        # Words and the picture together, then back to the picture alone.
        self.browser.type("#q", "green")
        self.browser.wait("location.search.includes('q=green') && location.search.includes('picture=')")
        data = self.daemon.get("/v1/images/%d/file" % wanted["id"], check=False).body
        image = "data:image/png;base64," + searchd.b64(data)
        self.shows(self.terms({"text": "green"}, {"image": image}), "words and a picture")
        self.shot("words-and-picture")
        self.browser.back()
        self.shows(self.terms({"image": image}), "the picture alone, after back")
        self.browser.click("#chips .chip-remove")
        self.browser.wait("location.search === ''")
        self.assertEqual(self.complains(), [])

    def test_what_is_no_picture_is_said(self):
        self.open()
        self.browser.run_async(DROP, ["/openapi.json"], "drop")
        self.browser.wait("document.querySelector('#toast').innerText.includes('is no picture')")
        self.assertEqual(self.browser.run("return location.search"), "")

    def test_more_and_less_like_this(self):
        self.open("/?q=a+photo")
        first = self.browser.run("return " + IDS)[2]
        self.browser.run("document.querySelectorAll('.tile')[2].querySelector('.like[data-sign=\"1\"]').click()")
        self.shows(self.terms({"text": "a photo"}, {"id": first}), "more like this")
        last = self.browser.run("return " + IDS)[5]
        self.browser.run("document.querySelectorAll('.tile')[5].querySelector('.like[data-sign=\"-1\"]').click()")
        self.shows(self.terms({"text": "a photo"}, {"id": first}, {"id": last, "weight": -0.5}), "less like that")
        self.assertEqual(self.query(), {"q": ["a photo"], "like": [str(first)], "unlike": [str(last)]})
        self.browser.wait("!document.querySelector('#chips').innerText.includes('#')", what="names in the chips")
        self.shot("more-and-less")
        self.browser.click("#chips .chip.term .chip-weight")
        self.shows(self.terms({"text": "a photo"}, {"id": first, "weight": 2}, {"id": last, "weight": -0.5}), "twice as much")
        self.browser.click("#chips .chip.less .chip-remove")
        self.shows(self.terms({"text": "a photo"}, {"id": first, "weight": 2}), "the other one taken away")
        self.browser.back()
        self.browser.back()
        self.shows(self.terms({"text": "a photo"}, {"id": first}, {"id": last, "weight": -0.5}), "back, twice")

    def test_a_picture_of_the_page_dropped_on_the_box(self):
        self.open("/?q=red")
        chosen = self.browser.run("return " + IDS)[4]
        self.browser.run('''const data = new DataTransfer(), more = {bubbles: true, cancelable: true, dataTransfer: data};
            document.querySelectorAll('.tile img')[4].dispatchEvent(new DragEvent('dragstart', more));
            document.querySelector('#q').dispatchEvent(new DragEvent('drop', more));''')
        self.shows(self.terms({"text": "red"}, {"id": chosen}), "more like the picture dragged")

    def test_places_have_the_colour_of_their_pictures(self):
        b = self.browser
        self.open()
        images = self.daemon.get("/v1/images?limit=30").json["images"]
        # Before any thumbnail was there, and whatever is kept from another visit.
        for image in images[:12]:
            shown = b.run("return document.querySelector('.tile a[href$=\"view=%d\"]').parentNode.style.backgroundColor" % image["id"])
            rgb = tuple(int(image["colour"][i:i + 2], 16) for i in (1, 3, 5))
            self.assertEqual(shown, "rgb(%d, %d, %d)" % rgb)
        # Much of the thumbnail, drawn apart, lies near that colour.
        near = b.run('''const c = document.createElement('canvas').getContext('2d');
            return [...document.querySelectorAll('.tile.loaded')].slice(0, 8).map((t) => {
              const i = t.querySelector('img'), own = t.style.backgroundColor.match(/\\d+/g).map(Number);
              c.canvas.width = i.naturalWidth; c.canvas.height = i.naturalHeight; c.drawImage(i, 0, 0);
              const d = c.getImageData(0, 0, i.naturalWidth, i.naturalHeight).data;
              let n = 0;
              for (let k = 0; k < d.length; k += 4) n += own.every((x, p) => Math.abs(x - d[k + p]) < 72);
              return n * 4 / d.length;
            })''')
        self.assertGreater(len(near), 4)
        self.assertGreater(min(near), 0.1, near)

    def test_the_focus_stays_while_pictures_scroll_by(self):
        b = self.browser
        self.open()
        b.run("document.querySelectorAll('.tile a')[1].focus()")
        b.run("scrollTo(0, document.documentElement.scrollHeight)")
        b.wait("Math.max(...[...document.querySelectorAll('.tile')].map((t) => Number(t.dataset.i))) > 80")
        b.run("scrollTo(0, 0)")
        b.wait("document.querySelector('.tile').dataset.i === '0' && scrollY === 0")
        self.assertEqual(b.run("return document.activeElement.closest('.tile')?.dataset.i"), "1")
        order = b.run("return [...document.querySelectorAll('.tile')].map((t) => Number(t.dataset.i))")
        self.assertEqual(order, sorted(order))

    # ---- Filters ----

    def test_filters(self):
        self.open("/?q=blue")
        self.browser.click("#filter-button")
        self.browser.wait("[...document.querySelectorAll('#seen-folder option')].some((o) => o.value === arguments[0])",
                          self.shop.folder, what="the library's folder among those offered")
        self.browser.run("document.querySelector('input[value=portrait]').click()")
        self.shows(self.api(q="blue", orientation="portrait", k=6), "upright ones")
        self.browser.type("#f-name", "d3/")
        self.shows(self.api(q="blue", orientation="portrait", name="d3/", k=30), "upright ones in d3")
        self.shot("filters")
        self.browser.run("document.querySelector('#f-name').value = ''; document.querySelector('input[value=\"\"]').click()")
        self.browser.run("const f = document.querySelector('#f-folder'); f.value = arguments[0];"
                         "f.dispatchEvent(new Event('input', {bubbles: true}))", os.path.join(self.shop.folder, "real"))
        self.browser.wait("document.querySelector('#chips [data-filter=folder]')", what="the folder's chip")
        self.browser.wait("document.querySelectorAll('.tile').length === 4", what="the four of real/")
        self.browser.press("Escape")
        self.assertTrue(self.browser.run("return document.querySelector('#filters').hidden"))
        self.browser.click("#chips [data-filter=folder] .chip-remove")
        self.shows(self.api(q="blue", k=8), "all of them again")
        # A camera and dates, without a query.
        taken = next(i for i in self.daemon.get("/v1/images?limit=1000").json["images"] if "taken_at" in i)
        day = time.strftime("%Y-%m-%d", time.gmtime(taken["taken_at"]))
        self.open("/?camera=osprey+optics&taken_from=%s&taken_to=%s" % (day, day), wait=False)
        listed = self.daemon.get("/v1/images?camera=osprey+optics&taken_from=%s&taken_to=%s" % (day, day)).json
        self.shows(listed["images"], "by camera and day")
        self.assertEqual(self.browser.run("return document.querySelectorAll('#chips [data-filter]').length"), 3)
        self.assertEqual(self.complains(), [])

    def test_nothing_passes_the_filters(self):
        self.open("/?q=blue&name=there-is-no-such-name", wait=False)
        self.browser.wait("document.querySelector('#notice h2')?.innerText === 'Nothing found'")
        self.shot("nothing-found")
        self.browser.click("#notice button")
        self.shows(self.api(q="blue", k=8), "without filters")

    # ---- One picture ----

    def test_full_view_by_keyboard(self):
        b = self.browser
        self.open("/?q=red")
        ids = b.run("return " + IDS)
        b.run("document.querySelector('.tile a').focus()")
        b.press("Right", "Right", "Left", "Enter")
        b.wait("document.querySelector('#viewer').open && location.search.includes('view=%d')" % ids[1])
        b.wait("document.querySelector('#viewer .big').naturalWidth > 0")
        b.press("Right", "Right")
        b.wait("location.search.includes('view=%d')" % ids[3])
        b.press("Left", "i")
        b.wait("location.search.includes('view=%d')" % ids[2])
        image = self.daemon.get("/v1/images/%d" % ids[2]).json
        text = b.run("return document.querySelector('#details').innerText")
        self.assertIn(image["path"].split("/")[-1], text)
        self.assertIn("%d × %d" % (image["width"], image["height"]), text)
        self.shot("full-view")
        # The file itself, with its name.
        link = b.run("const a = document.querySelector('#viewer a[download]'); return [a.getAttribute('href'), a.download]")
        self.assertEqual(link, [image["file"], image["path"].split("/")[-1]])
        b.press("i", "Escape")
        b.wait("!document.querySelector('#viewer').open && !location.search.includes('view=')")
        b.wait("document.activeElement.closest('.tile')?.dataset.i === '2'", what="focus on the last picture seen")
        # Back closes it as well; forward opens it again.
        b.press("Enter")
        b.wait("document.querySelector('#viewer').open")
        b.back()
        b.wait("!document.querySelector('#viewer').open && location.search === '?q=red'")
        b.forward()
        b.wait("document.querySelector('#viewer').open")
        b.press("+")
        self.shows(self.terms({"text": "red"}, {"id": ids[2]}), "more like the picture in view")
        self.assertEqual(self.complains(), [])

    def test_a_bookmark_of_a_picture(self):
        image = self.picture("real/exif.jpg")
        self.open("/?view=%d" % image["id"], wait=False)
        self.browser.wait("document.querySelector('#viewer').open")
        if self.browser.run("return document.querySelector('#details').hidden"):
            self.browser.press("i")
        self.assertIn("Osprey", self.browser.run("return document.querySelector('#details').innerText"))
        self.browser.run("[...document.querySelectorAll('#details button')].find((b) => b.title === 'Only this camera').click()")
        self.browser.wait("location.search.includes('camera=') && !document.querySelector('#viewer').open")

    def test_swipes(self):
        b = self.browser
        b.resize(360, 740)
        self.open("/?q=red")
        ids = b.run("return " + IDS)
        b.run("document.querySelector('.tile a').click()")
        b.wait("location.search.includes('view=%d')" % ids[0])
        b.swipe(300, 360, 80, 370)
        b.wait("location.search.includes('view=%d')" % ids[1], what="the next picture")
        b.swipe(80, 360, 300, 370)
        b.wait("location.search.includes('view=%d')" % ids[0], what="the one before")
        self.shot("narrow-full-view")
        b.swipe(180, 300, 185, 640)
        b.wait("!document.querySelector('#viewer').open", what="the view closed by a swipe down")

    # ---- Libraries ----

    def test_another_library(self):
        self.open()
        self.browser.wait("document.querySelector('#m-library')", what="a chooser of libraries")
        self.browser.run("const s = document.querySelector('#m-library'); s.value = 'second'; s.dispatchEvent(new Event('change'))")
        self.browser.wait("document.querySelectorAll('.tile').length === 3 && location.search === '?library=second'")
        self.browser.type("#q", "red")
        self.shows(self.api(q="red", library="second", k=3), "the other library's pictures")
        self.loaded()
        self.open("/?library=third", wait=False)
        self.browser.wait("document.querySelector('#notice h2')?.innerText === 'There is no such library'")
        self.browser.click("#notice button")
        self.loaded()

    # ---- Very many ----

    def test_a_hundred_thousand(self):
        """The listing of a library that large, invented between the page and the daemon:
        what is in the document stays small, and the last picture is reached."""
        b = self.browser
        image = self.picture("real/exif.jpg")
        script = """
            const real = window.fetch;
            window.fetch = async (address, options) => {
              if (!String(address).startsWith('/v1/images?')) return real(address, options);
              const from = new URL(address, location.href).searchParams;
              const at = Number(from.get('after') ?? 0), end = Math.min(100000, at + Number(from.get('limit')));
              const images = [];
              for (let i = at; i < end; i++) images.push({...%s, id: i + 1, path: i + '.jpg', taken_at: 1700000000 - i * 3600, width: 60 + i * 7 %% 90, height: 60 + i * 11 %% 70});
              return new Response(JSON.stringify({images, total: 100000, took_ms: {total: 1}, ...(end < 100000 ? {next: String(end)} : {})}));
            };""" % json.dumps(image)
        added = b.cdp("Page.addScriptToEvaluateOnNewDocument", {"source": script})
        try:
            self.open()
            most = b.run_async("""const done = arguments[0]; let most = 0, frames = 0;
                const start = performance.now();
                (function down() {
                  scrollTo(0, document.documentElement.scrollHeight);
                  most = Math.max(most, document.querySelectorAll('.tile').length);
                  frames++;
                  if (document.querySelector('.tile[data-i="99999"]')) done([most, frames, performance.now() - start]);
                  else if (performance.now() - start > 100000) done([0, document.querySelector('.tile:last-child').dataset.i, 0]);
                  else requestAnimationFrame(down);
                })()""")
            self.assertGreater(most[0], 10, most)
            self.assertLess(most[0], 400, most)
            self.shot("hundred-thousand")
            label = b.run_async('''const done = arguments[0], month = document.querySelector('#month');
                new MutationObserver((_, o) => { if (!month.hidden) { o.disconnect(); done(month.textContent); } })
                  .observe(month, {attributes: true, childList: true});
                scrollBy(0, -300);''')
            self.assertIn("2012", label)
            # Jumping about: what is in view is there at the next frame, in its place.
            for part in (0.5, 0.1, 0.9):
                gaps = b.run_async("""const [part, done] = arguments;
                    scrollTo(0, document.documentElement.scrollHeight * part);
                    requestAnimationFrame(() => requestAnimationFrame(() => {
                      const head = document.querySelector('#head').offsetHeight, missing = [];
                      for (let y = head + 30; y < innerHeight - 10; y += 40)
                        if (!document.elementsFromPoint(200, y).concat(document.elementsFromPoint(230, y)).some((n) => n.closest('.tile'))) missing.push(y);
                      done(missing);
                    }))""", part)
                # A row's gap may lie under a point, not more.
                self.assertLess(len(gaps), 6, (part, gaps))
        finally:
            b.cdp("Page.removeScriptToEvaluateOnNewDocument", {"identifier": added["identifier"]})


if __name__ == "__main__":
    unittest.main(verbosity=2)
