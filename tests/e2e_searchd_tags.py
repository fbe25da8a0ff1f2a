#!/usr/bin/env python3
"""What searchd says of pictures and takes from people: tags and captions, labels learned
from examples, copies. Each answer is held against openapi.json."""

import json
import os
import sqlite3
import unittest

import pictures
import searchd
from e2e_dupes import scene
from searchd import DESCRIPTION


class Tags(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = searchd.Shop(24)
        for i in range(9):  # smooth ones among those of random blocks
            pictures.write(os.path.join(cls.shop.folder, "scene-%d.png" % i), scene(i, 96, 72))
        cls.shop.index(cls.shop.folder)
        cls.daemon = searchd.Daemon("--port", "0", "--library", cls.shop.library)
        cls.images = cls.daemon.get("/v1/images?limit=1000").json["images"]

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        cls.shop.remove()

    def sql(self, text, *args):
        db = sqlite3.connect(os.path.join(self.shop.library, "catalog.db"), timeout=30)
        with db:
            db.execute(text, args)
        db.close()

    def said(self, image):
        answer = self.daemon.get("/v1/images/%d" % image).json
        return answer["tags"], answer["captions"]

    def test_what_is_said_of_a_picture(self):
        one = self.images[0]["id"]
        self.assertEqual(self.said(one), ([], []))
        self.sql("INSERT INTO tags (image_id, tag, source, score) VALUES (?, 'animal|dog', 'osprey', 0.75)", one)
        self.sql("INSERT INTO captions (image_id, text, source) VALUES (?, 'A dog ünder a tree', 'picture')", one)
        self.assertEqual(self.said(one), (
            [{"label": "animal|dog", "source": "osprey", "score": 0.75}],
            [{"text": "A dog ünder a tree", "source": "picture"}]))
        self.assertNotIn("tags", self.daemon.get("/v1/images?limit=1").json["images"][0])

    def test_a_persons_own(self):
        one = self.images[1]["id"]
        path = "/v1/images/%d/tags" % one
        self.sql("INSERT INTO tags (image_id, tag, source, score) VALUES (?, 'tree', 'osprey', 0.5)", one)
        tree = {"label": "tree", "source": "osprey", "score": 0.5}
        own = lambda *labels: [{"label": label, "source": "user"} for label in labels]
        self.assertEqual(self.daemon.post(path, {"add": ["Großmutter", "tree"]}).json,
                         {"tags": [tree] + own("Großmutter", "tree"), "captions": []})
        self.assertEqual(self.daemon.post(path, {"add": ["beach"], "remove": ["tree", "none"]}).json["tags"],
                         [tree] + own("Großmutter", "beach"))
        self.assertEqual(self.said(one)[0], [tree] + own("Großmutter", "beach"))
        for body in ({}, {"add": []}, {"add": "x"}, {"add": [""]}, {"add": [" x"]}, {"add": ["a\nb"]},
                     {"add": ["x" * 201]}, {"add": ["x", "x"]}, {"add": [1]}, {"add": ["x"] * 101},
                     {"remove": ["\u007f"]}, {"more": ["x"]}):
            self.daemon.post(path, body, 400)
        self.daemon.post("/v1/images/999999/tags", {"add": ["x"]}, 404)
        self.assertEqual(self.said(one)[0], [tree] + own("Großmutter", "beach"))

    def test_many_at_once(self):
        ids = [image["id"] for image in self.images[2:6]]
        self.assertEqual(self.daemon.post("/v1/tags", {"label": "summer|1998", "ids": ids + [999999]}).json,
                         {"label": "summer|1998", "changed": 4})
        self.assertEqual(self.daemon.post("/v1/tags", {"label": "summer|1998", "ids": ids}).json["changed"], 0)
        self.assertIn({"label": "summer|1998", "images": 4}, self.daemon.get("/v1/tags").json["tags"])
        for image in ids:
            self.assertIn({"label": "summer|1998", "source": "user"}, self.said(image)[0])
        for body in ({"label": "x"}, {"ids": ids}, {"label": "x", "ids": []}, {"label": "x", "ids": [ids[0]] * 2},
                     {"label": "x", "ids": ["1"]}, {"label": "x", "ids": [0]}, {"label": "x", "ids": [1.5]},
                     {"label": "", "ids": ids}, {"label": "x", "ids": list(range(1, 5002))}):
            self.daemon.post("/v1/tags", body, 400)

    def test_labels_by_examples(self):
        scenes = sorted(i["id"] for i in self.images if i["path"].startswith("scene"))
        others = [i["id"] for i in self.images if i["id"] not in scenes]
        body = {"label": "scene", "ids": scenes[:4]}
        answer = self.daemon.post("/v1/tags/suggest", body).json
        found = [(r["image"]["id"], r["score"]) for r in answer["results"]]
        self.assertEqual(sorted(i for i, _ in found[:5]), scenes[4:])  # the others of the kind come first
        self.assertEqual([s for _, s in found], sorted((s for _, s in found), reverse=True))
        sure = [i for i, score in found if score >= answer["threshold"]]
        self.assertTrue(sure and set(sure) <= set(scenes), found)
        self.assertEqual(len(self.daemon.post("/v1/tags/suggest", dict(body, limit=2)).json["results"]), 2)
        # what is said not to be one is not suggested, and what is like it less than before
        wrong = found[0][0]
        again = self.daemon.post("/v1/tags/suggest", dict(body, not_ids=[wrong] + others[:3])).json["results"]
        self.assertNotIn(wrong, [r["image"]["id"] for r in again])
        self.assertEqual([r for r in self.daemon.get("/v1/tags").json["tags"] if r["label"] == "scene"], [])
        for bad in ({}, {"label": "x"}, {"label": "x", "ids": []}, {"label": "", "ids": scenes},
                    {"label": "x" * 201, "ids": scenes}, {"label": "x", "ids": list(range(1, 202))},
                    dict(body, not_ids=[scenes[0]]), dict(body, limit=0), dict(body, limit=501),
                    dict(body, min_score=0), dict(body, not_ids=list(range(1000, 1501)))):
            self.daemon.post("/v1/tags/suggest", bad, 400)
        self.daemon.post("/v1/tags/suggest", dict(body, ids=[999999]), 404)

    def test_another_sites_page_changes_nothing(self):
        one = self.images[7]["id"]
        body = json.dumps({"add": ["theirs"]}).encode()
        for headers in ({"Origin": "https://evil.example", "Content-Type": "application/json"},
                        {"Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"},
                        {"Host": "evil.example", "Content-Type": "application/json"}):
            self.daemon.ask("POST", "/v1/images/%d/tags" % one, body=body, headers=headers, expect=403)
        # what a form of another site could send without asking
        self.daemon.ask("POST", "/v1/images/%d/tags" % one, body=body, headers={"Content-Type": "text/plain"}, expect=400)
        self.assertEqual(self.said(one)[0], [])
        own = {"Origin": self.daemon.url, "Content-Type": "application/json"}
        self.daemon.ask("POST", "/v1/images/%d/tags" % one, body=body, headers=own)
        self.assertEqual(self.said(one)[0], [{"label": "theirs", "source": "user"}])


class Everything(unittest.TestCase):
    def test_every_operation_was_used(self):
        mine = {o for o in DESCRIPTION.operations() if "tags" in o[1] or "dupes" in o[1]}
        self.assertEqual(sorted(mine - DESCRIPTION.used), [])


if __name__ == "__main__":
    suite = unittest.TestSuite()
    for case in (Tags, Everything):  # in this order
        suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    raise SystemExit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
