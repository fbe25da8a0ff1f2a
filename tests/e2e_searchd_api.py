"""Every operation of searchd, against the library behind it; each answer is held
against openapi.json, and at the end every operation there must have been used."""

import base64
import json
import os
import struct
import unittest

import pictures
import searchd
from names import as_names
from searchd import DATA, DESCRIPTION, b64, read


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


class Api(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = searchd.Shop(14)
        for name in ("exif.jpg", "orient-6.jpg", "orient-1.jpg", "exif.png"):
            cls.shop.copy(name, "real")
        cls.shop.index(cls.shop.folder)
        cls.other = searchd.Shop(3)
        cls.other.index(cls.other.folder)
        cls.daemon = searchd.Daemon("--port", "0", "--library", "first=" + cls.shop.library,
                                    "--library", "second=" + cls.other.library)
        cls.images = cls.daemon.get("/v1/images?limit=1000").json["images"]

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()
        cls.shop.remove()
        cls.other.remove()

    def named(self, end):
        return next(i for i in self.images if i["path"].endswith(end))

    def ids(self, path, **more):
        return [r["id"] for r in self.daemon.get(path, **more).json["results"]]

    # ---- Search ----

    def test_search_equals_the_command_line(self):
        there = self.daemon.get("/v1/search?q=a+red+square&k=6").json
        here = self.shop.search("-k", "6", "a red square")
        self.assertEqual([(r["id"], r["rank"]) for r in there["results"]],
                         [(r["id"], r["rank"]) for r in here])
        for r, h in zip(there["results"], here, strict=True):
            self.assertAlmostEqual(r["score"], h["score"], places=5)
            self.assertEqual(os.path.join(r["folder"], r["path"]), h["path"])
        self.assertGreater(there["took_ms"]["total"], 0)

    def test_the_same_by_every_way_in(self):
        expected = self.ids("/v1/search?q=stripes&k=5")
        for request in ({"json_body": {"q": "stripes", "k": 5}},
                        {"json_body": {"terms": [{"text": "stripes"}], "k": 5}},
                        {"json_body": {"terms": [{"text": "stripes", "weight": 7}], "k": 5}},
                        {"parts": [("q", "stripes"), ("k", "5")]},
                        {"parts": [("terms", '[{"text": "stripes"}]'), ("k", "5")]}):
            found = self.daemon.post("/v1/search", **request).json["results"]
            self.assertEqual([r["id"] for r in found], expected, request)

    def test_a_picture_finds_itself(self):
        for name in ("exif.jpg", "orient-6.jpg", "exif.png"):
            data, wanted = read(name), self.named(name)["id"]
            url = "data:image/jpeg;base64," + b64(data)
            for request in ({"json_body": {"image": b64(data), "k": 1}},
                            {"json_body": {"image": url, "k": 1}},
                            {"json_body": {"id": wanted, "k": 1}},
                            {"json_body": {"terms": [{"image": b64(data)}], "k": 1}},
                            {"parts": [("image", data), ("k", "1")]}):
                first = self.daemon.post("/v1/search", **request).json["results"][0]
                self.assertEqual(first["id"], wanted, name)
                self.assertGreater(first["score"], 0.999, name)
            self.assertEqual(self.ids("/v1/search?id=%d&k=1" % wanted), [wanted])
            self.assertEqual(self.ids("/v1/images/%d/similar?k=1" % wanted), [wanted])

    def embedding(self, text):
        reply = self.daemon.post("/v1/embeddings", {"input": text})
        return reply.json["data"][0]["embedding"]

    def picture_embedding(self, name):
        return self.embedding("data:image/jpeg;base64," + b64(read(name)))

    def test_terms_are_a_weighed_sum(self):
        terms = [{"text": "a red thing", "weight": 2}, {"image": b64(read("exif.jpg"))},
                 {"id": self.named("orient-6.jpg")["id"], "weight": -0.5}]
        found = self.daemon.post("/v1/search", {"terms": terms, "k": 18}).json["results"]
        query = [2 * a + b - 0.5 * c for a, b, c in zip(
            self.embedding("a red thing"), self.picture_embedding("exif.jpg"),
            self.picture_embedding("orient-6.jpg"), strict=True)]
        norm = dot(query, query) ** 0.5
        for r in found:
            if r["path"].startswith("real/"):
                own = self.picture_embedding(os.path.basename(r["path"]))
                self.assertAlmostEqual(r["score"], dot(query, own) / norm, delta=2e-3)
        self.assertEqual(found, sorted(found, key=lambda r: -r["score"]))

    def test_pages_and_scores(self):
        everything = self.daemon.get("/v1/search?q=blue&k=18").json["results"]
        self.assertEqual(len(everything), 18)
        part = self.daemon.get("/v1/search?q=blue&k=5&offset=4").json["results"]
        self.assertEqual(part, everything[4:9])
        self.assertEqual(part[0]["rank"], 5)
        least = everything[6]["score"]
        good = self.daemon.get("/v1/search?q=blue&k=18&min_score=%.9f" % (least - 1e-6)).json
        self.assertEqual(good["results"], everything[:7])

    def test_matches(self):
        for path in ("/v1/search?q=blue&k=18", "/v1/search?id=1&k=18", "/v1/images/1/similar?k=18"):
            answer = self.daemon.get(path).json
            matches = [r["match"] for r in answer["results"]]
            self.assertEqual(matches, sorted(matches, reverse=True))
            self.assertTrue(0 < answer["good_match"] < 1)
            limit = next((a + b) / 2 for a, b in zip(matches, matches[1:]) if a > b + 1e-4)
            some = self.daemon.get(path + "&min_match=%r" % limit).json["results"]
            self.assertEqual(some, [r for r in answer["results"] if r["match"] > limit])
            self.assertEqual(self.daemon.get(path + "&min_match=1").json["results"], [])
        self.assertGreater(matches[0], 0.95, "a picture is a match for itself")

    def test_the_first_are_looked_at_again(self):
        plain = self.daemon.get("/v1/search?q=a+red+square&k=18").json
        self.assertNotIn("rerank", plain["took_ms"])
        here = self.shop.search("--server", "none", "-k", "18", "--rerank=12", "a red square")
        there = self.daemon.get("/v1/search?q=a+red+square&k=18&rerank=12").json
        self.assertGreater(there["took_ms"]["rerank"], 0)
        self.assertNotEqual([r["id"] for r in there["results"]],
                            [r["id"] for r in plain["results"]])
        self.assertEqual([("rerank" in r) for r in there["results"]], [i < 12 for i in range(18)])
        remote = self.shop.search("--server", self.daemon.url, "-k", "18", "--rerank=12",
                                  "a red square")
        for found in (there["results"], remote):
            self.assertEqual([r["id"] for r in found], [r["id"] for r in here])
            for r, h in zip(found, here, strict=True):
                self.assertAlmostEqual(r["score"], h["score"], places=5)
                self.assertAlmostEqual(r.get("rerank", 0), h.get("rerank", 0), places=4)
        # fewer results than are looked at, and pages: parts of the same list
        part = self.daemon.get("/v1/search?q=a+red+square&k=3&offset=2&rerank=12").json["results"]
        self.assertEqual(part, there["results"][2:5])
        for request in ({"json_body": {"q": "a red square", "k": 18, "rerank": 12}},
                        {"parts": [("q", "a red square"), ("k", "18"), ("rerank", "12")]}):
            self.assertEqual(self.daemon.post("/v1/search", **request).json["results"],
                             there["results"])
        # kept regions say the same as the files
        self.shop.index("--regions", self.shop.folder)
        kept = self.daemon.get("/v1/search?q=a+red+square&k=18&rerank=12").json["results"]
        self.assertEqual([r["id"] for r in kept], [r["id"] for r in here])
        # terms without a text take their weight's share, as on the command line
        picture = os.path.join(self.shop.folder, "real/exif.jpg")
        here = self.shop.search("--server", "none", "-k", "5", "--rerank=18", "2:a", "red", "square",
                                "+", picture)
        terms = [{"text": "a red square", "weight": 2}, {"image": b64(read("exif.jpg"))}]
        found = self.daemon.post("/v1/search", {"terms": terms, "k": 5, "rerank": 18}).json
        self.assertEqual([r["id"] for r in found["results"]], [r["id"] for r in here])
        for query in ("id=1&rerank=5", "q=a&rerank=0", "q=a&rerank=1001", "q=a&rerank=x"):
            self.daemon.get("/v1/search?" + query, 400)
        self.daemon.get("/v1/images/1/similar?rerank=5", 400)

    def test_a_model_without_a_reranker_says_so(self):
        shop = searchd.Shop(3)
        self.addCleanup(shop.remove)
        shop.index("--model", "osprey-small-zeroshot", shop.folder)
        daemon = searchd.Daemon("--port", "0", "--library", shop.library)
        self.addCleanup(daemon.stop)
        reply = daemon.get("/v1/search?q=a&rerank=5", 400)
        self.assertIn("has no re-ranker", reply.json["error"]["message"])
        self.assertEqual(len(daemon.get("/v1/search?q=a").json["results"]), 3)

    def test_filters_are_exact(self):
        every = self.daemon.get("/v1/search?q=blue&k=1000").json["results"]
        camera = "osprey optics"
        dated = [r for r in every if "taken_at" in r]
        self.assertGreaterEqual(len(dated), 1)
        moment = dated[0]["taken_at"]
        cases = {
            "name=ORIENT": lambda r: "orient" in r["path"].lower(),
            "name=real%2Fexif.j": lambda r: r["path"] == "real/exif.jpg",
            "camera=" + camera.replace(" ", "+"):
                lambda r: camera in r.get("camera", "").lower(),
            "kind=png": lambda r: r["kind"] == "PNG",
            "orientation=portrait": lambda r: r["width"] < r["height"],
            "orientation=landscape": lambda r: r["width"] > r["height"],
            "orientation=square": lambda r: r["width"] == r["height"],
            "taken_from=%d" % moment: lambda r: r.get("taken_at", -1) >= moment,
            "taken_from=1990-01-01": lambda r: "taken_at" in r,
            "taken_to=2100-12-31": lambda r: "taken_at" in r,
            "taken_to=%d" % (moment - 1): lambda r: r.get("taken_at", moment) < moment,
            "min_size=1000&max_size=5000": lambda r: 1000 <= r["size"] <= 5000,
            "min_width=60&min_height=60": lambda r: r["width"] >= 60 and r["height"] >= 60,
            "folder=" + self.shop.folder + "/real": lambda r: r["path"].startswith("real/"),
            "folder=" + self.shop.folder: lambda r: True,
            "kind=PNG&name=d2": lambda r: r["kind"] == "PNG" and "d2" in r["path"],
        }
        for query, passes in cases.items():
            expected = [r["id"] for r in every if passes(r)]
            self.assertEqual(self.ids("/v1/search?q=blue&k=1000&" + query), expected, query)
            listed = self.daemon.get("/v1/images?limit=1000&" + query).json
            self.assertEqual({i["id"] for i in listed["images"]}, set(expected), query)
            self.assertEqual(listed["total"], len(expected), query)
        self.assertEqual(self.ids("/v1/search?q=blue&name=%25"), [])

    # ---- Images ----

    def test_listings_page_through_everything(self):
        for order in ("date", "id"):
            seen, after = [], ""
            while True:
                page = self.daemon.get("/v1/images?limit=5&order=%s%s" % (order, after)).json
                seen += page["images"]
                self.assertEqual("total" in page, not after)
                if "next" not in page:
                    break
                after = "&after=" + page["next"]
            self.assertEqual(len({i["id"] for i in seen}), 18)
            self.assertEqual(len(seen), 18)
            key = (lambda i: (-i.get("taken_at", 0), -i["id"])) if order == "date" \
                else (lambda i: -i["id"])
            self.assertEqual(seen, sorted(seen, key=key))

    def test_one_image(self):
        image = self.named("exif.jpg")
        one = self.daemon.get("/v1/images/%d" % image["id"]).json
        self.assertEqual((one.pop("tags"), one.pop("captions")), ([], []))
        self.assertEqual(one, image)
        self.assertEqual(image["camera"], "Osprey Optics Talon 3")

    def test_thumbnails(self):
        for image in self.images[:6] + [self.named("orient-6.jpg")]:
            reply = self.daemon.get(image["thumbnail"] + "?size=160")
            self.assertEqual(reply.headers["Content-Type"], "image/jpeg")
            frame = reply.body.index(b"\xff\xc0")
            height, width = struct.unpack(">HH", reply.body[frame + 5:frame + 9])
            self.assertEqual((width, height), (image["width"], image["height"]))  # small already
            tag = reply.headers["ETag"]
            self.daemon.get(image["thumbnail"] + "?size=160", 304, headers={"If-None-Match": tag})
            self.daemon.get(image["thumbnail"] + "?size=160", 304,
                            headers={"If-None-Match": '"x", W/' + tag})
            self.daemon.get(image["thumbnail"] + "?size=160", 200,
                            headers={"If-None-Match": '"other"'})
            again = self.daemon.get(image["thumbnail"] + "?size=160")
            self.assertEqual(again.body, reply.body)
        kept = [f for _, _, files in os.walk(os.path.join(self.shop.library, "thumbnails"))
                for f in files]
        self.assertGreaterEqual(len(kept), 6)
        self.assertGreaterEqual(sum(f.endswith("-160.jpg") for f in kept), 6)

    def test_a_large_picture_gets_small(self):
        with open(os.path.join(self.shop.folder, "large.jpg"), "wb") as f:
            f.write(pictures.jpeg(77, 1000, 400))
        self.shop.index()
        image = self.daemon.get("/v1/images?name=large.jpg").json["images"][0]
        for size, width in ((100, 160), (160, 160), (161, 320), (640, 640), (1280, 1000)):
            body = self.daemon.get("%s?size=%d" % (image["thumbnail"], size)).body
            frame = body.index(b"\xff\xc0")
            self.assertEqual(struct.unpack(">HH", body[frame + 5:frame + 9]),
                             (width * 400 // 1000, width))
        os.remove(os.path.join(self.shop.folder, "large.jpg"))
        self.shop.index()
        self.daemon.get(image["thumbnail"], 404)

    def test_files_and_ranges(self):
        for image in self.images[:5]:
            with open(os.path.join(image["folder"], image["path"]), "rb") as f:
                data = f.read()
            n = len(data)
            whole = self.daemon.get(image["file"])
            self.assertEqual(whole.body, data)
            self.assertEqual(whole.headers["Content-Type"],
                             {"JPEG": "image/jpeg", "PNG": "image/png"}[image["kind"]])
            for header, part in (("bytes=0-9", data[:10]), ("bytes=5-", data[5:]),
                                 ("bytes=-7", data[-7:]), ("bytes=3-999999999", data[3:])):
                reply = self.daemon.get(image["file"], 206, headers={"Range": header})
                self.assertEqual(reply.body, part, header)
                first = n - len(part) if not header.startswith("bytes=0") else 0
                self.assertEqual(reply.headers["Content-Range"],
                                 "bytes %d-%d/%d" % (first, first + len(part) - 1, n))
            for header in ("bytes=9-3", "lines=1-2", "bytes=a-b", "bytes=1-2,4-5", "bytes=-"):
                self.assertEqual(self.daemon.get(image["file"], headers={"Range": header}).body, data)
            reply = self.daemon.get(image["file"], 416, headers={"Range": "bytes=%d-" % n})
            self.assertEqual(reply.headers["Content-Range"], "bytes */%d" % n)
            tag = whole.headers["ETag"]
            self.daemon.get(image["file"], 304, headers={"If-None-Match": tag})
            self.daemon.get(image["file"], 206, headers={"Range": "bytes=0-1", "If-Range": tag})
            self.daemon.get(image["file"], 200, headers={"Range": "bytes=0-1", "If-Range": '"old"'})
            self.assertEqual(self.daemon.ask("HEAD", image["file"]).headers["Content-Length"], str(n))

    # ---- Others ----

    def test_classify(self):
        labels = ["a dog", "a red square", "a car", "wood"]
        image = self.named("orient-6.jpg")
        by_id = self.daemon.post("/v1/classify", {"id": image["id"], "labels": labels}).json
        self.assertEqual({r["label"] for r in by_id["results"]}, set(labels))
        self.assertAlmostEqual(sum(r["probability"] for r in by_id["results"]), 1, places=6)
        scores = [r["score"] for r in by_id["results"]]
        self.assertEqual(scores, sorted(scores, reverse=True))
        by_file = self.daemon.post("/v1/classify", parts=[
            ("image", read("orient-6.jpg")), ("request", json.dumps({"labels": labels}))]).json
        for a, b in zip(by_id["results"], by_file["results"], strict=True):
            self.assertEqual(a["label"], b["label"])
            self.assertAlmostEqual(a["score"], b["score"], delta=1e-3)
        own = self.picture_embedding("orient-6.jpg")
        for prompts, texts in ((["{}"], ["%s"]), (["a {}", "no {} here"], ["a %s", "no %s here"])):
            found = self.daemon.post("/v1/classify", {
                "image": b64(read("orient-6.jpg")), "labels": labels, "prompts": prompts,
                "scale": 10}).json["results"]
            for r in found:
                each = [as_names(self.embedding(t % r["label"])) for t in texts]
                mean = [sum(c) for c in zip(*each, strict=True)]
                self.assertAlmostEqual(r["score"], dot(own, mean) / dot(mean, mean) ** 0.5, places=4)

    def test_many_labels(self):
        labels = ["thing %d" % i for i in range(150)]
        found = self.daemon.post("/v1/classify", {"id": self.images[0]["id"], "labels": labels}).json
        self.assertEqual({r["label"] for r in found["results"]}, set(labels))

    def test_embeddings_as_openai_clients_ask(self):
        url = "data:image/png;base64," + b64(read("exif.png"))
        inputs = ["a dog", "a red square", url, "a dog"]
        floats = self.daemon.post("/v1/embeddings", {"input": inputs, "model": "any", "user": "x",
                                                     "dimensions": None}).json
        packed = self.daemon.post("/v1/embeddings", {"input": inputs, "model": "any",
                                                     "encoding_format": "base64"}).json
        for a, b in zip(floats["data"], packed["data"], strict=True):
            raw = base64.b64decode(b["embedding"])
            numbers = struct.unpack("<%df" % (len(raw) // 4), raw)
            self.assertEqual(len(numbers), len(a["embedding"]))
            self.assertLess(max(abs(x - y) for x, y in zip(numbers, a["embedding"])), 1e-7)
            self.assertAlmostEqual(dot(a["embedding"], a["embedding"]), 1, places=4)
        self.assertEqual([d["index"] for d in floats["data"]], [0, 1, 2, 3])
        self.assertEqual(floats["data"][0]["embedding"], floats["data"][3]["embedding"])
        self.assertEqual(self.embedding("a dog"), floats["data"][0]["embedding"])

    def test_predict_as_immich_asks(self):
        def ask(kind, part):
            return self.daemon.post("/predict", parts=[
                ("entries", json.dumps({"clip": {kind: {"modelName": "ViT-B-32__openai",
                                                        "options": {}}}})), part]).json
        answer = ask("visual", ("image", read("orient-6.jpg")))
        image = self.named("orient-6.jpg")
        self.assertEqual((answer["imageWidth"], answer["imageHeight"]),
                         (image["width"], image["height"]))
        self.assertEqual(json.loads(answer["clip"]), self.picture_embedding("orient-6.jpg"))
        answer = ask("textual", ("text", "a dog"))
        self.assertEqual(set(answer), {"clip"})
        self.assertEqual(json.loads(answer["clip"]), self.embedding("a dog"))
        self.assertEqual(self.daemon.get("/ping").body, b"pong")

    def test_knn_as_clip_retrieval_asks(self):
        ask = {"text": None, "image": None, "image_url": None, "embedding_input": None,
               "modality": "image", "num_images": 4, "num_result_ids": 7, "indice_name": "laion5B",
               "use_mclip": False, "deduplicate": True, "use_safety_model": True,
               "use_violence_detector": True, "aesthetic_score": "9", "aesthetic_weight": "0.5"}
        expected = self.ids("/v1/search?q=a+dog&k=7")
        found = self.daemon.post("/knn-service", dict(ask, text="a dog")).json
        self.assertEqual([r["id"] for r in found], expected)
        self.assertEqual(["url" in r for r in found], [True] * 4 + [False] * 3)
        for r in found[:4]:
            path = r["url"].split(str(self.daemon.port), 1)[1]
            self.assertEqual(len(self.daemon.get(path).body),
                             next(i for i in self.images if i["id"] == r["id"])["size"])
        by_vector = self.daemon.post("/knn-service", dict(
            ask, embedding_input=[3 * x for x in self.embedding("a dog")])).json
        self.assertEqual([r["id"] for r in by_vector], expected)
        by_image = self.daemon.post("/knn-service", dict(ask, image=b64(read("exif.jpg")))).json
        self.assertEqual(by_image[0]["id"], self.named("exif.jpg")["id"])
        self.assertEqual(self.daemon.get("/indices-list").json, ["first", "second"])
        second = self.daemon.post("/knn-service", dict(ask, text="a dog", indice_name="second")).json
        self.assertEqual(len(second), 3)
        self.daemon.post("/knn-service", dict(ask, image_url="http://127.0.0.1/x.jpg"), 400)
        self.daemon.post("/knn-service", dict(ask, text="a", modality="text"), 400)
        self.daemon.post("/knn-service", ask, 400)
        self.daemon.post("/knn-service", dict(ask, embedding_input=[1, 2]), 400)
        self.daemon.post("/knn-service", dict(ask, embedding_input=[]), 400)

    def test_folders(self):
        total = self.daemon.get("/v1/images?limit=1").json["total"]
        self.assertEqual(self.daemon.get("/v1/folders").json["folders"],
                         [{"path": self.shop.folder, "online": True, "images": total, "errors": 0}])
        other = self.daemon.get("/v1/folders?library=second").json["folders"]
        self.assertEqual([f["path"] for f in other], [self.other.folder])

    def test_several_libraries(self):
        self.assertEqual(self.daemon.get("/v1/libraries").json["libraries"], ["first", "second"])
        second = self.daemon.get("/v1/search?q=a&k=100&library=second").json["results"]
        self.assertEqual(len(second), 3)
        for r in second:
            self.assertIn("library=second", r["file"])
            with open(os.path.join(r["folder"], r["path"]), "rb") as f:
                self.assertEqual(self.daemon.get(r["file"]).body, f.read())
            self.assertEqual(self.daemon.get(r["thumbnail"]).headers["Content-Type"], "image/jpeg")
        self.assertEqual(self.daemon.get("/v1/stats?library=second").json["images"], 3)
        self.assertEqual(self.daemon.get("/v1/stats").json["library"], "first")
        self.daemon.get("/v1/stats?library=third", 404)
        self.daemon.get("/v1/stats?library=first&library=first", 400)

    def test_state(self):
        self.assertEqual(self.daemon.get("/healthz").json, {"status": "ok"})
        self.assertEqual(self.daemon.get("/readyz").json, {"status": "ready"})
        stats = self.daemon.get("/v1/stats").json
        self.assertEqual((stats["images"], stats["model"]), (18, "osprey-small"))
        self.assertEqual((stats["languages"], stats["rerank"], stats["indexing"]), (["en"], True, False))
        self.assertNotIn("progress", stats)
        self.daemon.get("/v1/search?q=metrics+count")
        text = self.daemon.get("/metrics").body.decode()
        for stage in ("encode", "search", "catalogue", "rerank"):
            self.assertIn('osprey_stage_seconds_bucket{stage="%s",le="+Inf"}' % stage, text)
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
        self.assertGreater(float(values['osprey_replies_total{route="/v1/search",status="200"}']), 0)
        self.assertGreater(float(values['osprey_stage_seconds_count{stage="encode"}']), 0)
        self.assertEqual(float(values['osprey_library_images{library="second"}']), 3)
        self.assertEqual(values['osprey_stage_seconds_count{stage="search"}'],
                         values['osprey_stage_seconds_bucket{stage="search",le="+Inf"}'])

    def test_the_page(self):
        page = self.daemon.get("/")
        self.assertIn(b"<title>", page.body)
        policy = page.headers["Content-Security-Policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("unsafe", policy)
        self.daemon.get("/", 304, headers={"If-None-Match": page.headers["ETag"]})
        self.daemon.get("/page/../openapi.json", 404)
        self.assertEqual(self.daemon.get("/page/index.html", check=False).body, page.body)
        self.assertEqual(self.daemon.get("/openapi.json").json, DESCRIPTION.root)
        self.assertEqual(self.daemon.post("/v1/logout", expect=204).body, b"")
        self.daemon.post("/v1/login", {"token": "there is none here"}, 401)

    # ---- What is wrong ----

    def test_bad_parameters(self):
        search = ("", "?q=", "?k=3", "?q=a&k=0", "?q=a&k=1001", "?q=a&k=x", "?q=a&k=-1", "?q=a&k=1.5",
                  "?q=a&nonsense=1", "?q=a&k=99999999999999999999", "?q=a&offset=-1",
                  "?q=a&offset=10001", "?q=a&min_score=2", "?q=a&min_score=nan", "?q=a&min_score=",
                  "?q=a&taken_from=yesterday", "?q=a&taken_from=2024-13-01",
                  "?q=a&taken_from=2024-02-30", "?q=a&taken_to=2024-02-01T25:00:00Z",
                  "?q=a&orientation=round", "?q=a&folder=%2Fetc", "?q=a&q=b", "?q=a&k=1&k=1",
                  "?q=a&min_size=-1", "?q=a&max_size=0", "?q=a&min_width=x", "?q=a&id=0", "?q=a&id=x",
                  "?q=a&image=abcd", "?q=a&terms=x", "?q=a&rank=1")
        for query in search:
            self.daemon.get("/v1/search" + query, 400)
        for query in ("?limit=0", "?limit=1001", "?after=x", "?after=1.0", "?after=1.2.3",
                      "?order=size", "?x=1", "?limit=1&limit=2"):
            self.daemon.get("/v1/images" + query, 400)
        one = self.images[0]
        for path in (one["file"] + "?x=1", one["thumbnail"] + "?size=0",
                     one["thumbnail"] + "?size=1281", "/v1/images/%d?x=1" % one["id"],
                     "/v1/images/%d/similar?q=a" % one["id"], "/v1/stats?x=1", "/healthz?x=1",
                     "/readyz?x=1", "/metrics?x=1", "/v1/libraries?x=1", "/v1/folders?x=1"):
            self.daemon.get(path, 400)

    def test_bad_bodies(self):
        for body in ({}, {"q": ""}, {"q": 1}, {"q": None}, {"q": "a", "k": "1"}, {"q": "a", "k": 1.5},
                     {"q": "a", "x": 1}, {"terms": []}, {"terms": {}}, {"terms": [1]},
                     {"terms": [{}]}, {"terms": [{"text": "a", "id": 1}]},
                     {"terms": [{"text": "a", "weight": 0}]}, {"terms": [{"text": "a", "weight": 1e9}]},
                     {"terms": [{"text": "a", "x": 1}]}, {"terms": [{"text": "a"}] * 65},
                     {"image": "no base64!"}, {"image": ""}, {"image": b64(b"no picture")},
                     {"image": "data:image/png,abc"}, {"q": "a" * 70000},
                     {"terms": [{"text": "a"}, {"text": "a", "weight": -1}]}, []):
            self.daemon.post("/v1/search", body, 400)
        self.daemon.post("/v1/search", {"id": 99999}, 404)
        for body in (b"", b"{", b"[1", b'{"q": "a", "q": "b"}', b"\xff\xfe", b"null", b"{}x",
                     b'{"q": "\xff"}', b'{"q":' + b"[" * 5000 + b"]" * 5000 + b"}"):
            self.daemon.post("/v1/search", body=body, expect=400,
                             headers={"Content-Type": "application/json"})
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""):
            self.daemon.post("/v1/search", body=b'{"q": "a"}', expect=400,
                             headers={"Content-Type": kind})

    def test_bad_forms(self):
        good, kind = searchd.form([("q", "a"), ("k", "1")])
        for body, content_type in (
                (good[:-8], kind), (good[5:], kind), (b"", kind), (good, "multipart/form-data"),
                (good, "multipart/form-data; boundary="), (good, kind + "x"),
                (good.replace(b"form-data; name", b"form-data; nume"), kind),
                (good.replace(b'name="q"', b'name="%s"' % (b"q" * 100)), kind),
                (good.replace(b"\r\n\r\n", b"\r\n"), kind)):
            self.daemon.post("/v1/search", body=body, expect=400, headers={"Content-Type": content_type})
        self.daemon.post("/v1/search", parts=[("q", "a"), ("nonsense", "1")], expect=400)
        self.daemon.post("/v1/search", parts=[("q", "a")] * 33, expect=400)
        self.daemon.post("/v1/search", parts=[("image", b"")], expect=400)
        self.daemon.post("/v1/search", parts=[("image", read("exif.jpg"))] * 9, expect=400)
        self.daemon.post("/v1/search", parts=[("q", "a"), ("terms", "{")], expect=400)

    def test_bad_requests_of_the_others(self):
        for body in ({}, {"input": ""}, {"input": []}, {"input": [1, 2]}, {"input": [[1, 2]]},
                     {"input": 5}, {"input": "a", "encoding_format": "int8"},
                     {"input": "a", "dimensions": 7}, {"input": "data:image/png;base64,xx"},
                     {"input": ["a"] * 513}):
            self.daemon.post("/v1/embeddings", body, 400)
        picture = ("image", read("exif.jpg"))
        for parts in ([picture], [("entries", "{}"), picture], [("entries", "x"), picture],
                      [("entries", '{"facial-recognition": {}}'), picture],
                      [("entries", '{"clip": {"sound": {}}}'), picture],
                      [("entries", '{"clip": 1}'), picture], [("entries", '{"clip": {"visual": {}}}')],
                      [("entries", '{"clip": {"textual": {}}}')],
                      [("entries", '{"clip": {"visual": {}}}'), ("image", b"x")]):
            self.daemon.post("/predict", parts=parts, expect=400)
        self.daemon.post("/predict", {"entries": {}}, 400)
        one = self.images[0]["id"]
        for body in ({}, {"labels": ["a"]}, {"id": one}, {"id": one, "labels": []},
                     {"id": one, "labels": ["a", 1]}, {"id": one, "labels": ["a"], "prompt": "no hole"},
                     {"id": one, "labels": ["a"], "prompt": "{}", "prompts": ["{}"]},
                     {"id": one, "labels": ["a"], "scale": 0}, {"id": one, "labels": "a"},
                     {"id": one, "image": b64(read("exif.jpg")), "labels": ["a"]},
                     {"id": one, "labels": ["a"] * 1001}):
            self.daemon.post("/v1/classify", body, 400)
        self.daemon.post("/v1/classify", {"id": 99999, "labels": ["a"]}, 404)

    def test_wrong_methods_and_paths(self):
        for method, path in (("POST", "/v1/stats"), ("DELETE", "/v1/images/1"), ("PUT", "/v1/search"),
                             ("GET", "/v1/embeddings"), ("OPTIONS", "/v1/search"), ("PATCH", "/")):
            reply = self.daemon.ask(method, path, expect=405)
            self.assertTrue(reply.headers["Allow"])
        for path in ("/v1", "/v1/", "/v1/images/", "/v1/images/1x", "/v1/images/-1", "/x", "/v1/search/",
                     "/v1/images/99999999999999999999", "/page/", "/page/x.js", "/v1/images/1/other"):
            self.daemon.get(path, 404)
        self.daemon.get("/v1/images/999999", 404)
        self.daemon.get("/v1/images/999999/similar", 404)

    @classmethod
    def check_all_were_used(cls):
        return sorted(DESCRIPTION.operations() - DESCRIPTION.used)


class Everything(unittest.TestCase):
    def test_every_operation_was_used(self):
        left = Api.check_all_were_used()
        # see security, and tags
        elsewhere = ("/v1/login", "/v1/images/{id}/tags", "/v1/tags", "/v1/tags/suggest", "/v1/dupes")
        self.assertEqual([o for o in left if o[1] not in elsewhere], [])


if __name__ == "__main__":
    suite = unittest.TestSuite()
    for case in (Api, Everything):  # in this order
        suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    raise SystemExit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
