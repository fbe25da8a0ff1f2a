"""Pictures that make the decoder crash, hang, swell, lie or die, among good ones:
each costs osprey index one error, and nothing else. Then decoders that are killed
at random, that are missing, and how osprey says what guards it.
"""

import json
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
BAD = os.path.join(BUILD, "tests", "bad-decoder")
GOOD = 60
KILLED = 400

# What each does, and what is said of it.
WORDS = {
    "crash": r"the decoder crashed \(SIGSEGV\)",
    "hang": r"decoding it took longer than 2 s",
    "swell": r"decoding it wants more than [\d.]+ GB of memory",
    "garbage": r"the decoder answered nonsense",
    "long": r"the decoder answered nonsense",
    "lie": r"the decoder answered nonsense",
    "die": r"the decoder answered nonsense",
    "exit": r"the decoder ended with status 7",
    "socket": r"the decoder tried what it may not, and was killed \(SIGSYS\)",
}


def environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("OSPREY_DECODE")}
    return dict(env, **more)


def decoders_of(pid):
    """Not any child: a leak checker has one at its end, and waits for it for ever."""
    found = []
    try:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task), encoding="ascii") as f:
                found += [int(word) for word in f.read().split()]
    except OSError:
        pass
    return [child for child in found if name_of(child) == "osprey-decode"]


def name_of(pid):
    try:
        with open("/proc/%d/comm" % pid, encoding="ascii") as f:
            return f.read().strip()
    except OSError:
        return ""


