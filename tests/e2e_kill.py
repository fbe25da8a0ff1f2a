"""Kills the indexer with SIGKILL at 50 random moments, over pictures that keep
changing meanwhile. After each, verify must be clean; at the end the library must
equal one that was indexed without interruption.
"""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import unittest

import pictures

BUILD = os.environ["OSPREY_BUILD"]
INDEXER = os.path.join(BUILD, "osprey-indexer")
OSPREY = os.path.join(BUILD, "osprey")
PICTURES = 300
KILLS = 50


class Kill(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="osprey-kill-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.folder = os.path.join(self.dir, "pictures")
        self.rnd = random.Random(50)
        self.seed = 10000

    def path(self, name):
        return os.path.join(self.folder, name)

    def names(self):
        return sorted(os.path.relpath(os.path.join(top, name), self.folder)
                      for top, _, names in os.walk(self.folder) for name in names)

    def fresh(self, name):
        self.seed += 1
        pictures.write(self.path(name), pictures.jpeg(self.seed, 48, 48))
        os.utime(self.path(name), (self.seed, self.seed))

    def change(self):
        """New, changed, moved, copied, broken and removed files, some 50 in all."""
        names = self.names()
        self.rnd.shuffle(names)
        for name in names[:25]:
            self.fresh(name)
        for i, name in enumerate(names[25:31]):
            os.rename(self.path(name), self.path("d%d/moved-%d-%d.jpg" % (i, self.seed, i)))
        for i, name in enumerate(names[31:34]):
            shutil.copy(self.path(name), self.path("d%d/copy-%d-%d.jpg" % (i, self.seed, i)))
        for name in names[34:45]:
            os.unlink(self.path(name))
        for i in range(10):
            self.fresh("d%d/new-%d.jpg" % (i % 7, self.seed))
        pictures.write(self.path(names[45]), pictures.jpeg(1, 48, 48)[:-50])

    def index(self, library):
        return subprocess.Popen([INDEXER, "--library", library, "--quiet", self.folder],
                                stderr=subprocess.PIPE)

    def finish(self, library):
        begun = time.monotonic()
        process = self.index(library)
        _, stderr = process.communicate(timeout=600)
        self.assertEqual(process.returncode, 0, stderr)
        return time.monotonic() - begun

    def verify(self, library):
        done = subprocess.run([OSPREY, "verify", "--library", library], capture_output=True,
                              timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def content(self, library):
        with sqlite3.connect(os.path.join(library, "catalog.db")) as db:
            images = db.execute(
                "SELECT path, size, mtime_ns, images.hash, width, height, kind, vector"
                " FROM images JOIN models ON state = 'active'"
                " LEFT JOIN embeddings ON key = (models.id << 40) | images.id ORDER BY path")
            errors = db.execute("SELECT path, size, mtime_ns, reason FROM errors ORDER BY path")
            return images.fetchall(), errors.fetchall()

    def test_killed_at_random_moments(self):
        library = os.path.join(self.dir, "library")
        pictures.fill(self.folder, PICTURES)
        # How long a round takes here and now, so that kills fall all over it.
        self.finish(os.path.join(self.dir, "first"))
        self.change()
        span = self.finish(os.path.join(self.dir, "first"))
        killed = 0
        while killed < KILLS:
            process = self.index(library)
            try:
                process.wait(timeout=self.rnd.uniform(0, span * 1.2))
                span *= 0.9  # it was done before its time
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                killed += 1
                span *= 1.02
            process.stderr.close()
            if os.path.exists(os.path.join(library, "catalog.db")):
                self.verify(library)
            if process.returncode == 0:
                self.change()
            else:
                self.assertEqual(process.returncode, -signal.SIGKILL)
        self.finish(library)
        self.verify(library)
        whole = os.path.join(self.dir, "whole")
        self.finish(whole)
        images, errors = self.content(library)
        self.assertGreater(len(images), PICTURES / 2)
        self.assertGreater(len(errors), 0)
        self.assertTrue(all(row[-1] for row in images))
        expected_images, expected_errors = self.content(whole)
        self.assertEqual([row[0] for row in images], [row[0] for row in expected_images])
        self.assertEqual(images, expected_images)
        self.assertEqual(errors, expected_errors)


if __name__ == "__main__":
    unittest.main()
