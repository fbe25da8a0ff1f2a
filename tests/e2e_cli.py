"""The command line as such: what users' scripts rely on (both streams, exit statuses,
options, manuals, completions), and pictures in a terminal. Python's standard library
alone.
"""

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import unittest

import command_line
from command_line import BUILD, SOURCE, OSPREY


class Cli(command_line.CommandLine):
    # ---- the program as such ----

    def test_commands(self):
        out, err = self.run_osprey("--help", library=False)
        self.assertEqual(err, b"")
        commands = re.findall(r"^  ([a-z]+) +[a-z]", out.decode().split("Options")[0], re.M)
        self.assertIn("search", commands)
        for command in commands:
            out, err = self.run_osprey(command, "--help", library=False)
            self.assertIn(b"usage: osprey " + command.encode(), out.lower())
            self.assertEqual(err, b"")
            self.assertEqual(self.run_osprey("help", command, library=False)[0], out)
        for name in ("paint", "print", "upload"):
            self.assertNotIn(name, commands)
            out, err = self.run_osprey(name, library=False, status=2)
            self.assertEqual(out, b"")
            self.assertIn(b"unknown command '%s'" % name.encode(), err)
            self.assertIn(b"osprey --help", err)
        _, err = self.run_osprey("serach", library=False, status=2)
        self.assertIn(b"did you mean 'search'?", err)
        self.run_osprey("--no-such", library=False, status=2)
        self.assertEqual(subprocess.run([OSPREY], capture_output=True).returncode, 2)
        out, _ = self.run_osprey("--version", library=False)
        self.assertRegex(out, rb"^osprey \d+\.\d+\.\d+\n$")

    def test_common_options_may_come_first(self):
        out, _ = self.run_osprey("--json", "-k", "2", "search", "a", library=False,
                                 env={"OSPREY_LIBRARY": self.library})
        self.assertEqual(len([json.loads(r) for r in out.splitlines()]), 2)

    def test_completions_and_manuals_know_every_option(self):
        out, _ = self.run_osprey("--help", library=False)
        commands = re.findall(r"^  ([a-z]+) +[a-z]", out.decode().split("Options")[0], re.M)
        texts = {}
        for name in ("packaging/completions/osprey.bash", "packaging/completions/_osprey",
                     "docs/man/osprey.1"):
            with open(os.path.join(SOURCE, name)) as f:
                texts[name] = f.read()
        for command in commands:
            manual = os.path.join(SOURCE, "docs/man/osprey-%s.1" % command)
            with open(manual) as f:
                page = f.read() + texts["docs/man/osprey.1"]
            for name, text in texts.items():
                self.assertRegex(text, r"\b%s\b" % command, name)
            kinds = {"train": [["train", "heads"], ["train", "reranker"]]}.get(command, [[command]])
            out = b"".join(self.run_osprey(*kind, "--help", library=False)[0] for kind in kinds)
            for option in set(re.findall(r"(--[a-z][a-z-]*)", out.decode())):
                self.assertIn(option, texts["packaging/completions/osprey.bash"])
                self.assertIn(option, texts["packaging/completions/_osprey"])
                self.assertRegex(page, r"Fl -%s\b" % re.escape(option[2:]), (command, option))

    def test_bash_completes(self):
        script = ". %s/packaging/completions/osprey.bash; COMP_WORDS=(%s); COMP_CWORD=%d; _osprey; " \
                 "printf '%%s\\n' \"${COMPREPLY[@]}\""
        env = dict(os.environ, PATH=BUILD + ":" + os.environ["PATH"])
        for words, expected in ((["osprey", "se"], "search"), (["osprey", "search", "--im"], "--image"),
                                (["osprey", "--json", "status", "--e"], "--errors"),
                                (["osprey", "search", "--precision", "f"], "f32"),
                                (["osprey", "model", "info", "osprey-s"], "osprey-small"),
                                (["osprey", "search", self.sub + "/p0"], self.sub + "/p00.png")):
            out = subprocess.run(["bash", "-c", script % (SOURCE, " ".join("'%s'" % w for w in words),
                                                          len(words) - 1)],
                                 capture_output=True, env=env, text=True)
            self.assertIn(expected, out.stdout.split("\n"), (words, out))

    # ---- streams ----

    def test_a_full_disk_is_told(self):
        for command in (["search", "a"], ["search", "--json", "a"], ["status"], ["embed", "a"],
                        ["--help"], ["verify"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([OSPREY, "--library", self.library] + command, stdout=full,
                                      stderr=subprocess.PIPE)
            self.assertEqual(done.returncode, 3, command)
            self.assertIn(b"cannot write to standard output: No space left", done.stderr)

    def test_a_closed_output_is_told(self):
        done = subprocess.run(["sh", "-c", '"$0" "$@" >&-', OSPREY, "search", "--library", self.library, "a"],
                              capture_output=True)
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"cannot write to standard output", done.stderr)
        self.assertEqual(self.lines("verify")[-1]["sound"], True)

    def test_a_closed_pipe_ends_quietly(self):
        for ignore in (False, True):
            reader, writer = os.pipe()
            os.close(reader)
            done = subprocess.run([OSPREY, "search", "--library", self.library, "a"], stdout=writer,
                                  stderr=subprocess.PIPE, restore_signals=not ignore)
            os.close(writer)
            self.assertEqual(done.stderr, b"")
            self.assertNotEqual(done.returncode, 0)

    # ---- previews ----

    def test_preview_only_in_a_terminal(self):
        plain, _ = self.run_osprey("search", "-k2", "a")
        piped, err = self.run_osprey("search", "-k2", "--preview", "a")
        self.assertEqual((piped, err), (plain, b""))
        shown, _ = self.run_osprey("search", "-k2", "--preview=20x6", "a", env={"OSPREY_PREVIEW": "symbols"})
        self.assertGreater(len(shown), len(plain))
        self.assertIn(b"\x1b[", shown)
        for mode, begin in (("kitty", b"\x1b_G"), ("iterm", b"\x1b]1337;"), ("sixel", b"\x1bP")):
            shown, _ = self.run_osprey("search", "-k2", "--preview", "a", env={"OSPREY_PREVIEW": mode})
            self.assertEqual(shown.count(b"\n") >= 4, True)
            self.assertIn(begin, shown)
        self.run_osprey("search", "--preview", "a", env={"OSPREY_PREVIEW": "paper"}, status=2)
        self.run_osprey("search", "--preview", "a", env={"OSPREY_PREVIEW": "none"})

    def test_preview_in_a_terminal(self):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, 0x5414, struct.pack("HHHH", 24, 80, 0, 0))  # TIOCSWINSZ
        process = subprocess.Popen([OSPREY, "search", "--library", self.library, "-k1", "--preview", "a"],
                                   stdout=slave, env=dict(os.environ, TERM="xterm-256color"))
        os.close(slave)
        seen = b""
        while select.select([master], [], [], 30)[0]:
            try:
                data = os.read(master, 65536)
            except OSError:
                break
            if not data:
                break
            seen += data
        os.close(master)
        self.assertEqual(process.wait(), 0)
        self.assertIn(b"\x1b[", seen)
        self.assertGreater(seen.count(b"\n"), 3)


if __name__ == "__main__":
    sys.argv.append("-v")
    unittest.main()
