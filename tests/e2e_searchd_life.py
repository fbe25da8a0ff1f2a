"""A daemon's life: settings, full queues, stopping, reading settings again, and an
indexer that works beside it."""

import concurrent.futures
import contextlib
import fcntl
import json
import os
import re
import signal
import sqlite3
import subprocess
import threading
import time
import unittest

import pictures
import searchd

LABELS = ["a thing of kind %d" % i for i in range(80)]
TOKENS = ("first-token-0123456789", "second-token-0123456789")


def bearer(token):
    return {"Authorization": "Bearer " + token}


class Life(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = searchd.Shop(8)
        cls.shop.index(cls.shop.folder)

    @classmethod
    def tearDownClass(cls):
        cls.shop.remove()

    def start(self, *args, **more):
        daemon = searchd.Daemon("--port", "0", "--library", self.shop.library, *args, **more)
        self.addCleanup(daemon.stop)
        return daemon

    def file(self, name, text):
        path = os.path.join(self.shop.tmp, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def hits(self, daemon):
        return len(daemon.get("/v1/search?q=a").json["results"])

    # ---- Settings ----

    def test_flags_weigh_more_than_the_environment_and_that_more_than_the_file(self):
        file = self.file("conf", "# settings\n\n k = 2\nmax-k = 6 \nlog = json\n")
        config = ("--config", file)
        self.assertEqual(self.hits(self.start(*config)), 2)
        self.assertEqual(self.hits(self.start(env={"OSPREY_CONFIG": file})), 2)
        daemon = self.start(*config, env={"OSPREY_K": "3"})
        self.assertEqual(self.hits(daemon), 3)
        daemon.get("/v1/search?q=a&k=6")
        daemon.get("/v1/search?q=a&k=7", 400)
        daemon = self.start(*config, "-k", "4", env={"OSPREY_K": "3", "OSPREY_MAX_K": "5"})
        self.assertEqual(self.hits(daemon), 4)
        daemon.get("/v1/search?q=a&k=6", 400)

    def test_lists_come_from_one_place(self):
        file = self.file("lists", "library = one=%s\nlibrary = two=%s\n" % ((self.shop.library,) * 2))
        daemon = searchd.Daemon("--port", "0", "--config", file)
        self.addCleanup(daemon.stop)
        self.assertEqual(daemon.get("/v1/libraries").json["libraries"], ["one", "two"])
        daemon = searchd.Daemon("--port", "0", "--config", file,
                                env={"OSPREY_LIBRARY": "three=%s,four=%s" % ((self.shop.library,) * 2)})
        self.addCleanup(daemon.stop)
        self.assertEqual(daemon.get("/v1/libraries").json["libraries"], ["three", "four"])
        daemon = self.start("--config", file)
        self.assertEqual(daemon.get("/v1/libraries").json["libraries"], ["default"])

    def test_wrong_settings(self):
        def fails(status, *args, env=None):
            clean = {k: v for k, v in os.environ.items() if not k.startswith("OSPREY_")}
            run = subprocess.run([searchd.SEARCHD, "--port", "0", "--library", self.shop.library, *args],
                                 capture_output=True, timeout=30, env=dict(clean, **(env or {})))
            self.assertEqual(run.returncode, status, (args, env, run.stderr))
            self.assertEqual(run.stdout, b"")
            return run.stderr.decode()

        for text, said in (("k = 0", "line 1: k"), ("\nnonsense = 1", "line 2: nonsense"), ("k", "line 1"),
                           ("k = 1\nk = 2", "given twice"), ("log = loud", "line 1: log"),
                           ("queue = 0", "queue"), ("listen =", "listen")):
            self.assertIn(said, fails(2, "--config", self.file("wrong", text)))
        fails(3, "--config", os.path.join(self.shop.tmp, "none"))
        self.assertIn("OSPREY_K", fails(2, env={"OSPREY_K": "many"}))
        for args in (["-k", "2000"], ["-k", "9", "--max-k", "8"], ["--queue", "0"], ["--workers", "0"],
                     ["--trust", "10.0.0.0/33"], ["--trust", "x"], ["--host", "a b"], ["--cors", "here"],
                     ["--listen", "example"], ["--listen", "unix:"], ["--listen", "unix:" + "x" * 200],
                     ["--library", self.shop.library], ["--log", "xml"], ["--timeout", "0"]):
            fails(2, *args)
        busy = self.start()
        fails(3, "--port", str(busy.port))

    # ---- Load ----

    def test_a_full_queue_says_come_again(self):
        daemon = self.start("--workers", "1", "--queue", "2")
        image = daemon.get("/v1/images?limit=1").json["images"][0]["id"]

        def ask(i):
            labels = ["%s, the %dth" % (text, i) for text in LABELS[:40]]
            return daemon.post("/v1/classify", {"id": image, "labels": labels}, None)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(ask, range(8)))
        codes = [r.status for r in replies]
        self.assertEqual(set(codes), {200, 429}, codes)
        for r in replies:
            if r.status == 429:
                self.assertGreaterEqual(int(r.headers["Retry-After"]), 1)
        daemon.get("/healthz")
        self.assertEqual(self.hits(daemon), 8)

    def test_texts_at_the_same_time_are_encoded_together(self):
        daemon = self.start("--workers", "16", "--cache", "0")
        alone = {i: daemon.get("/v1/search?q=word+%d&k=8" % i).json["results"] for i in range(24)}

        def count():
            lines = daemon.get("/metrics").body.decode().splitlines()
            values = dict(line.rsplit(" ", 1) for line in lines if line[0] != "#")
            return [float(values["osprey_text_%s_total" % n]) for n in ("batches", "batched")]

        before = count()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda i: (i % 24, daemon.get("/v1/search?q=word+%d&k=8" % (i % 24))),
                                  range(192)))
        batches, texts = (b - a for a, b in zip(before, count(), strict=True))
        self.assertEqual(texts, 192)
        self.assertLess(batches, texts)
        for i, reply in found:
            for a, b in zip(reply.json["results"], alone[i], strict=True):
                self.assertAlmostEqual(a["score"], b["score"], places=4)

    def test_known_texts_are_not_encoded_again(self):
        daemon = self.start("--cache", "2")
        for text in ("a", "b", "a", "c", "a", "b"):  # b went when c came
            daemon.get("/v1/search?q=" + text)
        text = daemon.get("/metrics").body.decode()
        self.assertIn("osprey_cache_hits_total 2\n", text)
        self.assertIn("osprey_cache_misses_total 4\n", text)
        self.assertIn("osprey_cached_texts 2\n", text)

    def test_time_runs_out(self):
        daemon = self.start("--timeout", "1", "--workers", "1", "--cache", "0")
        image = daemon.get("/v1/images?limit=1").json["images"][0]["id"]
        long = {"id": image, "labels": [("word " * 150) + str(i) for i in range(800)]}
        self.assertEqual(daemon.post("/v1/classify", long, 503).json["error"]["code"], "unavailable")
        self.assertEqual(daemon.get("/healthz").json, {"status": "ok"})

    # ---- Stop and reload ----

    def test_stopping_finishes_what_was_accepted(self):
        daemon = self.start("--workers", "2")
        image = daemon.get("/v1/images?limit=1").json["images"][0]["id"]
        body = json.dumps({"id": image, "labels": LABELS}).encode()
        connections = [daemon.connect() for _ in range(4)]
        for c in connections:
            c.request("POST", "/v1/classify", body=body, headers={"Content-Type": "application/json"})
        while "osprey_requests_in_flight 1\n" in daemon.get("/metrics").body.decode():
            time.sleep(0.01)
        daemon.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with self.assertRaises(OSError):
            daemon.get("/healthz")
        for c in connections:
            reply = c.getresponse()
            self.assertEqual(reply.status, 200)
            self.assertEqual(len(json.loads(reply.read())["results"]), len(LABELS))
            c.close()
        self.assertEqual(daemon.process.wait(timeout=20), 0)
        self.assertIn("finishing", daemon.stop())

    def test_tokens_are_read_again(self):
        file = self.file("tokens", TOKENS[0] + "\n")
        daemon = self.start("--token-file", file)
        daemon.get("/v1/stats", headers=bearer(TOKENS[0]))
        daemon.get("/v1/stats", 401, headers=bearer(TOKENS[1]))
        self.file("tokens", TOKENS[1] + "\n")
        daemon.process.send_signal(signal.SIGHUP)
        self.wait(lambda: daemon.get("/v1/stats", None, headers=bearer(TOKENS[1])).status == 200)
        daemon.get("/v1/stats", 401, headers=bearer(TOKENS[0]))
        self.file("tokens", "bad\n")  # a mistake changes nothing
        daemon.process.send_signal(signal.SIGHUP)
        self.wait(lambda: "stay as they were" in daemon.log_text())
        daemon.get("/v1/stats", headers=bearer(TOKENS[1]))

    def wait(self, what, seconds=10):
        end = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    def test_lines_of_the_log(self):
        daemon = self.start("--log", "json")
        daemon.get("/v1/search?q=secret+wish")
        daemon.get("/v1/nothing%0Ahere", 404)
        text = daemon.stop()
        lines = [json.loads(line) for line in text.splitlines()]
        asked = [x for x in lines if x["event"] == "request"]
        self.assertEqual([(x["path"], x["status"]) for x in asked],
                         [("/v1/search", 200), ("/v1/nothing\nhere", 404)])
        self.assertGreater(asked[0]["ms"], 0)
        self.assertEqual({x["event"] for x in lines}, {"serving", "request", "stopping"})
        self.assertNotIn("secret", text)
        daemon = self.start("--log", "text")
        daemon.get("/v1/nothing%0Ahere%1b", 404)
        self.assertIn(" GET /v1/nothing?here? 404 ", daemon.stop())

    # ---- The command line asks it ----

    def search(self, *args, env=None, status=0):
        run = subprocess.run([searchd.OSPREY, "search", "--json", "--library", self.shop.library, *args],
                             capture_output=True, env=dict(os.environ, **(env or {})))
        self.assertEqual(run.returncode, status, run.stderr)
        return [json.loads(line) for line in run.stdout.splitlines()]

    def asked(self, daemon):
        text = daemon.get("/metrics").body.decode()
        return sum(float(n) for n in re.findall(
            r'osprey_replies_total\{route="/v1/search",status="200"\} (\d+)', text))

    def assert_same(self, there, here):
        self.assertEqual([(r["rank"], r["id"], r["path"]) for r in there],
                         [(r["rank"], r["id"], r["path"]) for r in here])
        self.assertEqual(set(there[0]), set(here[0]))
        for a, b in zip(there, here, strict=True):
            self.assertAlmostEqual(a["score"], b["score"], places=4)

    def test_the_command_line_asks_the_daemon(self):
        daemon = self.start()
        picture = os.path.join(self.shop.folder, "d1", "0001.jpg")
        for i, terms in enumerate((["a", "red", "thing"], ["a dog", "-", "2:a cat"], ["--image", picture],
                                   ["blue", "--in", self.shop.folder + "/d1"],
                                   ["blue", "--min-score", "0", "-k", "3"])):
            here = self.search("--server", "none", *terms)
            self.assertEqual(self.asked(daemon), 2 * i)
            self.assert_same(self.search(*terms), here)  # found by itself
            self.assert_same(self.search("--server", daemon.url, *terms), here)
            self.assertEqual(self.asked(daemon), 2 * i + 2)
        before = self.asked(daemon)
        self.search("a", "-k", "5000")  # more than it gives: answered without
        self.search("a", "--model", "osprey-small")
        self.assertEqual(self.asked(daemon), before)
        self.search("a", "-k", "5000", "--server", daemon.url, status=2)
        self.search("a", "--min-score", "0.999", status=1)
        daemon.stop()
        self.assertEqual(len(self.search("a")), 8)
        self.search("a", "--server", daemon.url, status=3)

    def test_the_command_line_has_a_token(self):
        file = self.file("tokens", TOKENS[0] + "\n")
        path = os.path.join(self.shop.tmp, "with space.socket")
        daemon = self.start("--token-file", file)
        self.assertEqual(len(self.search("a")), 8)  # without it
        self.search("a", "--server", daemon.url, status=3)
        self.search("a", "--server", daemon.url, env={"OSPREY_TOKEN": TOKENS[1]}, status=3)
        self.assertEqual(len(self.search("a", "--server", daemon.url + "/?library=default",
                                         env={"OSPREY_TOKEN": TOKENS[0]})), 8)
        daemon.stop()
        daemon = self.start("--listen", "unix:" + path, "--token-file", file)
        self.assertEqual(len(self.search("a", "--server", daemon.url)), 8)
        self.assertEqual(len(self.search("a")), 8)
        self.assertEqual(self.asked(daemon), 2)

    def test_an_address_elsewhere_is_not_believed(self):
        for url in ("http://example.invalid:80", "http://127.0.0.1:80@example.invalid", "x"):
            with open(os.path.join(self.shop.library, "searchd.lock"), "w") as f:
                f.write(url)
                f.flush()
                fcntl.flock(f, fcntl.LOCK_EX)
                self.assertEqual(len(self.search("a")), 8)

    # ---- An indexer beside it ----

    def test_a_library_that_fills_while_it_is_served(self):
        shop = searchd.Shop(0)
        self.addCleanup(shop.remove)
        shop.index(shop.folder)
        with contextlib.closing(sqlite3.connect(os.path.join(shop.library, "catalog.db"))) as db:
            db.execute("UPDATE models SET state = 'retired'")  # as before the first run
            db.commit()
        daemon = searchd.Daemon("--port", "0", "--library", shop.library)
        self.addCleanup(daemon.stop)
        daemon.get("/healthz")
        self.assertEqual(daemon.get("/v1/stats").json["images"], 0)
        for path in ("/readyz", "/v1/search?q=a"):
            self.assertIn("no pictures", daemon.get(path, 503).json["error"]["message"])
        self.assertEqual(daemon.get("/v1/images").json["images"], [])
        pictures.fill(shop.folder, 5)
        shop.index()
        self.assertEqual(self.hits(daemon), 5)
        daemon.get("/readyz")

    def test_stats_tell_of_an_indexer(self):
        daemon = self.start()
        self.assertIs(daemon.get("/v1/stats").json["indexing"], False)
        with open(os.path.join(self.shop.library, "indexer.lock"), "a") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            self.assertIs(daemon.get("/v1/stats").json["indexing"], True)
        self.assertIs(daemon.get("/v1/stats").json["indexing"], False)

    def test_everything_is_right_while_an_indexer_commits(self):
        shop = searchd.Shop(40)
        self.addCleanup(shop.remove)
        shop.index(shop.folder)
        daemon = searchd.Daemon("--port", "0", "--library", shop.library)
        self.addCleanup(daemon.stop)
        first = {r["path"] for r in daemon.get("/v1/search?q=a&k=1000").json["results"]}
        done, faults, answers = threading.Event(), [], [0]

        def look(i):
            while not done.is_set():
                try:
                    found = daemon.get("/v1/search?q=query+%d&k=1000" % i).json["results"]
                    paths = [r["path"] for r in found]
                    if len(set(paths)) != len(paths) or not first <= set(paths):
                        faults.append("wrong pictures")
                    if sorted((-r["score"], r["id"]) for r in found) != \
                            [(-r["score"], r["id"]) for r in found]:
                        faults.append("wrong order")
                    answers[0] += 1
                except (AssertionError, OSError) as e:
                    faults.append(repr(e))
                    return

        threads = [threading.Thread(target=look, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for i in range(4):
            pictures.fill(os.path.join(shop.folder, "more%d" % i), 30, seed=1000 * (i + 1))
            shop.index()
            n = 40 + 30 * (i + 1)
            self.wait(lambda: len(daemon.get("/v1/search?q=a&k=1000").json["results"]) == n, 2)
        done.set()
        for t in threads:
            t.join()
        self.assertEqual(faults, [])
        self.assertGreater(answers[0], 10)
        self.assertEqual([r["id"] for r in daemon.get("/v1/search?q=a+dog&k=20").json["results"]],
                         [r["id"] for r in shop.search("-k", "20", "a dog")])


if __name__ == "__main__":
    unittest.main(verbosity=2)
