"""Scans and films that leave a library by osprey export and enter another by osprey
import: with every page and every frame, so that the other answers the same.
"""

import json
import os
import shutil
import struct
import subprocess
import tempfile
import unittest

BUILD = os.environ["OSPREY_BUILD"]
OSPREY = os.path.join(BUILD, "osprey")
DATA = os.path.join(os.environ["OSPREY_SOURCE"], "tests", "data")
SCAN = os.path.join(DATA, "formats", "pages.tif")
PAGE = os.path.join(DATA, "formats", "page-2.png")
FILMS = ["h264.mp4", "mjpeg.avi"]


def osprey(library, *arguments, status=0):
    done = subprocess.run([OSPREY, *arguments, "--library", library], text=True,
                          capture_output=True, check=False)
    assert done.returncode == status, (arguments, done.returncode, done.stdout + done.stderr)
    return done.stderr if status > 1 else done.stdout


def lines(library, *arguments):
    return [json.loads(line) for line in osprey(library, *arguments, "--json").splitlines()]


class Exchange(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tmp = tempfile.mkdtemp(prefix="osprey-exchange-")
        cls.library = os.path.join(cls.tmp, "library")
        cls.pictures = os.path.join(cls.tmp, "pictures")
        os.makedirs(os.path.join(cls.pictures, "scans"))
        shutil.copy(SCAN, os.path.join(cls.pictures, "scans"))
        shutil.copy(SCAN, os.path.join(cls.pictures, "scans", "copy.tif"))
        shutil.copy(os.path.join(DATA, "formats", "tiled.tif"), cls.pictures)
        shutil.copy(os.path.join(DATA, "formats", "rgb.bmp"), cls.pictures)
        for name in FILMS:
            shutil.copy(os.path.join(DATA, "videos", name), cls.pictures)
        cls.orange = os.path.join(cls.tmp, "orange.ppm")
        with open(cls.orange, "wb") as f:
            f.write(b"P6 64 48 255\n" + bytes((254, 165, 0)) * (64 * 48))
        osprey(cls.library, "index", "--quiet", cls.pictures)
        can = lines(cls.library, "status")[0]["formats"]
        cls.scans, cls.films = "TIFF" in can, "MP4" in can
        cls.prefix = os.path.join(cls.tmp, "all")
        osprey(cls.library, "export", cls.prefix)
        with open(cls.prefix + ".jsonl", encoding="utf-8") as f:
            cls.rows = [json.loads(line) for line in f]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.tmp)

    def setUp(self):
        if not self.scans or not self.films:
            self.skipTest("without libtiff or FFmpeg")
        self.other = os.path.join(tempfile.mkdtemp(dir=self.tmp), "other")

    def of(self, name):
        return [row for row in self.rows if os.path.basename(row["path"]) == name]

    def vectors(self):
        with open(self.prefix + ".npy", "rb") as f:
            data = f.read()
        begin = 10 + struct.unpack("<H", data[8:10])[0]
        size = (len(data) - begin) // len(self.rows)
        return data[:begin], [data[begin + i * size:begin + (i + 1) * size]
                              for i in range(len(self.rows))]

    def written(self, rows):
        """An export of these rows, numbered anew, each with its embedding."""
        prefix = os.path.join(tempfile.mkdtemp(dir=self.tmp), "some")
        head, vectors = self.vectors()
        head = head.decode("latin-1").replace("(%d," % len(self.rows), "(%d," % len(rows), 1)
        length = struct.unpack("<H", head[8:10].encode("latin-1"))[0]
        header = head[10:].rstrip().ljust(length - 1) + "\n"
        with open(prefix + ".npy", "wb") as f:
            f.write((head[:10] + header).encode("latin-1"))
            f.write(b"".join(vectors[row["row"]] for row in rows))
        with open(prefix + ".jsonl", "w", encoding="utf-8") as f:
            f.writelines(json.dumps(dict(row, row=i)) + "\n" for i, row in enumerate(rows))
        with open(self.prefix + ".json", encoding="utf-8") as f:
            model = dict(json.load(f), rows=len(rows))
        with open(prefix + ".json", "w", encoding="utf-8") as f:
            json.dump(model, f)
        return prefix

    def answers(self, library):
        """What a library says to a number of questions, but for its ids."""
        questions = [["search", "-k", "100", "--image", PAGE],
                     ["search", "-k", "100", "--pages", "--image", PAGE],
                     ["search", "-k", "100", "--pages", "--image", self.orange],
                     ["search", "-k", "100", "--pages", "stripes"],
                     ["similar", "-k", "100", "--pages", os.path.join(self.pictures, FILMS[0])]]
        return [[{k: v for k, v in hit.items() if k not in ("id", "rank")}
                 for hit in lines(library, *question)] for question in questions]

    def test_rows_name_pages_and_times(self):
        self.assertEqual([row["row"] for row in self.rows], list(range(len(self.rows))))
        for name in ("pages.tif", "copy.tif"):
            self.assertEqual([(row["parts"], row["page"]) for row in self.of(name)],
                             [(3, 1), (3, 2), (3, 3)])
        self.assertEqual([(row["parts"], row["page"]) for row in self.of("tiled.tif")], [(1, 1)])
        for name in FILMS:
            rows = self.of(name)
            self.assertEqual([row["time_ms"] for row in rows], [500, 2500, 4000])
            self.assertEqual([(row["parts"], row["frame"]) for row in rows],
                             [(3, 1), (3, 2), (3, 3)])
            self.assertFalse(any("page" in row for row in rows))
        plain, = self.of("rgb.bmp")
        self.assertFalse({"parts", "page", "frame", "time_ms"} & set(plain))
        self.assertEqual(len(self.rows), 3 + 3 + 1 + 1 + 3 * len(FILMS))

    def test_another_library_answers_the_same(self):
        self.assertEqual(lines(self.other, "import", self.prefix),
                         [{"images": 6, "missing": 0, "left": 0}])
        there = self.answers(self.library)
        self.assertEqual(there[0][0]["page"], 2)
        self.assertIn(2500, [hit.get("time_ms") for hit in there[2]])
        self.assertEqual(self.answers(self.other), there)
        osprey(self.other, "verify")
        # Nothing is left to the indexer, and what leaves again is the same.
        self.assertIn("0 added, 0 updated", osprey(self.other, "index"))
        self.assertEqual(self.answers(self.other), there)
        again = os.path.join(self.tmp, "again")
        osprey(self.other, "export", again)
        for end in (".npy", ".jsonl"):
            with open(self.prefix + end, "rb") as a, open(again + end, "rb") as b:
                self.assertEqual(a.read(), b.read(), end)
        # Once more: the same, not twice.
        osprey(self.other, "import", self.prefix)
        self.assertEqual(self.answers(self.other), there)
        osprey(self.other, "verify")

    def test_a_written_export_is_as_good(self):
        self.assertEqual(lines(self.other, "import", self.written(self.rows))[0]["images"], 6)
        self.assertEqual(self.answers(self.other), self.answers(self.library))
        # Pages that could not be looked at have left gaps.
        rows = [dict(row, parts=2) for row in self.of("pages.tif") if row["page"] != 2]
        library = self.other + "-gaps"
        self.assertEqual(lines(library, "import", self.written(rows))[0]["images"], 1)
        self.assertEqual({hit["page"] for hit in lines(library, "search", "--pages", "x")}, {1, 3})

    def test_older_exports_leave_scans_and_films_to_the_indexer(self):
        old = [{k: v for k, v in row.items() if k not in ("parts", "page", "frame", "time_ms")}
               for row in self.rows if row.get("page", row.get("frame", 1)) == 1]
        self.assertEqual(lines(self.other, "import", self.written(old)),
                         [{"images": 1, "missing": 0, "left": 5}])
        osprey(self.other, "index", "--quiet", self.pictures)
        self.assertEqual([len(answer) for answer in self.answers(self.other)],
                         [len(answer) for answer in self.answers(self.library)])

    def refused(self, rows, line, why):
        error = osprey(self.other, "import", self.written(rows), status=3)
        self.assertIn("some.jsonl, line %d: " % line, error)
        self.assertIn(why, error)
        self.assertFalse(os.path.exists(self.other), why)

    def test_bad_orders_import_nothing(self):
        plain, scan, film = self.of("rgb.bmp"), self.of("pages.tif"), self.of("h264.mp4")
        one, two, three = scan
        self.refused(plain + scan[:2], 3, "ends after 2 of the 3 pages of scans/pages.tif")
        self.refused([one, two] + plain, 3, "after 2 of the 3 pages of scans/pages.tif")
        self.refused([one, three] + plain, 3, "after 2 of the 3 pages")
        self.refused([one, three, two], 3, "its page 2 comes after page 3")
        self.refused([one, two, two], 3, "its page 2 comes after page 2")
        self.refused([one, one, two], 2, "its page 1 comes after page 1")
        self.refused([one, two, three, three], 4, "its page 3 comes after all of its 3 pages")
        self.refused(plain + scan[1:], 2, "its page 2 comes without its first")
        self.refused([one, dict(two, hash="0" * 32), three], 2, "not of the same file")
        self.refused([one, dict(two, parts=4), three], 2, "not of the same file")
        self.refused([one, two, dict(three, time_ms=5)], 3, "missing or senseless")
        self.refused(film[:1] + [film[2], dict(film[1], frame=4)], 3, "2500 comes after 4000")
        self.refused(plain + [dict(film[0], parts=1, frame=2)], 2, "its frame 2 comes without")
        for bad in ({"parts": 0}, {"parts": "3"}, {"page": 0}, {"page": 1.5}, {"frame": 1},
                    {"parts": 1 << 40}, {"time_ms": 1}):
            self.refused([dict(one, **bad), two, three], 1, "missing or senseless")
        self.refused([dict(film[0], time_ms=-1)] + film[1:], 1, "missing or senseless")
        self.refused([{k: v for k, v in one.items() if k != "parts"}], 1, "no \"parts\"")


