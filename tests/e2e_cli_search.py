"""osprey search, similar and embed: that a search with several terms is the sum of the
terms' embeddings, which results come, and what is refused. Python's standard library
alone.
"""

import base64
import json
import os
import shutil
import struct
import sys
import unittest

import command_line
from command_line import ODD_NAME, dot


class Search(command_line.CommandLine):
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


if __name__ == "__main__":
    sys.argv.append("-v")
    unittest.main()
