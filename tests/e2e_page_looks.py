#!/usr/bin/env python3
"""How the page looks, to everybody (page.py): light and dark, from phones to 4K, in both
languages, by keyboard, for screen readers, without motion."""

import unittest

import page
import page_checks


class Looks(page.Page):
    # ---- How it looks ----

    def test_dark_by_the_system_and_by_choice(self):
        back = "return getComputedStyle(document.documentElement).backgroundColor"
        self.open()
        light = self.browser.run(back)
        self.browser.emulate(prefers_color_scheme="dark")
        dark = self.browser.run(back)
        self.assertNotEqual(light, dark)
        self.shot("dark")
        self.browser.click("#menu-button")
        self.shot("menu")
        self.browser.run("const s = document.querySelector('#m-theme'); s.value = 'light'; s.dispatchEvent(new Event('change'))")
        self.assertEqual(self.browser.run(back), light)
        self.open()
        self.assertEqual(self.browser.run(back), light)

    def test_from_360_pixels_to_4k(self):
        for width, height in ((360, 740), (768, 1024), (3840, 2160)):
            self.browser.resize(width, height)
            self.open("/?q=red&orientation=landscape&like=3")
            self.shot("%dx%d" % (width, height))
            if width < 800:
                self.browser.click("#filter-button")
                self.shot("%dx%d-filters" % (width, height))
            wide = self.browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
            self.assertLessEqual(wide, 0, width)
            out = self.browser.run("""return [...document.querySelectorAll('button, a, input, select')].filter((n) => {
                const r = n.getBoundingClientRect();
                return r.width && n.checkVisibility() && !n.closest('.tile, .skip') && (r.left < -1 || r.right > innerWidth + 1);
            }).map((n) => n.outerHTML)""")
            self.assertEqual(out, [], width)

    def test_german(self):
        self.open()
        self.browser.click("#menu-button")
        self.browser.run("const s = document.querySelector('#m-language'); s.value = 'de'; s.dispatchEvent(new Event('change'))")
        self.browser.wait("document.documentElement.lang === 'de'")
        self.loaded()
        text = self.browser.wait("document.querySelector('#english').innerText")
        self.assertIn("versteht nur Englisch", text)
        self.open("/?q=red&orientation=portrait")
        self.browser.click("#filter-button")
        self.shot("german")
        body = self.browser.run("return document.body.innerText")
        for word in ("Hochformat", "Aufgenommen ab", "Dateigröße"):
            self.assertIn(word, body)
        self.assertRegex(body, "zuerst|[Kk]ein guter Treffer")

    def test_both_languages_say_everything(self):
        self.open()
        missing = self.browser.run_async("""const done = arguments[0];
            Promise.all([import('/page/lang_en.js'), import('/page/lang_de.js')]).then(([en, de]) => {
              const a = Object.keys(en.default), b = Object.keys(de.default);
              const holes = (text) => [...new Set(text.match(/\\{\\w+\\}/g))].sort().join();
              done([a.filter((k) => !b.includes(k)), b.filter((k) => !a.includes(k)),
                    a.filter((k) => b.includes(k) && holes(en.default[k]) !== holes(de.default[k])), a.length]);
            })""")
        self.assertEqual(missing[:3], [[], [], []])
        self.assertGreater(missing[3], 80)

    # ---- Everybody ----

    def test_names_roles_and_contrast(self):
        b = self.browser
        for scheme in ("light", "dark"):
            b.emulate(prefers_color_scheme=scheme)
            for path, prepare in (("/", None), ("/?q=red&orientation=landscape&like=3&unlike=4", "#filter-button"),
                                  ("/?q=red", "#menu-button"), ("/?q=red", ".tile a"),
                                  ("/?name=there-is-no-such-name", None)):
                self.open(path, wait="no-such" not in path)
                b.wait("document.querySelector('.tile') || !document.querySelector('#notice').hidden")
                if prepare:
                    b.click(prepare)
                if prepare == ".tile a":
                    b.wait("document.querySelector('#viewer').open")
                    b.press("i")
                faults = page_checks.faults(b)
                self.assertEqual(faults, [], (scheme, path, prepare))

    def test_the_checks_would_catch(self):
        self.open()
        for broken in ("<button class='round'></button>", "<input>", "<img src='/page/icon.svg'>", "<p class='pale'>pale</p>",
                       "<a href='/' id='head'>twice</a>"):
            self.browser.run("const d = document.createElement('div'); d.id = 'broken'; d.innerHTML = arguments[0];"
                             "document.querySelector('main').append(d);"
                             "const p = d.querySelector('.pale'); if (p) p.style.color = '#bbb'", broken)
            self.assertNotEqual(page_checks.faults(self.browser, axe=False), [], broken)
            self.browser.run("document.querySelector('#broken').remove()")

    def test_rows_are_justified(self):
        self.open()
        faults = self.browser.run_async('''const done = arguments[0];
            import('/page/layout.js').then(({Layout}) => {
              const faults = [];
              let seed = 7;
              const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
              for (const width of [320, 357, 768, 1280, 3800]) for (const gap of [4, 6]) {
                const items = Array.from({length: 500}, () => ({width: 20 + random() * 900, height: 20 + random() * 900}));
                const layout = new Layout(width, gap);
                for (let i = 0; i < 500; i += 77) layout.add(items.slice(i, i + 77));
                layout.finish();
                let next = 0, bottom = 0;
                layout.rows.forEach((row, r) => {
                  const last = row.boxes.at(-1), end = last.left + last.width, where = `${width} ${gap} ${r}: `;
                  if (row.from !== next || Math.abs(row.top - bottom) > 1e-6) faults.push(where + 'place');
                  if (end > width + 0.01 || (r < layout.rows.length - 1 && end < width - 0.01)) faults.push(where + 'end ' + end);
                  if (row.height > 2.1 * layout.target || row.height < 0.4 * layout.target) faults.push(where + 'height ' + row.height);
                  row.boxes.forEach((box, k) => {
                    if (k && Math.abs(box.left - row.boxes[k - 1].left - row.boxes[k - 1].width - gap) > 1e-6) faults.push(where + 'gap');
                    const shape = items[next + k].width / items[next + k].height;
                    if (shape > 0.5 && shape < 3 && Math.abs(box.width / row.height - shape) > 1e-6) faults.push(where + 'shape');
                    if (layout.rowOf(next + k) !== r) faults.push(where + 'rowOf');
                  });
                  if (layout.rows[layout.rowAt(row.top + 1)] !== row) faults.push(where + 'rowAt');
                  next += row.boxes.length;
                  bottom = row.top + row.height + gap;
                });
                if (next !== 500) faults.push(width + ': ' + next + ' pictures');
              }
              done(faults.slice(0, 20));
            })''')
        self.assertEqual(faults, [])

    def test_who_wants_no_motion_gets_none(self):
        self.open()
        moving = "return [...document.querySelectorAll('*')].filter((n) => getComputedStyle(n).transitionDuration.split(', ').some((s) => s !== '0s')).length"
        self.assertGreater(self.browser.run(moving), 0)
        self.browser.emulate(prefers_reduced_motion="reduce")
        self.assertEqual(self.browser.run(moving), 0)

    def test_keyboard_alone(self):
        self.open()
        self.browser.run("document.activeElement.blur()")
        self.browser.press("Tab")
        self.assertEqual(self.browser.run("return document.activeElement.className"), "skip")
        self.browser.press("Enter", "Tab")
        self.assertEqual(self.browser.run("return document.activeElement.closest('.tile').dataset.i"), "0")
        self.browser.press("Down")
        below = self.browser.run("return [document.activeElement.closest('.tile').dataset.i, document.querySelector('.tile').offsetTop < document.activeElement.closest('.tile').offsetTop]")
        self.assertTrue(below[1], below)
        self.browser.press("Up", "/")
        self.assertEqual(self.browser.run("return document.activeElement.id"), "q")


if __name__ == "__main__":
    unittest.main(verbosity=2)
