"""Trains heads on a few dozen pictures that the test draws, in every mode.

What is promised: each loss, distance and supervision learns; the same seed gives the
same bytes, whatever the threads, and whether or not the run was killed and resumed;
what comes out is a model that indexes and searches; bad data end in a message and
leave no model behind. Python's standard library alone.
"""

import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

BUILD = os.environ["OSPREY_BUILD"]
OSPREY = os.path.join(BUILD, "osprey")
COLOURS = {"red": (210, 30, 30), "green": (30, 160, 50), "blue": (40, 60, 210),
           "yellow": (240, 220, 40), "white": (250, 250, 250), "black": (10, 10, 10)}
SHAPES = {"circle": lambda x, y: x * x + y * y < 900,
          "square": lambda x, y: abs(x) < 26 and abs(y) < 26,
          "cross": lambda x, y: abs(x) < 9 or abs(y) < 9,
          "ring": lambda x, y: 400 < x * x + y * y < 1000}
SIDE = 96
SMALL = ["--dim", "48", "--hidden", "32", "--batch", "48", "--dropout", "0.3",
         "--text-dropout", "0.1", "--distil", "0", "--class-weight", "0", "--views", "2"]
PAIRS = ["--images", "pictures", "--captions", "train.tsv", "--dev-captions", "dev.tsv"]


