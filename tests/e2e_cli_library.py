"""osprey status, verify, backup, relocate, forget and model: what is told of a library
and its model, where they are damaged or not there, too. Python's standard library alone.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

import command_line
from command_line import SOURCE, OSPREY


class Library(command_line.CommandLine):
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


if __name__ == "__main__":
    sys.argv.append("-v")
    unittest.main()
