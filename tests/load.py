"""Mixed load on searchd: searches, uploads, clients that hang up, slow ones that never
finish, and an indexer that adds pictures, for so many seconds (60):

    OSPREY_BUILD=build OSPREY_SOURCE=. python3 tests/load.py [SECONDS [FOLDER]]

The pictures that are added are made up, or those of a folder, spread over the time; for
thousands, numpy should be there. Every answer is checked: its order, that nothing comes
twice, that an uploaded picture finds itself; every tenth search against every stored
embedding, read from the catalogue: what was there before the request was sent, and is
better than the last result, must be among the results. Memory is followed; one JSON line
says what was seen.
"""

import collections
import json
import os
import random
import re
import socket
import sqlite3
import shutil
import struct
import sys
import threading
import time
import unittest

try:
    import numpy
except ImportError:
    numpy = None

import pictures
import searchd

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 60
GIVEN = sorted(e.path for e in os.scandir(sys.argv[2])) if len(sys.argv) > 2 else []
ARRIVE = 5 if SECONDS < 600 else 30  # seconds in which a request must have arrived
K = 15
PAUSE = 0.02  # seconds, about, between a client's requests
WORDS = "red blue green square stripes dog child beach snow night city tree".split()


with open(searchd.SEARCHD, "rb") as program:
    TSAN = b"__tsan_init" in (code := program.read())
    SANITIZED = TSAN or b"__asan_init" in code
if TSAN:
    # OpenMP's runtime is not instrumented: on one core there are no teams to see races in.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


