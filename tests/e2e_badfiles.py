"""Indexes more than 200 bad inputs among good pictures: each is listed with a
reason, nothing hangs, no good picture is lost, and a second run reads none again.
"""

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

import pictures

INDEXER = os.path.join(os.environ["OSPREY_BUILD"], "osprey-indexer")
GOOD = 24


class BadFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="osprey-bad-")
        cls.folder = os.path.join(cls.dir, "pictures")
        cls.library = os.path.join(cls.dir, "library")
        os.mkdir(cls.folder)
        cls.bad = pictures.bad_inputs(cls.folder)
        for i in range(GOOD):  # between the others in the order of names
            pictures.write(os.path.join(cls.folder, "%c-good-%d.jpg" % (97 + i, i)), pictures.jpeg(i))
        os.makedirs(os.path.join(cls.folder, "folder.jpg", "empty.png"))
        pictures.write(os.path.join(cls.folder, "folder.jpg", "inside.png"), pictures.png(99))
        os.symlink("..", os.path.join(cls.folder, "folder.jpg", "up"))
        cls.unreadable = os.geteuid() != 0  # nothing is unreadable to root
        if cls.unreadable:
            path = os.path.join(cls.folder, "unreadable.jpg")
            pictures.write(path, pictures.jpeg(1000))
            os.chmod(path, 0)
            os.mkdir(os.path.join(cls.folder, "closed"), 0)

    @classmethod
    def tearDownClass(cls):
        if cls.unreadable:
            os.chmod(os.path.join(cls.folder, "closed"), 0o700)
        shutil.rmtree(cls.dir)

    def index(self):
        done = subprocess.run([INDEXER, "--library", self.library, "--json", self.folder],
                              capture_output=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_all_are_listed_and_nothing_is_lost(self):
        lines = self.index()
        reasons = {}
        for line in lines:
            if "error" in line:
                path = os.fsencode(line["path"])
                if "path_bytes" in line:
                    path = base64.b64decode(line["path_bytes"])
                reasons[os.path.relpath(path, os.fsencode(self.folder))] = line["error"]
        expected = set(self.bad) | {b"folder.jpg", b"folder.jpg/empty.png"}
        if self.unreadable:
            expected |= {b"unreadable.jpg", b"closed"}
        self.assertGreaterEqual(len(expected), 200)
        self.assertEqual(expected - set(reasons), set())
        self.assertEqual(set(reasons) - expected, set())
        for name, reason in reasons.items():
            self.assertRegex(reason, r"\w\w", name)
            self.assertNotIn("\n", reason)
        summary = lines[-1]
        self.assertEqual(summary["images"], GOOD + 1)
        self.assertEqual(summary["added"], GOOD + 1)
        self.assertEqual(summary["errors"], len(expected))
        with sqlite3.connect(os.path.join(self.library, "catalog.db")) as db:
            paths = {os.fsdecode(row[0]) for row in db.execute("SELECT path FROM images")}
        good = {"%c-good-%d.jpg" % (97 + i, i) for i in range(GOOD)}
        self.assertEqual(paths, good | {"folder.jpg/inside.png"})

        # Again: listed all the same, and neither read nor written again.
        before = self.rows()
        again = self.index()
        self.assertEqual(sum("error" in line for line in again), len(expected))
        self.assertEqual(again[-1]["unchanged"], GOOD + 1)
        self.assertEqual(again[-1]["errors"], len(expected))
        self.assertEqual(again[-1]["encoded"], 0)
        if not self.unreadable:  # those are tried again, for permissions may have changed
            self.assertEqual(self.rows(), before)

        # One is repaired, one is removed.
        pictures.write(os.path.join(self.folder, "empty.jpg"), pictures.jpeg(500))
        os.unlink(os.path.join(self.folder, "fifo.jpg"))
        os.unlink(os.path.join(self.folder, "linked-fifo.jpg"))
        after = self.index()[-1]
        self.assertEqual(after["added"], 1)
        self.assertEqual(after["errors"], len(expected) - 3)

    def rows(self):
        with sqlite3.connect(os.path.join(self.library, "catalog.db")) as db:
            return sorted(db.execute("SELECT path, size, mtime_ns, reason, at FROM errors"))


if __name__ == "__main__":
    unittest.main()
