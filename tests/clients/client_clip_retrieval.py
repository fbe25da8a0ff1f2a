"""clip-retrieval's ClipClient finds the right pictures."""

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import unittest

import requests

import searchd


def clip_client():
    """Its client module alone: the package around it imports PyTorch and more."""
    package = importlib.metadata.distribution("clip-retrieval")
    path = package.locate_file("clip_retrieval/clip_client.py")
    spec = importlib.util.spec_from_file_location("clip_client", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


clip = clip_client()


class ClipRetrieval(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = searchd.Shop(12)
        for name in ("exif.jpg", "orient-6.jpg"):
            cls.shop.copy(name)
        cls.shop.index(cls.shop.folder)
        cls.other = searchd.Shop(2)
        cls.other.index(cls.other.folder)
        cls.daemon = searchd.Daemon("--port", "0", "--library", "first=" + cls.shop.library,
                                    "--library", "second=" + cls.other.library)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        cls.shop.remove()
        cls.other.remove()

    def client(self, name="first", **more):
        return clip.ClipClient(url=self.daemon.url + "/knn-service", indice_name=name, **more)

    def assert_found(self, found, expected):
        """The pictures, in order, as the command line has them."""
        self.assertEqual([(r["id"], os.path.join(self.shop.folder, r["caption"])) for r in found],
                         [(h["id"], h["path"]) for h in expected])
        for r, h in zip(found, expected, strict=True):
            self.assertAlmostEqual(r["similarity"], h["score"], places=5)

    def test_text(self):
        found = self.client(num_images=5).query(text="a red square")
        self.assert_found(found, self.shop.search("-k", "5", "a red square"))

    def test_a_picture_s_file(self):
        for name in ("exif.jpg", "orient-6.jpg"):
            path = os.path.join(self.shop.folder, name)
            found = self.client(num_images=4).query(image=path)
            self.assertEqual(found[0]["caption"], name)
            self.assert_found(found, self.shop.search("-k", "4", "--image", path))

    def test_an_embedding(self):
        text = "a red square"
        run = subprocess.run([searchd.OSPREY, "embed", "--", text], check=True,
                             capture_output=True)
        vector = json.loads(run.stdout.splitlines()[0])["embedding"]
        self.assert_found(self.client(num_images=6).query(embedding_input=vector),
                          self.shop.search("-k", "6", text))

    def test_the_url_leads_to_the_picture(self):
        path = os.path.join(self.shop.folder, "exif.jpg")
        first = self.client(num_images=1).query(image=path)[0]
        with open(path, "rb") as f:
            self.assertEqual(requests.get(first["url"], timeout=20).content, f.read())

    def test_the_name_of_the_index_chooses_the_library(self):
        self.assertEqual(len(self.client("second").query(text="a")), 2)
        # a client made for another service names an index that is not here
        self.assertEqual(len(self.client("laion5B").query(text="a")), 14)

    def test_what_is_refused_is_said(self):
        answer = self.client().query(image="http://127.0.0.1:1/picture.jpg")
        self.assertIn("image_url", answer["error"]["message"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
