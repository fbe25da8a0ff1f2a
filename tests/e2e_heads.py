"""Heads come and go: models that share towers, libraries that go on with the heads
that filled them, and models that measure by another distance.
"""

import json
import math
import os
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

import pictures

BUILD = os.environ["OSPREY_BUILD"]
MODELS = os.path.join(os.environ["OSPREY_SOURCE"], "models")
UNDO = os.path.join(os.environ["OSPREY_SOURCE"], "tests/data/catalog_undo.sql")
OSPREY = os.path.join(BUILD, "osprey")
TOWERS = "osprey-small"
ZEROSHOT = "osprey-small-zeroshot"
FIRST = "1c7db4ce55e86992408fec6ec934b654"  # osprey-small's hash before it had learned


class Heads(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="osprey-heads-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.folder = os.path.join(self.dir, "pictures")
        self.library = os.path.join(self.dir, "library")
        self.models = os.path.join(self.dir, "models")
        os.mkdir(self.folder)
        os.mkdir(self.models)
        self.env = dict(os.environ, OSPREY_MODELS=self.models, OMP_NUM_THREADS="2")

    def osprey(self, *args, status=0, library=True):
        where = ["--library", self.library] if library else []
        done = subprocess.run([OSPREY, args[0], *where, *args[1:]], capture_output=True, text=True,
                              env=self.env, timeout=600, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.stderr = done.stderr
        return done.stdout

    def index(self, *args):
        return json.loads(self.osprey("index", "--json", *args).splitlines()[-1])

    def search(self, *args):
        lines = self.osprey("search", "--json", *args).splitlines()
        return {os.path.basename(hit["path"]): hit["score"] for hit in map(json.loads, lines)}

    def info(self, name):
        return json.loads(self.osprey("model", "info", "--json", name, library=False))

    def model(self, name, towers=True, source=ZEROSHOT):
        """A model of our own with the zero-shot heads, with towers or without."""
        path = os.path.join(self.models, name)
        os.mkdir(path)
        for entry in os.listdir(os.path.join(MODELS, source)):
            if entry.endswith((".json", ".safetensors")) and (entry != "towers.json" or not towers):
                shutil.copy(os.path.join(MODELS, source, entry), path)
        for entry in ("model.safetensors", "vocab.txt") if towers else ():
            os.symlink(os.path.join(MODELS, TOWERS, entry), os.path.join(path, entry))
        return path

    def change_heads(self, path):
        """Other heads under the same name: half of the numbers change their sign."""
        heads = os.path.join(path, "heads.safetensors")
        with open(heads, "rb") as f:
            data = bytearray(f.read())
        for i in range(len(data) // 2 | 1, len(data), 4):
            data[i] ^= 0x80
        pictures.write(heads, data)

    def rows(self):
        with sqlite3.connect(os.path.join(self.library, "catalog.db")) as db:
            return db.execute("SELECT name, hash, state FROM models ORDER BY id").fetchall()

    def same(self, a, b):
        self.assertEqual(set(a), set(b))
        for name, score in a.items():
            self.assertAlmostEqual(score, b[name], places=6, msg=name)

    def test_a_library_goes_on_with_the_heads_that_filled_it(self):
        path = self.model("mine")
        pictures.fill(self.folder, 12)
        self.assertFalse(self.index("--model", "mine", self.folder)["newer_model"])
        before = self.search("a red square")
        old = self.rows()
        kept = os.path.join(self.library, "models", old[0][1])
        self.assertEqual(sorted(os.listdir(kept)), ["config.json", "heads.safetensors",
                                                    "preprocessor_config.json", "towers.json"])

        self.change_heads(path)
        self.same(before, self.search("a red square"))
        pictures.write(os.path.join(self.folder, "late.png"), pictures.png(99))
        summary = self.index()
        self.assertEqual((summary["encoded"], summary["newer_model"]), (1, True))
        self.osprey("index")
        self.assertIn("osprey index --model mine", self.stderr)
        self.assertEqual(self.rows(), old)
        with_late = self.search("a red square")
        self.same(before, {k: with_late[k] for k in before})
        self.osprey("verify")

        # The kept files are checked against the catalogue, and written anew from it.
        pictures.write(os.path.join(kept, "heads.safetensors"), b"no heads")
        self.assertIn(old[0][1][:12], self.osprey("verify", status=3))
        self.osprey("verify", "--repair")
        self.same(with_late, self.search("a red square"))
        shutil.rmtree(os.path.join(self.library, "models"))
        self.osprey("verify")
        self.same(with_late, self.search("a red square"))

        # The catalogue alone is the library.
        backup = os.path.join(self.dir, "again", "catalog.db")
        os.mkdir(os.path.dirname(backup))
        self.osprey("backup", backup)
        first, self.library = self.library, os.path.dirname(backup)
        self.same(with_late, self.search("a red square"))
        self.library = first

        # Whoever wants the newer one gets it, and the old files go.
        self.assertFalse(self.index("--model", "mine")["newer_model"])
        self.assertEqual([row[2] for row in self.rows()], ["retired", "active"])
        self.assertEqual(os.listdir(os.path.join(self.library, "models")), [self.rows()[1][1]])
        after = self.search("a red square")
        self.assertTrue(any(abs(after[k] - with_late[k]) > 1e-3 for k in after))
        with sqlite3.connect(os.path.join(self.library, "catalog.db")) as db:
            self.assertEqual(db.execute("SELECT count(DISTINCT model_id) FROM model_files")
                             .fetchall(), [(1,)])

    def test_what_is_not_kept_cannot_answer(self):
        path = self.model("mine")
        pictures.fill(self.folder, 3)
        self.index("--model", "mine", self.folder)
        with sqlite3.connect(os.path.join(self.library, "catalog.db")) as db:
            db.execute("DELETE FROM model_files")
        shutil.rmtree(os.path.join(self.library, "models"))
        self.change_heads(path)
        self.osprey("search", "a", status=3)
        self.assertIn("osprey index --model", self.stderr)

    def test_a_library_from_before_heads_were_kept(self):
        pictures.fill(self.folder, 5)
        self.index("--model", ZEROSHOT, self.folder)
        before = self.search("a red square")
        self.assertEqual(self.rows()[0][1], FIRST)
        with sqlite3.connect(os.path.join(self.library, "catalog.db")) as db:
            with open(UNDO, encoding="ascii") as undo:
                db.executescript(undo.read() + "PRAGMA user_version = 1;")
            db.execute("UPDATE models SET name = 'osprey-small', dir = '/nowhere/osprey-small'")
        shutil.rmtree(os.path.join(self.library, "models"))
        self.same(before, self.search("a red square"))
        pictures.write(os.path.join(self.folder, "late.png"), pictures.png(99))
        self.assertEqual(self.index()["encoded"], 1)
        self.assertEqual(self.rows()[0][:2], ("osprey-small", FIRST))
        self.assertEqual(os.listdir(os.path.join(self.library, "models")), [FIRST])
        self.osprey("verify")

    def test_folders_share_towers(self):
        info = self.info(ZEROSHOT)
        self.assertEqual((info["hash"], info["name"]), (FIRST, ZEROSHOT))
        path = self.model("heads-alone", towers=False)
        self.assertEqual(self.info("heads-alone")["hash"], FIRST)
        self.assertEqual(self.info(self.model("whole"))["hash"], FIRST)

        reference = os.path.join(path, "towers.json")
        with open(reference) as f:
            sound = json.load(f)
        for change, says in (({"towers_hash": "0" * 32}, "holds others now"),
                             ({"towers": "no-such-model"}, "no-such-model, which is missing"),
                             ({"towers": "../osprey-small"}, "plain name"),
                             ({"towers": 7}, "plain name"),
                             ({"towers_hash": None}, "hexadecimal"),
                             ({"towers_hash": "zz"}, "hexadecimal")):
            with open(reference, "w") as f:
                json.dump(dict(sound, **change), f)
            self.osprey("model", "info", "heads-alone", status=3, library=False)
            self.assertIn(says, self.stderr)
        # A folder's own towers must be those that it records, too.
        whole = os.path.join(self.models, "whole", "towers.json")
        with open(whole, "w") as f:
            json.dump(dict(sound, towers_hash="0" * 32), f)
        self.osprey("model", "info", "whole", status=3, library=False)
        self.assertIn("made for other towers", self.stderr)
        with open(whole, "w") as f:
            json.dump(sound, f)
        self.assertEqual(self.info("whole")["hash"], FIRST)
        # In config.json it is part of the model.
        with open(os.path.join(path, "config.json")) as f:
            config = json.load(f)
        os.unlink(reference)
        config["osprey"].update(sound)
        with open(os.path.join(path, "config.json"), "w") as f:
            json.dump(config, f)
        self.assertNotEqual(self.info("heads-alone")["hash"], FIRST)
        pictures.fill(self.folder, 3)
        self.index("--model", "heads-alone", self.folder)
        before = self.search("a red square")
        shutil.rmtree(path)  # the library has what it needs
        self.same(before, self.search("a red square"))

    def test_distances(self):
        pictures.fill(self.folder, 12)
        for distance in ("euclidean", "manhattan", "cosine", "chebyshev"):
            path = self.model(distance)
            with open(os.path.join(path, "config.json")) as f:
                config = json.load(f)
            config["osprey"]["distance"] = distance
            with open(os.path.join(path, "config.json"), "w") as f:
                json.dump(config, f)
        self.osprey("model", "info", "chebyshev", status=3, library=False)
        self.assertIn("manhattan", self.stderr)
        query = self.embed("a red square")
        images = {name: self.embed("--image", os.path.join(folder, name))
                  for folder, _, names in os.walk(self.folder) for name in names}
        for distance, apart in (
                ("manhattan", lambda a, b: sum(abs(x - y) for x, y in zip(a, b))),
                ("euclidean", lambda a, b: math.dist(a, b))):
            self.library = os.path.join(self.dir, distance)
            self.index("--model", distance, self.folder)
            found = self.search("a red square")
            self.assertEqual(list(found), sorted(found, key=lambda e: -found[e]))
            for name, image in images.items():
                self.assertAlmostEqual(found[name], 1 / (1 + apart(query, image)), places=3)
            least = sorted(found.values())[len(found) // 2]
            some = self.search("--min-score", "%.9g" % least, "a red square")
            self.assertEqual(some, {k: v for k, v in found.items() if v >= least})
            self.osprey("verify")
            self.assertEqual(json.loads(self.osprey("status", "--json"))["distance"], distance)

    def embed(self, *args):
        return json.loads(self.osprey("embed", "--json", "--model", "cosine", *args,
                                      library=False))["embedding"]


if __name__ == "__main__":
    unittest.main(argv=["e2e_heads"], verbosity=2)
