"""Trains re-rankers on a few dozen pictures that the test draws, in every form.

What is promised: what is written is what was judged; the same seed gives the same
bytes, whatever the threads, and whether or not the run was stopped or killed and
resumed; bad data, a full disk, and checkpoints of another run end in a message and
leave no re-ranker behind. Python's standard library alone.
"""

import json
import os
import resource
import shutil
import signal
import struct
import sys
import unittest

from training import PAIRS, SMALL, Training

FEW = ["--epochs", "20", *SMALL[:-4], *SMALL[-2:]]  # without --class-weight, which it has not
GROUPS = ["--groups", "4", "--group-size", "4"]
FILE = "reranker.safetensors"


def header_of(data):
    end = 8 + struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:end]), end


class TrainReranker(Training):
    def train_reranker(self, output, *args, data=PAIRS):
        """The last object that `osprey train reranker` prints."""
        return self.objects(output, *args, data=data)[-1]

    def objects(self, output, *args, data=PAIRS):
        """All that it prints."""
        out, _ = self.osprey("train", "reranker", "--json", "--output", output, *FEW, *data, *args)
        return [json.loads(line) for line in out.splitlines()]

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
        config = json.loads(header_of(self.reranker("rr"))[0]["__metadata__"]["reranker"])
        self.assertEqual((config["type"], config["reach"], config["top"]), ("regions", 2, 3))
        self.assertAlmostEqual(config["weight"], again["weight"], places=6)
        model = json.loads(self.osprey("model", "info", "--json")[0])
        self.assertEqual((config["model"], config["model_hash"]), (model["name"], model["hash"]))
        # another model with the same towers: in size it fits
        _, err = self.osprey("eval", "--images", "pictures", "--captions", "dev.tsv", "--rerank",
                             "--reranker", "rr", "--model", "osprey-small-zeroshot", status=3)
        self.assertIn("trained for the model %s (%s), not for osprey-small-zeroshot ("
                      % (model["name"], model["hash"][:16]), err)

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
        return self.train_reranker(output, "--form", form, "--steps", "60", *GROUPS, "--threads", "1",
                                   *args)

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

    # ---- stopped, killed, and resumed ----

    def interrupted(self, output, number, when, *args):
        """A run that a signal ends once when(object) is true; no re-ranker is there then."""
        status, err = self.interrupt("reranker", output, number, when, *FEW, *PAIRS, *args)
        self.assertEqual(status, 3 if number == signal.SIGINT else -number, err)
        self.assertFalse(os.path.exists(self.path(output + "/" + FILE)))
        return err

    def refused(self, output, *args, status, say, **more):
        """Fails with a message, and leaves nothing that could be taken for a re-ranker."""
        out, err = self.osprey("train", "reranker", "--output", output, *FEW, *args, status=status,
                               **more)
        self.assertEqual(out, "")
        for part in say if isinstance(say, tuple) else (say,):
            self.assertIn(part, err)
        self.assertFalse(os.path.exists(self.path(output + "/" + FILE)))
        self.assertFalse(os.path.exists(self.path(output + "/" + FILE + ".trial")))
        return err

    def checkpoints(self, output):
        return [name for name in (".checkpoint", ".mmca.checkpoint")
                if os.path.exists(self.path(output + name))]

    @staticmethod
    def at_step(n):
        return lambda o: o.get("step", 0) >= n

    def test_cross_attention_stopped_and_resumed(self):
        run = ["--form", "mmca", "--steps", "120", *GROUPS, "--threads", "1",
               "--checkpoint-every", "5000"]
        self.train_reranker("mmca-whole", *run)
        err = self.interrupted("mmca-part", signal.SIGINT, self.at_step(50), *run)
        self.assertRegex(err, "stopped in step .* of 120; the same command with --resume goes on")
        self.assertEqual(self.checkpoints("mmca-part"), [".checkpoint"])
        objects = self.objects("mmca-part", *run, "--resume")
        self.assertGreater(next(o["step"] for o in objects if "step" in o), 50)
        self.assertEqual(self.reranker("mmca-part"), self.reranker("mmca-whole"))
        self.assertEqual(self.checkpoints("mmca-part"), [])

    def test_both_stopped_killed_and_resumed(self):
        run = ["--form", "both", "--steps", "100", *GROUPS, "--threads", "1", "--checkpoint-every", "7"]
        self.train_reranker("both-whole", *run)
        self.assertEqual(self.checkpoints("both-whole"), [])
        self.write("both-part.mmca.checkpoint", "of a run that was given up")
        err = self.interrupted("both-part", signal.SIGINT, lambda o: o.get("epoch") == 5, *run)
        self.assertRegex(err, "stopped in epoch .* --resume goes on")
        self.assertEqual(self.checkpoints("both-part"), [".checkpoint"])
        first = []

        def seen(o):
            first.append(o)
            return o.get("step", 0) >= 50
        self.interrupted("both-part", signal.SIGKILL, seen, *run, "--resume")
        self.assertGreater(next(o["epoch"] for o in first if "epoch" in o), 5)
        self.assertEqual(self.checkpoints("both-part"), [".checkpoint", ".mmca.checkpoint"])
        objects = self.objects("both-part", *run, "--resume")
        self.assertFalse([o for o in objects if "epoch" in o])  # regions are done
        self.assertGreaterEqual(next(o["step"] for o in objects if "step" in o), 50)
        self.assertEqual(self.reranker("both-part"), self.reranker("both-whole"))
        self.assertEqual(self.checkpoints("both-part"), [])

    def test_what_cannot_be_resumed(self):
        run = [*PAIRS, "--form", "mmca", "--steps", "400", *GROUPS]
        self.refused("none", *run, "--resume", status=3, say="none.checkpoint to resume from")
        self.interrupted("partly", signal.SIGINT, self.at_step(50), *run[len(PAIRS):])
        again = [*run, "--resume"]
        for args, say in (
                (["--steps", "500"], "made with steps 400 instead of 500:"),
                (["--seed", "2"], "made with another seed:"),
                (["--model", "osprey-small-zeroshot"], "made with model osprey-small "),
                (["--form", "regions"], "made with training cross-attention instead of heads,")):
            self.refused("partly", *again, *args, status=2, say=(say, "without it"))
        fewer = self.write("fewer.tsv", self.first_lines("train.tsv", 100))
        self.refused("partly", *again, "--captions", fewer, status=2,
                     say="made with another set of pictures or captions:")
        with open(self.path("partly.checkpoint"), "r+b") as f:
            f.seek(-50000, os.SEEK_END)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 4]))
        self.refused("partly", *again, status=3, say=("checksum", "without --resume"))
        with open(self.path("partly.checkpoint"), "r+b") as f:
            f.truncate(3000)
        self.refused("partly", *again, status=3, say=("partly.checkpoint", "without --resume"))

    # ---- what is wrong is told ----

    def test_bad_data(self):
        empty, blank = self.write("rr-empty.tsv", ""), self.write("rr-blank.tsv", "a.png\t \n")
        gone = self.write("rr-gone.tsv", "".join("gone-%d.png\tsome words\n" % i for i in range(9)))
        one = self.write("rr-one.tsv", self.first_lines("train.tsv", 2))
        for form in ("regions", "mmca"):
            for say, status, captions in (
                    ("no captions", 3, empty),
                    ("line 1 is not a file name, a tab and a caption", 3, blank),
                    (("9 of 9 pictures", "gone-0.png"), 3, gone),
                    ("there are 1" if form == "mmca" else "too few pictures", 2, one)):
                with self.subTest(form=form, say=say):
                    self.refused("bad", "--images", "pictures", "--captions", captions, "--form", form,
                                 *GROUPS, status=status, say=say)
        self.assertFalse(os.path.exists(self.path("bad")))

    def test_some_pictures_are_missing(self):
        some = self.write("rr-some.tsv", self.first_lines("train.tsv", 60) + "missing.png\ta\n")
        last = self.train_reranker("rr-some", "--form", "mmca", "--steps", "10", *GROUPS,
                                   data=["--images", "pictures", "--captions", some])
        self.assertEqual(last["left_out"], 1)

    def poisoned(self, name, tensor, value):
        """A copy of the default model in which one weight is that value."""
        model = os.path.join(os.environ["OSPREY_SOURCE"], "models", "osprey-small")
        shutil.copytree(model, self.path(name))
        with open(self.path(name + "/model.safetensors"), "r+b") as f:
            header, end = header_of(f.read(1 << 20))  # longer than the header
            self.assertEqual(header[tensor]["dtype"], "F32")
            f.seek(end + header[tensor]["data_offsets"][0])
            f.write(struct.pack("<f", value))
        return self.path(name)

    def test_features_that_are_no_numbers(self):
        env = dict(self.env, XDG_CACHE_HOME=self.path("poisoned-cache"))
        few = self.write("rr-few.tsv", self.first_lines("train.tsv", 40))
        picture, text = "vision_model._fc.bias", "text_model.encoder.layer.5.output.LayerNorm.bias"
        for tensor, value, say in (
                (picture, float("nan"), "yields what is no number"),
                (text, float("nan"), "yields what is no number"),
                (picture, 1e6, "cannot keep features of pictures/"),
                (text, 1e6, "cannot keep features of a ")):
            model = self.poisoned("poisoned", tensor, value)
            for what in ("heads", "reranker"):
                with self.subTest(tensor=tensor, value=value, what=what):
                    out, err = self.osprey("train", what, "--model", model, "--output",
                                           "none-" + what, "--images", "pictures", "--captions", few,
                                           *FEW, *(["--form", "mmca"] if what == "reranker" else []),
                                           status=3, env=env)
                    self.assertEqual(out, "")
                    self.assertIn(say, err)
                    self.assertFalse(os.path.exists(self.path("none-" + what)))
            shutil.rmtree(model)
            shutil.rmtree(self.path("poisoned-cache"))

    def test_a_full_disk_loses_nothing(self):
        def no_room():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
        run = [*PAIRS, "--form", "both", "--steps", "20", *GROUPS, "--threads", "1"]
        self.osprey("train", "reranker", "--output", "roomy", *FEW, *run)
        here = dict(self.env, OSPREY_DECODE="in-process")  # a decoder's memory counts as a file
        # no room for the checkpoint, then for the re-ranker of a training that is done
        self.refused("cramped", *run, status=3, preexec_fn=no_room,
                     say=("cannot write cramped.checkpoint", "File too large"))
        self.assertEqual(self.checkpoints("cramped"), [])
        trial = self.path("cramped/%s.trial" % FILE)
        os.makedirs(trial)
        self.osprey("train", "reranker", "--output", "cramped", *FEW, *run, status=3)
        os.rmdir(trial)
        self.assertEqual(self.checkpoints("cramped"), [".checkpoint", ".mmca.checkpoint"])
        self.refused("cramped", *run, "--resume", status=3, preexec_fn=no_room, env=here,
                     say=("cannot write cramped/" + FILE, "File too large"))
        self.osprey("train", "reranker", "--output", "cramped", *FEW, *run, "--resume")
        self.assertEqual(self.reranker("cramped"), self.reranker("roomy"))
        self.assertEqual(os.listdir(self.path("cramped")), [FILE])
        self.assertEqual(self.checkpoints("cramped"), [])

    def test_half_a_reranker_is_never_loaded(self):
        self.train_mmca("cut", "both")
        whole = self.reranker("cut")
        _, data = header_of(whole)
        for size in (0, 200, data + 70, len(whole) // 2, len(whole) - 1):
            with open(self.path("cut/" + FILE), "wb") as f:
                f.write(whole[:size])
            _, err = self.osprey("eval", "--images", "pictures", "--captions", "dev.tsv", "--rerank",
                                 "--reranker", "cut", status=3)
            self.assertIn(FILE, err)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
