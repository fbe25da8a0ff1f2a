"""Drives `osprey watch` over folders that change under it: what comes, changes, moves and
goes, bursts, lost events, too few watches, a library that another process indexes, and
how it ends.
"""

import json
import os
import queue
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest

import pictures

BUILD = os.environ["OSPREY_BUILD"]
OSPREY = os.path.join(BUILD, "osprey")
INDEXER = os.path.join(BUILD, "osprey-indexer")

LONGEST = 60  # seconds that anything may take on a machine that others use
PROMISED = 3  # seconds until what is complete is found; the best of several counts


class Watcher:
    def __init__(self, library, *args):
        self.process = subprocess.Popen(
            [OSPREY, "watch", "--library", library, "--json", *args],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.events = queue.Queue()
        self.seen = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))
        self.events.put(None)

    def wait(self, event, seconds=LONGEST):
        """The next event of a kind."""
        until = time.monotonic() + seconds
        while True:
            got = self.events.get(timeout=max(0.01, until - time.monotonic()))
            if got is None:
                raise AssertionError("it ended: %r, %r" % (self.seen, self.process.stderr.read()))
            self.seen.append(got)
            if got.get("event") == event:
                return got

    def stop(self, number=signal.SIGTERM):
        """Its exit status."""
        self.process.send_signal(number)
        status = self.process.wait(LONGEST)
        self.process.stdout.close()
        self.process.stderr.close()
        return status


