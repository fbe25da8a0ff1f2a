"""Drives `osprey model get`, `use` and `check` against a hub on this machine.

Two servers on the loopback answer as the Hugging Face hub and its content network
do: listings with sizes and hashes, redirects, ranges; and, when told to, as they do
on a bad day. The checkpoints are the small real ones of tests/data/clip.
Python's standard library alone; nothing leaves the machine.
"""

import hashlib
import http.server
import json
import os
import resource
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

BUILD = os.environ["OSPREY_BUILD"]
SOURCE = os.environ["OSPREY_SOURCE"]
OSPREY = os.path.join(BUILD, "osprey")
CLIP = os.path.join(SOURCE, "tests", "data", "clip")
COMMIT = "c" * 40
OTHER_COMMIT = "d" * 40

TOKENIZER = json.dumps({"model": {
    "type": "BPE", "unk_token": "<|endoftext|>", "end_of_word_suffix": "</w>",
    "vocab": {"a": 0, "b": 1, "ab": 2, "a</w>": 3, "b</w>": 4, "ab</w>": 5,
              "<|startoftext|>": 126, "<|endoftext|>": 127},
    "merges": ["a b", "a b</w>"]}}).encode()


def preprocessor(size):
    return json.dumps({"crop_size": size, "do_center_crop": True, "do_normalize": True,
                       "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.25] * 3,
                       "resample": 3, "size": size}).encode()


def checkpoint(name, size):
    """A repository's files: a small model, and much that is of no use."""
    files = {"tokenizer.json": TOKENIZER, "preprocessor_config.json": preprocessor(size),
             "README.md": b"# a model\n", ".gitattributes": b"*.bin lfs\n",
             "pytorch_model.bin": b"\0" * 500, "onnx/model.onnx": b"\1" * 500}
    folder = os.path.join(CLIP, name)
    for file in os.listdir(folder):
        if file != "golden.safetensors":
            with open(os.path.join(folder, file), "rb") as f:
                files[file] = f.read()
    return files


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def git_hash(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_large(name):
    return name.endswith((".safetensors", ".bin"))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        server = self.server
        server.seen.append((self.path, dict(self.headers)))
        if server.faults.get("status"):
            status, headers = server.faults["status"].pop(0)
            return self.answer(status, b"sorry", headers)
        server.respond(self)

    def send_bytes(self, data):
        """The body, with ranges, and with what is to go wrong."""
        faults = self.server.faults
        start = 0
        asked = self.headers.get("Range")
        if asked and not faults.get("ignore_range"):
            start = int(asked.split("=")[1].split("-")[0])
            if start >= len(data):
                return self.answer(416)
            self.send_response(206)
            self.send_header("Content-Range", "bytes %d-%d/%d" % (
                start + faults.get("shift", 0), len(data) - 1, len(data)))
        else:
            self.send_response(200)
        body = data[start:]
        if faults.get("longer"):
            body += b"more"
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if faults.get("cut"):
            body = body[:faults["cut"].pop(0)]
            self.close_connection = True
        elif faults.get("stall"):
            self.wfile.write(body[:faults["stall"].pop(0)])
            self.wfile.flush()
            self.server.released.wait(20)
            self.close_connection = True
            return
        slow = faults.get("slow")
        for at in range(0, len(body), slow or len(body) or 1):
            self.wfile.write(body[at:at + (slow or len(body))])
            if slow:
                self.wfile.flush()
                time.sleep(0.05)
        if self.close_connection:
            self.wfile.flush()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, respond):
        super().__init__(("127.0.0.1", 0), Handler)
        self.respond, self.seen, self.faults = respond, [], {}
        self.released = threading.Event()
        self.url = "http://127.0.0.1:%d" % self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # the other side went away: that is what some tests are about


