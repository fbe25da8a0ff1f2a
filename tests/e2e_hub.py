"""Drives `osprey model get`, `use` and `check` against a hub on this machine (hub.py):
what is fetched, to whom the token goes, and the cache of other programs. Python's
standard library alone; nothing leaves the machine.
"""

import json
import os
import shutil
import sys
import unittest

import hub
from hub import COMMIT, OTHER_COMMIT, TOKENIZER, checkpoint, git_hash, is_large, sha256


class Fetches(hub.Get):
    # ---- what goes well ----

    def test_fetches_what_is_needed_and_no_more(self):
        out, err = self.get()
        self.assertIn(self.folder(), out)
        self.assertIn("osprey index --model " + self.MODEL, err)
        self.assert_whole()
        asked = [p for p, _ in self.hub.seen if "/resolve/" in p]
        self.assertEqual(sorted(p.split("/")[-1] for p in asked),
                         ["README.md", "config.json", "model.safetensors", "preprocessor_config.json",
                          "tokenizer.json"])
        self.assertTrue(all("/resolve/%s/" % COMMIT in p for p in asked))
        self.assertTrue(self.hub.seen[0][0].endswith("/revision/main?blobs=true"))
        with open(os.path.join(self.folder(), "osprey-origin.json")) as f:
            self.assertEqual(json.load(f), {"model": self.MODEL, "revision": "main", "commit": COMMIT})
        # It works, by its name on the hub and by its folder.
        (info,) = map(json.loads, self.osprey("model", "info", self.MODEL, "--json")[0].splitlines())
        self.assertEqual((info["family"], info["dimension"], info["dir"]), ("clip", 24, self.folder()))
        self.assertEqual(info["name"], self.MODEL)
        vector = json.loads(self.osprey("embed", "--json", "--model", self.MODEL, "ab a")[0])["embedding"]
        self.assertEqual(len(vector), 24)
        self.osprey("model", "info", self.folder())
        listed = [json.loads(r) for r in self.osprey("model", "list", "--json")[0].splitlines()]
        self.assertIn({"name": self.MODEL, "dir": self.folder(), "default": False}, listed)
        # Again: without a question to the hub.
        before = len(self.hub.seen)
        self.assertIn("already", self.get()[0])
        self.assertEqual(len(self.hub.seen), before)

    def test_json_and_quiet(self):
        out, err = self.get(env={"OSPREY_HUB_TIMEOUT": "30"})
        self.assertNotIn("\r", err)
        shutil.rmtree(self.folder())
        self.cdn.faults["slow"] = 2500  # 30 parts, 1.5 s
        out, err = self.osprey("model", "get", self.MODEL, "--json", "-q")
        (last,) = [json.loads(r) for r in out.splitlines()]
        wanted = sum(len(self.files[f]) for f in os.listdir(self.folder()) if f in self.files)
        self.assertEqual(last, {"model": self.MODEL, "dir": self.folder(), "commit": COMMIT,
                                "fetched": wanted, "linked": False})
        self.assertEqual(err, "")
        shutil.rmtree(self.folder())
        out, err = self.osprey("model", "get", self.MODEL, "--json")
        lines = [json.loads(r) for r in out.splitlines()]
        self.assertGreater(len(lines), 1)
        # A slow machine may tell of small files, of the very beginning and the very end, too.
        self.assertIn("model.safetensors", [line["progress"]["file"] for line in lines[:-1]])
        for line in lines[:-1]:
            self.assertIn(line["progress"]["file"], self.files)
            self.assertTrue(0 <= line["progress"]["done"] <= line["progress"]["total"])
        told = [line["progress"]["done"] for line in lines[:-1]
                if line["progress"]["file"] == "model.safetensors"]
        self.assertEqual(told, sorted(told))

    def test_a_revision_lives_beside_the_main_one(self):
        self.get()
        files = dict(self.files, **{"tokenizer.json": TOKENIZER + b" "})
        self.world.add(self.MODEL, files, "refs/pr/7", OTHER_COMMIT)
        self.get(self.MODEL + "@refs/pr/7")
        self.assertTrue(any("/revision/refs%2Fpr%2F7?" in p for p, _ in self.hub.seen))
        self.assert_whole()
        self.assert_whole(files, "some-lab--quick-clip@refs--pr--7")
        names = self.osprey("model", "list")[0]
        self.assertIn(self.MODEL + "@refs/pr/7 ", names)
        info = json.loads(self.osprey("model", "info", self.MODEL + "@refs/pr/7", "--json")[0])
        self.assertEqual(info["dir"], self.folder("some-lab--quick-clip@refs--pr--7"))

    def test_shards(self):
        files = checkpoint("sharded_p16_f16", 48)
        self.world.add("some-lab/sharded", files)
        self.get("some-lab/sharded")
        got = os.listdir(self.folder("some-lab--sharded"))
        self.assertEqual(len([f for f in got if f.startswith("model-0000")]), 4)
        self.osprey("embed", "--model", "some-lab/sharded", "a")

    def test_open_clip(self):
        files = checkpoint("open_p16_f16", 48)
        self.world.add("some-lab/open", files)
        self.get("some-lab/open")
        self.assertTrue(os.path.exists(os.path.join(self.folder("some-lab--open"), "open_clip_model.safetensors")))
        self.osprey("embed", "--model", "some-lab/open", "a")
        self.assertIn("some-lab/open ", self.osprey("model", "list")[0])

    # ---- the token ----

    def test_the_token_stays_with_the_hub(self):
        self.world.token = "hf_secret"
        out, err = self.get(status=3)
        self.assertIn("HF_TOKEN", err)
        self.assertIn("401", err)
        _, err = self.get(status=3, env={"HF_TOKEN": "hf_wrong"})
        self.assertIn("token in HF_TOKEN", err)
        self.assert_nothing()
        self.get(env={"HF_TOKEN": "hf_secret"})
        self.assert_whole()
        self.assertTrue(all(h["Authorization"] == "Bearer hf_secret" for _, h in self.hub.seen[-5:]))
        self.assertTrue(self.blob_requests())
        for headers in self.blob_requests():
            self.assertNotIn("Authorization", headers)

    def test_a_token_that_is_none(self):
        for token in ("a b", "x\r\nEvil: 1", "t" * 5000):
            _, err = self.get(status=2, env={"HF_TOKEN": token})
            self.assertIn("HF_TOKEN", err)
        self.assertEqual(self.hub.seen, [])

    def test_gated(self):
        self.world.gated.add(self.MODEL)
        _, err = self.get(status=3)
        self.assertIn("accept", err)
        self.assertIn("HF_TOKEN", err)
        self.assert_nothing()

    # ---- the cache of other programs ----

    def make_cache(self, root, skip=(), damage=None):
        repo = os.path.join(root, "models--some-lab--quick-clip")
        snapshot = os.path.join(repo, "snapshots", OTHER_COMMIT)
        for d in ("refs", "blobs", "snapshots/" + OTHER_COMMIT):
            os.makedirs(os.path.join(repo, d))
        with open(os.path.join(repo, "refs", "main"), "w") as f:
            f.write(OTHER_COMMIT)
        for name, data in self.files.items():
            if name in skip or "/" in name:
                continue
            blob = sha256(data) if is_large(name) else git_hash(data)
            with open(os.path.join(repo, "blobs", blob), "wb") as f:
                f.write(data[:-1] + bytes([data[-1] ^ 1]) if name == damage else data)
            os.symlink("../../blobs/" + blob, os.path.join(snapshot, name))
        return os.path.realpath(snapshot)

    def test_a_cached_copy_is_used_as_it_is(self):
        home = os.path.join(self.tmp, "hf")
        snapshot = self.make_cache(os.path.join(home, "hub"))
        out, _ = self.osprey("model", "get", self.MODEL, "--json", env={"HF_HOME": home})
        self.assertEqual(json.loads(out), {"model": self.MODEL, "dir": self.folder(), "commit": OTHER_COMMIT,
                                           "fetched": 0, "linked": True})
        self.assertEqual(self.hub.seen, [])
        self.assert_whole()
        self.assertEqual(os.readlink(os.path.join(self.folder(), "model.safetensors")),
                         os.path.join(snapshot, "model.safetensors"))
        linked = json.loads(self.osprey("model", "info", self.MODEL, "--json")[0])
        # The same model as a fetched one.
        shutil.rmtree(self.folder())
        self.get()
        self.assertEqual(json.loads(self.osprey("model", "info", self.MODEL, "--json")[0])["hash"], linked["hash"])

    def test_the_default_cache_and_one_that_went(self):
        self.make_cache(os.path.join(self.tmp, "cache", "huggingface", "hub"))
        self.get()
        self.assertEqual(self.hub.seen, [])
        shutil.rmtree(os.path.join(self.tmp, "cache", "huggingface"))
        self.osprey("model", "info", self.MODEL, status=3)
        self.get()
        self.assert_whole()
        self.assertFalse(os.path.islink(os.path.join(self.folder(), "config.json")))

    def test_a_cache_that_does_not_do(self):
        for i, faults in enumerate(({"skip": ("tokenizer.json",)}, {"skip": ("model.safetensors",)},
                                    {"damage": "model.safetensors"}, {"damage": "config.json"})):
            home = os.path.join(self.tmp, "hf%d" % i)
            self.make_cache(os.path.join(home, "hub"), **faults)
            _, err = self.get(env={"HF_HOME": home})
            self.assertIn("not using the copy in the cache", err)
            self.assert_whole()
            self.assertFalse(any(os.path.islink(os.path.join(self.folder(), f)) for f in os.listdir(self.folder())))
            shutil.rmtree(self.folder())

    def test_offline(self):
        _, err = self.get(status=3, env={"HF_HUB_OFFLINE": "1"})
        self.assertIn("HF_HUB_OFFLINE", err)
        self.make_cache(os.path.join(self.tmp, "hub"))
        self.get(env={"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": os.path.join(self.tmp, "hub")})
        self.assert_whole()
        self.assertEqual(self.hub.seen, [])


if __name__ == "__main__":
    sys.argv.append("-v")
    unittest.main()
