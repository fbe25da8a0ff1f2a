#!/usr/bin/env python3
"""What `make install` leaves: a tree that can be moved, whose programs find the model."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["OSPREY_BUILD"])
ROOT = pathlib.Path(os.environ["OSPREY_SOURCE"])


class Install(unittest.TestCase):
    @unittest.skipUnless((ROOT / "models/osprey-small/model.safetensors").exists(),
                         "the default model is not assembled")
    def test_a_tree_that_was_moved(self):
        with tempfile.TemporaryDirectory(prefix="osprey-install-") as tmp:
            first, tree = pathlib.Path(tmp) / "first", pathlib.Path(tmp) / "then"
            run = subprocess.run(["cmake", "--install", BUILD, "--prefix", first],
                                 capture_output=True, text=True)
            self.assertEqual(run.returncode, 0, run.stderr)
            first.rename(tree)
            for name in ("bin/osprey-indexer", "bin/osprey-searchd",
                         "libexec/osprey/osprey-decode", "share/man/man1/osprey.1",
                         "share/bash-completion/completions/osprey",
                         "share/zsh/site-functions/_osprey", "share/doc/osprey/LICENSE",
                         "share/doc/osprey/NOTICE", "lib/systemd/system/osprey-searchd.service",
                         "lib/systemd/user/osprey-watch.service",
                         "share/doc/osprey/examples/searchd.conf"):
                self.assertTrue((tree / name).is_file(), name)
            for model in ("osprey-small", "osprey-small-zeroshot"):
                for path in (ROOT / "models" / model).iterdir():
                    installed = tree / "share/osprey/models" / model / path.name
                    self.assertEqual(installed.stat().st_size, path.stat().st_size, path.name)
            for path in (ROOT / "models/vocab").iterdir():
                installed = tree / "share/osprey/models/vocab" / path.name
                self.assertEqual(installed.read_bytes(), path.read_bytes(), path.name)
            unit = (tree / "lib/systemd/system/osprey-searchd.service").read_text()
            self.assertIn("ExecStart=%s/bin/osprey-searchd " % first, unit)
            unit = (tree / "lib/systemd/user/osprey-watch.service").read_text()
            self.assertIn("ExecStart=%s/bin/osprey watch " % first, unit)
            env = {k: v for k, v in os.environ.items() if not k.startswith("OSPREY_")}
            run = subprocess.run([tree / "bin/osprey", "embed", "--json", "a bird"], cwd="/",
                                 env=dict(env, HOME=tmp, OMP_NUM_THREADS="1"),
                                 capture_output=True, text=True)
            self.assertEqual(run.returncode, 0, run.stderr)
            norm = sum(x * x for x in json.loads(run.stdout)["embedding"])
            self.assertAlmostEqual(norm, 1, places=4)
            run = subprocess.run([tree / "bin/osprey", "model", "info", "osprey-small-zeroshot"],
                                 cwd="/", env=dict(env, HOME=tmp), capture_output=True, text=True)
            self.assertEqual(run.returncode, 0, run.stderr)
            picture = ROOT / "tests/data/images/baseline-420.jpg"
            run = subprocess.run([tree / "bin/osprey", "embed", "--json", "--image", picture],
                                 cwd="/", env=dict(env, HOME=tmp, OMP_NUM_THREADS="1"),
                                 capture_output=True, text=True)
            self.assertEqual(run.returncode, 0, run.stderr)
            # vocabularies are found beside the models
            library = pathlib.Path(tmp) / "library"
            for command in (["index", ROOT / "tests/data/images"],
                            ["tag", "--vocab", "moderation", "--dry-run"]):
                run = subprocess.run([tree / "bin/osprey", command[0], "--library", library,
                                      *command[1:]], cwd="/", env=dict(env, HOME=tmp),
                                     capture_output=True, text=True)
                self.assertEqual(run.returncode, 0, run.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