class Hub:
    """The hub and its content network."""

    def __init__(self):
        self.repos, self.blobs, self.edit = {}, {}, None
        self.token, self.gated, self.discussions = None, set(), []
        self.hub, self.cdn = Server(self.on_hub), Server(self.on_cdn)

    def close(self):
        for server in (self.hub, self.cdn):
            server.released.set()
            server.shutdown()
            server.server_close()

    def add(self, model, files, revision="main", commit=COMMIT):
        self.repos[model, revision] = self.repos[model, commit] = (commit, files)
        for data in files.values():
            self.blobs[sha256(data)] = data

    def on_cdn(self, request):
        data = self.blobs[urllib.parse.urlparse(request.path).path.split("/")[-1]]
        if self.cdn.faults.get("corrupt"):
            data = bytes([data[0] ^ 1]) + data[1:]
        request.send_bytes(data)

    def on_hub(self, request):
        path = urllib.parse.urlparse(request.path).path
        parts = [urllib.parse.unquote(p) for p in path.strip("/").split("/")]
        if parts[:2] == ["api", "models"] and parts[4:5] == ["revision"]:
            return self.listing(request, "/".join(parts[2:4]), parts[5])
        if parts[:2] == ["api", "models"] and parts[4:] == ["discussions"]:
            return request.answer(200, json.dumps({"discussions": self.discussions}).encode())
        if parts[0] == "kept":
            return request.send_bytes(self.blobs[parts[1]])
        if parts[2:3] == ["resolve"]:
            return self.resolve(request, "/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        request.answer(404)

    def refuse(self, request, model):
        """True when it was refused, as the hub does: unknown and private look the same."""
        given = request.headers.get("Authorization")
        known = any(m == model for m, _ in self.repos)
        if known and (self.token is None or given == "Bearer " + self.token):
            return False
        request.answer(401, b'{"error":"Repository not found"}', [
            ("X-Error-Code", "RepoNotFound"), ("X-Error-Message", "Repository not found")])
        return True

    def listing(self, request, model, revision):
        if self.refuse(request, model):
            return
        if (model, revision) not in self.repos:
            return request.answer(404, b"{}", [("X-Error-Code", "RevisionNotFound"),
                                               ("X-Error-Message", "Invalid rev id: " + revision)])
        commit, files = self.repos[model, revision]
        siblings = []
        for name, data in files.items():
            entry = {"rfilename": name, "size": len(data), "blobId": git_hash(data)}
            if is_large(name):
                entry["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 134}
            siblings.append(entry)
        answer = {"id": model, "sha": commit, "private": False, "siblings": siblings}
        if self.edit:
            self.edit(answer)
        request.answer(200, json.dumps(answer).encode(), [("Content-Type", "application/json")])

    def resolve(self, request, model, revision, name):
        if self.refuse(request, model):
            return
        if model in self.gated and is_large(name):
            return request.answer(403, b"", [("X-Error-Code", "GatedRepo"),
                                             ("X-Error-Message", "Access is restricted")])
        commit, files = self.repos[model, revision]
        data = files[name]
        headers = [("X-Repo-Commit", commit), ("X-Linked-Size", str(len(data))),
                   ("X-Linked-Etag", '"%s"' % sha256(data))]
        if is_large(name):
            where = "%s/blobs/%s?signature=1" % (self.cdn.url, sha256(data))
            request.answer(302, b"Found", headers + [("Location", where)])
        else:  # small files: a redirect within the hub, relative
            request.answer(307, b"", headers + [("Location", "/kept/" + sha256(data))])


class Get(unittest.TestCase):
    MODEL = "some-lab/quick-clip"

    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix="osprey-hub-")
        self.models = os.path.join(self.tmp, "data", "osprey", "models")
        self.cwd = os.path.join(self.tmp, "cwd")
        os.mkdir(self.cwd)
        self.world = Hub()
        self.hub, self.cdn = self.world.hub, self.world.cdn
        self.files = checkpoint("quick_p32_f16", 64)
        self.world.add(self.MODEL, self.files)
        self.weights = self.files["model.safetensors"]

    def tearDown(self):
        self.world.close()
        shutil.rmtree(self.tmp)

    def environment(self, **more):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("HF_", "XDG_", "OSPREY_MODELS")) and not k.lower().endswith("_proxy")}
        env.update(HOME=os.path.join(self.tmp, "home"), XDG_DATA_HOME=os.path.join(self.tmp, "data"),
                   XDG_CONFIG_HOME=os.path.join(self.tmp, "config"),
                   XDG_CACHE_HOME=os.path.join(self.tmp, "cache"), HF_ENDPOINT=self.hub.url + "/",
                   OSPREY_HUB_TIMEOUT="2")
        env.update(more)
        return env

    def osprey(self, *args, status=0, env=None, **more):
        """Runs it; returns (stdout, stderr) as text."""
        done = subprocess.run([OSPREY] + list(args), capture_output=True, text=True, cwd=self.cwd,
                              env=self.environment(**(env or {})), timeout=120, **more)
        self.assertEqual(done.returncode, status, (args, done.stdout, done.stderr))
        return done.stdout, done.stderr

    def get(self, model=None, status=0, **more):
        return self.osprey("model", "get", model or self.MODEL, status=status, **more)

    def folder(self, name="some-lab--quick-clip"):
        return os.path.join(self.models, name)

    def stage(self, name="some-lab--quick-clip"):
        return os.path.join(self.models, ".%s.partial" % name)

    def parts(self):
        return [f for f in os.listdir(self.stage()) if f.endswith(".part")] \
            if os.path.isdir(self.stage()) else []

    def assert_whole(self, files=None, name="some-lab--quick-clip"):
        files = files or self.files
        wanted = ["README.md", "config.json", "model.safetensors", "preprocessor_config.json",
                  "tokenizer.json"]
        self.assertEqual(sorted(os.listdir(self.folder(name))), sorted(wanted + ["osprey-origin.json"]))
        for file in wanted:
            with open(os.path.join(self.folder(name), file), "rb") as f:
                self.assertEqual(f.read(), files[file], file)
        self.assertFalse(os.path.exists(self.stage(name)))

    def assert_nothing(self):
        self.assertFalse(os.path.exists(self.folder()))

    def blob_requests(self):
        return [headers for path, headers in self.cdn.seen if path.startswith("/blobs/")]

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

    # ---- what goes wrong on the way ----

    def test_cut_connections_are_gone_on_with(self):
        self.cdn.faults["cut"] = [10000, 20000, 1]
        _, err = self.get()
        self.assert_whole()
        ranges = [h.get("Range") for h in self.blob_requests()]
        self.assertEqual(ranges, [None, "bytes=10000-", "bytes=30000-", "bytes=30001-"])
        self.assertEqual(err.count("trying again"), 3)

    def test_a_server_without_ranges(self):
        self.cdn.faults.update(cut=[10000], ignore_range=True)
        self.get()
        self.assert_whole()

    def test_a_range_from_elsewhere_is_not_taken(self):
        self.cdn.faults.update(cut=[10000], shift=5)
        _, err = self.get(status=3)
        self.assertIn("sent them from 10005", err)
        self.assert_nothing()

    def test_gives_up_when_nothing_comes(self):
        self.cdn.faults["cut"] = [0] * 50
        _, err = self.get(status=3)
        self.assertIn("gave up", err)
        self.assertEqual(len(self.blob_requests()), 6)
        self.assert_nothing()
        self.cdn.faults.clear()
        self.get()
        self.assert_whole()

    def test_a_stall_times_out_and_is_gone_on_with(self):
        self.cdn.faults["stall"] = [5000]
        start = time.monotonic()
        self.get(env={"OSPREY_HUB_TIMEOUT": "1"})
        self.assertLess(time.monotonic() - start, 15)
        self.assert_whole()
        self.assertEqual([h.get("Range") for h in self.blob_requests()], [None, "bytes=5000-"])

    def test_busy_servers_are_asked_again(self):
        self.hub.faults["status"] = [(503, ()), (429, [("Retry-After", "1")])]
        self.cdn.faults["status"] = [(500, ())]
        start = time.monotonic()
        self.get()
        self.assertGreater(time.monotonic() - start, 1)
        self.assert_whole()

    def test_wrong_bytes_are_deleted(self):
        self.cdn.faults["corrupt"] = True
        _, err = self.get(status=3)
        self.assertIn("SHA-256", err)
        self.assertIn("model.safetensors", err)
        self.assert_nothing()
        self.assertEqual(self.parts(), [])
        self.assertNotIn(self.MODEL, self.osprey("model", "list")[0])
        self.cdn.faults.clear()
        self.get()
        self.assert_whole()

    def test_wrong_small_files_are_noticed(self):
        def other_config(answer):
            for s in answer["siblings"]:
                if s["rfilename"] == "config.json":
                    s["blobId"] = "0" * 40
        self.world.edit = other_config
        _, err = self.get(status=3)
        self.assertIn("config.json", err)
        self.assertEqual(self.blob_requests(), [])

    def test_more_bytes_than_stated(self):
        self.cdn.faults["longer"] = True
        _, err = self.get(status=3)
        self.assertIn("longer than", err)
        self.assert_nothing()

    def test_what_an_earlier_run_left_wrong_is_fetched_anew(self):
        os.makedirs(self.stage())
        with open(os.path.join(self.stage(), "model.safetensors.%s.part" % sha256(self.weights)[:16]), "wb") as f:
            f.write(b"\xff" * 9000)
        _, err = self.get()
        self.assertIn("anew", err)
        self.assert_whole()
        self.assertEqual([h.get("Range") for h in self.blob_requests()], ["bytes=9000-", None])

    def test_interrupted_and_continued(self):
        for number in (signal.SIGINT, signal.SIGKILL):
            self.cdn.faults["stall"] = [30000]
            p = subprocess.Popen([OSPREY, "model", "get", self.MODEL], cwd=self.cwd, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env=self.environment(OSPREY_HUB_TIMEOUT="60"))
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and not any(
                    os.path.getsize(os.path.join(self.stage(), f)) == 30000 for f in self.parts()):
                time.sleep(0.02)
            _, err = self.get(status=3)
            self.assertIn("another osprey is fetching", err)
            p.send_signal(number)
            _, err = p.communicate(timeout=20)
            if number == signal.SIGINT:
                self.assertEqual(p.returncode, 3)
                self.assertIn(b"goes on from there", err)
            self.assert_nothing()
            self.cdn.seen.clear()
            self.get()
            self.assertEqual([h.get("Range") for h in self.blob_requests()], ["bytes=30000-"])
            self.assert_whole()
            shutil.rmtree(self.folder())

    def test_a_full_disk_is_told_and_continued(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        _, err = self.get(status=3, preexec_fn=limit, restore_signals=False)
        self.assertIn("File too large", err)
        self.assertIn(".part", err)
        self.assert_nothing()
        self.get()
        self.assert_whole()
        self.assertEqual(self.blob_requests()[-1].get("Range"), "bytes=20000-")

    def test_more_than_the_disk_has(self):
        def huge(answer):
            for s in answer["siblings"]:
                if s["rfilename"] == "model.safetensors":
                    s["lfs"]["size"] = s["size"] = 150 * 10**9
        self.world.edit = huge
        if shutil.disk_usage(self.tmp).free > 140 * 10**9:
            self.skipTest("this disk is too large")
        _, err = self.get(status=3)
        self.assertIn("free", err)
        self.assertEqual(self.blob_requests(), [])

    # ---- what is not there, or not what it should be ----

    def test_no_such_thing(self):
        _, err = self.get("some-lab/other", status=3)
        self.assertIn("some-lab/other", err)
        self.assertIn("check the name", err)
        _, err = self.get(self.MODEL + "@v9", status=3)
        self.assertIn("no revision v9", err)
        for bad in ("clip", "a/b/c", "../x", "a/..", "/a/b", "a/b@", "a/b@../x", "a--b/c", "a/b c", ".a/b", "-a/b"):
            self.osprey("model", "get", "--", bad, status=2)
        self.osprey("model", "get", status=2)
        _, err = self.osprey("model", "info", self.MODEL, status=3)
        self.assertIn("osprey model get " + self.MODEL, err)

    def test_only_pickles(self):
        files = {k: v for k, v in self.files.items() if k != "model.safetensors"}
        self.world.add("some-lab/old", files)
        _, err = self.get("some-lab/old", status=3)
        self.assertIn("pytorch_model.bin", err)
        self.assertIn("some-lab/old@refs/pr/N", err)
        self.assertEqual([p for p, _ in self.hub.seen if "/resolve/" in p], [])
        adding = {"num": 3, "title": "Adding `safetensors` variant of this model", "status": "open",
                  "isPullRequest": True}
        self.world.discussions = [{"num": 1, "title": "Where are the safetensors?", "status": "open",
                                   "isPullRequest": False}, dict(adding, num=2, status="merged"), 7,
                                  dict(adding, num="4"), adding]
        _, err = self.get("some-lab/old", status=3)
        self.assertIn("osprey model get some-lab/old@refs/pr/3`", err)

    def test_another_kind_of_model_is_refused_before_its_weights_travel(self):
        self.world.add("some-lab/bert", dict(self.files, **{"config.json": b'{"model_type": "bert"}'}))
        _, err = self.get("some-lab/bert", status=3)
        self.assertIn('"bert"', err)
        self.assertEqual(self.blob_requests(), [])

    def test_weights_that_are_none(self):
        self.world.add("some-lab/broken", dict(self.files, **{"model.safetensors": b"version https://git-lfs"}))
        _, err = self.get("some-lab/broken", status=3)
        self.assertIn("broken", err)
        self.assertFalse(os.path.exists(self.folder("some-lab--broken")))

    def test_evil_names(self):
        files = checkpoint("sharded_p16_f16", 48)
        index = json.loads(files["model.safetensors.index.json"])
        for evil in ("../../../evil.safetensors", "/tmp/evil.safetensors", "sub/evil.safetensors",
                     ".hidden.safetensors", "a\\u0000b.safetensors", "model.safetensors\n", "config.json"):
            index["weight_map"][next(iter(index["weight_map"]))] = evil
            self.world.add("some-lab/evil", dict({evil: b"x" * 10}, **dict(files, **{
                "model.safetensors.index.json": json.dumps(index).encode()})))
            _, err = self.get("some-lab/evil", status=3)
            self.assertIn("no name of a file of weights", err, evil)
        self.assertEqual([f for f in os.listdir(self.models) if "evil" not in f], [])
        # Where nothing asks for them, they are just left out.
        self.world.add("some-lab/odd", dict(self.files, **{"../../evil": b"x", "/etc/evil": b"x"}))
        self.get("some-lab/odd")
        self.assert_whole(name="some-lab--odd")
        self.assertFalse(any("evil" in f for _, _, names in os.walk(self.tmp) for f in names))

    def test_listings_that_lie(self):
        def change(entry):
            def edit(answer):
                for s in answer["siblings"]:
                    if s["rfilename"] == "model.safetensors":
                        entry(s)
            return edit
        for edit, words in (
                (change(lambda s: (s.pop("lfs"), s.pop("blobId"))), "cannot be checked"),
                (change(lambda s: s["lfs"].update(sha256="../../x")), "cannot be checked"),
                (change(lambda s: (s["lfs"].pop("size"), s.pop("size"))), "cannot be checked"),
                (change(lambda s: s["lfs"].update(size=1 << 60)), "bytes"),
                (change(lambda s: s["lfs"].update(size=300 * 10**9)), "too many"),
                (lambda a: a.update(sha="../../x"), "no listing"),
                (lambda a: a.update(siblings="x"), "no listing")):
            self.world.edit = edit
            _, err = self.get(status=3)
            self.assertIn(words, err)
            self.assert_nothing()
        self.hub.faults["status"] = [(200, ())]
        _, err = self.get(status=3)
        self.assertIn("as JSON", err)

    def test_a_redirect_without_end(self):
        self.hub.faults["status"] = [(302, [("Location", "/x")])] * 50
        _, err = self.get(status=3)
        self.assertIn("redirects more than", err)
        self.hub.faults["status"] = [(302, [("Location", "file:///etc/passwd")])]
        _, err = self.get(status=3)
        self.assertIn("not followed", err)

    def test_no_network(self):
        self.hub.shutdown()
        self.hub.server_close()
        _, err = self.get(status=3)
        self.assertIn("cannot reach", err)
        self.assertIn("carried", err)
        self.assertFalse(os.path.exists(self.stage()))
        _, err = self.get(status=2, env={"HF_ENDPOINT": "ftp://x"})
        self.assertIn("HF_ENDPOINT", err)

    @unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificate")
    def test_https(self):
        key, certificate = os.path.join(self.tmp, "key"), os.path.join(self.tmp, "certificate")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out",
                        certificate, "-days", "2", "-subj", "/CN=hub", "-addext",
                        "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.hub.socket = context.wrap_socket(self.hub.socket, server_side=True)
        url = self.hub.url.replace("http:", "https:")
        _, err = self.get(status=3, env={"HF_ENDPOINT": url})
        self.assertIn("certificate", err)
        self.assertNotIn("trying again", err)
        trusting = {"HF_ENDPOINT": url, "SSL_CERT_FILE": certificate}
        _, err = self.get(status=3, env=trusting)  # the content network has no https
        self.assertIn("not followed", err)
        self.assertEqual(self.cdn.seen, [])
        self.cdn.socket = context.wrap_socket(self.cdn.socket, server_side=True)
        self.cdn.url = self.cdn.url.replace("http:", "https:")
        self.get(env=trusting)
        self.assert_whole()

    def test_a_folder_in_the_way_is_kept(self):
        os.makedirs(os.path.join(self.folder(), "mine"))
        _, err = self.get(status=3)
        self.assertIn("in the way", err)
        self.assertTrue(os.path.isdir(os.path.join(self.folder(), "mine")))
        shutil.rmtree(self.folder())
        before = len(self.blob_requests())
        self.get()
        self.assertEqual(len(self.blob_requests()), before)  # the weights were here
        self.assert_whole()

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
