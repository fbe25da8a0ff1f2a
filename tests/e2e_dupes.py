#!/usr/bin/env python3
"""osprey dupes, caption, export and import, end to end."""

import html.parser
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
import unittest

import pictures

BUILD = pathlib.Path(os.environ["OSPREY_BUILD"])
SOURCE = pathlib.Path(os.environ["OSPREY_SOURCE"])
OSPREY = str(BUILD / "osprey")


def scene(seed, width, height, gain=1.0, disc=0.3):
    """An RGB PNG of a scene told by its seed, seen in some size and light."""
    import math
    import random
    rnd = random.Random("scene %d" % seed)
    waves = [(rnd.uniform(1, 9), rnd.uniform(0, 6.3), rnd.uniform(0, 6.3)) for _ in range(7)]
    tint = [rnd.uniform(-40, 40) for _ in range(3)]
    rows = []
    for y in range(height):
        row = bytearray(b"\0")
        for x in range(width):
            u, v = (x + 0.5) / width, (y + 0.5) / height
            light = 118 + sum(16 * math.sin(f * (u * math.cos(a) + v * math.sin(a)) * 3 + p)
                              for f, a, p in waves)
            light += 70 if (u - disc) ** 2 + (v - 0.4) ** 2 < 0.012 else 0
            row += bytes(min(255, max(0, int(gain * (light + t)))) for t in tint)
        rows.append(bytes(row))
    return pictures.rgb_png(width, height, rows)


