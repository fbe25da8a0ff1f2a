"""Drives `osprey eval` over generated pictures and works its figures out again.

The embeddings come from `osprey embed`; ranks, recalls and precisions are then
counted here by their definitions. Python's standard library alone.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.dom.minidom

import pictures
from names import as_names
from rerankers import WEIGHT, write_reranker

BUILD = os.environ["OSPREY_BUILD"]
OSPREY = os.path.join(BUILD, "osprey")
CAPTIONS = ["a red square", "many small blocks", "noise", "a grey wall", "a chessboard in the dark",
            "two dogs on a beach", "green and blue tiles", "a blurry screen"]
LABELS = {"chess_board": (0, 1, 2), "sea": (3, 4), "brick_wall": (5, 6, 7), "alone": (8,)}


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def ranks_of(query, items, right):
    """The ranks, from 1, of the right items (indices), best first."""
    scores = [dot(query, i) for i in items]
    order = sorted(range(len(items)), key=lambda i: (-scores[i], i))
    return sorted(order.index(r) + 1 for r in right)


def figures(all_ranks):
    best = sorted(r[0] for r in all_ranks)
    n = len(best)
    precision = [sum((i + 1) / rank for i, rank in enumerate(r)) / len(r) for r in all_ranks]
    return {"r1": 100 * sum(b <= 1 for b in best) / n, "r5": 100 * sum(b <= 5 for b in best) / n,
            "r10": 100 * sum(b <= 10 for b in best) / n, "n": n, "map": sum(precision) / n,
            "median_rank": (best[(n - 1) // 2] + best[n // 2]) / 2}


class Eval(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tmp = os.path.realpath(tempfile.mkdtemp(prefix="osprey-eval-"))
        os.environ.update(XDG_CONFIG_HOME=os.path.join(cls.tmp, "config"),
                          XDG_DATA_HOME=os.path.join(cls.tmp, "data"))
        os.environ.pop("OSPREY_LIBRARY", None)
        cls.images = os.path.join(cls.tmp, "images")
        cls.labels = os.path.join(cls.tmp, "labels")
        cls.names, cls.vectors = [], []
        for folder in [cls.images] + [os.path.join(cls.labels, label) for label in LABELS]:
            os.makedirs(folder)
        for i in range(9):
            data = pictures.png(i) if i % 2 else pictures.jpeg(i)
            cls.names.append("%d.%s" % (i, "png" if i % 2 else "jpg"))
            pictures.write(os.path.join(cls.images, cls.names[i]), data)
            cls.vectors.append(cls.embed("--image", os.path.join(cls.images, cls.names[i])))
        for label, members in LABELS.items():
            for i in members:
                below = os.path.join(cls.labels, label, "deep" if i % 3 == 1 else "")
                os.makedirs(below, exist_ok=True)
                shutil.copy(os.path.join(cls.images, cls.names[i]), below)
        cls.broken = os.path.join(cls.labels, "sea", "broken.jpg")
        pictures.write(cls.broken, b"no picture")
        for other in ("sea/.hidden.jpg", "sea/notes.txt", "loose.jpg"):
            pictures.write(os.path.join(cls.labels, other), b"no picture")
        cls.texts = [cls.embed(c) for c in CAPTIONS]
        cls.image_of = [0, 1, 1, 2, 3, 3, 3, 4]  # caption -> picture; each has one
        cls.tsv = cls.write("captions.tsv", "".join(
            "%s\t%s\n" % (cls.names[i], c) for i, c in zip(cls.image_of, CAPTIONS)))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.tmp)

    # ---- helpers ----

    @classmethod
    def embed(cls, *args):
        out = subprocess.run([OSPREY, "embed", "--json", *args], capture_output=True, check=True)
        return json.loads(out.stdout)["embedding"]

    @classmethod
    def write(cls, name, content):
        path = os.path.join(cls.tmp, name)
        with open(path, "w") as f:
            f.write(content if isinstance(content, str) else json.dumps(content))
        return path

    def osprey(self, *args, status=0):
        done = subprocess.run([OSPREY, *args], capture_output=True, text=True, cwd=self.tmp,
                              timeout=300)
        self.assertEqual(done.returncode, status, (args, done.stdout, done.stderr))
        return done.stdout, done.stderr

    def eval(self, *args):
        out, _ = self.osprey("eval", "--json", *args)
        (line,) = out.splitlines()
        return json.loads(line)

    def assert_figures(self, got, all_ranks):
        for key, value in figures(all_ranks).items():
            self.assertAlmostEqual(got[key], value, 6, (key, got))
        for key in ("r1", "r5", "r10", "map"):
            low, high = got[key + "_interval"]
            self.assertTrue(low <= got[key] <= high, (key, got))

    def assert_chart(self, path, element):
        with xml.dom.minidom.parse(path) as document:
            self.assertEqual(document.documentElement.tagName, "svg")
            self.assertTrue(document.getElementsByTagName(element), path)

    # ---- captions ----

    def test_captions_and_pictures_find_each_other(self):
        chart = os.path.join(self.tmp, "captions.svg")
        got = self.eval("--images", self.images, "--captions", self.tsv, "--svg", chart)
        self.assertEqual(set(got), {"t2i", "i2t"})
        shown = self.vectors[:5]
        self.assert_figures(got["t2i"], [ranks_of(t, shown, [self.image_of[i]])
                                         for i, t in enumerate(self.texts)])
        self.assert_figures(got["i2t"], [
            ranks_of(v, self.texts, [i for i, of in enumerate(self.image_of) if of == n])
            for n, v in enumerate(shown)])
        self.assert_chart(chart, "polyline")
        out, err = self.osprey("eval", "--images", self.images, "--captions", self.tsv)
        self.assertRegex(out, r"(?m)^text to image .* 8$")
        self.assertRegex(out, r"(?m)^image to text .* 5$")
        self.assertIn("encoding 5 pictures and 8 captions", err)

    def test_json_says_the_same_as_a_table(self):
        expected = self.eval("--images", self.images, "--captions", self.tsv)
        sentences = [[{"raw": c} for c, of in zip(CAPTIONS, self.image_of) if of == i]
                     for i in range(5)]
        karpathy = self.write("karpathy.json", {"dataset": "x", "images": [
            {"filename": self.names[i], "split": "val", "sentences": s}
            for i, s in enumerate(sentences)] + [
            {"filename": "gone.jpg", "split": "train", "sentences": [{"raw": "x"}]}]})
        coco = self.write("coco.json", {
            "images": [{"id": 100 - i, "file_name": name} for i, name in enumerate(self.names)],
            "annotations": [{"id": i, "image_id": 100 - of, "caption": c}
                            for i, (c, of) in enumerate(zip(CAPTIONS, self.image_of))]})
        self.assertEqual(self.eval("--images", self.images, "--captions", karpathy,
                                   "--split", "val"), expected)
        self.assertEqual(self.eval("--images", self.images, "--captions", coco), expected)
        _, err = self.osprey("eval", "--images", self.images, "--captions", karpathy, status=2)
        self.assertIn("val (5), train (1)", err)
        _, err = self.osprey("eval", "--images", self.images, "--captions", karpathy,
                             "--split", "all", status=3)
        self.assertIn(os.path.join(self.images, "gone.jpg"), err)

    # ---- looked at again ----

    def rerank_scores(self, reranker):
        """What `osprey search` says of each caption and picture: {(caption, picture): score}."""
        library = os.path.join(self.tmp, "rerank-library")
        self.osprey("index", "--library", library, self.images)
        scores = {}
        for t, caption in enumerate(CAPTIONS):
            out, _ = self.osprey("search", "--json", "--library", library, "--rerank", "--reranker",
                                 reranker, "--", caption)
            for line in map(json.loads, out.splitlines()):
                scores[t, self.names.index(os.path.basename(line["path"]))] = line["rerank"]
        return scores

    @staticmethod
    def reranked(query, items, right, top, score):
        """ranks_of() after the best `top` were sorted again by score + WEIGHT * rerank."""
        first = [dot(query, i) for i in items]
        order = sorted(range(len(items)), key=lambda i: (-first[i], i))
        order = sorted(order[:top], key=lambda i: -(first[i] + WEIGHT * score(i))) + order[top:]
        return sorted(order.index(r) + 1 for r in right)

    def test_the_first_are_looked_at_again(self):
        reranker = os.path.join(self.tmp, "reranker.safetensors")
        write_reranker(reranker, 3)
        asked = ("--images", self.images, "--captions", self.tsv)
        scores, shown = self.rerank_scores(reranker), self.vectors[:5]
        plain = self.eval(*asked)
        chart = os.path.join(self.tmp, "reranked.svg")
        for top in (1, 3, 50):
            got = self.eval(*asked, "--rerank=%d" % top, "--reranker", reranker, "--svg", chart)
            again = got.pop("reranked")
            self.assertEqual(got, plain)
            self.assertEqual((again["top"], round(again["weight"], 6)), (top, WEIGHT))
            t2i = [self.reranked(v, shown, [self.image_of[t]], top, lambda i, t=t: scores[t, i])
                   for t, v in enumerate(self.texts)]
            i2t = [self.reranked(v, self.texts,
                                 [t for t, of in enumerate(self.image_of) if of == i], top,
                                 lambda t, i=i: scores[t, i]) for i, v in enumerate(shown)]
            for key, ranks in (("t2i", t2i), ("i2t", i2t)):
                self.assert_figures(again[key], ranks)
                change = again[key]["change"]
                for figure in ("r1", "r5", "r10", "map"):
                    self.assertAlmostEqual(change[figure], again[key][figure] - plain[key][figure],
                                           6)
                    low, high = change[figure + "_interval"]
                    self.assertTrue(low <= change[figure] <= high, change)
            self.assertEqual(again["t2i"]["change"]["map"] == 0, top == 1)
        self.assert_chart(chart, "polyline")
        out, _ = self.osprey("eval", *asked, "--rerank", "--reranker", reranker)
        self.assertRegex(out, r"(?s)the first 50 looked at again:\ntext to image .*what that "
                              r"changed:\ntext to image +[-+]\d")
        _, err = self.osprey("eval", *asked, "--rerank", "--reranker", self.images, status=3)
        self.assertIn("no re-ranker", err)

    def test_bad_captions_name_file_and_entry(self):
        for name, content, message in (
                ("line.tsv", "a.jpg\tx\nb.jpg\n", "line 2"),
                ("entry.json", {"images": [{"filename": "a", "sentences": []}]}, "images[0]"),
                ("other.json", {"a": 1}, "neither"), ("empty.tsv", "", "no captions")):
            path = self.write(name, content)
            _, err = self.osprey("eval", "--images", self.images, "--captions", path, status=3)
            self.assertIn(path, err)
            self.assertIn(message, err)

    # ---- labels ----

    def members(self):
        """Pictures in the order of their labels: (label's number, vector), and the labels."""
        labels = sorted(LABELS)
        return [(n, self.vectors[i]) for n, label in enumerate(labels)
                for i in LABELS[label]], labels

    def test_labels(self):
        templates = ["a photo of a {}", "{}, and again {}"]
        prompts = self.write("prompts.txt", "\n".join(templates) + "\r\n\n")
        members, labels = self.members()
        each = [[as_names(self.embed(t.replace("{}", label.replace("_", " ")))) for label in labels]
                for t in templates]
        sums = [[a + b for a, b in zip(*pair)] for pair in zip(*each)]
        each.append([[x / math.sqrt(dot(s, s)) for x in s] for s in sums])
        best = [[ranks_of(v, texts, [n])[0] for n, v in members] for texts in each]
        got = self.eval("--labels", self.labels, "--prompts", prompts)
        self.assertEqual((got["n"], got["errors"]), (9, 1))
        for one, ranks in zip(got["templates"] + [got], best):
            self.assertAlmostEqual(one["top1"], 100 * ranks.count(1) / 9, 6)
            self.assertAlmostEqual(one["top5"], 100, 6)
            self.assertLessEqual(one["top1_interval"][0], one["top1"])
        self.assertEqual([t["template"] for t in got["templates"]], templates)
        self.assertEqual([(one["label"], one["n"]) for one in got["labels"]],
                         [("alone", 1), ("brick wall", 3), ("chess board", 3), ("sea", 2)])
        self.assertAlmostEqual(sum(one["top1"] * one["n"] for one in got["labels"]) / 9, got["top1"])

    def test_broken_pictures_are_listed_and_left_out(self):
        chart = os.path.join(self.tmp, "labels.svg")
        out, err = self.osprey("eval", "--labels", self.labels, "--svg", chart)
        self.assertIn(self.broken, err)
        self.assertIn("left out 1 of 10 pictures", err)
        for other in ("hidden", "notes", "loose"):
            self.assertNotIn(other, err)
        self.assertIn("9 pictures, 4 labels", out)
        self.assertIn("a photo of a {}", out)
        self.assertRegex(out, r"(?m) 3  brick wall$")
        self.assert_chart(chart, "circle")
        nothing = os.path.join(self.tmp, "nothing")
        for label in "ab":
            os.makedirs(os.path.join(nothing, label))
            pictures.write(os.path.join(nothing, label, "x.jpg"), b"no picture")
        _, err = self.osprey("eval", "--labels", nothing, status=3)
        self.assertIn("none of 2 pictures", err)

    # ---- pictures by pictures ----

    def test_pictures_find_those_of_their_label(self):
        members, _ = self.members()
        all_ranks = []
        for q, (label, vector) in enumerate(members):
            others = [m for i, m in enumerate(members) if i != q]
            right = [i for i, m in enumerate(others) if m[0] == label]
            if right:  # one is alone
                all_ranks.append(ranks_of(vector, [m[1] for m in others], right))
        got = self.eval("--image-to-image", "--labels", self.labels)
        self.assertEqual(set(got), {"i2i", "raw", "errors"})
        self.assertEqual((got["i2i"]["n"], got["errors"]), (8, 1))
        self.assert_figures(got["i2i"], all_ranks)

    def test_parts_find_their_picture(self):
        whole = self.eval("--image-to-image", "--images", self.images)
        self.assertEqual(whole["i2i"]["n"], 9)
        self.assertGreater(whole["i2i"]["r5"], 5 / 9 * 100)  # better than chance
        some = self.eval("--image-to-image", "--images", self.images, "--captions", self.tsv)
        self.assertEqual(some["i2i"]["n"], 5)
        again = self.eval("--image-to-image", "--images", self.images, "--captions", self.tsv)
        self.assertEqual(some, again)

    def test_the_model_stands_beside_what_its_tower_sees(self):
        chart = os.path.join(self.tmp, "i2i.svg")
        got = self.eval("--image-to-image", "--images", self.images, "--svg", chart)
        self.assertEqual(got["raw"]["n"], 9)
        self.assertGreater(got["raw"]["r5"], 5 / 9 * 100)
        self.assertNotEqual(got["raw"]["map"], got["i2i"]["map"])
        change = got["i2i"]["change"]
        for k in ("r1", "r5", "r10", "map"):
            self.assertAlmostEqual(change[k], got["i2i"][k] - got["raw"][k], places=9)
            low, high = change[k + "_interval"]
            self.assertTrue(low <= change[k] <= high, (k, change))
        self.assertNotIn("change", got["raw"])
        self.assert_chart(chart, "polyline")
        out, _ = self.osprey("eval", "--image-to-image", "--images", self.images)
        self.assertEqual([line[:14].strip() for line in out.splitlines()],
                         ["", "image to image", "raw features", "the difference"])

    # ---- matches ----

    def test_matches_are_those_of_a_library(self):
        words = ["blue", "a red ball", "night", "stripes", "a green field", "grey", "noise",
                 "a yellow flower", "a picture"] * 3
        tsv = self.write("match.tsv", "".join("%s\t%s %d\n" % (self.names[i % 9], w, i)
                                              for i, w in enumerate(words)))
        library = os.path.join(self.tmp, "match-library")
        self.osprey("index", "--quiet", "--library", library, self.images)
        firsts = []
        for i, w in enumerate(words):
            out, _ = self.osprey("search", "--json", "-k1", "--library", library, "%s %d" % (w, i))
            first = json.loads(out)
            if os.path.basename(first["path"]) == self.names[i % 9]:
                firsts.append(first["match"])
        firsts.sort()
        got = self.eval("--images", self.images, "--captions", tsv)
        self.assertTrue(firsts, "no caption finds its picture: choose others")
        figures_ = got["no_match"]
        self.assertAlmostEqual(figures_["threshold"], firsts[int(len(firsts) / 10)], delta=0.01)
        self.assertGreaterEqual(figures_["kept"], 90)
        good = figures_["good"]
        self.assertAlmostEqual(good["kept"], 100 * sum(m >= good["threshold"] for m in firsts) /
                               len(firsts), delta=0.1)
        lower, higher = sorted((figures_, good), key=lambda p: p["threshold"])
        self.assertTrue(0 <= lower["told"] <= higher["told"] <= 100)
        out, _ = self.osprey("eval", "--images", self.images, "--captions", tsv)
        self.assertRegex(out, r"(?m)^good match 0\.35: reached by ")

    # ---- the index ----

    def test_an_exact_index_agrees(self):
        library, chart = os.path.join(self.tmp, "library"), os.path.join(self.tmp, "index.svg")
        self.osprey("index", "--library", library, self.images)
        got = self.eval("--index", "--library", library, "--captions", self.tsv, "-k", "3",
                        "--sample", "6", "--svg", chart)["index"]
        self.assertEqual((got["images"], got["k"]), (9, 3))
        for kind in ("image_queries", "text_queries"):
            self.assertEqual(got[kind], {"recall": 100.0, "interval": [100.0, 100.0], "n": 6})
        self.assert_chart(chart, "rect")
        got = self.eval("--index", "--library", library)["index"]
        self.assertEqual((got["image_queries"]["n"], got["k"]), (9, 10))
        self.assertNotIn("text_queries", got)
        out, _ = self.osprey("eval", "--index", "--library", library)
        self.assertRegex(out, r"(?m)^pictures  100\.00 \(100\.00-100\.00\) +9$")

    # ---- usage ----

    def test_wrong_usage(self):
        images, labels = ("--images", self.images), ("--labels", self.labels)
        for args, message in (
                ((), "needs --images"), (images, "needs --images DIR and --captions"),
                (("--captions", self.tsv), "needs --images DIR"),
                (labels + images, "goes without --images"),
                (("--image-to-image",), "needs --images DIR or --labels DIR"),
                (("--index",) + labels, "--index asks a library"),
                (images + ("--captions", self.tsv, "--split", "val"), "no splits"),
                (labels + ("--split", "val"), "--split goes with --captions"),
                (labels + ("--rerank",), "--rerank goes with --images and --captions"),
                (images + ("--captions", self.tsv, "--rerank=x"), "--rerank"),
                (images + ("--captions", self.tsv, "--reranker", "x"), "--reranker goes with"),
                (labels + ("--sample", "3"), "--sample goes with --index"),
                (images + ("--prompts", self.tsv), "--prompts goes with --labels")):
            _, err = self.osprey("eval", *args, status=2)
            self.assertIn(message, err, args)
        for args, message in (
                (("--labels", self.images), "pictures in no folder"),
                (("--labels", "/no-such-folder"), "/no-such-folder"),
                (labels + ("--prompts", self.tsv), "line 1 has no {}"),
                (("--index", "--library", self.tmp + "/none"), "there is no library"),
                (images + ("--captions", self.tsv, "--svg", "/no-such-folder/a.svg"), "a.svg")):
            _, err = self.osprey("eval", *args, status=3)
            self.assertIn(message, err, args)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