class Decode(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="osprey-decode-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.folder = os.path.join(self.dir, "pictures")
        self.library = os.path.join(self.dir, "library")
        os.mkdir(self.folder)
        self.sandboxed = "limits" in self.status(environment())

    def status(self, env):
        os.makedirs(os.path.join(self.dir, "empty"), exist_ok=True)
        library = os.path.join(self.dir, "other")
        pictures.write(os.path.join(self.dir, "empty", "a.png"), pictures.png(1))
        subprocess.run([INDEXER, "--library", library, "--quiet",
                        os.path.join(self.dir, "empty")], env=environment(), check=True)
        done = subprocess.run([OSPREY, "status", "--library", library, "--json"], env=env,
                              capture_output=True, check=True)
        return json.loads(done.stdout)["decoder"]

    def index(self, env, library=None, status=0):
        done = subprocess.run([INDEXER, "--library", library or self.library, "--json",
                               self.folder], env=env, capture_output=True, text=True,
                              timeout=300, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    def content(self, library):
        with sqlite3.connect(os.path.join(library, "catalog.db")) as db:
            return db.execute(
                "SELECT path, size, mtime_ns, images.hash, width, height, kind, vector"
                " FROM images LEFT JOIN embeddings ON (key & 0xFFFFFFFFFF) = images.id"
                " ORDER BY path").fetchall()

    def test_each_misbehaviour_is_one_error(self):
        for i in range(GOOD):
            pictures.write(os.path.join(self.folder, "%03d.jpg" % i), pictures.jpeg(i))
        words = [word for word in WORDS if self.sandboxed or word not in ("swell", "socket")]
        for i, word in enumerate(words):
            name = "%03d-%s.jpg" % (i * GOOD // len(words), word)
            pictures.write(os.path.join(self.folder, name),
                           pictures.jpeg(1000 + i) + b"OSPREY-TEST:" + word.encode())
        env = environment(OSPREY_DECODE=BAD, OSPREY_DECODE_SECONDS="2")
        lines, _ = self.index(env)
        errors = {os.path.basename(line["path"]): line["error"] for line in lines
                  if "error" in line}
        self.assertEqual(len(errors), len(words), errors)
        for name, reason in errors.items():
            self.assertRegex(reason, WORDS[name[4:-4]])
        self.assertEqual(lines[-1]["images"], GOOD)
        self.assertEqual(lines[-1]["errors"], len(words))
        # They are known now, and not tried again.
        begun = time.monotonic()
        again, _ = self.index(env)
        self.assertLess(time.monotonic() - begun, 60)
        self.assertEqual(again[-1]["errors"], len(words))
        self.assertEqual(again[-1]["encoded"], 0)
        # The good ones are what they are through the real one, and without any.
        for name, decode in (("real", None), ("none", "in-process")):
            library = os.path.join(self.dir, name)
            self.index(environment(**({"OSPREY_DECODE": decode} if decode else {})), library)
            rows = [row for row in self.content(library) if b"-" not in os.fsencode(row[0])]
            self.assertEqual(rows, self.content(self.library))

    def test_a_query_says_it_too(self):
        picture = os.path.join(self.folder, "bad.jpg")
        pictures.write(picture, pictures.jpeg(1) + b"OSPREY-TEST:crash")
        done = subprocess.run([OSPREY, "embed", "--image", picture],
                              env=environment(OSPREY_DECODE=BAD), capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 3)
        self.assertIn("bad.jpg: the decoder crashed (SIGSEGV)", done.stderr)
        done = subprocess.run([OSPREY, "embed", "--image", picture], env=environment(),
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_killed_at_random(self):
        pictures.fill(self.folder, KILLED)
        whole = os.path.join(self.dir, "whole")
        self.index(environment(), whole)
        process = subprocess.Popen([INDEXER, "--library", self.library, "--quiet", self.folder],
                                   env=environment())
        rnd, killed = random.Random(7), 0
        while process.poll() is None:
            # Not so often that none lives long enough to start on a busy machine.
            time.sleep(rnd.uniform(0.05, 0.25))
            workers = decoders_of(process.pid)
            if not workers:
                continue
            try:
                os.kill(rnd.choice(workers), signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                pass
        self.assertEqual(process.returncode, 0)
        self.assertGreater(killed, 3)
        self.index(environment())
        self.assertEqual(self.content(self.library), self.content(whole))
        done = subprocess.run([OSPREY, "verify", "--library", self.library], check=False,
                              capture_output=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_none_is_left_behind(self):
        pictures.fill(self.folder, 200)
        process = subprocess.Popen([INDEXER, "--library", self.library, "--quiet", self.folder],
                                   env=environment())
        decoders = []
        while not decoders and process.poll() is None:
            decoders = decoders_of(process.pid)
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 20
        self.assertGreater(len(decoders), 0)
        for pid in decoders:
            while os.path.exists("/proc/%d" % pid) and time.monotonic() < deadline:
                with open("/proc/%d/stat" % pid, encoding="ascii") as f:
                    if f.read().rsplit(")", 1)[1].split()[0] == "Z":
                        break  # of a container whose first process does not collect
                time.sleep(0.01)
        self.assertLess(time.monotonic(), deadline)

    def test_interrupted_by_the_keyboard(self):
        """A Ctrl-C reaches the decoders as well, which go on until the indexer ends."""
        pictures.fill(self.folder, 300)
        process = subprocess.Popen([INDEXER, "--library", self.library, "--json", self.folder],
                                   env=environment(), stdout=subprocess.PIPE,
                                   start_new_session=True)
        while not decoders_of(process.pid) and process.poll() is None:
            time.sleep(0.005)
        time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([line for line in lines if "error" in line], [])
        lines, _ = self.index(environment())
        self.assertEqual(lines[-1]["images"], 300)
        self.assertEqual(lines[-1]["errors"], 0)

    def test_interrupted_while_decoders_start(self):
        """A decoder outlives a Ctrl-C that comes before it can say so itself."""
        pictures.fill(self.folder, 300)
        for wait in (0, 0.001, 0.002, 0.004, 0.008):
            library = os.path.join(self.dir, "library-%g" % wait)
            process = subprocess.Popen([INDEXER, "--library", library, "--json", self.folder],
                                       env=environment(), stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, start_new_session=True)
            while not decoders_of(process.pid) and process.poll() is None:
                pass
            time.sleep(wait)
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=60)
            self.assertNotIn(b"does not start", err)

    def test_a_missing_decoder_fails_the_run(self):
        pictures.fill(self.folder, 3)
        _, err = self.index(environment(OSPREY_DECODE="/no/such/program"), status=3)
        self.assertIn("cannot start the decoder /no/such/program", err)
        _, err = self.index(environment(OSPREY_DECODE="sandbox"), status=2)
        self.assertIn("OSPREY_DECODE", err)
        lines, _ = self.index(environment())
        self.assertEqual(lines[-1]["images"], 3)
        self.assertEqual(lines[-1]["errors"], 0)

    def test_status_says_what_guards(self):
        self.assertIn("seccomp", self.status(environment()))
        self.assertEqual(self.status(environment(OSPREY_DECODE="in-process")), "in this process")
        self.assertIn("cannot start the decoder",
                      self.status(environment(OSPREY_DECODE="/no/such/program")))


if __name__ == "__main__":
    unittest.main()