def png(path, pixel):
    rows = b"".join(b"\0" + bytes(c for x in range(SIDE) for c in pixel(x - SIDE // 2, y - SIDE // 2))
                    for y in range(SIDE))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" +
                chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


class Train(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tmp = os.path.realpath(tempfile.mkdtemp(prefix="osprey-train-"))
        cls.env = dict(os.environ, XDG_CACHE_HOME=os.path.join(cls.tmp, "cache"),
                       XDG_CONFIG_HOME=os.path.join(cls.tmp, "config"),
                       XDG_DATA_HOME=os.path.join(cls.tmp, "data"))
        cls.env.pop("OSPREY_LIBRARY", None)
        # The weights that others prepared serve here, too; features are made anew.
        theirs = os.path.join(os.environ.get("XDG_CACHE_HOME") or
                              os.path.expanduser("~/.cache"), "osprey", "prepared")
        if os.path.isdir(theirs):
            os.makedirs(os.path.join(cls.tmp, "cache", "osprey"))
            os.symlink(theirs, os.path.join(cls.tmp, "cache", "osprey", "prepared"))
        os.mkdir(os.path.join(cls.tmp, "pictures"))
        sets = {"train": [], "dev": []}
        pairs = [(c, s, g) for c in COLOURS for s in SHAPES for g in COLOURS if c != g]
        for i, (colour, shape, ground) in enumerate(pairs):
            name = "%s-%s-%s.png" % (colour, shape, ground)
            inside = SHAPES[shape]
            png(os.path.join(cls.tmp, "pictures", name),
                lambda x, y: COLOURS[colour if inside(x, y) else ground])
            lines = sets["dev" if i % 4 == 1 else "train"]
            lines.append("%s\ta %s %s on a %s ground" % (name, colour, shape, ground))
            lines.append("%s\ton %s, there is a %s that is %s" % (name, ground, shape, colour))
            folder = os.path.join(cls.tmp, "classes", "%s_%s" % (colour, shape))
            os.makedirs(folder, exist_ok=True)
            os.link(os.path.join(cls.tmp, "pictures", name), os.path.join(folder, name))
        for name, lines in sets.items():
            cls.write(name + ".tsv", "\n".join(lines) + "\n")
        cls.dev_pictures = len(sets["dev"]) // 2

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.tmp)

    # ---- helpers ----

    @classmethod
    def write(cls, name, text):
        path = os.path.join(cls.tmp, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        return path

    def path(self, name):
        return os.path.join(self.tmp, name)

    def text(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def first_lines(self, name, n):
        return "".join(line + "\n" for line in self.text(name).splitlines()[:n])

    def osprey(self, *args, status=0, **more):
        done = subprocess.run([OSPREY] + list(args), capture_output=True, text=True, env=self.env,
                              cwd=self.tmp, timeout=300, **more)
        self.assertEqual(done.returncode, status, (args, done.stdout, done.stderr))
        return done.stdout, done.stderr

    def train(self, output, *args, data=PAIRS):
        """(one object for each epoch, the last object)"""
        out, err = self.osprey("train", "heads", "--json", "--quiet", "--output", output, *SMALL,
                               *data, *args)
        self.assertEqual(err, "")
        objects = [json.loads(line) for line in out.splitlines()]
        epochs = [o for o in objects if "epoch" in o]
        self.assertEqual(set(map(type, objects)), {dict})
        return epochs, objects[-1]

    def heads(self, output):
        with open(os.path.join(self.tmp, output, "heads.safetensors"), "rb") as f:
            return f.read()

    def refused(self, output, *args, status, say):
        """Fails with a message, and leaves nothing that could be taken for a model."""
        out, err = self.osprey("train", "heads", "--output", output, *SMALL, *args, status=status)
        self.assertEqual(out, "")
        for part in say if isinstance(say, tuple) else (say,):
            self.assertIn(part, err)
        self.assertFalse(os.path.exists(self.path(output)))
        self.assertFalse(os.path.exists(self.path(output + ".partial")))

    # ---- every mode learns ----

    def learns(self, name, *args, data=PAIRS, least):
        """least: of R@5 at the end, percent. Chance is below 20 for 30 pictures."""
        epochs, last = self.train("learns-" + name, "--epochs", "25", *args, data=data)
        self.assertEqual([e["epoch"] for e in epochs], list(range(1, 26)))
        self.assertLess(epochs[-1]["loss"], 0.8 * epochs[0]["loss"], name)
        for direction in ("t2i", "i2t") if "t2i" in last["dev"] else ("i2i",):
            recall = last["dev"][direction]
            self.assertLessEqual(recall["r1"], recall["r5"])
            self.assertGreaterEqual(recall["r5"], least, (name, direction, last))
        scores = [sum(d[k] for d in e["dev"].values() for k in ("r1", "r5", "r10")) for e in epochs]
        self.assertAlmostEqual(scores[last["best_epoch"] - 1], max(scores), places=6)
        return last

    def test_losses_and_distances(self):
        for loss, distance, more in (("infonce", "cosine", []), ("infonce", "euclidean", []),
                                     ("infonce", "manhattan", []), ("triplet", "cosine", []),
                                     ("triplet", "euclidean", ["--hardest"]),
                                     ("siglip", "cosine", ["--linear"]), ("contrastive", "euclidean", [])):
            with self.subTest(loss=loss, distance=distance):
                self.learns("%s-%s" % (loss, distance), "--loss", loss, "--distance", distance, *more,
                            least=45)

    def test_self_supervision(self):
        data = ["--images", "pictures"]
        last = self.learns("self", "--supervision", "self", "--views", "4", "--class-weight", "0.15",
                           data=data, least=60)
        self.assertEqual(last["texts"], 0)
        self.assertEqual(last["pictures"], 108)  # a tenth of 120 is held out
        self.assertIn("(4 views and 2 small parts of each)", self.text("learns-self/README.md"))
        # Judged in training as `osprey eval` does: by the same parts of the same pictures.
        last = self.learns("self-dev", "--supervision", "self", "--class-weight", "0",
                           data=PAIRS, least=60)
        out, _ = self.osprey("eval", "--json", "--quiet", "--model", "./learns-self-dev",
                             "--image-to-image", "--images", "pictures", "--captions", "dev.tsv")
        measured = json.loads(out)
        self.assertEqual(measured["i2i"]["n"], self.dev_pictures)
        for k in ("r1", "r5", "r10"):  # equal but for a pair of scores that rounding swaps
            self.assertAlmostEqual(measured["i2i"][k], last["dev"]["i2i"][k], delta=3.4)
        # Without captions texts say what they said in the zero-shot space.
        self.osprey("index", "--library", "self-library", "--model", "./learns-self", "pictures")
        out, _ = self.osprey("search", "--library", "self-library", "--json", "-k", "3", "a ball")
        self.assertEqual(len(out.splitlines()), 3)

    def test_semi_supervision(self):
        few = self.write("few.tsv", self.first_lines("train.tsv", 60))
        data = ["--images", "pictures", "--captions", few, "--dev-captions", "dev.tsv"]
        last = self.learns("semi", "--supervision", "semi", data=data, least=25)
        self.assertEqual((last["pictures"], last["texts"]), (120, 60))

    def test_classes(self):
        last = self.learns("classes", "--lr", "0.004", data=["--labels", "classes"], least=30)
        self.assertEqual(last["dev"]["i2t"]["n"], 12)
        self.assertIn("classes", self.text("learns-classes/README.md"))

    def test_distillation_and_breadth(self):
        _, last = self.train("broad", "--epochs", "3", "--breadth", "classes", "--distil", "0.5",
                             "--class-weight", "0.15")
        self.assertEqual(last["pictures"], 90 + 120)
        card = self.text("broad/README.md")
        self.assertIn("breadth: classes", card)
        self.assertIn("weight 0.5", card)

    # ---- the same run gives the same bytes ----

    RUN = ["--epochs", "12", "--checkpoint-every", "1"]

    def test_seeds_and_threads(self):
        self.train("one", *self.RUN, "--threads", "1")
        self.train("two", *self.RUN, "--threads", "2")
        self.train("other", *self.RUN, "--seed", "2")
        self.assertEqual(self.heads("one"), self.heads("two"))
        self.assertNotEqual(self.heads("one"), self.heads("other"))
        self.assertFalse(os.path.exists(self.path("one.checkpoint")))

    def interrupt(self, output, number, after, *args):
        """Sends a signal once so many epochs are over; returns (status, stderr)."""
        run = subprocess.Popen([OSPREY, "train", "heads", "--json", "--output", output, *SMALL, *PAIRS,
                                *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=self.env, cwd=self.tmp)
        for line in run.stdout:
            if json.loads(line).get("epoch") == after:
                run.send_signal(number)
                break
        _, err = run.communicate(timeout=60)
        return run.returncode, err

    def test_killed_and_resumed(self):
        long = ["--epochs", "60", "--checkpoint-every", "1", "--threads", "1", "--supervision", "semi"]
        epochs, _ = self.train("whole", *long)
        status, _ = self.interrupt("killed", signal.SIGKILL, 7, *long)
        self.assertEqual(status, -signal.SIGKILL)
        self.assertFalse(os.path.exists(self.path("killed")))
        resumed, _ = self.train("killed", *long, "--resume")
        self.assertGreater(resumed[0]["epoch"], 1)
        self.assertEqual(self.heads("killed"), self.heads("whole"))
        for mine, theirs in zip(resumed, epochs[-len(resumed):]):
            self.assertEqual((mine["epoch"], mine["loss"], mine["dev"]),
                             (theirs["epoch"], theirs["loss"], theirs["dev"]))

    def test_stopped_and_resumed(self):
        long = ["--epochs", "200", "--checkpoint-every", "1000", "--threads", "1"]
        self.train("unstopped", *long)
        status, err = self.interrupt("stopped", signal.SIGINT, 5, *long)
        self.assertEqual(status, 3)
        self.assertIn("--resume", err)
        self.assertFalse(os.path.exists(self.path("stopped")))
        self.train("stopped", *long, "--resume")
        self.assertEqual(self.heads("stopped"), self.heads("unstopped"))

    def test_what_cannot_be_resumed(self):
        args = [*PAIRS, "--epochs", "200"]
        self.refused("nothing", *args, "--resume", status=3, say="nothing.checkpoint to resume from")
        self.interrupt("partly", signal.SIGINT, 2, "--epochs", "200")
        self.refused("partly", *args, "--lr", "0.1", "--resume", status=2, say="other options")
        with open(self.path("partly.checkpoint"), "r+b") as f:
            f.seek(-5000, os.SEEK_END)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 4]))
        self.refused("partly", *args, "--resume", status=3, say="checksum")
        with open(self.path("partly.checkpoint"), "r+b") as f:
            f.truncate(3000)
        self.refused("partly", *args, "--resume", status=3, say="partly.checkpoint")

    # ---- what comes out is a model ----

    def test_the_model_is_used(self):
        _, last = self.train("model", "--epochs", "20", "--class-weight", "0.1")
        self.assertEqual(sorted(os.listdir(self.path("model"))),
                         ["README.md", "config.json", "heads.safetensors", "loss.svg",
                          "preprocessor_config.json", "recall.svg", "towers.json"])
        out, _ = self.osprey("eval", "--json", "--quiet", "--model", "./model", "--images", "pictures",
                             "--captions", "dev.tsv")
        measured = json.loads(out.splitlines()[-1])
        for direction in ("t2i", "i2t"):
            for k in ("r1", "r5", "r10"):  # equal but for a pair of scores that rounding swaps
                self.assertAlmostEqual(measured[direction][k], last["dev"][direction][k], delta=3.4)
        self.osprey("index", "--library", "library", "--model", "./model", "pictures")
        found, _ = self.osprey("search", "--library", "library", "--json", "-k", "8",
                               "a", "red", "circle", "on", "a", "white", "ground")
        self.assertIn("red-circle-white.png",
                      [os.path.basename(json.loads(line)["path"]) for line in found.splitlines()])
        self.assertIn("<svg", self.text("model/loss.svg"))

    def test_a_model_is_replaced_when_asked(self):
        self.train("again", "--epochs", "2")
        before = self.heads("again")
        _, err = self.osprey("train", "heads", "--output", "again", *SMALL, *PAIRS, "--epochs", "2",
                             status=2)
        self.assertIn("--replace", err)
        self.assertEqual(self.heads("again"), before)
        self.train("again", "--epochs", "3", "--replace")
        self.assertNotEqual(self.heads("again"), before)
        self.assertFalse(os.path.exists(self.path("again.partial")))
        os.mkdir(self.path("precious"))
        self.write("precious/thesis.txt", "years of work")
        _, err = self.osprey("train", "heads", "--output", "precious", *SMALL, *PAIRS, "--epochs", "2",
                             "--replace", status=2)
        self.assertIn("not replaced", err)
        self.assertEqual(os.listdir(self.path("precious")), ["thesis.txt"])

    # ---- re-rankers ----

    def train_reranker(self, output, *args, data=PAIRS):
        """The last object that `osprey train reranker` prints."""
        small = SMALL[:-4] + SMALL[-2:]  # it has no --class-weight
        out, _ = self.osprey("train", "reranker", "--json", "--output", output, "--epochs", "20",
                             *small, *data, *args)
        return json.loads(out.splitlines()[-1])

    def reranker(self, output):
        with open(self.path(output + "/reranker.safetensors"), "rb") as f:
            return f.read()

    def test_a_reranker_is_what_was_judged(self):
        last = self.train_reranker("rr")
        self.assertEqual(os.listdir(self.path("rr")), ["reranker.safetensors"])
        self.assertEqual((last["pictures"], last["t2i"]["n"]), (90, 2 * self.dev_pictures))
        again = last["reranked"]
        self.assertGreater(again["weight"], 0)  # the default model never saw such drawings
        gained = sum(again["t2i"]["change"][k] for k in ("r1", "r5", "r10"))
        self.assertGreater(gained, 10)
        out, _ = self.osprey("eval", "--json", "--quiet", "--images", "pictures", "--captions",
                             "dev.tsv", "--rerank", "--reranker", "rr")
        measured = json.loads(out)
        for key in ("t2i", "i2t", "reranked"):
            self.assertEqual(measured[key], last[key])
        header = self.reranker("rr")
        header = json.loads(header[8:8 + struct.unpack("<Q", header[:8])[0]])
        config = json.loads(header["__metadata__"]["reranker"])
        self.assertEqual((config["type"], config["reach"], config["top"]), ("regions", 2, 3))
        self.assertAlmostEqual(config["weight"], again["weight"], places=6)

    def test_the_same_reranker_comes_again(self):
        small = self.first_lines("train.tsv", 80)
        data = ["--images", "pictures", "--captions", self.write("rr-small.tsv", small)]
        last = self.train_reranker("rr-one", "--threads", "1", data=data)
        self.assertEqual((last["pictures"], last["t2i"]["n"]), (36, 8))  # a tenth is held out
        self.train_reranker("rr-two", "--threads", "2", data=data)
        self.assertEqual(self.reranker("rr-one"), self.reranker("rr-two"))
        self.train_reranker("rr-two", "--replace", "--seed", "2", "--reach", "1", data=data)
        self.assertNotEqual(self.reranker("rr-one"), self.reranker("rr-two"))
        before = self.reranker("rr-one")
        for args, status, say in (
                (["--output", "rr-one", *data], 2, "--replace"),
                (["--output", "rr-new", "--images", "pictures"], 2, "--captions"),
                ([*data], 2, "--output"),
                (["--output", "rr-new", "--top", "99", *data], 2, "--top"),
                (["--output", "rr-new", "--form", "other", *data], 2, "--form"),
                (["--output", "rr-new", "--form", "mmca", "--groups", "20", *data], 2, "160"),
                (["--output", "rr-new", "--top", "50", *data, "--epochs", "1"], 3, "top"),
                (["--output", "rr-new", "--model", "nowhere", *data], 3, "nowhere")):
            out, err = self.osprey("train", "reranker", *args, status=status)
            self.assertEqual(out, "")
            self.assertIn(say, err)
        self.assertEqual(self.reranker("rr-one"), before)
        self.assertFalse(os.path.exists(self.path("rr-new/reranker.safetensors")))
        self.assertFalse(os.path.exists(self.path("rr-new/reranker.safetensors.trial")))

    def train_mmca(self, output, form, *args):
        return self.train_reranker(output, "--form", form, "--steps", "60", "--groups", "4",
                                   "--group-size", "4", "--threads", "1", *args)

    def test_cross_attention_learns(self):
        last = self.train_mmca("mmca", "mmca")
        again = last["reranked"]
        self.assertEqual(last["form"], "mmca")
        self.assertGreater(again["weight"], 0)
        gained = sum(again["t2i"]["change"][k] for k in ("r1", "r5", "r10"))
        self.assertGreater(gained, 15)
        self.train_mmca("mmca-again", "mmca", "--threads", "2")
        self.assertEqual(self.reranker("mmca"), self.reranker("mmca-again"))

    def test_both_in_one(self):
        last = self.train_mmca("both", "both")
        self.assertGreater(last["share"], 0)
        out, _ = self.osprey("eval", "--json", "--quiet", "--images", "pictures", "--captions",
                             "dev.tsv", "--rerank", "--reranker", "both")
        measured = json.loads(out)["reranked"]
        for key in ("t2i", "i2t"):  # equal but for a pair of scores that rounding swaps
            for k in ("r1", "r5", "r10"):
                self.assertAlmostEqual(measured[key][k], last["reranked"][key][k], delta=1.7)
        library = self.path("both-library")
        self.osprey("index", "--library", library, "--regions", "--reranker", "both", "pictures")
        asked = ("--server", "none", "--json", "--rerank=20", "-k", "5", "a red ring")
        found, _ = self.osprey("search", "--library", library, "--reranker", "both", *asked)
        self.assertEqual(len(found.splitlines()), 5)

    # ---- what is wrong is told ----

    def test_bad_data(self):
        one = self.write("lone/cats/1.png", "")
        shutil.copy(self.path("pictures/red-ring-blue.png"), one)
        shutil.copy(one, self.path("lone/cats/2.png"))
        shutil.copy(one, self.path("lone/cats/3.png"))
        empty, spaces = self.write("empty.tsv", ""), self.write("spaces.tsv", "a b c\n")
        gone = self.write("gone.tsv", "".join("gone-%d.png\tsome words\n" % i for i in range(9)))
        os.makedirs(self.path("bare"), exist_ok=True)
        for say, status, args in (
                ("no captions", 3, ["--images", "pictures", "--captions", empty]),
                ("line 1", 3, ["--images", "pictures", "--captions", spaces]),
                (("9 of 9 pictures", "gone-0.png"), 3, ["--images", "pictures", "--captions", gone]),
                ("one class", 2, ["--labels", "lone"]),
                ("no pictures", 3, ["--images", "bare", "--supervision", "self"]),
                ("nowhere", 3, ["--labels", "nowhere"])):
            with self.subTest(say=say):
                self.refused("bad", *args, status=status, say=say)

    def test_some_broken_pictures_are_left_out(self):
        self.write("some.tsv",
                   self.first_lines("train.tsv", 60) + "missing.png\ta\nbroken.png\tb\n")
        self.write("pictures/broken.png", "no picture")
        for _ in range(2):  # computed, then kept
            out, err = self.osprey("train", "heads", "--json", "--output", "some", "--replace", *SMALL,
                                   "--images", "pictures", "--captions", "some.tsv", "--epochs", "2")
            self.assertEqual(json.loads(out.splitlines()[-1])["left_out"], 2)
            self.assertIn("missing.png", err)
            self.assertIn("broken.png", err)
            self.assertIn("2 of 32 pictures", err)
        os.unlink(self.path("pictures/broken.png"))

    def test_training_that_diverges(self):
        self.refused("wild", *PAIRS, "--lr", "1000000", "--epochs", "50", status=3,
                     say=("diverged", "learning rate"))

    def test_a_full_disk(self):
        def no_room():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))

        self.train("roomy", "--epochs", "2")  # features are kept from here on
        out, err = self.osprey("train", "heads", "--output", "cramped", *SMALL, *PAIRS, "--epochs", "2",
                               "--checkpoint-every", "1000", status=3, preexec_fn=no_room)
        self.assertRegex(err, "cannot write .*cramped.*File too large")
        self.assertFalse(os.path.exists(self.path("cramped")))
        self.assertFalse(os.path.exists(self.path("cramped.partial")))

    def test_wrong_usage(self):
        for say, args in (("--loss takes", [*PAIRS, "--loss", "hinge"]),
                          ("--distance takes", [*PAIRS, "--distance", "l2"]),
                          ("--supervision takes", [*PAIRS, "--supervision", "none"]),
                          ("--dropout takes", [*PAIRS, "--dropout", "1"]),
                          ("--captions", ["--images", "pictures"]),
                          ("--images", ["--captions", "train.tsv"]),
                          ("--views", [*PAIRS, "--supervision", "self", "--views", "1"]),
                          ("--dev-images needs", ["--images", "pictures", "--captions", "train.tsv",
                                                  "--dev-images", "pictures"]),
                          ("no arguments", [*PAIRS, "surplus"])):
            with self.subTest(say=say):
                self.refused("wrong", *args, status=2, say=say)
        _, err = self.osprey("train", "heads", *PAIRS, status=2)
        self.assertIn("--output", err)
        for args in (["train"], ["train", "tails"]):
            _, err = self.osprey(*args, status=2)
            self.assertIn("heads", err)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
