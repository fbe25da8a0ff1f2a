"""A small library that a test of the command line indexes itself, and how it asks."""

import json
import math
import os
import shutil
import sqlite3
import struct
import subprocess
import tempfile
import unittest

import pictures
import stamps

BUILD = os.environ["OSPREY_BUILD"]
SOURCE = os.environ["OSPREY_SOURCE"]
OSPREY = os.path.join(BUILD, "osprey")
STAMPS = str(stamps.STAMPS)
ODD_NAME = b"caf\xe9 \n.png"  # not UTF-8, and a line break


def png(path, width, height, pixel):
    """Writes an RGB PNG; pixel(x, y) gives three bytes."""
    rows = (b"\0" + bytes(c for x in range(width) for c in pixel(x, y)) for y in range(height))
    pictures.write(path, pictures.rgb_png(width, height, rows))


def patterns():
    """Twelve pictures that no two embeddings should agree on."""
    for i in range(12):
        yield "p%02d" % i, 40 + 9 * i, 64, lambda x, y, i=i: (
            (x * (i + 1) * 5) % 256, (y * (12 - i) * 7) % 256, ((x // (i + 2) + y // 9) % 2) * 200)


def sum_of(parts):
    """Normalised sum of (weight, vector) pairs."""
    total = [sum(w * v[d] for w, v in parts) for d in range(len(parts[0][1]))]
    norm = math.sqrt(sum(t * t for t in total))
    return [t / norm for t in total]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


class CommandLine(unittest.TestCase):
    """A small library, and how to ask it."""

    @classmethod
    def setUpClass(cls):
        cls.tmp = tempfile.mkdtemp(prefix="osprey-cli-")
        # the default model and the fetched ones of whoever runs this are out of it
        os.environ.update(XDG_CONFIG_HOME=os.path.join(cls.tmp, "config"),
                          XDG_DATA_HOME=os.path.join(cls.tmp, "no-data"))
        cls.library = os.path.join(cls.tmp, "library")
        cls.pictures = os.path.join(os.path.realpath(cls.tmp), "pictures")
        cls.sub = os.path.join(cls.pictures, "sub")
        os.makedirs(cls.sub)
        for n, (name, w, h, pixel) in enumerate(patterns()):
            png(os.path.join(cls.sub if n % 3 == 0 else cls.pictures, name + ".png"), w, h, pixel)
        shutil.copy(os.path.join(cls.pictures, "p01.png"), os.path.join(cls.pictures, "copy.png"))
        png(os.path.join(cls.pictures.encode(), ODD_NAME), 50, 50, lambda x, y: (250, 3 * x, 5 * y))
        with open(os.path.join(cls.pictures, "broken.jpg"), "wb") as f:
            f.write(b"not a picture at all")
        cls.images = 14
        folders = [cls.pictures]
        animals = os.path.join(STAMPS, "animals")
        if os.path.isdir(animals):
            # A few real ones, one folder deep.
            cls.real = os.path.join(os.path.realpath(cls.tmp), "animals")
            os.mkdir(cls.real)
            found = sorted(os.path.join(d, f) for d, _, names in os.walk(animals)
                           for f in names if f.endswith((".png", ".jpg")))[:30]
            for i, path in enumerate(found):
                shutil.copy(path, os.path.join(cls.real, "%02d-%s" % (i, os.path.basename(path))))
            folders.append(cls.real)
            cls.images += len(found)
        else:
            cls.real = None
        done = subprocess.run([OSPREY, "index", "--library", cls.library] + folders,
                              capture_output=True)
        if done.returncode != 0:
            raise RuntimeError("indexing failed: %s" % done.stderr.decode())

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.tmp)

    # ---- helpers ----

    def run_osprey(self, *args, status=0, library=True, env=None, cwd=None, **more):
        """Runs osprey; returns (stdout, stderr) as bytes."""
        command = [OSPREY] + list(args[:1])
        if library:
            command += ["--library", self.library]
        command += args[1:]
        done = subprocess.run(command, capture_output=True, cwd=cwd or self.tmp,
                              env=dict(os.environ, **(env or {})), **more)
        self.assertEqual(done.returncode, status, (command, done.stdout, done.stderr))
        return done.stdout, done.stderr

    def lines(self, *args, **more):
        """JSON lines of a command; standard error must be empty."""
        out, err = self.run_osprey(args[0], "--json", *args[1:], **more)
        self.assertEqual(err, b"")
        return [json.loads(line) for line in out.decode().splitlines()]

    def embed(self, *args):
        (one,) = self.lines("embed", *args, library=False)
        self.assertEqual(one["dimension"], len(one["embedding"]))
        self.assertAlmostEqual(dot(one["embedding"], one["embedding"]), 1, places=5)
        return one["embedding"]

    def stored(self):
        """{image id: (embedding, path)} straight from the catalogue."""
        db = sqlite3.connect("file:%s/catalog.db?mode=ro" % self.library, uri=True)
        (model,) = db.execute("SELECT id FROM models WHERE state = 'active'").fetchone()
        result = {}
        for image, folder, path, blob in db.execute(
                "SELECT i.id, f.path, i.path, e.vector FROM images i"
                " JOIN folders f ON f.id = i.folder_id"
                " JOIN embeddings e ON e.key = (? << 40) | i.id", (model,)):
            result[image] = (struct.unpack("<%de" % (len(blob) // 2), blob),
                             os.path.join(folder, path))
        db.close()
        return result

    def check_search(self, parts, *args):
        """A search must rank as the inner products with the sum of parts do."""
        query = sum_of(parts)
        expected = {i: dot(query, v) for i, (v, _) in self.stored().items()}
        found = self.lines("search", "-k", "1000", *args)
        self.assertEqual([f["rank"] for f in found], list(range(1, len(found) + 1)))
        self.assertEqual({f["id"] for f in found}, set(expected))
        for f in found:
            self.assertAlmostEqual(f["score"], expected[f["id"]], delta=2e-5)
        scores = [f["score"] for f in found]
        self.assertEqual(scores, sorted(scores, reverse=True))

    def picture(self, name):
        return os.path.join(self.pictures, name)
