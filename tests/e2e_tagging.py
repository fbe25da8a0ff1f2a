#!/usr/bin/env python3
"""Runs every command of docs/tagging.md, in order, as its reader would, over scans made
of the tuxpaint stamps; then looks at what came of them.
Python's standard library alone."""

import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

import stamps

BUILD = pathlib.Path(os.environ["OSPREY_BUILD"])
SOURCE = pathlib.Path(os.environ["OSPREY_SOURCE"])
BOXES = {"signs": "town/roadsigns", "planets": "space/planets", "houses": "town/houses/cartoon",
         "birds": "animals/birds", "fish": "animals/fish", "fruit": "food/fruit",
         "flowers": "plants/flowers"}


def blocks():
    return re.findall(r"^```sh\n(.*?)^```", (SOURCE / "docs/tagging.md").read_text(), re.M | re.S)


@unittest.skipUnless(stamps.STAMPS.is_dir(), "tuxpaint-stamps-default is not installed")
class Tagging(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = pathlib.Path(os.path.realpath(tempfile.mkdtemp(prefix="osprey-tagging-")))
        for box, folder in BOXES.items():
            (cls.home / "Scans" / box).mkdir(parents=True)
            for i, picture in enumerate(stamps.of(folder, ".png")):
                shutil.copy(picture, cls.home / "Scans" / box / ("scan-%02d.png" % i))
        cls.environment = {"HOME": str(cls.home), "PATH": "%s:%s" % (BUILD, os.environ["PATH"]),
                           "LANG": "C.UTF-8"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "OSPREY_DECODE"):
            if name in os.environ:
                cls.environment[name] = os.environ[name]
        # the models lie beside the build folder, not beside an install
        cls.environment["OSPREY_MODELS"] = str(SOURCE / "models")
        cls.outputs = []
        for block in blocks():
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=cls.home,
                                  env=cls.environment, capture_output=True, text=True)
            # head closes the pipe once it has its lines
            if done.returncode not in ((0, 3, 141) if "| head" in block else (0,)):
                raise RuntimeError("%s\n%s\n%s" % (block, done.stdout, done.stderr))
            cls.outputs.append((block, done.stdout, done.stderr))
        cls.library = cls.home / ".local/share/osprey/library"

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.home)

    def output_of(self, part):
        return next(out for block, out, _ in self.outputs if part in block)

    def test_there_are_commands(self):
        self.assertGreater(len(blocks()), 7)
        commands = "\n".join(blocks())
        for option in ("--vocab", "--examples", "--dry-run", "--list", "--threshold", "--json"):
            self.assertIn(option, commands)

    def test_no_command_is_outside_a_block(self):
        text = re.sub(r"^```sh\n.*?^```", "", (SOURCE / "docs/tagging.md").read_text(),
                      flags=re.M | re.S)
        self.assertNotIn("```", text)
        self.assertEqual(re.findall(r"^(?: {4}|\$ )osprey", text, re.M), [])

    def test_dry_runs_show_pictures(self):
        lines = self.output_of("everyday --dry-run").splitlines()
        self.assertEqual(len(lines), 20)
        for line in lines:
            self.assertRegex(line, r"^/.*/Scans/[a-z]+/scan-\d+\.png  (-|\S.* [01]\.\d\d)$")

    def test_the_list_counts(self):
        counts = dict(reversed(line.split(None, 1)) for line in
                      self.output_of("everyday --threshold 0.4").splitlines())
        self.assertGreater(int(counts["food|fruit"]), 4)
        self.assertGreater(int(counts["animal|bird"]), 9)
        self.assertGreaterEqual(int(counts["animal"]), int(counts["animal|bird"]))

    def test_examples_and_words_together(self):
        lines = self.output_of("--examples ~/Examples --vocab").splitlines()
        counts = dict(reversed(line.split(None, 1)) for line in lines)
        self.assertGreater(int(counts["planet"]), 4)  # from examples alone
        self.assertGreater(int(counts["animal|bird"]), 9)  # from words alone
        self.assertTrue(any(name.startswith("old house") for name in counts))

    def test_json_is_one_picture_a_line(self):
        lines = [json.loads(l) for l in (self.home / "tags.jsonl").read_text().splitlines()]
        self.assertEqual(len(lines), len(list((self.home / "Scans/signs").iterdir())))
        for line in lines:
            self.assertIn("/Scans/signs/", line["path"])
            scores = [t["score"] for t in line["tags"]]
            self.assertEqual(scores, sorted(scores, reverse=True))

    def test_the_scans_are_what_they_were(self):
        for box, folder in BOXES.items():
            pictures = stamps.of(folder, ".png")
            for i, picture in enumerate(pictures):
                scan = self.home / "Scans" / box / ("scan-%02d.png" % i)
                self.assertEqual(scan.read_bytes(), picture.read_bytes())

    def test_tags_are_in_the_catalogue(self):
        db = sqlite3.connect("file:%s/catalog.db?mode=ro" % self.library, uri=True)
        sources = {s for (s,) in db.execute("SELECT DISTINCT source FROM tags")}
        db.close()
        self.assertEqual(sources, {"osprey"})


if __name__ == "__main__":
    unittest.main(verbosity=2, argv=sys.argv[:1])
