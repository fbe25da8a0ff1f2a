#!/usr/bin/env python3
"""Drives osprey index --regions and search --rerank with a small re-ranker of random
weights: the order is that of the mixed scores, the same from kept regions and from
the files, and what cannot be looked at keeps its place.
"""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

import pictures
from rerankers import KEPT, WEIGHT, write_reranker

BUILD = os.environ["OSPREY_BUILD"]
OSPREY = os.path.join(BUILD, "osprey")
FORMATS = os.path.join(os.environ["OSPREY_SOURCE"], "tests", "data", "formats")
N = 24


class Rerank(unittest.TestCase):
    kind = "mmca"
    wrong = {"region": 1281}, "region.mean"  # of another model, and what is told

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="osprey-rerank-")
        cls.addClassCleanup(shutil.rmtree, cls.dir)
        cls.reranker = os.path.join(cls.dir, "one")
        os.mkdir(cls.reranker)
        write_reranker(os.path.join(cls.reranker, "reranker.safetensors"), 1, cls.kind)

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="pictures-", dir=self.dir)
        self.library = tempfile.mkdtemp(prefix="library-", dir=self.dir)
        for i in range(N):
            make = pictures.png if i % 2 else pictures.jpeg
            pictures.write(os.path.join(self.folder, "%02d.%s" % (i, "png" if i % 2 else "jpg")),
                           make(i * 37))

    def osprey(self, *args, status=0):
        done = subprocess.run([OSPREY, args[0], "--library", self.library, *args[1:]],
                              capture_output=True, timeout=600, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        self.stderr = done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()] if "--json" in args else None

    def index(self, *args):
        return self.osprey("index", "--json", *args, self.folder)[-1]

    def search(self, *args):
        return self.osprey("search", "--json", "-k", "100", *args)

    def rerank(self, n, *terms):
        return self.search("--rerank=%d" % n, "--reranker", self.reranker, *terms)

    def regions(self):
        return self.osprey("status", "--json")[0].get("regions")

    def assert_mixed(self, plain, found, n):
        """found is plain with the first n re-ordered by the mix of both scores."""
        self.assertEqual(sorted(r["id"] for r in found[:n]), sorted(r["id"] for r in plain[:n]))
        self.assertEqual([r["id"] for r in found[n:]], [r["id"] for r in plain[n:]])
        first = {r["id"]: r["score"] for r in plain}
        for r in found:
            self.assertAlmostEqual(r["score"], first[r["id"]], places=7)
        self.assertEqual([("rerank" in r) for r in found], [i < n for i in range(len(found))])
        mixed = [r["score"] + WEIGHT * r["rerank"] for r in found[:n]]
        for a, b in zip(mixed, mixed[1:]):
            self.assertGreaterEqual(a, b - 1e-6)

    def test_pages_are_scored_by_themselves(self):
        for name in ("pages.tif", "page-2.png"):
            shutil.copy(os.path.join(FORMATS, name), self.folder)
        self.index()
        if "TIFF" not in self.osprey("status", "--json")[0]["formats"]:
            self.skipTest("without libtiff")
        for regions in (False, True):
            if regions:
                self.index("--regions", "--reranker", self.reranker)
            found = self.rerank(100, "stripes on a wall", "--pages")
            scores = {(os.path.basename(r["path"]), r.get("page", 0)): r["rerank"] for r in found}
            self.assertAlmostEqual(scores["pages.tif", 2], scores["page-2.png", 0], places=4)
            self.assertNotAlmostEqual(scores["pages.tif", 1], scores["pages.tif", 2], places=4)

    def test_the_order_is_the_mixed_one_kept_or_not(self):
        self.index()
        self.assertIsNone(self.regions())
        plain = self.search("stripes on a wall")
        computed = self.rerank(10, "stripes on a wall")
        self.assert_mixed(plain, computed, 10)
        self.assertNotEqual([r["id"] for r in plain], [r["id"] for r in computed])
        self.assertGreater(len({r["rerank"] for r in computed[:10]}), 5)

        done = self.index("--regions", "--reranker", self.reranker)
        self.assertEqual((done["regions"], done["updated"], done["unchanged"]), (N, 0, N))
        kept = self.regions()
        self.assertEqual((kept["images"], kept["bytes"]), (N, KEPT[self.kind]))
        shutil.move(self.folder, self.folder + "-away")  # the files are not needed any more
        again = self.rerank(10, "stripes on a wall")
        shutil.move(self.folder + "-away", self.folder)
        self.assertEqual([r["id"] for r in again], [r["id"] for r in computed])
        for a, b in zip(again[:10], computed[:10]):
            self.assertAlmostEqual(a["rerank"], b["rerank"], places=4)
        # fewer results than are looked at: the best of all that were
        best = self.osprey("search", "--json", "-k", "3", "--rerank=10", "--reranker", self.reranker,
                           "stripes on a wall")
        self.assertEqual([r["id"] for r in best], [r["id"] for r in again[:3]])

    def test_regions_follow_the_pictures(self):
        done = self.index("--regions", "--reranker", self.reranker)
        self.assertEqual((done["regions"], done["added"]), (N, N))
        self.assertEqual(self.index("--regions", "--reranker", self.reranker)["encoded"], 0)
        os.remove(os.path.join(self.folder, "00.jpg"))
        shutil.copy(os.path.join(self.folder, "01.png"), os.path.join(self.folder, "copy.png"))
        pictures.write(os.path.join(self.folder, "new.png"), pictures.png(999))
        self.index()  # without --regions: the copy takes them over, the new one lacks them
        self.assertEqual(self.regions()["images"], N)
        done = self.index("--regions", "--reranker", self.reranker)
        self.assertEqual(done["regions"], 1)
        self.assertEqual(self.regions()["images"], N + 1)
        self.osprey("verify")
        other = os.path.join(self.dir, "two")
        os.makedirs(other, exist_ok=True)
        write_reranker(os.path.join(other, "reranker.safetensors"), 2, self.kind)
        before = self.regions()["reranker"]
        self.index("--regions", "--reranker", other)
        self.assertEqual(self.regions()["images"], N + 1)
        self.assertNotEqual(self.regions()["reranker"], before)
        self.osprey("verify")

    def test_what_cannot_be_looked_at_keeps_its_place(self):
        self.index()
        plain = self.search("a red door")
        for place, spoil in ((2, os.remove), (5, lambda p: pictures.write(p, b"no picture"))):
            spoil(plain[place]["path"])
        found = self.rerank(12, "a red door")
        for place in (2, 5):
            self.assertEqual(found[place]["id"], plain[place]["id"])
            self.assertNotIn("rerank", found[place])
        rest = [r for i, r in enumerate(found[:12]) if i not in (2, 5)]
        self.assert_mixed([r for i, r in enumerate(plain[:12]) if i not in (2, 5)], rest, 10)

    def test_terms_count_by_their_weights(self):
        self.index("--regions", "--reranker", self.reranker)
        picture = os.path.join(self.folder, "03.png")

        def scores(*terms):
            return {r["id"]: r["rerank"] for r in self.rerank(N, *terms)}
        door, wall = scores("a red door"), scores("stripes on a wall")
        both = scores("2:a", "red", "door", "-", "stripes on a wall")
        mixed = scores("a red door", "+", picture)
        for i in door:
            self.assertAlmostEqual(both[i], (2 * door[i] - wall[i]) / 3, places=5)
            self.assertAlmostEqual(mixed[i], door[i] / 2, places=5)

    def test_wrong_usage_is_told(self):
        self.index()
        self.osprey("search", "--rerank", "--reranker", self.reranker, "--image",
                    os.path.join(self.folder, "03.png"), status=2)
        self.assertIn("no text", self.stderr)
        self.osprey("search", "--rerank=0", "--reranker", self.reranker, "a", status=2)
        self.osprey("search", "--rerank=5000", "--reranker", self.reranker, "a", status=2)
        self.osprey("search", "--reranker", self.reranker, "a", status=2)
        self.osprey("index", "--reranker", self.reranker, self.folder, status=2)
        self.osprey("search", "--rerank", "--reranker", self.dir, "a", status=3)
        self.assertIn("no re-ranker", self.stderr)

    def test_a_reranker_of_another_model_is_refused(self):
        self.index()
        model = self.osprey("model", "info", "--json")[0]
        path = os.path.join(self.dir, "of-a-model.safetensors")
        asked = ("search", "--rerank", "--reranker", path, "a red door")
        write_reranker(path, 1, self.kind, model="mine", model_hash=model["hash"])
        self.osprey(*asked)  # the same weights under another name
        other = "0123456789abcdef" * 2
        write_reranker(path, 1, self.kind, model="mine", model_hash=other)
        self.osprey(*asked, status=3)
        self.assertIn("trained for the model mine (0123456789abcdef), not for %s (%s)"
                      % (model["name"], model["hash"][:16]), self.stderr)
        self.osprey("index", "--regions", "--reranker", path, self.folder, status=3)
        self.assertIn("trained for the model mine", self.stderr)
        write_reranker(path, 1, self.kind, model_hash=1)
        self.osprey(*asked, status=3)
        self.assertIn("model_hash", self.stderr)

    def test_what_is_no_fitting_reranker_is_refused(self):
        self.index()
        path = os.path.join(self.dir, "broken.safetensors")
        changes, told = self.wrong
        write_reranker(path, 1, self.kind, **changes)
        self.osprey("search", "--rerank", "--reranker", path, "a", status=3)
        self.assertIn(told, self.stderr)
        write_reranker(path, 1, self.kind, type="other")
        self.osprey("search", "--rerank", "--reranker", path, "a", status=3)
        self.assertIn("known: regions, mmca, both", self.stderr)
        with open(os.path.join(self.reranker, "reranker.safetensors"), "rb") as f:
            whole = f.read()
        pictures.write(path, whole[:len(whole) // 2])
        self.osprey("search", "--rerank", "--reranker", path, "a", status=3)
        self.assertIn("broken.safetensors", self.stderr)


class RerankByRegions(Rerank):
    kind = "regions"
    wrong = {"grid": 8}, "yields 7 x 7"


if __name__ == "__main__":
    unittest.main(verbosity=2)
