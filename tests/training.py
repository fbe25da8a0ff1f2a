"""What the tests of osprey train share: a few dozen pictures that are drawn here, their
captions and classes, and running it. Python's standard library alone.
"""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

import pictures

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
    rows = (b"\0" + bytes(c for x in range(SIDE) for c in pixel(x - SIDE // 2, y - SIDE // 2))
            for y in range(SIDE))
    pictures.write(path, pictures.rgb_png(SIDE, SIDE, rows, 1))


class Training(unittest.TestCase):
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

    def osprey(self, *args, status=0, env=None, **more):
        done = subprocess.run([OSPREY] + list(args), capture_output=True, text=True,
                              env=env or self.env, cwd=self.tmp, timeout=300, **more)
        self.assertEqual(done.returncode, status, (args, done.stdout, done.stderr))
        return done.stdout, done.stderr

    def interrupt(self, what, output, number, when, *args):
        """Sends a signal to `osprey train WHAT` once when(object) is true of an object that it
        prints; returns (status, stderr)."""
        run = subprocess.Popen([OSPREY, "train", what, "--json", "--output", output, *args],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=self.env, cwd=self.tmp)
        for line in run.stdout:
            if when(json.loads(line)):
                run.send_signal(number)
                break
        _, err = run.communicate(timeout=120)
        return run.returncode, err