class Captions(unittest.TestCase):
    """clip-retrieval's metadata has captions: they become the user's."""

    NAMES = ["a.ppm", "b.ppm", "c.ppm", "d.ppm"]

    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix="osprey-captions-")
        self.addCleanup(shutil.rmtree, self.tmp)
        self.pictures = os.path.join(self.tmp, "pictures")
        self.library = os.path.join(self.tmp, "library")
        os.makedirs(self.pictures)
        for i, name in enumerate(self.NAMES):
            with open(os.path.join(self.pictures, name), "wb") as f:
                f.write(b"P6 64 48 255\n" + bytes((60 * i, 250 - 60 * i, 90)) * (64 * 48))
        first = os.path.join(self.tmp, "first")
        osprey(first, "index", "--quiet", self.pictures)
        self.plain = os.path.join(self.tmp, "plain")
        osprey(first, "export", self.plain)
        self.clip = os.path.join(self.tmp, "clip")
        os.makedirs(os.path.join(self.clip, "img_emb"))
        os.makedirs(os.path.join(self.clip, "metadata"))
        shutil.copy(self.plain + ".npy", os.path.join(self.clip, "img_emb", "img_emb_0.npy"))
        with open(self.plain + ".jsonl", encoding="utf-8") as f:
            self.order = [json.loads(line)["path"] for line in f]

    def imports(self, captions):
        """Imports clip-retrieval's folder with the captions of some pictures."""
        with open(os.path.join(self.clip, "metadata", "metadata_0.jsonl"), "w", encoding="utf-8") as f:
            for i, name in enumerate(self.order):
                row = {"image_path": name, "key": "%09d" % i, "url": "http://example.org/" + name}
                f.write(json.dumps(dict(row, caption=captions[name]) if name in captions else row) + "\n")
        done, = lines(self.library, "import", "--model", "osprey-small", "--root", self.pictures, self.clip)
        self.assertEqual(done["images"], len(self.NAMES))

    def found(self, words, library=None):
        return sorted(os.path.basename(hit["path"]) for hit in
                      lines(library or self.library, "search", "--caption", words, "x"))

    def nothing(self, words, library=None):
        self.assertEqual(osprey(library or self.library, "search", "--caption", words, "x", status=1), "")

    def exported(self, name):
        prefix = os.path.join(self.tmp, name)
        osprey(self.library, "export", prefix)
        with open(prefix + ".jsonl", encoding="utf-8") as f:
            return prefix, {row["path"]: row.get("captions") for row in map(json.loads, f)}

    def test_they_are_found_kept_and_replaced(self):
        self.imports({"a.ppm": " a  zebra\ncrossing ", "b.ppm": "", "c.ppm": None,
                      "d.ppm": "caf\u00e9 " + "long " * 4000})
        self.assertEqual(self.found("zebra"), ["a.ppm"])
        self.assertEqual(self.found("caf\u00e9"), ["d.ppm"])
        best = lines(self.library, "search", "--hybrid", "zebra")[0]
        self.assertEqual(os.path.basename(best["path"]), "a.ppm")
        osprey(self.library, "verify")
        # What the files themselves say is read by the indexer; it takes nothing away.
        osprey(self.library, "index", "--quiet", self.pictures)
        self.assertEqual(self.found("zebra"), ["a.ppm"])
        prefix, captions = self.exported("some")
        self.assertEqual(captions["a.ppm"], ["a zebra crossing"])
        self.assertIsNone(captions["b.ppm"])
        self.assertIsNone(captions["c.ppm"])
        self.assertLessEqual(len(captions["d.ppm"][0].encode()), 8192)
        # Another library has them too, and says them again to the byte.
        other = os.path.join(self.tmp, "other")
        osprey(other, "import", prefix)
        self.assertEqual(self.found("zebra", other), ["a.ppm"])
        osprey(other, "export", prefix + "-again")
        for end in (".npy", ".jsonl", ".json"):
            with open(prefix + end, "rb") as a, open(prefix + "-again" + end, "rb") as b:
                self.assertEqual(a.read(), b.read(), end)
        # Once more: others in their place; a row without one changes nothing.
        self.imports({"a.ppm": "an okapi", "b.ppm": "a zebra"})
        self.assertEqual(self.found("zebra"), ["b.ppm"])
        self.assertEqual(self.found("okapi"), ["a.ppm"])
        self.assertEqual(self.found("caf\u00e9"), ["d.ppm"])
        osprey(self.library, "import", prefix)
        self.assertEqual(self.found("zebra"), ["a.ppm", "b.ppm"])
        self.nothing("okapi")

    def test_exports_without_captions_are_as_they_were(self):
        self.imports({})
        prefix, captions = self.exported("none")
        self.assertEqual(set(captions.values()), {None})
        for end in (".npy", ".jsonl", ".json"):
            with open(self.plain + end, "rb") as a, open(prefix + end, "rb") as b:
                self.assertEqual(a.read(), b.read(), end)
        with open(self.plain + ".jsonl", encoding="utf-8") as f:
            self.assertEqual(set(json.loads(f.readline())),
                             {"row", "id", "folder", "path", "hash", "size", "mtime_ns", "width", "height",
                              "kind", "orientation", "taken_at", "camera"})

    def test_bad_captions_import_nothing(self):
        with open(self.plain + ".jsonl", encoding="utf-8") as f:
            rows = [json.loads(line) for line in f]
        for bad in ("text", [1], [None], {"a": 1}):
            with open(self.plain + ".jsonl", "w", encoding="utf-8") as f:
                f.writelines(json.dumps(dict(row, captions=bad) if row["row"] == 2 else row) + "\n" for row in rows)
            self.assertIn("plain.jsonl, line 3: ", osprey(self.library, "import", self.plain, status=3))
            self.assertFalse(os.path.exists(self.library))


if __name__ == "__main__":
    unittest.main()
