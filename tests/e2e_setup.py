#!/usr/bin/env python3
"""The set-up scripts, where things go wrong: each failure names what was missing and
what to do, and nothing stale is trusted. Runs on a copy of tools/setup in a folder of
its own, with stand-ins for cargo, cmake and the like; it downloads nothing.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ.get("OSPREY_SOURCE", pathlib.Path(__file__).resolve().parents[1]))

BASICS = ("bash dirname basename nproc sed tr grep mkdir id cat flock df awk tail sleep sort uname "
          "sha256sum cut head touch rm mv cp paste env date python3 ctest cmake ninja c++").split()


class SetUp(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="osprey-setup-")
        self.root = pathlib.Path(self.folder.name)
        shutil.copytree(ROOT / "tools" / "setup", self.root / "tools" / "setup")
        self.bin = self.root / "bin"
        self.bin.mkdir()
        for name in BASICS:
            if path := shutil.which(name):
                (self.bin / name).symlink_to(path)

    def tearDown(self):
        self.folder.cleanup()

    def stand_in(self, name, script):
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)
        return str(path)

    def run_script(self, name, *arguments, **environment):
        env = {"PATH": str(self.bin), "HOME": str(self.root), "LC_ALL": "C.UTF-8", **environment}
        return subprocess.run([self.root / "tools" / "setup" / name, *arguments], env=env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def assert_says(self, run, *parts):
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        for part in parts:
            self.assertIn(part, run.stderr)

    # -- packages --

    def dpkg(self, *installed):
        self.stand_in("dpkg-query", "printf 'ii  %s\\n' " + " ".join(installed) + "\n")

    def test_no_apt(self):
        self.assert_says(self.run_script("packages.sh", "build"), "this system has no apt",
                         "libopenblas-dev", "OSPREY_NO_APT=1")
        self.assertEqual(self.run_script("packages.sh", "build", OSPREY_NO_APT="1").returncode, 0)

    def test_everything_is_installed(self):
        lists = (self.root / "tools/setup/packages").glob("build*.txt")
        names = [line for names in lists for line in names.read_text().splitlines()]
        self.dpkg(*" ".join(line.split("#")[0] for line in names).split())
        self.stand_in("apt-get", "echo apt-get was called >&2; exit 9\n")
        run = self.run_script("packages.sh", "build")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertNotIn("apt-get", run.stderr)

    def test_neither_root_nor_sudo(self):
        self.dpkg("g++", "cmake")
        self.stand_in("apt-get", "exit 9\n")
        self.stand_in("id", "echo 1000\n")
        run = self.run_script("packages.sh", "build")
        self.assert_says(run, "no sudo here", "apt-get install ninja-build")
        self.assertNotIn("apt-get install g++", run.stderr)
        self.stand_in("sudo", "exit 1\n")
        self.assert_says(self.run_script("packages.sh", "build"), "wants a password",
                         "sudo apt-get install ninja-build")

    def test_a_failing_download_shows_the_log(self):
        self.dpkg("g++")
        self.stand_in("id", "echo 0\n")
        self.stand_in("apt-cache", "echo Filename: x\n")
        self.stand_in("apt-get", "echo Could not resolve host; exit 100\n")
        run = self.run_script("packages.sh", "demo")
        self.assert_says(run, "Could not resolve host", "network", ".deps/log/apt-install.log")

    def test_packages_that_apt_does_not_know(self):
        self.dpkg("g++")
        self.stand_in("id", "echo 0\n")
        self.stand_in("apt-cache", "exit 100\n")
        self.stand_in("apt-get", "exit 0\n")
        self.assert_says(self.run_script("packages.sh", "demo"),
                         "apt does not know: tuxpaint-stamps-default")

    # -- FAISS --

    def faiss(self, **environment):
        return self.run_script("faiss.sh", OSPREY_NO_APT="1", **environment)

    def test_no_compiler(self):
        self.assert_says(self.faiss(CXX="nowhere++"), "no C++ compiler (nowhere++)")
        self.assert_says(self.faiss(OSPREY_MARCH="pdp11"), "does not know -march=pdp11")

    def test_a_source_tree_that_is_none(self):
        self.assert_says(self.faiss(FAISS_SOURCE="/nonexistent"), "FAISS_SOURCE=/nonexistent is not")

    def test_a_source_tree_of_another_release(self):
        tree = self.root / "faiss"
        (tree / "c_api").mkdir(parents=True)
        (tree / "faiss").mkdir()
        (tree / "c_api" / "CMakeLists.txt").touch()
        (tree / "faiss" / "Index.h").write_text(
            "#define FAISS_VERSION_MAJOR 1\n#define FAISS_VERSION_MINOR 7\n")
        self.assert_says(self.faiss(FAISS_SOURCE=str(tree)), "holds FAISS 1.7", "1.12")

    def test_no_network_for_cargo(self):
        cargo = self.stand_in("cargo", 'case $1 in --version) echo cargo 1.85.0;; '
                              "*) echo could not connect; exit 101;; esac\n")
        self.assert_says(self.faiss(CARGO=cargo), "could not connect", "network", "FAISS_SOURCE")

    def test_a_wrong_checksum(self):
        cargo = self.stand_in("cargo", """case $1 in
            --version) echo cargo 1.85.0;;
            generate-lockfile) echo 'checksum = "00ff"' > Cargo.lock;;
            *) echo vendored anyway > vendored;; esac\n""")
        self.assert_says(self.faiss(CARGO=cargo), "wrong checksum of faiss-sys", "00ff")
        self.assertFalse((self.root / ".deps/faiss-source/vendored").exists())

    def test_an_old_cargo_is_passed_over(self):
        cargo = self.stand_in("cargo", 'echo cargo 1.63.0\n')
        if pathlib.Path("/usr/bin/cargo").exists():
            self.skipTest("the system has a cargo of its own")
        self.assert_says(self.faiss(CARGO=cargo), "cargo 1.70 or newer", "FAISS_SOURCE")

    def test_what_was_built_for_another_processor_is_not_trusted(self):
        lib = self.root / ".deps/faiss/lib"
        lib.mkdir(parents=True)
        for name in ("libfaiss.a", "libfaiss_c.a"):
            (lib / name).write_text("x")
        # No fingerprint, then a wrong one: both go on to build, from a source that is none.
        self.assert_says(self.faiss(FAISS_SOURCE="/nonexistent"), "/nonexistent")
        (lib.parent / "fingerprint").write_text("0" * 64 + "\n")
        self.assert_says(self.faiss(FAISS_SOURCE="/nonexistent"), "/nonexistent")
        self.assertTrue((lib / "libfaiss.a").exists())

    # -- building and counting --

    def test_an_old_cmake(self):
        self.stand_in("cmake", "echo cmake version 3.18.4\n")
        self.assert_says(self.run_script("build.sh"), "CMake 3.25 or newer", "3.18.4")

    def count(self, *reports):
        paths = []
        for number, text in enumerate(reports):
            paths.append(self.root / ("%d.xml" % number))
            paths[-1].write_text(text)
        run = subprocess.run([sys.executable, self.root / "tools/setup/count_tests.py", *paths],
                             capture_output=True, text=True)
        return run.returncode, run.stdout.splitlines()[-1]

    def test_counting(self):
        good = '<testcase name="a" status="run"/>'
        bad = '<testcase name="b" status="fail"><failure message="x"/></testcase>'
        skipped = ('<testcase name="c" status="notrun">'
                   '<skipped message="SKIP_RETURN_CODE=77"/></testcase>')
        absent = skipped.replace("SKIP_RETURN_CODE=77", "Unable to find executable")
        suite = "<testsuite>%s</testsuite>"
        self.assertEqual(self.count(suite % (good + good)), (0, "2 passed, 0 failed"))
        self.assertEqual(self.count(suite % (good + bad)), (1, "1 passed, 1 failed"))
        self.assertEqual(self.count(suite % (good + skipped), suite % good),
                         (0, "2 passed, 0 failed, 1 skipped"))
        self.assertEqual(self.count(suite % (good + absent)), (1, "1 passed, 1 failed"))
        self.assertEqual(self.count(suite % ""), (1, "0 passed, 0 failed"))
        self.assertEqual(self.count("<testsuite>"), (1, "0 passed, 0 failed"))

    def test_the_runner_counts_what_ctest_ran(self):
        build = self.root / "build"
        build.mkdir()
        tests = build / "CTestTestfile.cmake"
        good = 'add_test(yes "%s")\n' % shutil.which("true")
        tests.write_text(good + 'add_test(no "%s")\n' % shutil.which("false"))
        run = self.run_script("test.sh")
        self.assertEqual((run.returncode, run.stdout.splitlines()[-1]), (1, "1 passed, 1 failed"))
        tests.write_text(good)
        run = self.run_script("test.sh")
        self.assertEqual((run.returncode, run.stdout.splitlines()[-1]), (0, "1 passed, 0 failed"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
