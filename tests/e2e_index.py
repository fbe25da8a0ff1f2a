"""Drives osprey-indexer over folders that change: what is skipped, updated, moved,
copied, removed or kept, and how a run ends when it is interrupted or locked out.
"""

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import unittest

import pictures

BUILD = os.environ["OSPREY_BUILD"]
SOURCE = os.environ["OSPREY_SOURCE"]
INDEXER = os.path.join(BUILD, "osprey-indexer")
VERIFY = [os.path.join(BUILD, "osprey"), "verify", "--library"]


class Index(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="osprey-index-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.folder = os.path.join(self.dir, "pictures")
        self.library = os.path.join(self.dir, "library")
        os.mkdir(self.folder)

    def at(self, name):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def put(self, name, seed):
        make = pictures.png if name.endswith("png") else pictures.jpeg
        pictures.write(self.at(name), make(seed))

    def run_indexer(self, *args, **options):
        return subprocess.run([INDEXER, "--library", self.library, *args], capture_output=True,
                              timeout=600, check=False, **options)

    def index(self, *args, status=0, **options):
        """The summary, after checking that all of standard output is JSON."""
        done = self.run_indexer("--json", *(args or (self.folder,)), **options)
        self.assertEqual(done.returncode, status, done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        for line in lines[:-1]:
            self.assertTrue("error" in line or "progress" in line, line)
        self.errors = {os.path.relpath(line["path"], self.folder): line["error"]
                       for line in lines if "error" in line}
        self.stderr = done.stderr.decode(errors="replace")
        self.sound()
        return lines[-1]

    def sound(self):
        done = subprocess.run(VERIFY + [self.library], capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def counts(self, summary, **expected):
        zero = dict.fromkeys(("added", "updated", "moved", "copied", "removed", "unchanged"), 0)
        self.assertEqual({key: summary[key] for key in zero}, {**zero, **expected})

    def rows(self):
        """{path: (id, hash, embedding)} of the active model."""
        with sqlite3.connect(os.path.join(self.library, "catalog.db")) as db:
            return {os.fsdecode(path): (id_, hash_, vector) for path, id_, hash_, vector in db.execute(
                "SELECT path, images.id, images.hash, vector FROM images JOIN models"
                " ON state = 'active' LEFT JOIN embeddings ON key = (models.id << 40) | images.id")}

    def test_what_has_not_changed_is_skipped(self):
        for i in range(5):
            self.put("a/%d.jpg" % i, i)
        self.put("b.png", 9)
        pictures.write(self.at("notes.txt"), b"no picture")
        first = self.index()
        self.counts(first, added=6)
        for key in ("images", "errors", "seconds", "images_per_s"):
            self.assertIn(key, first)
        self.assertEqual(first["images"], 6)
        before = self.rows()
        self.assertTrue(all(vector for _, _, vector in before.values()))
        again = self.index()
        self.counts(again, unchanged=6)
        self.assertEqual(again["encoded"], 0)
        self.assertEqual(self.rows(), before)
        # New times alone: read, but not encoded.
        os.utime(self.at("b.png"), (1, 1))
        touched = self.index()
        self.counts(touched, unchanged=6)
        self.assertEqual(touched["encoded"], 0)
        self.assertEqual(self.rows(), before)
        # Without folders: those that the library knows.
        done = self.run_indexer("--json")
        self.assertEqual(json.loads(done.stdout.splitlines()[-1])["unchanged"], 6)

    def test_an_update_keeps_the_id(self):
        self.put("a.jpg", 1)
        self.put("b.jpg", 2)
        self.index()
        before = self.rows()
        self.put("a.jpg", 3)
        os.utime(self.at("a.jpg"), (5, 5))
        self.counts(self.index(), updated=1, unchanged=1)
        after = self.rows()
        self.assertEqual(after["a.jpg"][0], before["a.jpg"][0])
        self.assertNotEqual(after["a.jpg"][1], before["a.jpg"][1])
        self.assertNotEqual(after["a.jpg"][2], before["a.jpg"][2])
        self.assertEqual(after["b.jpg"], before["b.jpg"])

    def test_moves_keep_ids_and_copies_are_not_encoded(self):
        for i in range(4):
            self.put("%d.jpg" % i, i)
        self.index()
        before = self.rows()
        os.rename(self.at("0.jpg"), self.at("z/moved-down.jpg"))
        os.rename(self.at("3.jpg"), self.at("0-moved-up.jpg"))
        shutil.copy(self.at("1.jpg"), self.at("copy.jpg"))
        os.unlink(self.at("2.jpg"))
        summary = self.index()
        self.counts(summary, moved=2, copied=1, removed=1, unchanged=1)
        self.assertEqual(summary["encoded"], 0)
        after = self.rows()
        self.assertEqual(after["z/moved-down.jpg"], before["0.jpg"])
        self.assertEqual(after["0-moved-up.jpg"], before["3.jpg"])
        self.assertEqual(after["copy.jpg"][1:], before["1.jpg"][1:])
        self.assertNotEqual(after["copy.jpg"][0], before["1.jpg"][0])
        self.assertEqual(len(after), 4)
        self.counts(self.index(), unchanged=4)

    def test_a_folder_renamed_keeps_all_ids(self):
        pictures.fill(self.at("old/x")[:-2], 30)
        self.index()
        before = self.rows()
        os.rename(self.at("old"), self.at("new"))
        summary = self.index()
        self.counts(summary, moved=30)
        self.assertEqual({"old" + path[3:]: row for path, row in self.rows().items()}, before)

    def test_files_that_swap_names_swap_embeddings(self):
        self.put("a.jpg", 1)
        self.put("b.jpg", 2)
        self.index()
        before = self.rows()
        os.rename(self.at("a.jpg"), self.at("c"))
        os.rename(self.at("b.jpg"), self.at("a.jpg"))
        os.rename(self.at("c"), self.at("b.jpg"))
        os.utime(self.at("a.jpg"), (7, 7))
        os.utime(self.at("b.jpg"), (8, 8))
        self.counts(self.index(), updated=2)
        after = self.rows()
        self.assertEqual(after["a.jpg"][1:], before["b.jpg"][1:])
        self.assertEqual(after["b.jpg"][1:], before["a.jpg"][1:])

    def test_twins_are_encoded_once(self):
        for i in range(40):
            self.put("%d.jpg" % i, i % 4)
        summary = self.index()
        self.counts(summary, added=4, copied=36)
        self.assertEqual(summary["encoded"], 4)
        self.assertEqual(len({vector for _, _, vector in self.rows().values()}), 4)

    def test_a_picture_that_breaks_and_heals(self):
        self.put("a.jpg", 1)
        self.put("b.jpg", 2)
        self.index()
        pictures.write(self.at("a.jpg"), b"broken")
        summary = self.index()
        self.counts(summary, unchanged=1)
        self.assertEqual((summary["images"], summary["errors"]), (1, 1))
        self.assertEqual(list(self.errors), ["a.jpg"])
        self.index()
        self.assertEqual(list(self.errors), ["a.jpg"])
        self.put("a.jpg", 1)
        summary = self.index()
        self.counts(summary, added=1, unchanged=1)
        self.assertEqual((summary["images"], summary["errors"]), (2, 0))

    def test_offline_folders_are_kept(self):
        self.put("a.jpg", 1)
        other = os.path.join(self.dir, "other")
        os.mkdir(other)
        pictures.write(os.path.join(other, "o.jpg"), pictures.jpeg(2))
        self.index(self.folder, other)
        os.rename(self.folder, self.folder + "-away")
        for args in ((), (self.folder,)):  # missing
            summary = self.index("--threads", "1", *args)
            self.assertEqual((summary["images"], summary["removed"], summary["offline"]), (2, 0, 1))
            self.assertIn("offline", self.stderr)
        os.mkdir(self.folder)  # a mount point with nothing mounted
        summary = self.index("--threads", "1")
        self.assertEqual((summary["images"], summary["removed"], summary["offline"]), (2, 0, 1))
        os.rmdir(self.folder)
        os.rename(self.folder + "-away", self.folder)
        summary = self.index("--threads", "1")
        self.assertEqual((summary["unchanged"], summary["offline"]), (2, 0))

    def test_a_parent_does_not_drop_an_offline_folder(self):
        inner = self.at("usb/photos")
        self.put("usb/photos/a.jpg", 1)
        self.put("b.jpg", 2)
        self.index(inner)
        away = self.folder + "-away"
        os.rename(inner, away)
        for present in (False, True):  # missing, then an empty mount point
            if present:
                os.mkdir(inner)
            done = self.run_indexer(self.folder)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(os.fsencode(inner), done.stderr)
            self.assertEqual(len(self.rows()), 1)
        os.rmdir(inner)
        os.rename(away, inner)
        self.counts(self.index(self.folder), added=1, unchanged=1, removed=0)

    def test_an_emptied_subfolder_with_many_pictures_is_kept(self):
        pictures.fill(self.at("few/x")[:-2], 20, seed=1000)
        pictures.fill(self.at("disk/x")[:-2], 101)
        self.assertEqual(self.index()["images"], 121)
        for name in ("few", "disk"):
            shutil.rmtree(self.at(name))
            os.mkdir(self.at(name))
        self.put("there.jpg", 5000)
        summary = self.index()
        self.counts(summary, added=1, removed=20)
        self.assertEqual((summary["images"], summary["kept"]), (102, 101))
        self.assertIn("disk/ is empty", self.stderr)
        os.rmdir(self.at("disk"))
        self.counts(self.index(), removed=101, unchanged=1)

    def test_an_unreadable_folder_keeps_its_entries(self):
        self.put("a/1.jpg", 1)
        self.put("b.jpg", 2)
        os.makedirs(self.library)
        options = {}
        if os.geteuid() == 0:  # nothing is unreadable to root
            options = {"user": 65534, "env": {**os.environ, "XDG_CACHE_HOME": self.dir + "/cache"}}
            for path in (self.dir, self.folder, self.at("a"), self.library):
                os.chmod(path, 0o777)
            try:
                runs = self.run_indexer("--help", **options).returncode == 0
            except PermissionError:  # the tree lies in root's home
                runs = False
            if not runs:
                self.skipTest("another user cannot run the indexer from this folder")
        self.index(**options)
        os.chmod(self.at("a"), 0)
        try:
            for _ in range(2):
                summary = self.index(**options)
                self.assertEqual((summary["images"], summary["removed"], summary["errors"]), (2, 0, 1))
                self.assertIn("denied", self.errors["a"])
        finally:
            os.chmod(self.at("a"), 0o777)
        summary = self.index(**options)
        self.counts(summary, unchanged=2)
        self.assertEqual(summary["errors"], 0)

    def test_hidden_files(self):
        self.put("a.jpg", 1)
        self.put(".h/b.jpg", 2)
        self.counts(self.index(), added=1)
        self.counts(self.index("--hidden", self.folder), added=1, unchanged=1)
        self.counts(self.index(), unchanged=2)  # what was asked for once stays
        os.unlink(self.at(".h/b.jpg"))
        self.counts(self.index(), removed=1, unchanged=1)

    def test_folders_inside_folders(self):
        self.put("a/b/1.jpg", 1)
        self.put("a/bb/2.jpg", 2)
        self.put("c/3.jpg", 3)
        self.counts(self.index(self.at("a/b")), added=1)
        self.counts(self.index(), added=2, unchanged=1)
        before = self.rows()
        os.unlink(self.at("a/b/1.jpg"))
        os.unlink(self.at("c/3.jpg"))
        self.put("a/b/4.jpg", 4)
        self.counts(self.index(self.at("a/b")), added=1, removed=1)  # and c is not looked at
        self.assertEqual(set(self.rows()), {"a/b/4.jpg", "a/bb/2.jpg", "c/3.jpg"})
        self.assertEqual(self.rows()["a/bb/2.jpg"], before["a/bb/2.jpg"])
        self.counts(self.index(self.folder, self.at("a")), removed=1, unchanged=2)

    def test_odd_names(self):
        names = [b"caf\xe9.jpg", b"a\nb.jpg", b" .png", b"-x.jpg", b"%s.jpg", b"'\"\\.jpg",
                 b"\xe2\x82\xac.JPG", b"\xff\xfe.Png", b"x" * 250 + b".jpg"]
        for i, name in enumerate(names):
            path = os.path.join(os.fsencode(self.folder), name)
            pictures.write(path, (pictures.png if i in (2, 7) else pictures.jpeg)(i))
        self.counts(self.index(), added=len(names))
        self.assertEqual({os.fsencode(path) for path in self.rows()}, set(names))
        self.counts(self.index(), unchanged=len(names))

    def test_interrupted_runs_continue(self):
        pictures.fill(self.folder, 400)
        process = subprocess.Popen([INDEXER, "--library", self.library, self.folder],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        catalog = os.path.join(self.library, "catalog.db")
        until = time.monotonic() + 60
        while time.monotonic() < until:  # until the first batch is there
            if os.path.exists(catalog):
                with sqlite3.connect(catalog) as db:
                    try:
                        if db.execute("SELECT count(*) FROM images").fetchone()[0]:
                            break
                    except sqlite3.OperationalError:
                        pass  # not made yet
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 3, stderr)
        self.assertIn(b"interrupted", stderr)
        self.assertNotIn(b"changed while", stdout)  # those left for later did not
        self.sound()
        some = len(self.rows())
        self.assertGreater(some, 0)
        self.assertLess(some, 400)
        summary = self.index()
        self.counts(summary, added=400 - some, unchanged=some)

    def test_a_second_indexer_is_told_who_indexes(self):
        pictures.fill(self.folder, 150)
        first = subprocess.Popen([INDEXER, "--library", self.library, "--quiet", self.folder])
        lock = os.path.join(self.library, "indexer.lock")
        until = time.monotonic() + 60
        while time.monotonic() < until and not (os.path.exists(lock) and os.path.getsize(lock)):
            time.sleep(0.005)
        for _ in range(10):
            first.send_signal(signal.SIGSTOP)  # so that it is surely there still
            try:
                second = self.run_indexer(self.folder)
            finally:
                first.send_signal(signal.SIGCONT)
            if b"does not let go" not in second.stderr:
                break
            time.sleep(0.02)  # it was stopped within a transaction
        self.assertEqual(second.returncode, 3)
        self.assertIn(str(first.pid).encode(), second.stderr)
        self.assertEqual(first.wait(timeout=60), 0)
        self.counts(self.index(), unchanged=150)

    def test_a_full_disk_fails_and_leaves_nothing_half(self):
        pictures.fill(self.folder, 150)

        def small_files():  # what a full disk looks like to the one who writes
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (150000, 150000))

        done = self.run_indexer(self.folder, preexec_fn=small_files)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertRegex(done.stderr, rb"catalog.db|disk|full|I/O")
        self.sound()
        some = len(self.rows())
        self.assertLess(some, 150)
        self.counts(self.index(), added=150 - some, unchanged=some)

    def other_model(self):
        """The default model with one bit of a weight flipped: another model."""
        model = os.path.join(SOURCE, "models", "osprey-small")
        other = os.path.join(self.dir, "other-model")
        os.mkdir(other)
        for name in os.listdir(model):
            os.symlink(os.path.join(model, name), os.path.join(other, name))
        heads = os.path.join(other, "heads.safetensors")
        os.unlink(heads)
        with open(os.path.join(model, "heads.safetensors"), "rb") as f:
            data = bytearray(f.read())
        data[-2] ^= 1
        pictures.write(heads, data)
        return other

    def test_another_model_fills_beside_the_old(self):
        pictures.fill(self.folder, 20)
        self.index()
        before = self.rows()
        other = self.other_model()
        summary = self.index("--model", other, self.folder)
        self.assertEqual(summary["encoded"], 20)
        self.assertEqual(summary["images"], 20)
        after = self.rows()
        self.assertEqual({path: row[:2] for path, row in after.items()},
                         {path: row[:2] for path, row in before.items()})
        self.assertTrue(all(vector for _, _, vector in after.values()))
        with sqlite3.connect(os.path.join(self.library, "catalog.db")) as db:
            self.assertEqual(db.execute("SELECT name FROM models WHERE state = 'active'").fetchall(),
                             [("other-model",)])
        self.counts(self.index(), unchanged=20)  # it remembers its model
        # The folder now holds other heads, and what the library keeps of them is gone.
        self.counts(self.index(), unchanged=20)
        shutil.rmtree(os.path.join(self.library, "models"))
        with sqlite3.connect(os.path.join(self.library, "catalog.db")) as db:
            db.execute("DELETE FROM model_files")
        heads = os.path.join(other, "heads.safetensors")
        os.unlink(heads)
        os.symlink(os.path.join(SOURCE, "models", "osprey-small", "heads.safetensors"), heads)
        done = self.run_indexer(self.folder)
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"other-model", done.stderr)
        self.assertIn(b"--model", done.stderr)

    def test_a_library_keeps_its_precision(self):
        for i in range(3):
            self.put("%d.jpg" % i, i)
        self.index("--precision", "int8", self.folder)
        self.assertEqual(self.precisions(), [("int8", "active")])
        single = self.embeddings()
        self.put("new.jpg", 9)
        summary = self.index()  # in the library's own, whatever auto is elsewhere
        self.assertEqual(summary["encoded"], 1)
        self.assertEqual(self.precisions(), [("int8", "active")])
        done = self.run_indexer("--precision", "f32", self.folder)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"int8", done.stderr)
        self.assertIn(b"f32", done.stderr)
        self.index("--precision", "int8", self.folder)
        done = self.run_indexer("--precision", "bf16", "--model", "osprey-small", self.folder)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.index("--model", "osprey-small")  # the same model, named
        self.assertEqual(self.precisions(), [("int8", "active")])
        after = self.embeddings()
        self.assertEqual({k: after[k] for k in single}, single)

    def precisions(self):
        with sqlite3.connect(os.path.join(self.library, "catalog.db")) as db:
            return db.execute("SELECT precision, state FROM models").fetchall()

    def embeddings(self):
        with sqlite3.connect(os.path.join(self.library, "catalog.db")) as db:
            return dict(db.execute("SELECT key, vector FROM embeddings").fetchall())

    def test_a_model_is_not_complete_without_offline_folders(self):
        self.put("a.jpg", 1)
        away = os.path.join(self.dir, "away")
        os.mkdir(away)
        pictures.write(os.path.join(away, "b.jpg"), pictures.jpeg(2))
        self.index(self.folder, away)
        before = self.rows()
        os.rename(away, away + "-2")
        self.index("--model", self.other_model(), "--threads", "2")
        self.assertIn("answers until", self.stderr)
        self.assertEqual(self.rows(), before)
        os.rename(away + "-2", away)
        summary = self.index("--threads", "2")  # the rest of it, without being asked
        self.assertEqual(summary["encoded"], 1)
        after = self.rows()
        self.assertEqual(set(after), set(before))
        with sqlite3.connect(os.path.join(self.library, "catalog.db")) as db:
            self.assertEqual(db.execute("SELECT name FROM models WHERE state = 'active'").fetchall(),
                             [("other-model",)])

    def test_wrong_usage(self):
        self.put("a.jpg", 1)
        for args in (["--none"], ["--library", "", self.folder], ["--model", "", self.folder], ["--threads", "0", self.folder], ["--threads"],
                     [self.at("a.jpg")], [self.at("missing")], [""], ["--precision", "int3", self.folder]):
            done = self.run_indexer(*args)
            self.assertEqual(done.returncode, 2, args)
            self.assertTrue(done.stderr.strip(), args)
            self.assertEqual(done.stdout, b"", args)
        self.assertEqual(self.run_indexer().returncode, 3)  # nothing to index
        self.assertEqual(self.run_indexer("--model", "no-such-model", self.folder).returncode, 3)
        self.index(self.folder)  # an empty DIR is wrong even where the current folder is known
        self.assertEqual(self.run_indexer("", cwd=self.folder).returncode, 2)
        done = self.run_indexer("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"--hidden", done.stdout)

    def test_streams(self):
        self.put("a.jpg", 1)
        pictures.write(self.at("bad.jpg"), b"")
        done = self.run_indexer(self.folder)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"1 added", done.stdout)
        self.assertIn(b"bad.jpg: ", done.stderr)
        done = self.run_indexer("--quiet", self.folder)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))


if __name__ == "__main__":
    unittest.main()