class Watch(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="osprey-watch-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.folder = os.path.join(self.dir, "pictures")
        self.library = os.path.join(self.dir, "library")
        os.mkdir(self.folder)
        self.watcher = None

    def tearDown(self):
        if self.watcher and self.watcher.process.poll() is None:
            self.watcher.process.kill()
            self.watcher.stop()

    def at(self, name):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def put(self, name, seed):
        pictures.write(self.at(name), pictures.jpeg(seed))

    def watch(self, *args):
        self.watcher = Watcher(self.library, *(args or (self.folder,)))
        return self.watcher.wait("watching")

    def stop(self, number=signal.SIGTERM):
        self.assertEqual(self.watcher.stop(number), 0)
        done = subprocess.run([OSPREY, "verify", "--library", self.library],
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def found(self):
        """What a search finds, below the folder."""
        done = subprocess.run(
            [OSPREY, "search", "--library", self.library, "--server", "none", "--json", "-k5000",
             "a"], capture_output=True, check=False)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return {os.path.relpath(json.loads(line)["path"], self.folder)
                for line in done.stdout.splitlines()}

    def until(self, names):
        """Seconds until a search finds exactly these."""
        begun = time.monotonic()
        names = set(names)
        while True:
            found = self.found()
            took = time.monotonic() - begun
            if found == names:
                return took
            if took > LONGEST:
                self.fail("found, but not meant: %s; not found: %s; %s" % (
                    sorted(found - names)[:5], sorted(names - found)[:5], self.watcher.seen))
            time.sleep(0.05)

    def ids(self):
        with sqlite3.connect(os.path.join(self.library, "catalog.db")) as db:
            rows = db.execute("SELECT CAST(path AS TEXT), id FROM images").fetchall()
        db.close()
        return dict(rows)

    def test_what_comes_changes_moves_and_goes(self):
        self.put("a.jpg", 1)
        self.put("sub/b.jpg", 2)
        begun = self.watch()
        self.assertEqual((begun["folders"], begun["watches"]), (1, 2))
        self.until(["a.jpg", "sub/b.jpg"])
        names, took = ["a.jpg", "sub/b.jpg"], []
        for i in range(3):
            names.append("sub/new%d.jpg" % i)
            self.put(names[-1], 10 + i)
            took.append(self.until(names))
        self.assertLess(min(took), PROMISED, took)

        before = self.ids()
        os.rename(self.at("a.jpg"), self.at("sub/moved.jpg"))
        self.until(["sub/moved.jpg"] + names[1:])
        self.assertEqual(self.ids()["sub/moved.jpg"], before["a.jpg"])
        os.rename(os.path.join(self.folder, "sub"), os.path.join(self.folder, "other"))
        names = ["other/moved.jpg", "other/b.jpg"] + ["other/new%d.jpg" % i for i in range(3)]
        self.until(names)
        self.assertEqual(self.ids()["other/b.jpg"], before["sub/b.jpg"])

        # the renamed folder is watched by its new name
        self.put("other/late.jpg", 20)
        self.until(names + ["other/late.jpg"])
        os.unlink(self.at("other/late.jpg"))
        self.until(names)

        # replaced, in place and by renaming: the same entry with new content
        hashes = self.hashes()
        self.put("other/b.jpg", 30)
        self.put("c.tmp", 31)
        os.rename(self.at("c.tmp"), self.at("other/moved.jpg"))
        until = time.monotonic() + LONGEST
        while time.monotonic() < until and any(
                self.hashes()[n] == hashes[n] for n in ("other/b.jpg", "other/moved.jpg")):
            time.sleep(0.1)
        now = self.hashes()
        for name in names:
            self.assertEqual(now[name] == hashes[name],
                             name not in ("other/b.jpg", "other/moved.jpg"), name)
        self.assertEqual(self.ids()["other/b.jpg"], before["sub/b.jpg"])

        shutil.rmtree(self.at("other"))
        self.put("last.jpg", 40)
        self.until(["last.jpg"])
        self.stop()
        self.assertEqual(self.watcher.seen[0].get("event"), "updated")

    def hashes(self):
        with sqlite3.connect(os.path.join(self.library, "catalog.db")) as db:
            rows = db.execute("SELECT CAST(path AS TEXT), hash FROM images").fetchall()
        db.close()
        return dict(rows)

    def test_only_what_is_complete(self):
        self.put("a.jpg", 1)
        self.watch()
        data = pictures.jpeg(7)
        with open(self.at("slow.jpg"), "wb") as f:
            f.write(data[:len(data) // 2])
            f.flush()
            time.sleep(1.5)
            f.write(data[len(data) // 2:])
        self.until(["a.jpg", "slow.jpg"])
        self.put("broken.jpg", 2)
        with open(self.at("broken.jpg"), "wb") as f:
            f.write(b"\xff\xd8\xff nothing more")
        self.put("note.txt", 3)
        os.link(self.at("a.jpg"), self.at("link.jpg"))
        os.symlink(self.at("a.jpg"), self.at("soft.jpg"))
        self.put(".hidden.jpg", 4)
        self.until(["a.jpg", "slow.jpg", "link.jpg", "soft.jpg"])
        self.stop(signal.SIGINT)
        errors = [e for e in self.watcher.seen if "error" in e]
        self.assertFalse([e for e in errors if "slow" in e["path"]], errors)

    def test_a_burst_and_a_folder_filled_at_once(self):
        self.put("a.jpg", 1)
        self.watch()
        os.mkdir(os.path.join(self.dir, "aside"))
        for i in range(40):
            pictures.write(os.path.join(self.dir, "aside", "%d.jpg" % i), pictures.jpeg(1000 + i))
        for i in range(300):
            self.put("burst/%03d.jpg" % i, 100 + i)
        os.makedirs(self.at("deep/er/and"))
        self.put("deep/er/and/deeper/x.jpg", 900)
        os.rename(os.path.join(self.dir, "aside"), os.path.join(self.folder, "aside"))
        names = (["a.jpg", "deep/er/and/deeper/x.jpg"] + ["burst/%03d.jpg" % i for i in range(300)]
                 + ["aside/%d.jpg" % i for i in range(40)])
        self.until(names)
        # each file was looked at a few times at most, not with every event
        updates = [e for e in self.watcher.seen if e.get("event") == "updated"]
        self.assertLess(len(updates), 60)
        self.put("deep/er/and/deeper/y.jpg", 901)
        self.until(names + ["deep/er/and/deeper/y.jpg"])
        shutil.rmtree(self.at("burst"))
        self.until([n for n in names if not n.startswith("burst/")] + ["deep/er/and/deeper/y.jpg"])
        self.stop()

    def test_lost_events(self):
        self.put("a.jpg", 1)
        self.watch()
        with open("/proc/sys/fs/inotify/max_queued_events", encoding="ascii") as f:
            room = int(f.read())
        if room > 200000:
            self.skipTest("the kernel keeps %d events" % room)
        self.watcher.process.send_signal(signal.SIGSTOP)
        one, other = self.at("x.jpg"), self.at("y.jpg")
        for _ in range(room // 4 + 100):  # four events each, none like the one before
            for path in (one, other):
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            os.unlink(one)
            os.unlink(other)
        self.put("unseen/b.jpg", 2)
        self.watcher.process.send_signal(signal.SIGCONT)
        self.watcher.wait("overflow")
        self.until(["a.jpg", "unseen/b.jpg"])
        self.put("unseen/c.jpg", 3)  # and the folder that came unseen is watched
        self.until(["a.jpg", "unseen/b.jpg", "unseen/c.jpg"])
        self.stop()

    def test_too_few_watches(self):
        for i in range(6):
            self.put("d%d/a.jpg" % i, 1 + i)
        begun = self.watch("--max-watches", "3", "--every", "1", self.folder)
        self.assertEqual(begun["watches"], 3)
        told = self.watcher.wait("exhausted")
        self.assertIn("3 folders are watched, and for 4 there are no watches left",
                      told["message"])
        names = ["d%d/a.jpg" % i for i in range(6)]
        for i in range(6):
            self.put("d%d/b.jpg" % i, 50 + i)
        self.until(names + ["d%d/b.jpg" % i for i in range(6)])
        self.stop()

    def test_another_process_indexes(self):
        self.put("a.jpg", 1)
        self.watch()
        lock = os.path.join(self.library, "indexer.lock")
        holder = subprocess.Popen(["flock", lock, "-c", "echo held; read x"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(holder.stdout.readline(), b"held\n")
        self.put("b.jpg", 2)
        told = self.watcher.wait("waiting")
        self.assertIn("is being indexed by", told["message"])
        self.assertEqual(self.found(), {"a.jpg"})
        holder.communicate(b"\n")
        self.until(["a.jpg", "b.jpg"])
        # between its batches others have their turn; the last one may just be ending
        for _ in range(50):
            done = subprocess.run([OSPREY, "index", "--library", self.library, "--json"],
                                  capture_output=True, check=False)
            if b"is being indexed by" not in done.stderr:
                break
            time.sleep(0.2)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.stop()

    def test_folders_come_and_go(self):
        self.put("a.jpg", 1)
        second = os.path.join(self.dir, "second")
        os.mkdir(second)
        pictures.write(os.path.join(second, "s.jpg"), pictures.jpeg(5))
        subprocess.run([OSPREY, "index", "--library", self.library, "--quiet", self.folder],
                       check=True)
        self.watch("--quiet")  # all of the library; JSON is printed all the same
        subprocess.run([OSPREY, "index", "--library", self.library, "--quiet", second], check=True)
        self.assertEqual(self.watcher.wait("watching")["folders"], 2)
        pictures.write(os.path.join(second, "t.jpg"), pictures.jpeg(6))
        self.until(["a.jpg", "../second/s.jpg", "../second/t.jpg"])
        # not mounted: kept, and watched again when it is back
        away = os.path.join(self.dir, "away")
        os.rename(second, away)
        self.put("b.jpg", 7)
        self.until(["a.jpg", "b.jpg", "../second/s.jpg", "../second/t.jpg"])
        time.sleep(1)
        self.assertEqual(len(self.found()), 4)
        os.rename(away, second)
        pictures.write(os.path.join(second, "u.jpg"), pictures.jpeg(8))
        self.until(["a.jpg", "b.jpg", "../second/s.jpg", "../second/t.jpg", "../second/u.jpg"])
        subprocess.run([OSPREY, "forget", "--library", self.library, second], check=True,
                       capture_output=True)
        pictures.write(os.path.join(second, "v.jpg"), pictures.jpeg(9))
        self.put("c.jpg", 10)
        self.until(["a.jpg", "b.jpg", "c.jpg"])
        self.stop()

    def test_wrong_usage(self):
        for args in (["--no-such"], [self.folder + "/none"], ["--every", "x", self.folder],
                     ["--max-watches", "0", self.folder]):
            done = subprocess.run([OSPREY, "watch", "--library", self.library, *args],
                                  capture_output=True, check=False, timeout=LONGEST)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertTrue(done.stderr.startswith(b"osprey watch: "), done.stderr)
        done = subprocess.run([INDEXER, "--library", self.library, "--every", "3", self.folder],
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 2)
        done = subprocess.run([OSPREY, "watch", "--help"], capture_output=True, check=False)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"usage: osprey watch", done.stdout)


if __name__ == "__main__":
    unittest.main()
