#!/usr/bin/env python3
"""What searchd says of pictures and takes from people: tags and captions, labels learned
from examples, copies. Each answer is held against openapi.json."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import time
import unittest
import urllib.parse

import pictures
import searchd
from e2e_dupes import scene
from searchd import DESCRIPTION


def grow(catalog, n):
    """Adds n pictures that have embeddings and fingerprints, but no files."""
    rnd = random.Random(1)
    db = sqlite3.connect(catalog)
    folder, added = db.execute("SELECT folder_id, added_at FROM images").fetchone()
    model = db.execute("SELECT id FROM models WHERE state = 'active'").fetchone()[0]
    vector, = db.execute("SELECT vector FROM embeddings LIMIT 1").fetchone()
    kept, = db.execute("SELECT kept FROM fingerprints LIMIT 1").fetchone()
    first = db.execute("SELECT max(id) FROM images").fetchone()[0] + 1
    with db:
        for i in range(first, first + n):
            content = rnd.randbytes(16)
            db.execute("INSERT INTO images (id, folder_id, path, size, mtime_ns, hash, width, height, kind, added_at)"
                       " VALUES (?, ?, ?, 1, 1, ?, 64, 64, 'PNG', ?)", (i, folder, b"none/%d.png" % i, content, added))
            db.execute("INSERT INTO embeddings VALUES (?, ?)", (model << 40 | i, vector))
            db.execute("INSERT INTO fingerprints (hash, kept) VALUES (?, ?)", (content, kept[:2] + rnd.randbytes(len(kept) - 2)))
    db.close()


class Tags(searchd.Served, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = searchd.Shop(24)
        for i in range(9):  # smooth ones among those of random blocks
            cls.shop.write("scene-%d.png" % i, scene(i, 96, 72))
        cls.serve()
        cls.images = cls.daemon.get("/v1/images?limit=1000").json["images"]

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
                     {"remove": ["\u007f"]}, {"more": ["x"]}, {"add": ["a||b"]}, {"add": ["|a"]},
                     {"add": ["\u00a0"]}, {"add": ["\u00a0x"]}, {"add": ["x", "a|"]},
                     {"add": ["K\u00e4se", "Ka\u0308se"]}):
            self.daemon.post(path, body, 400)
        # what looks alike is one, to be taken back in either spelling
        for spelled in ("Ka\u0308se", "K\u00e4se"):
            self.assertEqual(self.daemon.post(path, {"add": [spelled]}).json["tags"],
                             [tree] + own("Großmutter", "K\u00e4se", "beach"))
        self.daemon.post(path, {"remove": ["Ka\u0308se"]})
        # as they were kept before
        self.sql("INSERT INTO tags (image_id, tag, source) VALUES (?, 'Ka\u0308se', 'user')", one)
        self.daemon.post(path, {"add": ["K\u00e4se"], "remove": ["none"]})
        self.assertEqual(self.said(one)[0], [tree] + own("Großmutter", "K\u00e4se", "beach"))
        self.sql("INSERT INTO tags (image_id, tag, source) VALUES (?, 'Ka\u0308se', 'user')", one)
        self.daemon.post(path, {"remove": ["K\u00e4se"]})
        self.assertEqual(self.said(one)[0], [tree] + own("Großmutter", "beach"))
        self.daemon.post("/v1/images/999999/tags", {"add": ["x"]}, 404)
        self.assertEqual(self.said(one)[0], [tree] + own("Großmutter", "beach"))

    def test_many_at_once(self):
        ids = [image["id"] for image in self.images[2:6]]
        self.assertEqual(self.daemon.post("/v1/tags", {"label": "summer|1998", "ids": ids + [999999]}).json,
                         {"label": "summer|1998", "changed": 4})
        self.assertEqual(self.daemon.post("/v1/tags", {"label": "summer|1998", "ids": ids}).json["changed"], 0)
        self.assertEqual(self.daemon.post("/v1/tags", {"label": "Ka\u0308se", "ids": ids}).json,
                         {"label": "K\u00e4se", "changed": 4})
        self.assertEqual(self.daemon.post("/v1/tags", {"label": "K\u00e4se", "ids": ids}).json["changed"], 0)
        self.assertIn({"label": "summer|1998", "images": 4}, self.daemon.get("/v1/tags").json["tags"])
        for image in ids:
            self.assertIn({"label": "summer|1998", "source": "user"}, self.said(image)[0])
        for body in ({"label": "x"}, {"ids": ids}, {"label": "x", "ids": []}, {"label": "x", "ids": [ids[0]] * 2},
                     {"label": "x", "ids": ["1"]}, {"label": "x", "ids": [0]}, {"label": "x", "ids": [1.5]},
                     {"label": "", "ids": ids}, {"label": "x", "ids": list(range(1, 5002))}):
            self.daemon.post("/v1/tags", body, 400)

    def test_labels_by_examples(self):
        scenes = [i["id"] for i in sorted(self.images, key=lambda i: i["path"]) if i["path"].startswith("scene")]
        others = [i["id"] for i in self.images if i["id"] not in scenes]
        body = {"label": "scene", "ids": scenes[:4], "min_score": 0.01}
        answer = self.daemon.post("/v1/tags/suggest", body).json
        found = [(r["image"]["id"], r["score"]) for r in answer["results"]]
        self.assertEqual(sorted(i for i, _ in found[:5]), sorted(scenes[4:]))  # the others of the kind come first
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


class Dupes(searchd.Served, unittest.TestCase):
    """Against what osprey dupes says of the same library."""

    @classmethod
    def setUpClass(cls):
        cls.shop = searchd.Shop(12)
        cls.shop.write("whole.png", scene(1, 160, 120))
        cls.shop.write("in/copy.png", scene(1, 160, 120))
        cls.shop.write("in/small.png", scene(1, 80, 60))
        cls.shop.write("in/bright.png", scene(1, 160, 120, gain=1.15))
        cls.shop.write("moved.png", scene(1, 160, 120, disc=0.7))
        for seed in range(2, 14):
            cls.shop.write("other%02d.png" % seed, scene(seed, 60, 48))
        for seed in (3, 4, 5):
            cls.shop.write("again%02d.png" % seed, scene(seed, 90, 72))
        cls.serve()

    def found(self, query="", daemon=None):
        """The answer, once it is of the pictures as they are."""
        end = time.monotonic() + 300
        while True:
            answer = (daemon or self.daemon).get("/v1/dupes" + query).json
            if answer["state"] == "ready":
                self.assertNotIn("progress", answer)
                return answer
            self.assertLess(time.monotonic(), end, answer)
            time.sleep(0.05)

    def found_when(self, query, true, daemon=None):
        """The same once it is so: an answer stands a little longer than its pictures."""
        end = time.monotonic() + 60
        while not true(answer := self.found(query, daemon)):
            self.assertLess(time.monotonic(), end, answer)
            time.sleep(0.05)
        return answer

    def told(self, *args):
        """The groups of the command line, as here: ids, kinds, scores, sizes, reasons."""
        run = subprocess.run([searchd.OSPREY, "dupes", "--json", "--library", self.shop.library, *args],
                             capture_output=True)
        self.assertIn(run.returncode, (0, 1), run.stderr)
        groups = [json.loads(line) for line in run.stdout.splitlines()]
        return [(g["why"], g["reason"], [(m["id"], m["kind"], round(m["score"], 5), m["path"], m["width"], m["height"], m["size"])
                                         for m in g["members"]]) for g in groups]

    def shown(self, answer):
        for group in answer["groups"]:
            self.assertEqual(group["keep"], group["members"][0]["image"]["id"])
            self.assertEqual([m["kind"] == "keep" for m in group["members"]], [True] + [False] * (len(group["members"]) - 1))
            self.assertEqual(group["n"], len(group["members"]))
        image = lambda m: (os.path.join(m["image"]["folder"], m["image"]["path"]), m["image"]["width"], m["image"]["height"], m["image"]["size"])
        return [(g["why"], g["reason"], [(m["image"]["id"], m["kind"], round(m["score"], 5), *image(m)) for m in g["members"]])
                for g in answer["groups"]]

    def test_it_says_what_the_command_says(self):
        for kinds in (None, "identical", "same", "near", "identical,same", "same,near"):
            answer = self.found("?kinds=" + kinds if kinds else "")
            told = self.told(*(["--kinds", kinds] if kinds else []))
            self.assertEqual(self.shown(answer), told, kinds)
            self.assertEqual(answer["total"], len(told))
            self.assertEqual(answer["copies"], sum(len(members) - 1 for _, _, members in told))
            self.assertEqual((answer["pictures"], answer["blind"]), (32, 0))
        self.assertEqual(len(self.told("--kinds", "identical")), 1)
        self.assertEqual(len(self.told("--kinds", "identical,same")), 4)
        self.assertEqual(self.shown(self.found("?same=0.9999&near=1")), self.told("--same", "0.9999", "--near", "1"))
        image = self.found()["groups"][0]["members"][0]["image"]
        self.daemon.get(image["thumbnail"])
        self.assertEqual(image, {k: v for k, v in self.daemon.get("/v1/images/%d" % image["id"]).json.items() if k in image})

    def test_a_folder(self):
        inside = os.path.join(self.shop.folder, "in")
        answer = self.found("?kinds=same,identical&folder=" + urllib.parse.quote(inside))
        self.assertEqual(answer["pictures"], 3)
        self.assertEqual(self.shown(answer), self.told("--kinds", "same,identical", inside))
        self.assertEqual(self.found("?kinds=identical&folder=" + urllib.parse.quote(inside))["groups"], [])
        self.daemon.get("/v1/dupes?folder=/nowhere", 400)

    def test_pages(self):
        whole = self.found("?kinds=identical,same")
        self.assertNotIn("next", whole)
        groups, at = [], 0
        while at is not None:
            answer = self.found("?kinds=identical,same&limit=2&offset=%d" % at)
            self.assertEqual((answer["total"], answer["version"]), (whole["total"], whole["version"]))
            self.assertLessEqual(len(answer["groups"]), 2)
            groups += answer["groups"]
            at = answer.get("next")
        self.assertEqual(groups, whole["groups"])
        self.assertEqual(self.found("?kinds=identical,same&offset=1000000")["groups"], [])

    def test_wrong_values(self):
        for query in ("kinds=", "kinds=equal", "kinds=same,", "kinds=same;near", "same=0", "same=1.1", "same=x", "near=-1",
                      "near=nan", "limit=0", "limit=101", "offset=-1", "offset=1000001", "limit=2&limit=3", "in=x",
                      "name=x", "folder=relative", "library=default&library=default"):
            self.daemon.get("/v1/dupes?" + query, 400)
        self.daemon.get("/v1/dupes?library=none", 404)
        self.daemon.post("/v1/dupes", {}, 405, check=False)
        self.daemon.get("/v1/dupes", 403, headers={"Host": "evil.example"})

    def test_it_follows_the_pictures_and_not_the_tags(self):
        before = self.found("?kinds=identical")
        one = before["groups"][0]["members"][0]["image"]["id"]
        generation = self.daemon.get("/v1/stats").json["generation"]
        self.daemon.post("/v1/images/%d/tags" % one, {"add": ["here"]})
        self.assertGreater(self.daemon.get("/v1/stats").json["generation"], generation)
        after = self.found("?kinds=identical")
        self.assertEqual((after["version"], after["groups"]), (before["version"], before["groups"]))
        self.shop.write("in/third.png", scene(1, 160, 120))
        try:
            self.shop.index(self.shop.folder)
            answer = self.found_when("?kinds=identical", lambda a: len(a["groups"][0]["members"]) == 3)
            self.assertGreater(answer["version"], before["version"])
            self.assertEqual(self.shown(answer), self.told("--kinds", "identical"))
        finally:
            os.remove(os.path.join(self.shop.folder, "in/third.png"))
            self.shop.index(self.shop.folder)
        # what has gone is not shown, whatever was found
        self.assertEqual(len(self.daemon.get("/v1/dupes?kinds=identical").json["groups"][0]["members"]), 2)
        self.found_when("?kinds=identical", lambda a: self.shown(a) == self.told("--kinds", "identical"))

    def test_pictures_without_fingerprints_are_counted(self):
        library = os.path.join(self.shop.tmp, "blind")
        shutil.copytree(self.shop.library, library)
        db = sqlite3.connect(os.path.join(library, "catalog.db"))
        with db:
            db.execute("DELETE FROM fingerprints")
        db.close()
        daemon = searchd.Daemon("--port", "0", "--library", library)
        try:
            answer = self.found("?kinds=identical,same", daemon)
            self.assertEqual(answer["blind"], 31)  # one copy
            self.assertEqual([[m["kind"] for m in g["members"]] for g in answer["groups"]], [["keep", "identical"]])
            self.assertEqual(self.found("?kinds=identical", daemon)["blind"], 0)  # it needs none
            # osprey dupes looks at them; then they are not
            subprocess.run([searchd.OSPREY, "dupes", "--library", library], check=True, capture_output=True)
            answer = self.found_when("?kinds=identical,same", lambda a: a["blind"] == 0, daemon)
            self.assertEqual(self.shown(answer), self.told("--kinds", "identical,same"))
        finally:
            daemon.stop()

    def test_another_question_stops_the_one_under_way(self):
        library = os.path.join(self.shop.tmp, "large")
        shutil.copytree(self.shop.library, library)
        grow(os.path.join(library, "catalog.db"), 3900)
        daemon = searchd.Daemon("--port", "0", "--library", library)
        try:
            first = daemon.get("/v1/dupes").json
            self.assertEqual((first["state"], first["groups"], "version" in first), ("running", [], False))
            # the other one is the first that is found
            self.assertEqual(daemon.get("/v1/dupes?kinds=identical").json["state"], "running")
            self.assertEqual(self.found("?kinds=identical", daemon)["version"], 1)
            # what waits is answered though another asks; that one's answer is kept
            again = daemon.get("/v1/dupes?kinds=identical,same").json
            self.assertEqual(again["state"], "running")
            self.assertEqual(self.found("?kinds=identical,same", daemon)["version"], 2)
            self.assertEqual(daemon.get("/v1/dupes?kinds=identical").json["version"], 1)
            # searches go on meanwhile, and the end does not wait for it
            self.assertEqual(daemon.get("/v1/dupes?same=0.9").json["state"], "running")
            daemon.get("/v1/search?q=red")
            self.assertIn(daemon.get("/v1/dupes?same=0.9").json["state"], ("running", "ready"))
        finally:
            daemon.stop()

    def test_a_token_is_needed_where_one_is(self):
        tokens = os.path.join(self.shop.tmp, "tokens")
        with open(tokens, "w", encoding="ascii") as f:
            f.write("0123456789abcdef0123\n")
        daemon = searchd.Daemon("--port", "0", "--token-file", tokens, "--library", self.shop.library)
        try:
            daemon.get("/v1/dupes", 401)
            daemon.get("/v1/dupes", headers={"Authorization": "Bearer 0123456789abcdef0123"})
        finally:
            daemon.stop()


class Everything(unittest.TestCase):
    def test_every_operation_was_used(self):
        mine = {o for o in DESCRIPTION.operations() if "tags" in o[1] or "dupes" in o[1]}
        self.assertEqual(sorted(mine - DESCRIPTION.used), [])


if __name__ == "__main__":
    suite = unittest.TestSuite()
    for case in (Tags, Dupes, Everything):  # in this order
        suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    raise SystemExit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
