"""What an immich server sends to its machine-learning service, byte for byte as
Node's fetch puts a form together; the answers must be what it stores and searches by.

immich asks GET /ping until it is answered, then POST /predict with the part
`entries` (JSON) and `text`, or `image`: a Blob without a name, so a file called
"blob" of type application/octet-stream. It reads `clip`, a string that its database
takes for a vector, and for a picture imageHeight and imageWidth.
"""

import concurrent.futures
import http.client
import json
import os
import random
import subprocess
import unittest

import searchd

NAMES = ("ViT-B-32__openai", "osprey-small", "XLM-Roberta-Large-Vit-B-16Plus")


def node_form(parts, rnd):
    """(body, Content-Type); a value of bytes is a Blob."""
    boundary = "----formdata-undici-0%011d" % rnd.randrange(10**11)
    body = b""
    for name, value in parts:
        body += b"--%s\r\nContent-Disposition: form-data; name=\"%s\"" % (
            boundary.encode(), name.encode())
        if isinstance(value, bytes):
            body += b"; filename=\"blob\"\r\nContent-Type: application/octet-stream\r\n\r\n"
            body += value + b"\r\n"
        else:
            lines = value.replace("\r\n", "\n").replace("\n", "\r\n")
            body += b"\r\n\r\n" + lines.encode() + b"\r\n"
    body += b"--%s--\r\n" % boundary.encode()
    return body, "multipart/form-data; boundary=" + boundary


class Immich(searchd.Served, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rnd = random.Random(1)
        cls.shop = searchd.Shop(3)
        cls.serve()

    def fetch(self, method, path, body=None, headers=()):
        connection = http.client.HTTPConnection(self.daemon.host, self.daemon.port, timeout=60)
        connection.putrequest(method, path, skip_accept_encoding=True)
        sent = {"Connection": "keep-alive", "Accept": "*/*", "Accept-Language": "*",
                "Sec-Fetch-Mode": "cors", "User-Agent": "node", "Accept-Encoding": "gzip, deflate",
                **dict(headers)}
        if body is not None:
            sent["Content-Length"] = str(len(body))
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer, data

    def predict(self, config, expect=200, **payload):
        parts = [("entries", json.dumps(config, separators=(",", ":"))), *payload.items()]
        body, kind = node_form(parts, self.rnd)
        answer, data = self.fetch("POST", "/predict", body, {"Content-Type": kind})
        self.assertEqual(answer.status, expect, data[:300])
        self.assertEqual(answer.getheader("Content-Type").split(";")[0], "application/json")
        return json.loads(data)

    def vector(self, text):
        """As PostgreSQL's vector type reads it."""
        self.assertIsInstance(text, str)
        self.assertRegex(text, r"^\[-?[0-9][0-9.e+-]*(,-?[0-9][0-9.e+-]*)*\]$")
        return [float(x) for x in text[1:-1].split(",")]

    def assert_embedded(self, vector, *args):
        run = subprocess.run([searchd.OSPREY, "embed", *args], check=True, capture_output=True)
        expected = json.loads(run.stdout.splitlines()[0])["embedding"]
        self.assertEqual(len(vector), len(expected))
        for a, b in zip(vector, expected, strict=True):
            self.assertAlmostEqual(a, b, places=5)

    def test_ping(self):
        answer, data = self.fetch("GET", "/ping")
        self.assertEqual((answer.status, data), (200, b"pong"))

    def test_encode_text(self):
        for text, options in (("a dog on a beach", {}), ("two lines\nof text", {"language": "de"}),
                              ("Käse \U0001f9c0", {"language": "en"})):
            config = {"clip": {"textual": {"modelName": NAMES[0], "options": options}}}
            answer = self.predict(config, text=text)
            self.assertEqual(set(answer), {"clip"})
            expected = text.replace("\n", "\r\n")
            self.assert_embedded(self.vector(answer["clip"]), "--", expected)

    def test_encode_image(self):
        for name, size in (("exif.jpg", None), ("orient-6.jpg", None), ("rgb8.png", None)):
            config = {"clip": {"visual": {"modelName": self.rnd.choice(NAMES)}}}
            answer = self.predict(config, image=searchd.read(name))
            self.assertEqual(set(answer), {"clip", "imageHeight", "imageWidth"})
            self.assertGreater(min(answer["imageHeight"], answer["imageWidth"]), 0, size)
            self.assert_embedded(self.vector(answer["clip"]), "--image",
                                 os.path.join(searchd.DATA, name))

    def test_many_at_once(self):
        """immich runs several jobs side by side; each gets its own picture's vector."""
        names = ["exif.jpg", "rgb8.png", "grey8.png", "orient-1.jpg"] * 4
        config = {"clip": {"visual": {"modelName": NAMES[0]}}}
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(
                lambda name: self.predict(config, image=searchd.read(name))["clip"], names))
        self.assertEqual(len(set(answers)), len(set(names)))
        for name, answer in zip(names, answers, strict=True):
            self.assertEqual(answer, answers[names.index(name)])

    def test_other_tasks_are_refused(self):
        """Faces and text in pictures are not this service's: immich tries its next one."""
        faces = {"facial-recognition": {"detection": {"modelName": "buffalo_l",
                                                      "options": {"minScore": 0.7}},
                                        "recognition": {"modelName": "buffalo_l"}}}
        answer = self.predict(faces, expect=400, image=searchd.read("exif.jpg"))
        self.assertIn("clip", answer["error"]["message"])
        self.predict({"clip": {"visual": {"modelName": "x"}}}, expect=400, image=b"no picture")


if __name__ == "__main__":
    unittest.main(verbosity=2)
