"""The `openai` client's embeddings equal those of `osprey embed`."""

import base64
import json
import os
import subprocess
import unittest

import openai

import searchd

TEXTS = ["a red square", "zwei Hunde am Strand", "x" * 2000]
PICTURE = "exif.jpg"


class OpenAi(searchd.Served, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = searchd.Shop(3)
        cls.serve()
        cls.client = openai.OpenAI(base_url=cls.daemon.url + "/v1", api_key="unused", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        super().tearDownClass()

    def embedded(self, *args):
        run = subprocess.run([searchd.OSPREY, "embed", *args], check=True, capture_output=True)
        return json.loads(run.stdout.splitlines()[0])["embedding"]

    def assert_same(self, vector, expected):
        self.assertEqual(len(vector), len(expected))
        for a, b in zip(vector, expected, strict=True):
            self.assertAlmostEqual(a, b, places=5)

    def ask(self, what, **more):
        reply = self.client.embeddings.create(model="osprey-small", input=what, **more)
        self.assertEqual([d.index for d in reply.data], list(range(len(reply.data))))
        return [d.embedding for d in reply.data]

    def test_a_text(self):
        # left to itself the client asks for base64, and decodes it
        for more in ({}, {"encoding_format": "float"}):
            [vector] = self.ask(TEXTS[0], **more)
            self.assert_same(vector, self.embedded("--", TEXTS[0]))

    def test_a_list(self):
        vectors = self.ask(TEXTS)
        self.assertEqual(len(vectors), len(TEXTS))
        for vector, text in zip(vectors, TEXTS, strict=True):
            self.assert_same(vector, self.embedded("--", text))

    def test_base64(self):
        [text] = self.ask(TEXTS[1], encoding_format="base64")
        if isinstance(text, str):
            raw = base64.b64decode(text, validate=True)
            text = list(memoryview(raw).cast("f"))
        self.assert_same(text, self.embedded("--", TEXTS[1]))

    def test_a_picture_as_a_data_url(self):
        url = "data:image/jpeg;base64," + searchd.b64(searchd.read(PICTURE))
        expected = self.embedded("--image", os.path.join(searchd.DATA, PICTURE))
        vectors = self.ask([TEXTS[0], url])
        self.assert_same(vectors[1], expected)
        self.assert_same(vectors[0], self.embedded("--", TEXTS[0]))

    def test_refusals_are_the_client_s_own_errors(self):
        with self.assertRaises(openai.BadRequestError):
            self.ask("")
        with self.assertRaises(openai.BadRequestError):
            self.ask("a", dimensions=7)
        with self.assertRaises(openai.BadRequestError):
            self.ask("data:image/png;base64,AAAA")


if __name__ == "__main__":
    unittest.main(verbosity=2)
