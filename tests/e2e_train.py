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
import sys
import unittest

from training import PAIRS, SMALL, Training


class Train(Training):
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
        """Sends a signal once so many epochs are over."""
        return super().interrupt("heads", output, number, lambda o: o.get("epoch") == after, *SMALL,
                                 *PAIRS, *args)

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
        self.refused("partly", *args, "--lr", "0.1", "--resume", status=2, say="learning rate 0.002 instead of 0.1:")
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
