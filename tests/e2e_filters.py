"""Filters and hybrid search as people ask for them: the command line and the daemon give
what plain Python gives over the rows of the catalogue, for each filter and every two of
them; on Debian's stamps, where they are installed, as `make demo` indexes them.
"""

import datetime
import glob
import itertools
import json
import math
import os
import random
import re
import shutil
import sqlite3
import subprocess
import unittest
import urllib.parse

import searchd
import stamps

STAMPS = str(stamps.STAMPS)
MOST = 150  # pictures

CAMERAS = ["", "Osprey Talon", "OSPREY wing", "Kestrel"]
LENSES = ["", "50mm F1.8", "24-70mm"]
TAGS = ["animal|dog", "Animal|Cat", "animal", "plant|tree", "place|sea", "dogma"]


def fill(shop):
    """Pictures with what only real ones have: captions from the stamps, else made up."""
    rnd = random.Random(8)
    files = sorted(glob.glob(STAMPS + "/*/**/*.png", recursive=True))
    for file in rnd.sample(files, min(MOST, len(files))):
        to = os.path.join(shop.folder, "stamps", os.path.relpath(os.path.dirname(file), STAMPS))
        os.makedirs(to, exist_ok=True)
        shutil.copy(file, to)
    shop.index(shop.folder)
    db = sqlite3.connect(os.path.join(shop.library, "catalog.db"), timeout=30)
    with db:
        for row, path in db.execute("SELECT id, CAST(path AS TEXT) FROM images").fetchall():
            place = (rnd.uniform(40, 50), rnd.uniform(5, 20)) if rnd.random() < 0.7 else (None, None)
            db.execute("UPDATE images SET camera = ?, lens = ?, rating = ?, latitude = ?,"
                       " longitude = ?, taken_at = ? WHERE id = ?",
                       (rnd.choice(CAMERAS), rnd.choice(LENSES), rnd.randrange(-1, 6), *place,
                        rnd.choice((0, 1, 1, 1)) * rnd.randrange(1577836800, 1735689600), row))
            for tag in rnd.sample(TAGS, rnd.randrange(4)):
                db.execute("INSERT INTO tags (image_id, tag, source) VALUES (?, ?, ?)",
                           (row, tag, rnd.choice(("picture", "osprey", "user"))))
            beside = os.path.join(STAMPS, path.replace("stamps/", "", 1))[:-4] + ".txt"
            text = rnd.choice(("A dog on the beach", "Two cats, at sea", ""))
            if os.path.exists(beside):
                with open(beside, encoding="utf-8", errors="replace") as f:
                    text = f.readline().strip()
            if text:
                db.execute("INSERT INTO captions (image_id, source, text) VALUES (?, 'user', ?)",
                           (row, text))
    db.close()


class Row:
    def __init__(self, db, row):
        (self.id, folder, path, self.size, self.width, self.height, self.kind, self.taken,
         self.camera, self.lens, self.rating, self.latitude, self.longitude) = row
        self.folder, self.path = os.fsdecode(folder), os.fsdecode(path)
        self.tags = [t for (t,) in db.execute("SELECT tag FROM tags WHERE image_id = ?", (self.id,))]
        self.words = {w.lower() for (text,) in db.execute(
            "SELECT text FROM captions WHERE image_id = ?", (self.id,))
            for w in re.findall(r"[A-Za-z0-9]+", text)}

    def tagged(self, wanted):
        parts = wanted.lower().split("|")
        return any(tag.lower().split("|")[at:at + len(parts)] == parts
                   for tag in self.tags for at in range(tag.count("|") + 1))

    def km(self, latitude, longitude):
        if self.latitude is None:
            return math.inf
        a, b = math.radians(self.latitude), math.radians(latitude)
        cosine = (math.sin(a) * math.sin(b) +
                  math.cos(a) * math.cos(b) * math.cos(math.radians(self.longitude - longitude)))
        return 6371.0088 * math.acos(max(-1, min(1, cosine)))


def moment(*date):
    return datetime.datetime(*date, tzinfo=datetime.timezone.utc).timestamp()


