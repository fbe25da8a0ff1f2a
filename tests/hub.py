"""A hub on this machine for tests of `osprey model get`: two servers on the loopback
answer as the Hugging Face hub and its content network do: listings with sizes and
hashes, redirects, ranges; and, when told to, as they do on a bad day. The checkpoints
are the small real ones of tests/data/clip.
"""

import hashlib
import http.server
import json
import os
import shutil
import subprocess
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
    """Models are got from a hub of this test's own."""

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
