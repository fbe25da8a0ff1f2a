"""Drives osprey's command line over a small library that the test indexes itself.

Checks what users' scripts rely on: both streams, exit statuses, JSON fields, and
that a search with several terms is the sum of the terms' embeddings.
Python's standard library alone.
"""

import base64
import fcntl
import json
import math
import os
import pty
import re
import select
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

BUILD = os.environ["OSPREY_BUILD"]
SOURCE = os.environ["OSPREY_SOURCE"]
OSPREY = os.path.join(BUILD, "osprey")
STAMPS = "/usr/share/tuxpaint/stamps"
ODD_NAME = b"caf\xe9 \n.png"  # not UTF-8, and a line break


def png(path, width, height, pixel):
    """Writes an RGB PNG; pixel(x, y) gives three bytes."""
    rows = b"".join(b"\0" + bytes(c for x in range(width) for c in pixel(x, y))
                    for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" +
                chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def patterns():
    """Twelve pictures that no two embeddings should agree on."""
    for i in range(12):
        yield "p%02d" % i, 40 + 9 * i, 64, lambda x, y, i=i: (
            (x * (i + 1) * 5) % 256, (y * (12 - i) * 7) % 256, ((x // (i + 2) + y // 9) % 2) * 200)


def sum_of(parts):
    """Normalised sum of (weight, vector) pairs."""
    total = [sum(w * v[d] for w, v in parts) for d in range(len(parts[0][1]))]
    norm = math.sqrt(sum(t * t for t in total))
    return [t / norm for t in total]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


class Cli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tmp = tempfile.mkdtemp(prefix="osprey-cli-")
        # the default model and the fetched ones of whoever runs this are out of it
        os.environ.update(XDG_CONFIG_HOME=os.path.join(cls.tmp, "config"),
                          XDG_DATA_HOME=os.path.join(cls.tmp, "no-data"))
        cls.library = os.path.join(cls.tmp, "library")
        cls.pictures = os.path.join(os.path.realpath(cls.tmp), "pictures")
        cls.sub = os.path.join(cls.pictures, "sub")
        os.makedirs(cls.sub)
        for n, (name, w, h, pixel) in enumerate(patterns()):
            png(os.path.join(cls.sub if n % 3 == 0 else cls.pictures, name + ".png"), w, h, pixel)
        shutil.copy(os.path.join(cls.pictures, "p01.png"), os.path.join(cls.pictures, "copy.png"))
        png(os.path.join(cls.pictures.encode(), ODD_NAME), 50, 50, lambda x, y: (250, 3 * x, 5 * y))
        with open(os.path.join(cls.pictures, "broken.jpg"), "wb") as f:
            f.write(b"not a picture at all")
        cls.images = 14
        folders = [cls.pictures]
        animals = os.path.join(STAMPS, "animals")
        if os.path.isdir(animals):
            # A few real ones, one folder deep.
            cls.real = os.path.join(os.path.realpath(cls.tmp), "animals")
            os.mkdir(cls.real)
            found = sorted(os.path.join(d, f) for d, _, names in os.walk(animals)
                           for f in names if f.endswith((".png", ".jpg")))[:30]
            for i, path in enumerate(found):
                shutil.copy(path, os.path.join(cls.real, "%02d-%s" % (i, os.path.basename(path))))
            folders.append(cls.real)
            cls.images += len(found)
        else:
            cls.real = None
        done = subprocess.run([OSPREY, "index", "--library", cls.library] + folders,
                              capture_output=True)
        if done.returncode != 0:
            raise RuntimeError("indexing failed: %s" % done.stderr.decode())

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.tmp)

    # ---- helpers ----

    def run_osprey(self, *args, status=0, library=True, env=None, cwd=None, **more):
        """Runs osprey; returns (stdout, stderr) as bytes."""
        command = [OSPREY] + list(args[:1])
        if library:
            command += ["--library", self.library]
        command += args[1:]
        done = subprocess.run(command, capture_output=True, cwd=cwd or self.tmp,
                              env=dict(os.environ, **(env or {})), **more)
        self.assertEqual(done.returncode, status, (command, done.stdout, done.stderr))
        return done.stdout, done.stderr

    def lines(self, *args, **more):
        """JSON lines of a command; standard error must be empty."""
        out, err = self.run_osprey(args[0], "--json", *args[1:], **more)
        self.assertEqual(err, b"")
        return [json.loads(line) for line in out.decode().splitlines()]

    def embed(self, *args):
        (one,) = self.lines("embed", *args, library=False)
        self.assertEqual(one["dimension"], len(one["embedding"]))
        self.assertAlmostEqual(dot(one["embedding"], one["embedding"]), 1, places=5)
        return one["embedding"]

    def stored(self):
        """{image id: (embedding, path)} straight from the catalogue."""
        db = sqlite3.connect("file:%s/catalog.db?mode=ro" % self.library, uri=True)
        (model,) = db.execute("SELECT id FROM models WHERE state = 'active'").fetchone()
        result = {}
        for image, folder, path, blob in db.execute(
                "SELECT i.id, f.path, i.path, e.vector FROM images i"
                " JOIN folders f ON f.id = i.folder_id"
                " JOIN embeddings e ON e.key = (? << 40) | i.id", (model,)):
            result[image] = (struct.unpack("<%de" % (len(blob) // 2), blob),
                             os.path.join(folder, path))
        db.close()
        return result

    def check_search(self, parts, *args):
        """A search must rank as the inner products with the sum of parts do."""
        query = sum_of(parts)
        expected = {i: dot(query, v) for i, (v, _) in self.stored().items()}
        found = self.lines("search", "-k", "1000", *args)
        self.assertEqual([f["rank"] for f in found], list(range(1, len(found) + 1)))
        self.assertEqual({f["id"] for f in found}, set(expected))
        for f in found:
            self.assertAlmostEqual(f["score"], expected[f["id"]], delta=2e-5)
        scores = [f["score"] for f in found]
        self.assertEqual(scores, sorted(scores, reverse=True))

    def picture(self, name):
        return os.path.join(self.pictures, name)

    # ---- search ----

    def test_terms_are_summed(self):
        a, b = self.embed("a dog"), self.embed("a red car")
        file = self.picture("p02.png")
        p = self.embed("--image", file)
        self.check_search([(1, a)], "a", "dog")
        self.check_search([(1, a), (1, b)], "a", "dog", "+", "a", "red", "car")
        self.check_search([(1, a), (-1, b)], "a dog", "-", "a", "red car")
        self.check_search([(2, a), (1, p)], "2:a", "dog", "+", file)
        self.check_search([(2, a), (1, p)], "2:", "a", "dog", "--image", file)
        self.check_search([(-1, a)], "-", "a dog")
        self.check_search([(0.25, b), (-3, p), (1, a)], "0.25:a red car", "-", "3:", file, "+", "a dog")

    def test_literal_text_is_taken_whole(self):
        self.check_search([(1, self.embed("2:a + b"))], "--", "2:a", "+", "b")
        self.check_search([(1, self.embed("--", "--json"))], "--", "--json")
        slashed = self.picture("p02.png")
        self.check_search([(1, self.embed(slashed))], "--", slashed)

    def test_a_relative_path_needs_a_slash_to_be_a_picture(self):
        p, word = self.embed("--image", self.picture("p02.png")), self.embed("p02.png")
        found = self.lines("search", "./p02.png", cwd=self.pictures)
        self.assertEqual(found[0]["path"], self.picture("p02.png"))
        stored = self.stored()
        self.assertAlmostEqual(found[0]["score"], dot(p, stored[found[0]["id"]][0]), delta=2e-5)
        found = self.lines("search", "p02.png", cwd=self.pictures)
        self.assertAlmostEqual(found[0]["score"], dot(word, stored[found[0]["id"]][0]), delta=2e-5)

    def test_results_hold_what_is_known(self):
        found = self.lines("search", "-k", "1000", "stripes")
        self.assertEqual(len(found), self.images)
        by_path = {f["path"]: f for f in found}
        one = by_path[self.picture("p01.png")]
        self.assertEqual((one["width"], one["height"]), (49, 64))
        self.assertNotIn("path_bytes", one)
        self.assertNotIn("taken_at", one)
        odd = [f for f in found if "path_bytes" in f]
        self.assertEqual(len(odd), 1)
        whole = os.path.join(self.pictures.encode(), ODD_NAME)
        self.assertEqual(base64.b64decode(odd[0]["path_bytes"]), whole)
        self.assertEqual(odd[0]["path"], whole.decode("utf-8", "replace"))

    def test_for_people_a_result_is_one_line(self):
        out, err = self.run_osprey("search", "-k", "1000", "stripes")
        self.assertEqual(err, b"")
        rows = out.split(b"\n")[:-1]
        self.assertEqual(len(rows), self.images)
        for n, row in enumerate(rows, 1):
            self.assertRegex(row, rb"^ *%d +-?[01]\.\d{3} +\d{1,3}%%  /" % n)
        self.assertEqual(len([r for r in rows if r.endswith(b"/caf\xe9 \\n.png")]), 1)
        self.assertEqual(len({r.index(b"/") for r in rows}), 1, "paths are aligned")

    def test_k_and_min_score(self):
        self.assertEqual(len(self.lines("search", "a")), min(20, self.images))
        self.assertEqual(len(self.lines("search", "-k3", "a")), 3)
        self.assertEqual(len(self.lines("search", "-k", "123456789012", "a")), self.images)
        scores = [f["score"] for f in self.lines("search", "-k", "1000", "a")]
        limit = (scores[4] + scores[5]) / 2
        found = self.lines("search", "-k", "1000", "--min-score", repr(limit), "a")
        self.assertEqual([f["score"] for f in found], scores[:5])
        self.run_osprey("search", "--min-score", "2", "a", status=1)
        self.assertEqual(self.lines("search", "--min-score=2", "a", status=1), [])

    def test_min_match(self):
        picture = self.lines("search", "a")[0]["path"]
        for question in (["search", "-k", "1000", "a"], ["similar", "-k", "1000", picture]):
            found = self.lines(*question)
            matches = [f["match"] for f in found]
            self.assertEqual(matches, sorted(matches, reverse=True))
            self.assertTrue(0 <= matches[-1] < matches[0] <= 1)
            limit = next((a + b) / 2 for a, b in zip(matches[2:], matches[3:]) if a > b + 1e-4)
            some = self.lines(*question, "--min-match", repr(limit))
            self.assertEqual(some, [f for f in found if f["match"] > limit])
            both = self.lines(*question, "--min-match", repr(limit), "--min-score",
                              repr(found[1]["score"] - 1e-6))
            self.assertEqual(both, found[:2])
            self.run_osprey(*question, "--min-match", "1", status=1)
            self.assertEqual(self.lines(*question, "--min-match", "0"), found)
        self.assertGreater(matches[0], 0.95, "a picture is a match for itself")

    def test_in_a_folder(self):
        everything = {f["path"]: f["score"] for f in self.lines("search", "-k", "1000", "a cat")}

        def inside(folder):
            return {p: s for p, s in everything.items() if p.startswith(folder + "/")}

        for asked, folder in ((self.sub, self.sub), (self.sub + "/", self.sub),
                              (self.pictures, self.pictures),
                              (os.path.dirname(self.pictures), os.path.dirname(self.pictures))):
            found = self.lines("search", "-k", "1000", "--in", asked, "a cat")
            self.assertEqual({f["path"]: f["score"] for f in found}, inside(folder))
            self.assertEqual([f["rank"] for f in found], list(range(1, len(found) + 1)))
        self.assertEqual(len(self.lines("search", "--in", "sub", "a", cwd=self.pictures)), 4)
        top = self.lines("search", "-k2", "--in", os.path.dirname(self.pictures), "a cat")
        self.assertEqual([f["path"] for f in top], sorted(everything, key=lambda p: -everything[p])[:2])
        _, err = self.run_osprey("search", "--in", "/usr", "a", status=3)
        self.assertIn(b"/usr is not among the library's folders", err)
        _, err = self.run_osprey("search", "--in", self.pictures + "/no-such", "a", status=1)
        self.assertIn(b"/no-such is not there", err)

    def test_wrong_usage(self):
        file = self.picture("p01.png")
        for args, message in (
                (["search"], "nothing to search for"),
                (["search", "a", "+"], "nothing follows the sign +"),
                (["search", "2:"], "nothing follows the weight 2:"),
                (["search", ""], "empty"),
                (["search", "a", "-", "a"], "cancel each other out"),
                (["search", "0:a"], "cancel each other out"),
                (["search", "--imge", file], "did you mean --image?"),
                (["search", "-k", "0", "a"], "from 1 on"),
                (["search", "--precision", "int4", "a"], "unknown precision 'int4'"),
                (["search", "--json", "--preview", "a"], "--preview does not go with --json"),
                (["search", "--preview=0x9", "a"], "40x12"),
                (["similar"], "one picture was expected"),
                (["similar", file, file], "too many"),
                (["embed"], "no text"),
                (["embed", "a", "--image", file], "not both"),
                (["status", "x"], "too many"),
                (["relocate", "/a"], "old and the new folder"),
                (["forget"], "one folder"),
                (["backup"], "file to write"),
                (["model"], "list, get, use, info, check or bench"),
                (["model", "put"], "there are list, get, use, info, check and bench"),
                (["model", "list", "x"], "no argument")):
            out, err = self.run_osprey(*args, status=2)
            self.assertEqual(out, b"", args)
            self.assertIn(message, err.decode(), args)
            self.assertIn("Try `osprey %s --help`" % args[0], err.decode(), args)

    def test_mistaken_pictures_are_noted(self):
        _, err = self.run_osprey("search", "./no-such.jpg")
        self.assertIn(b"there is no file ./no-such.jpg: taken as words", err)
        file = self.picture("p01.png")
        _, err = self.run_osprey("search", "like", file)
        self.assertIn(b"put + before it", err)
        _, err = self.run_osprey("search", "--quiet", "like", file)
        self.assertEqual(err, b"")
        _, err = self.run_osprey("search", "dog", "-", "2:" + file)
        self.assertEqual(err, b"")
        _, err = self.run_osprey("search", "--", "like", file, "./no-such.jpg")
        self.assertEqual(err, b"")
        _, err = self.run_osprey("search", "black/white")
        self.assertEqual(err, b"")

    def test_a_broken_picture_fails(self):
        out, err = self.run_osprey("search", self.picture("broken.jpg"), status=3)
        self.assertEqual(out, b"")
        self.assertIn(b"broken.jpg", err)
        self.run_osprey("search", "--image", self.picture("missing.jpg"), status=3)
        self.run_osprey("search", "--image", self.pictures, status=3)

    # ---- similar ----

    def test_similar_lists_the_picture_and_its_copies_first(self):
        stored = {path: v for v, path in self.stored().values()}
        found = self.lines("similar", "-k", "1000", self.picture("p01.png"))
        self.assertEqual({f["path"] for f in found[:2]},
                         {self.picture("p01.png"), self.picture("copy.png")})
        mine = stored[self.picture("p01.png").encode()]
        for f in found:
            whole = base64.b64decode(f["path_bytes"]) if "path_bytes" in f else f["path"].encode()
            self.assertAlmostEqual(f["score"], dot(mine, stored[whole]), delta=2e-3)

    def test_similar_to_a_file_outside(self):
        outside = os.path.join(self.tmp, "outside.png")
        shutil.copy(self.picture("p01.png"), outside)
        p = self.embed("--image", outside)
        stored = self.stored()
        for f in self.lines("similar", "-k", "1000", outside):
            self.assertAlmostEqual(f["score"], dot(p, stored[f["id"]][0]), delta=2e-5)
        for asked in (outside, self.picture("p01.png")):
            others = self.lines("similar", "-k", "1000", "--others", asked)
            self.assertEqual(len(others), self.images - 2)
            self.assertEqual(others[0]["rank"], 1)
            self.assertFalse({self.picture("p01.png"), self.picture("copy.png")} &
                             {f["path"] for f in others})
            self.assertEqual(len(self.lines("similar", "-k3", "--others", asked)), 3)
        _, err = self.run_osprey("similar", os.path.join(self.tmp, "no-such.png"), status=3)
        self.assertIn(b"no-such.png", err)
        self.run_osprey("similar", self.picture("broken.jpg"), status=3)

    def test_real_pictures_are_found(self):
        if not self.real:
            self.skipTest("Debian's stamps are not installed")
        found = 0
        names = sorted(os.listdir(self.real))
        for name in names:
            path = os.path.join(self.real, name)
            top = self.lines("similar", "-k1", path)[0]
            found += top["path"] == path or top["score"] > 0.9999
        self.assertEqual(found, len(names))

    # ---- embed ----

    def test_embed_is_literal_and_writes_npy(self):
        vector = self.embed("2:a", "+", self.picture("p01.png"))
        self.assertEqual(vector, self.embed("2:a + " + self.picture("p01.png")))
        out, err = self.run_osprey("embed", "a dog", library=False)
        self.assertEqual((json.loads(out)["embedding"], err), (self.embed("a", "dog"), b""))
        path = os.path.join(self.tmp, "v.npy")
        out, err = self.run_osprey("embed", "--npy", path, "a dog", library=False)
        self.assertEqual((out, err), (b"", b""))
        with open(path, "rb") as f:
            data = f.read()
        self.assertEqual(data[:8], b"\x93NUMPY\x01\x00")
        (length,) = struct.unpack("<H", data[8:10])
        self.assertEqual((10 + length) % 64, 0)
        header = eval(data[10:10 + length], {"__builtins__": {}})
        values = struct.unpack("<%df" % ((len(data) - 10 - length) // 4), data[10 + length:])
        self.assertEqual(header, {"descr": "<f4", "fortran_order": False, "shape": (len(values),)})
        expected = self.embed("a dog")
        self.assertEqual([struct.pack("<f", e) for e in expected],
                         [struct.pack("<f", v) for v in values])
        (line,) = self.lines("embed", "--npy", path, "a dog", library=False)
        self.assertEqual(line["npy"], path)
        self.run_osprey("embed", "--npy", "/no-such-folder/v.npy", "a", library=False, status=3)

    def test_embed_with_a_library_uses_its_model(self):
        (one,) = self.lines("embed", "a dog")
        self.assertEqual(one["embedding"], self.embed("a dog"))

    # ---- status, verify, upkeep ----

    def test_status(self):
        (s,) = self.lines("status")
        self.assertEqual((s["images"], s["errors"]), (self.images, 1))
        self.assertEqual(s["dimension"], len(self.embed("a")))
        self.assertEqual(s["model"], "osprey-small")
        self.assertEqual(os.path.realpath(s["library"]), os.path.realpath(self.library))
        self.assertGreater(s["generation"], 0)
        folders = {f["path"]: f for f in s["folders"]}
        self.assertEqual((folders[self.pictures]["images"], folders[self.pictures]["errors"]), (14, 1))
        self.assertTrue(folders[self.pictures]["online"])
        (e,) = self.lines("status", "--errors")
        self.assertEqual(e["path"], self.picture("broken.jpg"))
        self.assertTrue(e["error"])
        out, _ = self.run_osprey("status", "--errors")
        self.assertEqual(out.decode(), "%s: %s\n" % (e["path"], e["error"]))
        out, _ = self.run_osprey("status")
        self.assertIn(("images      %d\n" % self.images).encode(), out)

    def copy_of_library(self):
        other = tempfile.mkdtemp(dir=self.tmp)
        shutil.rmtree(other)
        shutil.copytree(self.library, other)
        return other

    def test_verify_finds_and_repairs_damage(self):
        self.assertEqual(self.lines("verify")[-1]["sound"], True)
        other = self.copy_of_library()
        db = sqlite3.connect(os.path.join(other, "catalog.db"))
        db.execute("DELETE FROM embeddings WHERE key IN (SELECT max(key) FROM embeddings)")
        db.commit()
        db.close()
        out = subprocess.run([OSPREY, "verify", "--library", other, "--json"], capture_output=True)
        self.assertEqual((out.returncode, out.stderr), (3, b""), out)
        rows = [json.loads(r) for r in out.stdout.splitlines()]
        self.assertTrue(all(r["finding"] for r in rows[:-1]) and len(rows) > 1)
        self.assertFalse(rows[-1]["sound"])
        out = subprocess.run([OSPREY, "verify", "--library", other], capture_output=True)
        self.assertEqual(out.returncode, 3)
        self.assertIn(b"--repair", out.stdout)
        for args, status in ((["--repair"], 0), ([], 0)):
            out = subprocess.run([OSPREY, "verify", "--library", other] + args, capture_output=True)
            self.assertEqual(out.returncode, status, out)

    def test_verify_of_a_ruined_catalogue_says_what_to_do(self):
        for at in (0, 100, 8192):  # the magic, the schema's page, the first table
            other = self.copy_of_library()
            with open(os.path.join(other, "catalog.db"), "r+b") as f:
                f.seek(at)
                f.write(b"\xa5" * 64)
            for args in ([], ["--repair"]):
                out = subprocess.run([OSPREY, "verify", "--library", other] + args,
                                     capture_output=True)
                self.assertEqual(out.returncode, 3, out)
                self.assertIn(b"restore a backup", out.stdout + out.stderr)

    def test_damaged_weights_are_no_answer(self):
        cache = os.path.join(self.tmp, "cache")
        env = {"XDG_CACHE_HOME": cache}
        self.run_osprey("embed", "a", library=False, env=env)
        kept = [os.path.join(d, f) for d, _, names in os.walk(cache) for f in names]
        self.assertEqual(len(kept), 2)  # towers and head
        for prepared in kept:
            size = os.path.getsize(prepared)
            with open(prepared, "r+b") as f:
                f.seek(size // 2)
                f.write(b"\xff" * (size - size // 2))
        for args in (["a"], ["--image", self.picture("p01.png")]):
            out, err = self.run_osprey("embed", *args, library=False, env=env, status=3)
            self.assertEqual(out, b"")
            self.assertIn(b"no number", err)
        shutil.rmtree(cache)
        self.run_osprey("embed", "a", library=False, env=env)

    def test_backup_is_a_library(self):
        other = os.path.join(self.tmp, "restored")
        os.makedirs(other)
        (line,) = self.lines("backup", os.path.join(other, "catalog.db"))
        self.assertEqual(line["backup"], os.path.join(other, "catalog.db"))
        self.assertEqual(subprocess.run([OSPREY, "verify", "--repair", "-q", "--library", other],
                                        capture_output=True).returncode, 0)
        found = subprocess.run([OSPREY, "search", "--json", "--library", other, "a dog"],
                               capture_output=True)
        self.assertEqual(found.stdout, self.run_osprey("search", "--json", "a dog")[0])
        self.run_osprey("backup", "/no-such-folder/catalog.db", status=3)
        self.run_osprey("backup", "", status=2)

    def test_relocate_and_forget(self):
        other = self.copy_of_library()

        def osprey(*args, status=0):
            out = subprocess.run([OSPREY] + list(args) + ["--library", other, "--json"],
                                 capture_output=True)
            self.assertEqual(out.returncode, status, out)
            return [json.loads(r) for r in out.stdout.splitlines()], out.stderr

        (moved,), _ = osprey("relocate", self.pictures + "/", "/mnt/../mnt/new/./pictures")
        self.assertEqual((moved["folders"], moved["old"], moved["new"]),
                         (1, self.pictures, "/mnt/new/pictures"))
        # There and back, where a link to the new place stands in the old one.
        link = os.path.join(os.path.realpath(self.tmp), "link")
        osprey("relocate", "/mnt/new/pictures", link)
        os.symlink(self.pictures, link)
        (moved,), err = osprey("relocate", link, self.pictures)
        self.assertEqual((moved["folders"], moved["new"], err), (1, self.pictures, b""))
        _, err = osprey("relocate", self.pictures, "/mnt/new/pictures")
        self.assertIn(b"/mnt/new/pictures does not exist (yet)", err)
        found, _ = osprey("search", "-k1000", "--in", "/mnt/new", "a")
        self.assertEqual(len(found), 14)
        self.assertTrue(all(f["path"].startswith("/mnt/new/pictures/") for f in found))
        _, err = osprey("relocate", "/no/such", "/x", status=3)
        self.assertIn(b"/no/such", err)
        (gone,), _ = osprey("forget", "/mnt/new/pictures/sub")
        self.assertEqual(gone["images"], 4)
        (gone,), _ = osprey("forget", "/mnt/new/pictures")
        self.assertEqual(gone["images"], 10)
        (s,), _ = osprey("status")
        self.assertEqual(s["images"], self.images - 14)
        osprey("forget", "/mnt/new/pictures", status=3)

    # ---- models, libraries ----

    def test_models(self):
        models = self.lines("model", "list", library=False)
        (mine,) = [m for m in models if m["name"] == "osprey-small"]
        self.assertTrue(mine["default"])
        (info,) = self.lines("model", "info", library=False)
        self.assertEqual((info["name"], info["dimension"]), ("osprey-small", len(self.embed("a"))))
        self.assertGreater(info["parameters"], 1000000)
        self.assertEqual(self.lines("model", "info", mine["dir"], library=False), [info])
        out, _ = self.run_osprey("model", "list", library=False)
        self.assertIn(b"* osprey-small ", out)
        out, _ = self.run_osprey("model", "--help", library=False)
        for verb in ("list", "get", "use", "info", "check", "bench"):
            self.assertIn(b"osprey model %s" % verb.encode(), out)
            for name in ("docs/man/osprey-model.1", "packaging/completions/_osprey",
                         "packaging/completions/osprey.bash"):
                with open(os.path.join(SOURCE, name)) as f:
                    self.assertRegex(f.read(), r"\b%s\b" % verb, name)
        _, err = self.run_osprey("model", "info", "no-such-model", library=False, status=3)
        self.assertIn(b"no-such-model", err)

    def test_bench(self):
        (b,) = self.lines("model", "bench", "--batch", "2", "--threads", "1", library=False)
        self.assertEqual((b["batch"], b["threads"], b["model"]), (2, 1, "osprey-small"))
        self.assertTrue(b["images_per_s"] > 0 and b["texts_per_s"] > 0)
        # EfficientNet-Lite0 does 385 million multiplications and additions a picture.
        self.assertAlmostEqual(b["gflops"] / b["images_per_s"], 0.77, delta=0.03)

    def other_model(self):
        """The default model with other weights: one byte of them changed."""
        (info,) = self.lines("model", "info", library=False)
        other = os.path.join(self.tmp, "other-model")
        if not os.path.isdir(other):
            shutil.copytree(info["dir"], other)
            with open(os.path.join(other, "model.safetensors"), "r+b") as f:
                f.seek(-4000, os.SEEK_END)
                byte = f.read(1)
                f.seek(-1, os.SEEK_CUR)
                f.write(bytes([byte[0] ^ 1]))
        return other

    def test_another_model_is_an_error_that_names_both(self):
        other = self.other_model()
        out, err = self.run_osprey("search", "--model", other, "a dog", status=3)
        self.assertEqual(out, b"")
        self.assertIn(b"osprey-small", err)
        self.assertIn(b"other-model", err)
        self.run_osprey("search", "--model", "osprey-small", "a dog")

    def test_a_model_that_went_is_told(self):
        (info,) = self.lines("model", "info", library=False)
        other = self.copy_of_library()
        db = sqlite3.connect(os.path.join(other, "catalog.db"))
        db.execute("UPDATE models SET hash = ?", ("0" * 32,))
        db.commit()
        db.close()
        out = subprocess.run([OSPREY, "search", "--library", other, "a"], capture_output=True)
        self.assertEqual(out.returncode, 3)
        self.assertIn(info["dir"].encode(), out.stderr)
        self.assertIn(b"other weights", out.stderr)

    def test_no_library(self):
        for command in (["search", "a"], ["similar", self.picture("p01.png")], ["status"], ["verify"],
                        ["backup", "x"], ["relocate", "/a", "/b"], ["forget", "/a"]):
            done = subprocess.run([OSPREY] + command, capture_output=True, cwd=self.tmp,
                                  env=dict(os.environ, OSPREY_LIBRARY=os.path.join(self.tmp, "none")))
            self.assertEqual((done.returncode, done.stdout), (3, b""), command)
            self.assertIn(b"osprey index DIR", done.stderr)
            self.assertFalse(os.path.exists(os.path.join(self.tmp, "none")))

    def test_the_library_of_the_environment(self):
        env = {"OSPREY_LIBRARY": self.library}
        out, _ = self.run_osprey("search", "a", "--json", library=False, env=env)
        self.assertEqual(out, self.run_osprey("search", "a", "--json")[0])
        env = {"XDG_DATA_HOME": os.path.join(self.tmp, "data"), "OSPREY_LIBRARY": ""}
        os.makedirs(os.path.join(self.tmp, "data", "osprey"))
        os.symlink(self.library, os.path.join(self.tmp, "data", "osprey", "library"))
        self.assertEqual(self.run_osprey("search", "a", "--json", library=False, env=env)[0], out)

    # ---- the program as such ----

    def test_commands(self):
        out, err = self.run_osprey("--help", library=False)
        self.assertEqual(err, b"")
        commands = re.findall(r"^  ([a-z]+) +[a-z]", out.decode().split("Options")[0], re.M)
        self.assertIn("search", commands)
        for command in commands:
            out, err = self.run_osprey(command, "--help", library=False)
            self.assertIn(b"usage: osprey " + command.encode(), out.lower())
            self.assertEqual(err, b"")
            self.assertEqual(self.run_osprey("help", command, library=False)[0], out)
        for name in ("paint", "print", "upload"):
            self.assertNotIn(name, commands)
            out, err = self.run_osprey(name, library=False, status=2)
            self.assertEqual(out, b"")
            self.assertIn(b"unknown command '%s'" % name.encode(), err)
            self.assertIn(b"osprey --help", err)
        _, err = self.run_osprey("serach", library=False, status=2)
        self.assertIn(b"did you mean 'search'?", err)
        self.run_osprey("--no-such", library=False, status=2)
        self.assertEqual(subprocess.run([OSPREY], capture_output=True).returncode, 2)
        out, _ = self.run_osprey("--version", library=False)
        self.assertRegex(out, rb"^osprey \d+\.\d+\.\d+\n$")

    def test_common_options_may_come_first(self):
        out, _ = self.run_osprey("--json", "-k", "2", "search", "a", library=False,
                                 env={"OSPREY_LIBRARY": self.library})
        self.assertEqual(len([json.loads(r) for r in out.splitlines()]), 2)

    def test_completions_and_manuals_know_every_option(self):
        out, _ = self.run_osprey("--help", library=False)
        commands = re.findall(r"^  ([a-z]+) +[a-z]", out.decode().split("Options")[0], re.M)
        texts = {}
        for name in ("packaging/completions/osprey.bash", "packaging/completions/_osprey",
                     "docs/man/osprey.1"):
            with open(os.path.join(SOURCE, name)) as f:
                texts[name] = f.read()
        for command in commands:
            manual = os.path.join(SOURCE, "docs/man/osprey-%s.1" % command)
            with open(manual) as f:
                page = f.read() + texts["docs/man/osprey.1"]
            for name, text in texts.items():
                self.assertRegex(text, r"\b%s\b" % command, name)
            kinds = {"train": [["train", "heads"], ["train", "reranker"]]}.get(command, [[command]])
            out = b"".join(self.run_osprey(*kind, "--help", library=False)[0] for kind in kinds)
            for option in set(re.findall(r"(--[a-z][a-z-]*)", out.decode())):
                self.assertIn(option, texts["packaging/completions/osprey.bash"])
                self.assertIn(option, texts["packaging/completions/_osprey"])
                self.assertRegex(page, r"Fl -%s\b" % re.escape(option[2:]), (command, option))

    def test_bash_completes(self):
        script = ". %s/packaging/completions/osprey.bash; COMP_WORDS=(%s); COMP_CWORD=%d; _osprey; " \
                 "printf '%%s\\n' \"${COMPREPLY[@]}\""
        env = dict(os.environ, PATH=BUILD + ":" + os.environ["PATH"])
        for words, expected in ((["osprey", "se"], "search"), (["osprey", "search", "--im"], "--image"),
                                (["osprey", "--json", "status", "--e"], "--errors"),
                                (["osprey", "search", "--precision", "f"], "f32"),
                                (["osprey", "model", "info", "osprey-s"], "osprey-small"),
                                (["osprey", "search", self.sub + "/p0"], self.sub + "/p00.png")):
            out = subprocess.run(["bash", "-c", script % (SOURCE, " ".join("'%s'" % w for w in words),
                                                          len(words) - 1)],
                                 capture_output=True, env=env, text=True)
            self.assertIn(expected, out.stdout.split("\n"), (words, out))

    # ---- streams ----

    def test_a_full_disk_is_told(self):
        for command in (["search", "a"], ["search", "--json", "a"], ["status"], ["embed", "a"],
                        ["--help"], ["verify"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([OSPREY, "--library", self.library] + command, stdout=full,
                                      stderr=subprocess.PIPE)
            self.assertEqual(done.returncode, 3, command)
            self.assertIn(b"cannot write to standard output: No space left", done.stderr)

    def test_a_closed_output_is_told(self):
        done = subprocess.run(["sh", "-c", '"$0" "$@" >&-', OSPREY, "search", "--library", self.library, "a"],
                              capture_output=True)
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"cannot write to standard output", done.stderr)
        self.assertEqual(self.lines("verify")[-1]["sound"], True)

    def test_a_closed_pipe_ends_quietly(self):
        for ignore in (False, True):
            reader, writer = os.pipe()
            os.close(reader)
            done = subprocess.run([OSPREY, "search", "--library", self.library, "a"], stdout=writer,
                                  stderr=subprocess.PIPE, restore_signals=not ignore)
            os.close(writer)
            self.assertEqual(done.stderr, b"")
            self.assertNotEqual(done.returncode, 0)

    # ---- previews ----

    def test_preview_only_in_a_terminal(self):
        plain, _ = self.run_osprey("search", "-k2", "a")
        piped, err = self.run_osprey("search", "-k2", "--preview", "a")
        self.assertEqual((piped, err), (plain, b""))
        shown, _ = self.run_osprey("search", "-k2", "--preview=20x6", "a", env={"OSPREY_PREVIEW": "symbols"})
        self.assertGreater(len(shown), len(plain))
        self.assertIn(b"\x1b[", shown)
        for mode, begin in (("kitty", b"\x1b_G"), ("iterm", b"\x1b]1337;"), ("sixel", b"\x1bP")):
            shown, _ = self.run_osprey("search", "-k2", "--preview", "a", env={"OSPREY_PREVIEW": mode})
            self.assertEqual(shown.count(b"\n") >= 4, True)
            self.assertIn(begin, shown)
        self.run_osprey("search", "--preview", "a", env={"OSPREY_PREVIEW": "paper"}, status=2)
        self.run_osprey("search", "--preview", "a", env={"OSPREY_PREVIEW": "none"})

    def test_preview_in_a_terminal(self):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, 0x5414, struct.pack("HHHH", 24, 80, 0, 0))  # TIOCSWINSZ
        process = subprocess.Popen([OSPREY, "search", "--library", self.library, "-k1", "--preview", "a"],
                                   stdout=slave, env=dict(os.environ, TERM="xterm-256color"))
        os.close(slave)
        seen = b""
        while select.select([master], [], [], 30)[0]:
            try:
                data = os.read(master, 65536)
            except OSError:
                break
            if not data:
                break
            seen += data
        os.close(master)
        self.assertEqual(process.wait(), 0)
        self.assertIn(b"\x1b[", seen)
        self.assertGreater(seen.count(b"\n"), 3)


if __name__ == "__main__":
    sys.argv.append("-v")
    unittest.main()
