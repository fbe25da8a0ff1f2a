"""Thousands of malformed requests, as bytes: nothing they say may bring the daemon
down, cost it memory for good, or earn a 500."""

import collections
import concurrent.futures
import os
import random
import re
import socket
import unittest

import searchd
from searchd import read

ROUNDS = int(os.environ.get("OSPREY_RAW_ROUNDS", "3000"))
SEED = 20240501
with open(searchd.SEARCHD, "rb") as program:
    SANITIZED = b"__asan_init" in (code := program.read()) or b"__tsan_init" in code

TEXT = b"GET /v1/search?q=a+red+square&k=3 HTTP/1.1\r\nHost: localhost\r\n\r\n"


def samples():
    """Requests that are right."""
    def post(path, body, kind):
        return (b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
                % (path, kind.encode(), len(body))) + body

    json_type = "application/json"
    body, kind = searchd.form([("image", read("exif.jpg")), ("k", "1")])
    predict, predict_kind = searchd.form([("entries", '{"clip": {"textual": {}}}'), ("text", "a")])
    return [
        TEXT,
        b"GET /v1/images?limit=3&order=date HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/images/1/file HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-9\r\n\r\n",
        b"GET /v1/images/2/thumbnail?size=160 HTTP/1.0\r\nIf-None-Match: \"a\", W/\"b\"\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: localhost\r\nCookie: osprey_token=abc; x=y\r\n\r\n",
        post(b"/v1/search", b'{"terms": [{"text": "a", "weight": 1.5}], "k": 2}', json_type),
        post(b"/v1/search", body, kind),
        post(b"/predict", predict, predict_kind),
        post(b"/v1/embeddings", b'{"input": ["a"], "encoding_format": "base64"}', json_type),
        post(b"/v1/classify", b'{"labels": ["a", "b"], "id": 1}', json_type),
        post(b"/knn-service", b'{"text": "a", "num_images": 2, "image": null}', json_type),
        b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n8\r\n{\"q\": \"a\r\n2\r\n\"}\r\n0\r\n\r\n",
    ]


def mutate(rnd, data):
    data = bytearray(data)
    for _ in range(rnd.choice((1, 1, 2, 5, 30))):
        at = rnd.randrange(len(data) + 1)
        way = rnd.randrange(9)
        if way == 0 and data:
            data[at % len(data)] = rnd.randrange(256)
        elif way == 1:
            data[at:at] = rnd.randbytes(rnd.randrange(1, 20))
        elif way == 2:
            del data[at:at + rnd.randrange(1, 30)]
        elif way == 3:
            del data[at:]
        elif way == 4:
            data[at:at] = data[at // 2:at]
        elif way == 5:
            data[at:at] = rnd.choice((b"\r\n", b"\n", b"\0", b"%00", b"%ff", b"%", b"\r\n\r\n", b": ",
                                      b"--", b"\"", b"{}", b"[", b"&", b"=", b"\xff\xfe"))
        elif way == 6:
            numbers = list(re.finditer(rb"\d+", bytes(data)))
            if numbers:
                n = rnd.choice(numbers)
                data[n.start():n.end()] = rnd.choice((b"0", b"-1", b"99999999999999999999", b"1e9", b"0x10",
                                                      b"18446744073709551616", b"007", b"", b"4294967296"))
        elif way == 7:
            lines = bytes(data).split(b"\r\n")
            rnd.shuffle(lines)
            data = bytearray(b"\r\n".join(lines))
        else:
            data[at:at] = rnd.choice((b"a", b"%41", b" ")) * rnd.randrange(1, 3000)
    return bytes(data)


HAND_MADE = [
    b"", b"\r\n\r\n", b"GET", b"GET / HTTP/1.1", b"GET / HTTP/9.9\r\n\r\n", b"GET / \r\n\r\n", b"\0" * 100,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 300,  # TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT evil:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET http://evil.example/v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /v1/stats HTTP/1.1\r\n\r\n",
    b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n",
    b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\nGET /v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nx",
    b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"a" * 60000),
    TEXT * 200,
]


class Raw(searchd.Served, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = searchd.Shop(4)
        cls.serve("--max-body", "200000")

    def throw(self, data):
        """Sends bytes and reads what is answered, for a while; then hangs up."""
        with socket.create_connection((self.daemon.host, self.daemon.port), timeout=20) as s:
            out = b""
            try:
                s.sendall(data)
                s.settimeout(0.3)
                while some := s.recv(65536):
                    out += some
            except OSError:
                pass
        statuses = [int(x) for x in re.findall(rb"HTTP/1\.[01] (\d{3}) ", out)]
        self.assertNotIn(500, statuses, data[:300])
        return statuses

    def throw_all(self, many):
        """Some at a time, since many are never answered.
        How often each status came."""
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            return collections.Counter(s for found in pool.map(self.throw, many) for s in found)

    def memory(self):
        with open("/proc/%d/status" % self.daemon.process.pid) as f:
            return int(re.search(r"RssAnon:\s+(\d+)", f.read()).group(1))

    def test_right_ones_are_answered(self):
        for data in samples():
            with socket.create_connection((self.daemon.host, self.daemon.port), timeout=20) as s:
                s.sendall(data)
                self.assertRegex(s.recv(65536), rb"^HTTP/1\.[01] (200|206) ", data[:60])

    def test_hand_made_ones(self):
        self.throw_all(HAND_MADE)
        self.daemon.get("/healthz")

    def test_thousands(self):
        rnd = random.Random(SEED)
        right = samples()
        self.throw_all(mutate(rnd, rnd.choice(right)) for _ in range(500))
        before = self.memory()
        seen = self.throw_all(mutate(rnd, rnd.choice(right)) for _ in range(ROUNDS))
        self.assertIsNone(self.daemon.process.poll())
        self.assertEqual(len(self.daemon.get("/v1/search?q=a&k=3").json["results"]), 3)
        self.assertGreater(seen[400], 100, seen)
        self.assertGreater(seen[200], 20, seen)
        most = 600000 if SANITIZED else 30000  # kB; sanitizers hold on to what was freed
        self.assertLess(self.memory() - before, most, (before, self.memory()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