class Filters(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = searchd.Shop(60)
        for name in ("exif.jpg", "orient-6.jpg", "grey.jpg", "rgb.jpg"):
            cls.shop.copy(name, "real")
        fill(cls.shop)
        db = sqlite3.connect(os.path.join(cls.shop.library, "catalog.db"), timeout=30)
        cls.rows = [Row(db, row) for row in db.execute(
            "SELECT i.id, f.path, i.path, size, width, height, kind, taken_at, camera, lens, rating,"
            " latitude, longitude FROM images i JOIN folders f ON f.id = i.folder_id").fetchall()]
        db.close()
        cls.daemon = searchd.Daemon("--port", "0", "--library", cls.shop.library)
        cls.real = os.path.join(cls.shop.folder, "real")

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        cls.shop.remove()

    def filters(self):
        """(command line, parameters, what a row must be)"""
        size = sorted(r.size for r in self.rows)[len(self.rows) // 2]
        word = max(set(w for r in self.rows for w in r.words if len(w) > 3),
                   key=lambda w: sum(w in r.words for r in self.rows))
        return [
            (["--after", "2022"], {"taken_from": "2022"}, lambda r: r.taken >= moment(2022, 1, 1)),
            (["--before", "2023-06"], {"taken_to": "2023-06"},
             lambda r: r.taken and r.taken < moment(2023, 7, 1)),
            (["--after=2021-02-03", "--before=2024"], {"taken_from": "2021-02-03", "taken_to": "2024"},
             lambda r: moment(2021, 2, 3) <= r.taken < moment(2025, 1, 1)),
            (["--in", self.real], {"folder": self.real}, lambda r: r.path.startswith("real/")),
            (["--camera", "osprey"], {"camera": "osprey"}, lambda r: "osprey" in r.camera.lower()),
            (["--lens", "MM F"], {"lens": "MM F"}, lambda r: "mm f" in r.lens.lower()),
            (["--tag", "animal"], {"tag": "animal"}, lambda r: r.tagged("animal")),
            (["--tag", "DOG", "--tag=sea"], {"tag": ["DOG", "sea"]},
             lambda r: r.tagged("dog") and r.tagged("sea")),
            (["--not-tag", "animal|dog"], {"not_tag": "animal|dog"},
             lambda r: not r.tagged("animal|dog")),
            (["--rating", "3"], {"rating": "3"}, lambda r: r.rating >= 3),
            (["--rating", "unrated"], {"rating": "unrated"}, lambda r: r.rating == 0),
            (["--near", "46,12,300"], {"near": "46,12,300"}, lambda r: r.km(46, 12) <= 300),
            (["--orientation", "landscape"], {"orientation": "landscape"},
             lambda r: r.width > r.height),
            (["--orientation", "square"], {"orientation": "square"}, lambda r: r.width == r.height),
            (["--min-size", str(size)], {"min_size": str(size)}, lambda r: r.size >= size),
            (["--min-size", "60x64"], {"min_width": "60", "min_height": "64"},
             lambda r: r.width >= 60 and r.height >= 64),
            (["--type", "jpg"], {"kind": "jpg"}, lambda r: r.kind == "JPEG"),
            (["--caption", word.upper()], {"caption": word.upper()}, lambda r: word in r.words),
        ]

    def meant(self, *tests):
        return {r.id for r in self.rows if all(t(r) for t in tests)}

    def cli(self, *args, status=None):
        done = subprocess.run([searchd.OSPREY, "search", "--json", "--library", self.shop.library,
                               "-k", "1000", *args], capture_output=True, check=False)
        self.assertIn(done.returncode, (0, 1) if status is None else (status,), (args, done.stderr))
        return [json.loads(line) for line in done.stdout.splitlines()]

    def http(self, path, params):
        return self.daemon.get(path + "?" + urllib.parse.urlencode(params, doseq=True)).json

    def test_each_alone_everywhere(self):
        some = 0
        for args, params, test in self.filters():
            meant = self.meant(test)
            some += 0 < len(meant) < len(self.rows)
            listed = self.cli(*args, "--server", "none")
            self.assertEqual({r["id"] for r in listed}, meant, args)
            self.assertFalse([r for r in listed if "score" in r])
            dates = [(r.get("taken_at", 0), r["id"]) for r in listed]
            self.assertEqual(dates, sorted(dates, reverse=True))
            found = self.cli(*args, "--server", "none", "a", "dog")
            self.assertEqual({r["id"] for r in found}, meant, args)
            scores = [r["score"] for r in found]
            self.assertEqual(scores, sorted(scores, reverse=True))
            # the daemon through the command line, and by itself
            self.assertEqual(self.cli(*args, "--server", self.daemon.url, "a", "dog"), found)
            self.assertEqual(self.cli(*args, "--server", self.daemon.url), listed)
            answer = self.http("/v1/images", dict(params, limit=1000))
            self.assertEqual({i["id"] for i in answer["images"]}, meant, args)
            self.assertEqual(answer["total"], len(meant))
            answer = self.http("/v1/search", dict(params, k=1000, q="a dog"))
            self.assertEqual([r["id"] for r in answer["results"]], [r["id"] for r in found])
            answer = self.http("/v1/search", dict(params, k=1000))
            self.assertEqual([r["id"] for r in answer["results"]], [r["id"] for r in listed])
            numbers = {name: int(v) if name.startswith("min") else v for name, v in params.items()}
            answer = self.daemon.post("/v1/search", dict(numbers, k=1000, q="a dog")).json
            self.assertEqual([r["id"] for r in answer["results"]], [r["id"] for r in found])
        self.assertGreater(some, 14)

    def test_names_of_the_command_line(self):
        """HTTP takes the names that the command line has, beside its own."""
        names = {"taken_from": "after", "taken_to": "before", "folder": "in", "kind": "type"}
        tried = 0
        for args, params, test in self.filters():
            if not set(params) & set(names):
                continue
            tried += 1
            other = {names.get(name, name): value for name, value in params.items()}
            meant = self.meant(test)
            answer = self.http("/v1/images", dict(other, limit=1000))
            self.assertEqual({i["id"] for i in answer["images"]}, meant, other)
            answer = self.http("/v1/search", dict(other, k=1000, q="a dog"))
            self.assertEqual({r["id"] for r in answer["results"]}, meant, other)
            answer = self.daemon.post("/v1/search", dict(other, k=1000)).json
            self.assertEqual({r["id"] for r in answer["results"]}, meant, other)
            name = next(n for n in params if n in names)
            twice = self.daemon.get("/v1/search?%s=%s&%s=%s" % (
                name, params[name], names[name], params[name]), 400)
            self.assertIn("given twice", twice.json["error"]["message"])
        self.assertGreater(tried, 4)
        # where `after` also says where to go on
        meant = {r.id for r in self.rows if r.taken >= moment(2022, 1, 1)}
        got, after = [], []
        while True:
            answer = self.http("/v1/images", {"after": ["2022"] + after, "limit": 7})
            got += [i["id"] for i in answer["images"]]
            if "next" not in answer:
                break
            after = [answer["next"]]
        self.assertEqual((len(got), set(got)), (len(meant), meant))
        for query in ("after=2022&after=2023", "after=2022&taken_from=2022", "after=1.2&after=1.2", "after=x"):
            self.daemon.get("/v1/images?" + query, 400)
        # a folder below any of the library's
        answer = self.http("/v1/search", {"in": "real", "k": 1000})
        self.assertEqual({r["id"] for r in answer["results"]}, self.meant(lambda r: r.path.startswith("real/")))

    def test_kinds(self):
        films = [r for r in self.rows if r.kind in ("MP4", "MOV", "Matroska", "WebM", "AVI")]
        self.assertEqual(len(films), 0)
        for word, status in (("video", 1), ("raw", 1), ("ppm", 1), ("jpe", 0), ("APNG", 0)):
            self.cli("--type", word, "--server", "none", status=status)
            self.assertEqual(len(self.http("/v1/search", {"type": word, "k": 5})["results"]) > 0, status == 0)
        wrong = self.daemon.get("/v1/search?kind=foo", 400).json["error"]["message"]
        for name in ("JPEG", "Matroska", "video"):
            self.assertIn(name, wrong)

    def test_folders_that_are_not_there(self):
        nope = os.path.join(self.real, "nope")
        for args in (["search", "--in", nope], ["search", "--in", nope, "a", "dog"],
                     ["similar", "--in", nope, os.path.join(self.real, "rgb.jpg")],
                     ["search", "--server", "none", "--in", nope, "dog"], ["dupes", nope],
                     ["export", "--in", nope, self.shop.folder + "-out"], ["tag", "--vocab", "everyday", nope],
                     ["caption", nope]):
            done = subprocess.run([searchd.OSPREY, args[0], "--library", self.shop.library, *args[1:]],
                                  capture_output=True, check=False)
            self.assertEqual((done.returncode, done.stdout), (1, b""), args)
            self.assertIn(nope + " is not there", done.stderr.decode())
        done = subprocess.run([searchd.OSPREY, "forget", "--library", self.shop.library, nope],
                              capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (3, b""))
        self.assertIn("has nothing of " + nope, done.stderr.decode())
        # one that is there, with nothing in it, is no mistake
        empty = os.path.join(self.shop.folder, "empty")
        os.mkdir(empty)
        done = subprocess.run([searchd.OSPREY, "search", "--library", self.shop.library, "--in", empty],
                              capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (1, b""))
        os.rmdir(empty)

    def test_every_two_together(self):
        for (_, one, a), (_, other, b) in itertools.combinations(self.filters(), 2):
            if set(one) & set(other):
                continue
            meant = self.meant(a, b)
            answer = self.http("/v1/images", dict(one, **other, limit=1000))
            self.assertEqual({i["id"] for i in answer["images"]}, meant, (one, other))
            answer = self.http("/v1/search", dict(one, **other, k=1000, q="a dog"))
            self.assertEqual({r["id"] for r in answer["results"]}, meant, (one, other))

    def test_the_best_of_few(self):
        everything = self.cli("--server", "none", "a", "dog")
        args, _, test = self.filters()[7]
        meant = self.meant(test)
        best = [r["id"] for r in everything if r["id"] in meant][:2]
        self.assertEqual([r["id"] for r in self.cli("-k2", *args, "--server", "none", "a", "dog")], best)

    def test_similar(self):
        file = os.path.join(self.real, "rgb.jpg")
        done = subprocess.run([searchd.OSPREY, "similar", "--json", "--library", self.shop.library,
                               "-k", "5000", "--tag", "animal", "--rating", "2", file],
                              capture_output=True, check=False)
        self.assertEqual({json.loads(line)["id"] for line in done.stdout.splitlines()},
                         self.meant(lambda r: r.tagged("animal"), lambda r: r.rating >= 2))

    def test_hybrid(self):
        named = [r for r in self.rows if r.path == "real/grey.jpg"][0]
        plain = self.cli("--server", "none", "grey")
        found = self.cli("--server", "none", "--hybrid", "grey")
        # what has the word in its name leads, though the model may see nothing of it
        first = [r for r in found if r["id"] == named.id][0]
        self.assertIn("words_rank", first)
        self.assertLess(first["rank"], 20)
        by_vector = {r["id"]: r["rank"] for r in plain}
        for r in found:
            fused = sum(1 / (60 + r[k]) for k in ("vector_rank", "words_rank") if k in r)
            self.assertAlmostEqual(r["fused"], fused, places=9)
            if "vector_rank" in r:
                self.assertEqual(r["vector_rank"], by_vector[r["id"]])
        self.assertEqual([r["fused"] for r in found], sorted((r["fused"] for r in found), reverse=True))
        self.assertEqual(self.cli("--server", self.daemon.url, "--hybrid", "grey"), found)
        answer = self.http("/v1/search", {"q": "grey", "k": 1000, "hybrid": "true"})["results"]
        self.assertEqual([r["id"] for r in answer], [r["id"] for r in found])
        # with a filter, and with words that would mean something to the full-text search
        few = self.cli("--server", "none", "--hybrid", "--tag", "animal", "dog", "AND", '"NEAR(', "x*")
        self.assertEqual({r["id"] for r in few}, self.meant(lambda r: r.tagged("animal")))
        text = subprocess.run([searchd.OSPREY, "search", "--library", self.shop.library, "--hybrid",
                               "-k3", "--server", "none", "grey"], capture_output=True, check=False)
        self.assertRegex(text.stdout.decode(), r"(?m)^1 +0\.\d+ +\d+% +(both|words|seen) +/")

    def test_wrong_usage(self):
        for args in (["--after", "soon", "a"], ["--near", "1,2", "a"], ["--rating", "9", "a"],
                     ["--orientation", "round", "a"], ["--min-size", "big", "a"], ["--tag", "|", "a"],
                     ["--caption", "...", "a"], ["--type", "foo", "a"], ["--type", "foo"], ["--hybrid", "--rerank", "a"], ["--hybrid"],
                     ["--hybrid", "--tag", "x"], ["--tag", "x", "--rerank"],
                     ["--tag", "x", "--min-score", "0.1"], []):
            self.cli(*args, "--server", "none", status=2)
        self.assertEqual(self.cli("--tag", "no-such-tag", status=1), [])
        for query in ("after=soon", "kind=foo", "type=foo", "in=nowhere", "rating=9", "near=1", "tag=%7C", "caption=-", "hybrid=1",
                      "hybrid=maybe&q=a", "hybrid=1&rerank=5&q=a", "tag=x&hybrid=1", "rating=3&rerank=2"):
            self.daemon.get("/v1/search?" + query, 400)
        self.daemon.post("/v1/search", {"q": "a", "tag": [1]}, 400)
        self.daemon.post("/v1/search", {"q": "a", "tag": {"x": 1}}, 400)
        self.daemon.post("/v1/search", {"q": "a", "hybrid": "yes"}, 400)
        self.daemon.post("/v1/search", {"q": "a", "tag": ["x"] * 65}, 400)


if __name__ == "__main__":
    unittest.main()
