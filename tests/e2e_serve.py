"""Drives osprey serve over HTTP: answers, errors, refusals, and an indexer beside it.

Python's standard library alone; the server is started on a free port and stopped.
"""
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest
import urllib.parse

import pictures

OSPREY = os.path.join(os.environ["OSPREY_BUILD"], "osprey")


class Serve(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tmp = tempfile.mkdtemp(prefix="osprey-serve-")
        cls.folder = os.path.join(cls.tmp, "pictures")
        cls.library = os.path.join(cls.tmp, "library")
        os.mkdir(cls.folder)
        pictures.fill(cls.folder, 12)
        cls.osprey("index", cls.folder)
        cls.server = subprocess.Popen(
            [OSPREY, "--json", "serve", "--port", "0", "--library", cls.library],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        cls.url = urllib.parse.urlsplit(json.loads(cls.server.stdout.readline())["url"])

    @classmethod
    def tearDownClass(cls):
        cls.server.send_signal(signal.SIGTERM)
        cls.server.communicate(timeout=10)
        shutil.rmtree(cls.tmp)
        assert cls.server.returncode == 0, cls.server.returncode

    @classmethod
    def osprey(cls, command, *args):
        return subprocess.run([OSPREY, command, "--json", "--library", cls.library, *args],
                              check=True, capture_output=True).stdout.decode()

    def ask(self, path, status=200, method="GET", headers=None, body=None):
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=10)
        try:
            connection.request(method, path, headers=headers or {}, body=body)
            reply = connection.getresponse()
            self.assertEqual(reply.status, status, path)
            self.assertEqual(reply.getheader("Content-Type"), "application/json")
            data = reply.read()
        finally:
            connection.close()
        answer = json.loads(data) if data else None
        if status >= 400 and answer:
            self.assertEqual(set(answer["error"]), {"code", "message"})
        return answer

    def test_search_equals_the_command_line(self):
        by_http = self.ask("/v1/search?q=a+red+square&k=5")
        by_cli = [json.loads(line) for line in self.osprey("search", "-k", "5", "a red square").splitlines()]
        self.assertEqual(by_http["total"], 5)
        for there, here in zip(by_http["results"], by_cli, strict=True):
            self.assertEqual(there["id"], here["id"])
            self.assertEqual(there["rank"], here["rank"])
            self.assertAlmostEqual(there["score"], here["score"], places=5)
            self.assertEqual(os.path.join(there["folder"], there["path"]), here["path"])
        self.assertGreater(by_http["took_ms"]["encode"], 0)

    def test_an_image_and_its_like(self):
        first = self.ask("/v1/search?q=anything&k=1")["results"][0]
        image = self.ask("/v1/images/%d" % first["id"])
        self.assertEqual(image["path"], first["path"])
        like = self.ask("/v1/images/%d/similar?k=3" % first["id"])["results"]
        self.assertEqual(len(like), 3)
        self.assertEqual(like[0]["id"], first["id"])
        self.assertAlmostEqual(like[0]["score"], 1, places=2)

    def test_what_an_indexer_adds_is_found(self):
        before = self.ask("/v1/stats")
        extra = os.path.join(self.folder, "late.png")
        with open(extra, "wb") as f:
            f.write(pictures.png(999))
        self.osprey("index")
        after = self.ask("/v1/stats")
        self.assertEqual(after["images"], before["images"] + 1)
        self.assertGreater(after["generation"], before["generation"])
        found = [r["path"] for r in self.ask("/v1/search?q=x&k=100")["results"]]
        self.assertIn("late.png", found)
        os.remove(extra)
        self.osprey("index")
        found = [r["path"] for r in self.ask("/v1/search?q=x&k=100")["results"]]
        self.assertNotIn("late.png", found)

    def test_bad_requests_are_400(self):
        for query in ("", "?q=", "?k=3", "?q=a&k=0", "?q=a&k=1001", "?q=a&k=x", "?q=a&k=-1",
                      "?q=a&nonsense=1", "?q=a&k=99999999999999999999"):
            self.ask("/v1/search" + query, 400)
        self.ask("/v1/stats?x=1", 400)

    def test_unknown_things_are_404(self):
        for path in ("/v1", "/page/none.js", "/v1/images/", "/v1/images/999999", "/v1/images/1x",
                     "/v1/images/999999/similar", "/v1/images/../../etc/passwd",
                     "/v1/images/99999999999999999999"):
            self.ask(path, 404)

    def test_only_get(self):
        self.ask("/v1/stats", 405, method="POST", body=b"x" * 100000)
        self.ask("/v1/stats", 405, method="DELETE")
        self.ask("/v1/stats", method="HEAD")

    def test_other_hosts_are_refused(self):
        for host in ("evil.example", "127.evil.example", "localhost.evil.example", "127.0.0.1.evil", "a b", "[::1"):
            self.ask("/v1/stats", 403, headers={"Host": host})
        for host in ("localhost", "localhost:7373", "127.0.0.1:80", "[::1]:80"):
            self.ask("/v1/stats", headers={"Host": host})

    def test_a_page_full_of_text(self):
        self.ask("/v1/search?q=" + "word+" * 2000 + "&k=1")
        self.ask("/v1/search?q=%FF%FE%00%80&k=1")

    def test_wrong_usage(self):
        for args in (["--port", "70000"], ["--listen", "0.0.0.0"], ["--listen", "example"],
                     ["--nonsense"], ["extra"], ["--port"], ["-k", "0"], ["--precision", "f8"]):
            done = subprocess.run([OSPREY, "serve", "--library", self.library, *args],
                                  capture_output=True, timeout=30)
            self.assertEqual(done.returncode, 2, args)
            self.assertEqual(done.stdout, b"")
            self.assertIn(b"osprey serve: ", done.stderr)
        missing = subprocess.run([OSPREY, "serve", "--library", os.path.join(self.tmp, "none")],
                                 capture_output=True, timeout=30)
        self.assertEqual(missing.returncode, 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
