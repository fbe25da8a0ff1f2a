#!/usr/bin/env python3
"""Text search over HTTP in 100,000 pictures, beside FastAPI + PyTorch + faiss-cpu.

    bench_searchd.py [--pictures 100000] [--seconds 4] [--no-peer] [--library DIR]

The library is made of real embeddings with noise (fill_library.c). Every query is a
new text, so nobody's cache helps. The peer, one process of FastAPI on uvicorn, runs
the same text tower (transformers' BertModel) and the trained head's text side in
torch, and searches the very same index (vectors.faiss is FAISS's, with efSearch as
storage/vindex.c has it); it answers with ids and scores alone. Its work is like ours, its
answers are not: the head's parts beside the trained one are a random linear map there,
and its recall is not measured. The clients are connections of this one process, which
shares the cores with what it measures. Ours and the peer take turns, never both at once.
"""
import argparse
import http.client
import itertools
import json
import os
import pathlib
import re
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("OSPREY_BUILD", ROOT / "build"))
MODEL = ROOT / "models" / "osprey-small"
SEEDS = 200
ROUNDS = 3
WORDS = ("dog", "beach", "red", "child", "snow", "bicycle", "tree", "market", "boat", "night")
NUMBER = itertools.count()


def text():
    n = next(NUMBER)
    return "a %s and a %s near the %s %d" % (WORDS[n % 10], WORDS[n // 10 % 10], WORDS[n // 7 % 10], n)


def make_library(folder, pictures):
    (folder / "pictures").mkdir()
    rng = np.random.default_rng(1)
    for i in range(SEEDS):
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        small.resize((96, 96), Image.BICUBIC).save(folder / "pictures" / f"{i:05}.jpg")
    library = folder / "library"
    subprocess.run([BUILD / "osprey", "index", "--quiet", "--library", library, folder / "pictures"],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run([BUILD / "benchmarks" / "fill_library", library, str(pictures)], check=True)
    return library


def serve_peer(port, library):
    """The peer's process."""
    import faiss
    import fastapi
    import torch
    import uvicorn
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.set_num_threads(1)  # on two cores it is faster so, for one client and for many
    faiss.omp_set_num_threads(1)
    config = json.loads((MODEL / "config.json").read_text())["text_config"]
    tower = BertModel(BertConfig(**config), add_pooling_layer=False).eval()
    weights = load_file(MODEL / "model.safetensors")
    tower.load_state_dict({k[11:]: v.float() for k, v in weights.items()
                           if k.startswith("text_model.") and "pooler" not in k}, strict=False)
    tokenizer = BertTokenizerFast(str(MODEL / "vocab.txt"), do_lower_case=True)
    head = {k[5:]: v.float() for k, v in load_file(MODEL / "heads.safetensors").items()
            if k.startswith("text.")}
    index = faiss.read_index(str(library / "vectors.faiss"))
    faiss.ParameterSpace().set_index_parameter(index, "efSearch", 128)
    beside = torch.randn(index.d - head["linear.bias"].shape[0], config["hidden_size"])
    app = fastapi.FastAPI()

    @app.get("/v1/search")
    def search(q: str, k: int = 20):
        with torch.inference_mode():
            tokens = tokenizer([q], return_tensors="pt", truncation=True, max_length=256)
            hidden = tower(**tokens).last_hidden_state
            mean = hidden.mean(1)
            x = (torch.cat([mean, hidden[:, 0]], 1) - head["mean"]) * head["scale"]
            up = torch.nn.functional.gelu(x @ head["mlp.up.weight"].T + head["mlp.up.bias"])
            trained = (x @ head["linear.weight"].T + head["linear.bias"] +
                       up @ head["mlp.down.weight"].T + head["mlp.down.bias"])
            parts = torch.nn.functional.normalize(trained), torch.nn.functional.normalize(mean @ beside.T)
            query = torch.nn.functional.normalize(torch.cat(parts, 1)).numpy()
        scores, ids = index.search(query, k)
        return {"results": [{"id": int(i), "score": float(s)} for i, s in zip(ids[0], scores[0])]}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


class Client:
    """One connection, always with one request on its way. It costs little itself: it
    shares the cores with what it measures."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self):
        self.answer, self.whole = b"", None
        request = "GET /v1/search?k=20&q=%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % urllib.parse.quote(text())
        self.start = time.perf_counter()
        self.socket.sendall(request.encode())

    def read(self):
        """The seconds that the answer took, once it is whole."""
        self.answer += self.socket.recv(1 << 18)
        if self.whole is None and (end := self.answer.find(b"\r\n\r\n")) >= 0:
            head = self.answer[:end].lower()
            length = int(re.search(rb"content-length: *(\d+)", head).group(1))
            self.whole = end + 4 + length
        if self.whole is None or len(self.answer) < self.whole:
            return None
        took = time.perf_counter() - self.start
        if b" 200 " not in self.answer[:20] or self.answer.count(b'"id":') != 20:
            raise RuntimeError(self.answer[:300])
        return took


def measure(port, clients, seconds):
    """(p50 ms, p99 ms, answers a second)"""
    times, start = [], time.perf_counter()
    with selectors.DefaultSelector() as ready:
        for client in [Client(port) for _ in range(clients)]:
            ready.register(client.socket, selectors.EVENT_READ, client)
            client.ask()
        while time.perf_counter() < start + seconds:
            for key, _ in ready.select():
                took = key.data.read()
                if took is not None:
                    times.append(took)
                    key.data.ask()
        for key in list(ready.get_map().values()):
            key.data.socket.close()
    took = time.perf_counter() - start
    times.sort()
    return times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3, len(times) / took


def anonymous_mb(pid):
    status = pathlib.Path("/proc/%d/status" % pid).read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status).group(1)) / 1024


def start_ours(library, *more):
    """(process, port, ms from exec until /readyz says 200)"""
    start = time.perf_counter()
    process = subprocess.Popen([BUILD / "osprey-searchd", "--port", "0", "--json", "--quiet", "--log",
                                "off", "--library", library, *more], stdout=subprocess.PIPE)
    port = urllib.parse.urlsplit(json.loads(process.stdout.readline())["url"]).port
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/readyz")
        ready = connection.getresponse().status == 200
        connection.close()
        if ready:
            return process, port, (time.perf_counter() - start) * 1e3
        time.sleep(0.002)


def start_peer(library):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = subprocess.Popen([sys.executable, __file__, "--serve", str(port), str(library)])
    while process.poll() is None:
        try:
            measure(port, 1, 0.1)
            return process, port
        except OSError:
            time.sleep(0.5)
    raise RuntimeError("the peer did not start")


def stop(process):
    process.terminate()
    process.wait()


def ours_alone(library):
    ready = []
    for _ in range(5):
        process, port, ms = start_ours(library)
        ready.append(ms)
        stop(process)
    process, port, _ = start_ours(library)
    measure(port, 1, 1)
    time.sleep(1)
    idle = anonymous_mb(process.pid)
    return process, port, {"ready_ms": round(statistics.median(ready), 1), "idle_anon_mb": round(idle, 1)}


def figures(port, args):
    one, many = measure(port, 1, args.seconds), measure(port, 32, args.seconds)
    return {"p50_ms": round(one[0], 2), "p99_ms": round(one[1], 2), "per_second_32": round(many[2], 1),
            "p50_ms_32": round(many[0], 1)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--library", type=pathlib.Path, help="one that is there, instead of a new one")
    parser.add_argument("--serve", nargs=2)
    args = parser.parse_args()
    if args.serve:
        serve_peer(int(args.serve[0]), pathlib.Path(args.serve[1]))
        return
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="osprey-bench-"))
    processes = []
    try:
        library = args.library or make_library(tmp, args.pictures)
        process, port, found = ours_alone(library)
        processes.append(process)
        found.update(what="text search over HTTP", pictures=args.pictures)
        if args.no_peer:
            found["osprey"] = figures(port, args)
            print(json.dumps(found))
            return
        process, peer_port = start_peer(library)
        processes.append(process)
        turns = [(figures(port, args), figures(peer_port, args)) for _ in range(ROUNDS)]
        for name, of in zip(("osprey", "peer"), zip(*turns)):
            found[name] = {key: statistics.median(turn[key] for turn in of) for key in of[0]}
        found["ratio_32"] = round(found["osprey"]["per_second_32"] / found["peer"]["per_second_32"], 1)
        print(json.dumps(found))
    finally:
        for process in processes:
            stop(process)
        shutil.rmtree(tmp)


if __name__ == "__main__":
    main()