class Images(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.images, self.elsewhere = 0, []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if tag == "img" and name == "src":
                self.images += value.startswith("data:image/jpeg;base64,/9j/")
            elif name in ("src", "href"):
                self.elsewhere.append(value)


class Archive(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tmp = pathlib.Path(tempfile.mkdtemp(prefix="osprey-dupes-")).resolve()
        cls.env = dict(os.environ, XDG_CACHE_HOME=str(cls.tmp / "cache"))
        cls.dir = cls.tmp / "pictures"
        (cls.dir / "in").mkdir(parents=True)
        whole = scene(1, 160, 120)
        cls.write("whole.png", whole)
        cls.write("in/copy.png", whole)
        cls.write("in/small.png", scene(1, 80, 60))
        cls.write("in/bright.png", scene(1, 160, 120, gain=1.15))
        cls.write("moved.png", scene(1, 160, 120, disc=0.7))
        for seed in range(2, 26):
            cls.write("other%02d.png" % seed, scene(seed, 60, 48))
        cls.awkward = "a 'b' $(touch x) \\ \nc;d.png"
        cls.write(cls.awkward, scene(3, 90, 72))
        cls.library = cls.tmp / "library"
        cls.osprey("index", "--quiet", cls.dir)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.tmp)

    @classmethod
    def write(cls, name, data):
        (cls.dir / name).write_bytes(data)

    @classmethod
    def osprey(cls, *args, status=0, library=None):
        run = subprocess.run([OSPREY, *map(str, args), "--library", str(library or cls.library)],
                             capture_output=True, env=cls.env, cwd=cls.tmp)
        assert run.returncode == status, (args, run.returncode, run.stdout, run.stderr)
        return run.stdout, run.stderr.decode(errors="replace")

    def lines(self, *args, **more):
        out, _ = self.osprey(*args, "--json", **more)
        return [json.loads(line) for line in out.splitlines()]

    # ---- dupes ----

    def test_groups_of_all_kinds(self):
        groups = self.lines("dupes", "--kinds", "identical,same")
        self.assertEqual(len(groups), 2)
        group = next(g for g in groups if len(g["members"]) == 4)
        kinds = {os.path.relpath(m["path"], self.dir): m["kind"] for m in group["members"]}
        self.assertEqual(set(kinds), {"whole.png", "in/copy.png", "in/small.png", "in/bright.png"})
        self.assertEqual(group["members"][0]["path"], group["keep"])
        self.assertEqual(group["members"][0]["kind"], "keep")
        self.assertEqual(kinds["in/small.png"], "same")
        self.assertNotIn("small", group["keep"])
        self.assertTrue(group["why"])
        for member in group["members"]:
            self.assertTrue(0.96 <= member["score"] <= 1)
        awkward = next(g for g in groups if len(g["members"]) == 2)
        self.assertEqual(awkward["keep"], str(self.dir / self.awkward))
        self.assertIn("resolution: 90 x 72, the next has 60 x 48", awkward["why"])

    def test_kinds_and_folders_narrow(self):
        groups = self.lines("dupes", "--kinds", "identical")
        self.assertEqual([[m["kind"] for m in g["members"]] for g in groups],
                         [["keep", "identical"]])
        groups = self.lines("dupes", "--kinds", "same,identical", self.dir / "in")
        self.assertEqual([len(g["members"]) for g in groups], [3])
        out, _ = self.osprey("dupes", "--kinds", "identical", self.dir / "in", status=1)
        self.assertEqual(out, b"")

    def test_wrong_usage(self):
        for args in (["--kinds", "equal"], ["--same", "1.5"], ["--near", "0"], ["--kinds", ""]):
            self.osprey("dupes", *args, status=2)
        _, err = self.osprey("dupes", self.tmp, "/nowhere", status=3)
        self.assertIn("/nowhere", err)

    def test_the_second_run_says_the_same(self):
        self.assertEqual(self.osprey("dupes", "--json")[0], self.osprey("dupes", "--json")[0])

    def test_the_page_needs_nothing_else(self):
        page = self.tmp / "page.html"
        self.osprey("dupes", "--kinds", "identical,same", "--html", page)
        seen = Images()
        seen.feed(page.read_text())
        self.assertEqual(seen.images, 6)
        self.assertEqual(seen.elsewhere, [])
        self.assertIn("a 'b' $(touch x)", page.read_text())

    def test_the_script_does_nothing_until_it_is_edited(self):
        script = self.tmp / "tidy.sh"
        copy = self.tmp / "for the script"
        shutil.copytree(self.dir, copy)
        library = self.tmp / "script-library"
        self.osprey("index", "--quiet", copy, library=library)
        self.osprey("dupes", "--kinds", "identical,same", "--script", script, library=library)
        before = sorted(p.name for p in copy.rglob("*"))
        subprocess.run(["sh", str(script)], check=True, cwd=self.tmp)
        self.assertEqual(sorted(p.name for p in copy.rglob("*")), before)
        text = script.read_text()
        for line in text.splitlines()[30:]:
            self.assertTrue(not line or line.startswith("#"), line)
        # Its commands taken out of their comments: the kept ones stay, nothing else runs.
        script.write_text("\n".join(line[1:] if line.startswith("#drop") else line
                                    for line in text.split("\n")))
        subprocess.run(["sh", str(script)], check=True, cwd=self.tmp)
        left = sorted(str(p.relative_to(copy)) for p in copy.rglob("*") if p.is_file())
        self.assertIn(self.awkward, left)
        self.assertNotIn("other03.png", left)
        self.assertEqual(len([n for n in left if n in ("whole.png", "in/copy.png", "in/small.png",
                                                       "in/bright.png")]), 1)
        self.assertEqual(len(left), len([b for b in before if b.endswith(".png")]) - 4)
        self.assertFalse((self.tmp / "x").exists())

    def test_the_script_moves_what_it_is_told_to(self):
        script, away = self.tmp / "move.sh", self.tmp / "away's"
        copy = self.tmp / "for moving"
        shutil.copytree(self.dir, copy)
        library = self.tmp / "move-library"
        self.osprey("index", "--quiet", copy, library=library)
        self.osprey("dupes", "--kinds", "identical", "--script", script, library=library)
        text = script.read_text().replace("AWAY=''", 'AWAY="%s"' % away).replace("#drop", "drop")
        script.write_text(text)
        subprocess.run(["sh", str(script)], check=True, cwd=self.tmp)
        moved = [p for p in away.rglob("*.png")]
        self.assertEqual(len(moved), 1)
        self.assertIn(moved[0].name, ("whole.png", "copy.png"))

    def test_links_are_no_copies(self):
        copy, library = self.tmp / "linked", self.tmp / "linked-library"
        (copy / "album").mkdir(parents=True)
        for seed in range(30, 34):
            (copy / ("other%d.png" % seed)).write_bytes(scene(seed, 60, 48))
        whole = copy / "whole.png"
        whole.write_bytes(scene(1, 160, 120))
        (copy / "album" / "best.png").symlink_to("../whole.png")
        os.link(whole, copy / "album" / "hard.png")
        self.osprey("index", "--quiet", copy, library=library)
        out, _ = self.osprey("dupes", library=library, status=1)
        self.assertEqual(out, b"")
        # With a copy: it and the file, not the link, which came first.
        shutil.copy(whole, copy / "copy.png")
        self.osprey("index", "--quiet", copy, library=library)
        groups = self.lines("dupes", library=library)
        self.assertEqual([len(g["members"]) for g in groups], [2])
        members = {os.path.relpath(m["path"], copy) for m in groups[0]["members"]}
        self.assertIn("copy.png", members)
        self.assertNotIn("album/best.png", members)
        # A link that the catalogue takes for a file is not followed into its target's loss.
        script = self.tmp / "links.sh"
        self.osprey("dupes", "--script", script, library=library)
        kept, other = groups[0]["keep"], groups[0]["members"][1]["path"]
        os.remove(kept)
        os.symlink(other, kept)
        script.write_text(script.read_text().replace("#drop", "drop"))
        run = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=True)
        self.assertIn("by another name", run.stderr)
        self.assertTrue(os.path.exists(other))

    def test_what_is_not_its_own_is_not_replaced(self):
        picture = self.dir / "whole.png"
        before = picture.read_bytes()
        for option in ("--html", "--script"):
            _, err = self.osprey("dupes", option, picture, status=2)
            self.assertIn("whole.png is there already", err)
            self.assertEqual(picture.read_bytes(), before)
            ours = self.tmp / ("again" + option)
            self.osprey("dupes", option, ours)
            self.osprey("dupes", option, ours)

    def test_fingerprints_that_are_missing_are_made(self):
        import sqlite3
        library = self.tmp / "old-library"
        shutil.copytree(self.library, library)
        db = sqlite3.connect(library / "catalog.db")
        db.execute("DELETE FROM fingerprints")
        db.commit()
        wanted = self.lines("dupes")
        self.assertEqual(self.lines("dupes", library=library), wanted)
        count = db.execute("SELECT count(*) FROM fingerprints").fetchone()[0]
        db.close()
        self.assertEqual(count, len(list(self.dir.rglob("*.png"))) - 1)  # one copy
        self.osprey("verify", library=library)

    # ---- caption ----

    def bank(self, *sentences):
        bank = self.tmp / "bank.txt"
        bank.write_text("# of ours\n\n" + "\n".join(sentences) + "\n")
        return bank

    def test_captions_are_shown_and_kept(self):
        bank = self.bank("a dog on a beach", "a bowl of fruit", "a dog on a beach", "a red car")
        rows = self.lines("caption", "--bank", bank, "-k", "3", "--threshold", "0")
        self.assertEqual(len(rows), len(list(self.dir.rglob("*.png"))))
        for row in rows:
            self.assertEqual(len(row["captions"]), 3)
            scores = [c["score"] for c in row["captions"]]
            self.assertEqual(scores, sorted(scores, reverse=True))
            self.assertTrue(all(0 <= s <= 1 for s in scores))
            self.assertEqual(len({c["text"] for c in row["captions"]}), 3)
        import sqlite3
        db = sqlite3.connect(self.library / "catalog.db")
        kept = dict(db.execute("SELECT image_id, text FROM captions WHERE source = 'osprey'"))
        self.assertEqual(kept, {row["id"]: row["captions"][0]["text"] for row in rows})
        _, err = self.osprey("caption", "--remove")
        self.assertIn("%d captions" % len(rows), err)
        self.assertEqual(db.execute("SELECT count(*) FROM captions").fetchone()[0], 0)
        self.osprey("caption", "--remove", status=1)
        self.lines("caption", "--bank", bank, "--threshold", "0", "--dry-run")
        self.assertEqual(db.execute("SELECT count(*) FROM captions").fetchone()[0], 0)
        db.close()

    def test_none_fits_is_an_answer(self):
        bank = self.bank("a dog on a beach")
        out, _ = self.osprey("caption", "--bank", bank, "--threshold", "1", "--json", status=1)
        self.assertTrue(all(json.loads(line)["captions"] == [] for line in out.splitlines()))

    def test_a_bank_is_encoded_once(self):
        bank = self.bank("a boat in the fog", "two cats")
        first = self.osprey("caption", "--bank", bank, "--dry-run", "--threshold", "0", "--json")[0]
        cached = list((self.tmp / "cache/osprey/captions").iterdir())
        self.assertEqual(self.osprey("caption", "--bank", bank, "--dry-run", "--threshold", "0",
                                     "--json")[0], first)
        self.assertEqual(list((self.tmp / "cache/osprey/captions").iterdir()), cached)
        damaged = cached[0]
        damaged.write_bytes(b"nothing")
        self.assertEqual(self.osprey("caption", "--bank", bank, "--dry-run", "--threshold", "0",
                                     "--json")[0], first)

    def test_the_bank_that_comes_with_osprey(self):
        rows = self.lines("caption", "--dry-run", "--threshold", "0", self.dir / "in")
        sentences = (SOURCE / "models/captions/everyday.txt").read_text().splitlines()
        known = {s for s in sentences if s and not s.startswith("#")}
        self.assertTrue(1900 <= len(known) <= 2500)
        self.assertEqual(len(rows), 3)
        for row in rows:
            self.assertIn(row["captions"][0]["text"], known)

    def test_bad_banks(self):
        for content, why in ((b"\xff\xfe\0", "line 1 is not text in UTF-8"), (b"# only\n\n", "no sentences"),
                             (b"x" * 3000, "at most 2000 bytes")):
            bad = self.tmp / "bad.txt"
            bad.write_bytes(content)
            _, err = self.osprey("caption", "--bank", bad, status=3)
            self.assertIn(why, err)
        _, err = self.osprey("caption", "--bank", "no-such", status=3)
        self.assertIn("no-such", err)
        self.osprey("caption", "--remove", "--bank", "no-such", status=2)
        self.osprey("caption", "--threshold", "2", status=2)

    # ---- export and import ----

    def test_round_trip(self):
        target, library = self.tmp / "out", self.tmp / "imported"
        self.assertEqual(self.lines("export", str(target) + "/")[0]["rows"],
                         len(list(self.dir.rglob("*.png"))))
        self.lines("import", target, library=library)
        for query in (["search", "-k", "100", "a dog"], ["dupes", "--kinds", "identical"]):
            self.assertEqual(self.osprey(*query, "--json", library=library)[0],
                             self.osprey(*query, "--json")[0])
        self.osprey("verify", library=library)
        self.lines("import", target, library=library)  # again: the same
        self.osprey("verify", library=library)
        out, _ = self.osprey("index", self.dir, library=library)
        self.assertIn(b"0 added, 0 updated", out)

    def test_an_array_that_numpy_reads(self):
        target = self.tmp / "plain"
        self.osprey("export", target, "--in", self.dir / "in")
        data = (self.tmp / "plain.npy").read_bytes()
        self.assertEqual(data[:8], b"\x93NUMPY\x01\x00")
        length = struct.unpack("<H", data[8:10])[0]
        self.assertEqual((10 + length) % 64, 0)
        header = eval(data[10:10 + length].decode(), {})
        self.assertEqual(header["descr"], "<f4")
        self.assertEqual(header["shape"][0], 3)
        self.assertEqual(len(data), 10 + length + 4 * 3 * header["shape"][1])
        rows = [json.loads(line) for line in (self.tmp / "plain.jsonl").open()]
        self.assertEqual([r["row"] for r in rows], [0, 1, 2])
        for row in rows:
            self.assertTrue(os.path.exists(os.path.join(row["folder"], row["path"])))

    def test_bad_files_import_nothing(self):
        good = self.tmp / "good"
        self.osprey("export", good)
        array, lines = (self.tmp / "good.npy").read_bytes(), (self.tmp / "good.jsonl").read_text()
        model = (self.tmp / "good.json").read_text()
        first, rest = lines.split("\n", 1)
        nan = array[:128] + struct.pack("<f", float("nan")) * 4 + array[144:]
        cases = [
            (array[:-4], lines, model, "too short"), (b"GIF89a" * 9, lines, model, "not a NumPy"),
            (array.replace(b"<f4", b"<i4", 1), lines, model, "'<i4'"),
            (array, rest, model, "line 1"), (array, lines + first, model, "more lines"),
            (array, first + "\n", model, "1 lines"), (array, "{\n" + rest, model, "line 1"),
            (array, lines.replace('"path":"', '"path":"../', 1), model, "below its folder"),
            (array, lines.replace('"hash":"', '"hash":"z', 1), model, "hash"),
            (array, lines.replace('"width":', '"width":-', 1), model, "senseless"),
            (nan, lines, model, "row 0"), (array, lines, "{}", "which model"),
            (array, lines, model.replace('"version":1', '"version":2'), "version 2"),
            (array, lines, model.replace('"hash":"', '"hash":"0'), "weights"),
        ]
        for array_, lines_, model_, why in cases:
            bad = self.tmp / "bad"
            (self.tmp / "bad.npy").write_bytes(array_)
            (self.tmp / "bad.jsonl").write_text(lines_)
            (self.tmp / "bad.json").write_text(model_)
            library = self.tmp / "never"
            run = subprocess.run([OSPREY, "import", "--library", library, bad],
                                 capture_output=True, env=self.env)
            self.assertIn(run.returncode, (2, 3), why)
            self.assertIn(why, run.stderr.decode(), why)
            self.assertFalse(library.exists(), why)

    def clip_retrieval_arrays(self, cr):
        """A folder of clip-retrieval without metadata: two parts with three float16 rows each; the
        pictures that they are of."""
        self.osprey("export", self.tmp / "all")
        array = (self.tmp / "all.npy").read_bytes()
        rows = [json.loads(line) for line in (self.tmp / "all.jsonl").open()]
        dim = (len(array) - 128) // 4 // len(rows)
        (cr / "img_emb").mkdir(parents=True)
        (cr / "metadata").mkdir()
        head = ("{'descr': '<f2', 'fortran_order': False, 'shape': (3, %d), }" % dim).encode()
        head += b" " * (118 - len(head) - 1) + b"\n"
        for part in range(2):
            body = b"".join(struct.pack("<%de" % dim, *struct.unpack_from(
                "<%df" % dim, array, 128 + 4 * dim * r)) for r in range(3 * part, 3 * part + 3))
            (cr / ("img_emb/img_emb_%d.npy" % part)).write_bytes(
                b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + body)
        return [os.path.join(r["folder"], r["path"]) for r in rows[:6]]

    def test_clip_retrieval(self):
        cr = self.tmp / "cr"
        names = self.clip_retrieval_arrays(cr)
        names[4] = str(self.dir / "gone.png")
        (cr / "metadata/metadata_0.jsonl").write_text(
            "".join(json.dumps({"image_path": n, "caption": "x"}) + "\n" for n in names[:3]))
        library = self.tmp / "cr-library"
        run = ["import", "--model", "osprey-small", cr]
        _, err = self.osprey(*run, library=library, status=3)
        self.assertIn("there is no %s/metadata/metadata_1.parquet, nor .jsonl or .csv" % cr, err)
        self.assertFalse(library.exists())
        (cr / "metadata/metadata_1.csv").write_text(
            'caption,image_path\r\n' + "".join('"a ""b"", c\nd","%s"\r\n' % n.replace('"', '""')
                                               for n in names[3:]), newline="")
        self.osprey("import", cr, library=library, status=2)
        self.assertEqual(self.lines(*run, library=library), [{"images": 5, "missing": 1, "left": 0}])
        top = self.lines("similar", names[0], "-k", "1", library=library)[0]
        self.assertEqual(top["path"], names[0])
        self.osprey("verify", library=library)

    def test_clip_retrieval_as_it_writes(self):
        cr, root, library = self.tmp / "cr-parquet", self.tmp / "root", self.tmp / "cr-parquet-library"
        names = self.clip_retrieval_arrays(cr)
        # pandas.parquet names these, relative, and one that is not there.
        (root / "below").mkdir(parents=True)
        shutil.copy(names[0], root / "one.png")
        shutil.copy(names[1], root / "below" / "two \u00e9.png")
        table = (SOURCE / "tests/data/parquet/pandas.parquet").read_bytes()
        parquet = cr / "metadata/metadata_0.parquet"
        parquet.write_bytes(table)
        (cr / "metadata/metadata_1.jsonl").write_text(
            "".join(json.dumps({"image_path": n}) + "\n" for n in names[3:]))
        run = ["import", "--model", "osprey-small", "--root", root, cr]
        other = (SOURCE / "tests/data/parquet/zstd.parquet").read_bytes()
        for bad, why in ((table[:-9], "it is cut off"), (other, "(codec 6: zstd)"),
                         ((SOURCE / "tests/data/parquet/plain.parquet").read_bytes(), "more rows"),
                         ((SOURCE / "tests/data/parquet/empty.parquet").read_bytes(), "has 0 rows")):
            parquet.write_bytes(bad)
            _, err = self.osprey(*run, library=library, status=3)
            self.assertIn(why, err)
            self.assertIn(str(parquet), err)
            self.assertFalse(library.exists(), why)
        parquet.write_bytes(table)
        if re.search("SNAPPY_LIBRARY-NOTFOUND|OSPREY_WITHOUT:STRING=.*snappy",
                     (BUILD / "CMakeCache.txt").read_text()):
            _, err = self.osprey(*run, library=library, status=3)
            self.assertIn("built without libsnappy", err)
            return
        self.assertEqual(self.lines(*run, library=library), [{"images": 5, "missing": 1, "left": 0}])
        for name in ("one.png", "below/two \u00e9.png"):
            top = self.lines("similar", root / name, "-k", "1", library=library)[0]
            self.assertEqual(top["path"], str(root / name))
        self.osprey("verify", library=library)


if __name__ == "__main__":
    unittest.main(verbosity=2)