class Embeddings:
    """What the catalogue holds, read on as it grows."""

    def __init__(self, library):
        self.file = "file:%s?mode=ro" % os.path.join(library, "catalog.db")
        self.ids, self.vectors, self.lock = [], [], threading.Lock()
        self.matrix = None  # of vectors, with numpy

    def known(self):
        """How many there are now; in order of their ids."""
        with self.lock:
            db = sqlite3.connect(self.file, uri=True, timeout=30)
            rows = db.execute("SELECT key & ((1 << 40) - 1), vector FROM embeddings WHERE key & "
                              "((1 << 40) - 1) > ? ORDER BY 1", (max(self.ids, default=0),)).fetchall()
            db.close()
            for i, vector in rows:
                self.ids.append(i)
                self.vectors.append(struct.unpack("<%de" % (len(vector) // 2), vector))
            if numpy and rows:
                new = numpy.array(self.vectors, dtype=numpy.float32)
                self.vectors = []
                self.matrix = new if self.matrix is None else numpy.vstack([self.matrix, new])
            return len(self.ids)

    def scores(self, query):
        """id -> score, of all that are known."""
        with self.lock:
            if numpy:
                return dict(zip(self.ids, (self.matrix @ numpy.array(query, dtype=numpy.float32)).tolist()))
            return {i: sum(map(float.__mul__, query, v)) for i, v in zip(self.ids, self.vectors)}


class Load(unittest.TestCase):
    def setUp(self):
        self.shop = searchd.Shop(60)
        self.addCleanup(self.shop.remove)
        self.shop.copy("exif.jpg")
        self.shop.index(self.shop.folder)
        self.daemon = searchd.Daemon("--port", "0", "--library", self.shop.library, "--log", "off",
                                     "--arrive-seconds", str(ARRIVE))
        self.addCleanup(self.daemon.stop)
        self.stored = Embeddings(self.shop.library)
        self.done, self.faults, self.seen = threading.Event(), [], collections.Counter()
        self.times, self.added, self.begun = [], 0, time.monotonic()

    def memory(self):
        with open("/proc/%d/status" % self.daemon.process.pid) as f:
            return int(re.search(r"RssAnon:\s+(\d+)", f.read()).group(1))

    def forever(self, work, seed):
        """Repeats it until the time is over; an exception is a fault."""
        rnd = random.Random("%s %d" % (work.__name__, seed))
        while not self.done.is_set() and len(self.faults) < 20:
            try:
                work(rnd)
                self.seen[work.__name__] += 1
            except Exception as e:  # pylint: disable=broad-except
                self.faults.append("%.0f s, %s: %r" % (time.monotonic() - self.begun, work.__name__, e))
                print(self.faults[-1], flush=True)

    def check_order(self, results):
        self.assertEqual(len({r["id"] for r in results}), len(results))
        keys = [(-r["score"], r["id"]) for r in results]
        self.assertEqual(keys, sorted(keys))

    def check_exactly(self, text, before, results):
        reply = self.daemon.post("/v1/embeddings", {"input": text})
        self.stored.known()
        scores = self.stored.scores(reply.json["data"][0]["embedding"])
        found = {r["id"]: r["score"] for r in results}
        for i, s in found.items():
            self.assertAlmostEqual(scores[i], s, delta=1e-4)
        least = min(found.values())
        missed = [i for i in before if i not in found and scores[i] > least + 1e-4]
        self.assertEqual(missed, [], text)

    def search(self, rnd):
        text = " ".join(rnd.choices(WORDS, k=4)) + " %d" % rnd.randrange(100000)
        exactly = rnd.random() < 0.1
        before = self.stored.ids[:self.stored.known()] if exactly else ()
        start = time.monotonic()
        results = self.daemon.get("/v1/search?k=%d&q=%s" % (K, text.replace(" ", "+"))).json["results"]
        self.times.append(time.monotonic() - start)
        self.assertEqual(len(results), K)
        self.check_order(results)
        if exactly:
            self.check_exactly(text, before, results)
            self.seen["checked exactly"] += 1
        time.sleep(rnd.uniform(0, 2 * PAUSE))

    def upload(self, rnd):
        reply = self.daemon.post("/v1/search", parts=[("image", searchd.read("exif.jpg")), ("k", "3")])
        results = reply.json["results"]
        self.check_order(results)
        self.assertEqual(results[0]["path"], "exif.jpg")
        self.assertGreater(results[0]["score"], 0.999)
        time.sleep(rnd.uniform(0, 4 * PAUSE))

    def hang_up(self, rnd):
        request = b"GET /v1/search?q=%d&k=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n" % rnd.randrange(10**9)
        with socket.create_connection((self.daemon.host, self.daemon.port), timeout=20) as s:
            s.sendall(request[:rnd.choice((10, 40, len(request)))])
            time.sleep(rnd.choice((0, 0.002, 0.02)))
        time.sleep(PAUSE)

    def dawdle(self, _):
        """One byte at a time: the daemon must end it, and not much later than it says."""
        request = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1000
        start = time.monotonic()
        with socket.create_connection((self.daemon.host, self.daemon.port), timeout=0.3) as s:
            for byte in request:
                if self.done.is_set():
                    return
                try:
                    s.sendall(bytes((byte,)))
                    if not s.recv(1000):
                        break
                except socket.timeout:
                    pass
                except OSError:
                    break
            self.assertLess(time.monotonic() - start, 4 * ARRIVE + 5)

    def add_pictures(self, rnd):
        """Twenty at a time, or as many as are due."""
        folder = os.path.join(self.shop.folder, "more%05d" % self.seen["add_pictures"])
        if GIVEN:
            due = int(len(GIVEN) * min(1, (time.monotonic() - self.begun) / SECONDS * 1.05))
            os.mkdir(folder)
            for path in GIVEN[self.added:due]:
                shutil.copy(path, folder)
            self.added = due
        else:
            pictures.fill(folder, 20, seed=1000 * (self.seen["add_pictures"] + 1))
        self.shop.index()
        self.done.wait(rnd.uniform(1, 4))

    def test_load(self):
        works = [self.search] * 4 + [self.upload, self.hang_up, self.add_pictures] + [self.dawdle] * 20
        threads = [threading.Thread(target=self.forever, args=(work, i))
                   for i, work in enumerate(works)]
        for t in threads:
            t.start()
        memory, images = [], []
        while time.monotonic() - self.begun < SECONDS and len(self.faults) < 20:
            self.done.wait(min(SECONDS / 20, 30))
            memory.append(self.memory())
            images.append(self.daemon.get("/v1/stats").json["images"])
        self.done.set()
        for t in threads:
            t.join()
        times = sorted(self.times)
        print(json.dumps({"seconds": SECONDS, "seen": self.seen, "images": images, "anon_kb": memory,
                          "search_ms": {"p%d" % p: round(times[len(times) * p // 100] * 1e3, 1)
                                        for p in (50, 90, 99)}}), flush=True)
        self.assertEqual(self.faults, [])
        for name in ("search", "checked exactly", "upload", "hang_up", "add_pictures"):
            self.assertGreater(self.seen[name], 2, self.seen)
        self.assertGreater(images[-1], len(GIVEN) or 100)
        # caches fill in the first half; in the second it may grow by the pictures that came
        half = len(memory) // 2
        most = (200000 if SANITIZED else 30000) + 4 * (images[-1] - images[half])
        self.assertLess(max(memory[half:]) - memory[half], most, memory)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
