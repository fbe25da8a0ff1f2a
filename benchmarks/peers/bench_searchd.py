#!/usr/bin/env python3
"""Text search over HTTP in 100,000 pictures, beside FastAPI + PyTorch + faiss-cpu.

    bench_searchd.py [--pictures 100000] [--seconds 8] [--no-peer]

The library is made of real embeddings with noise (fill_library.c). Every query is a
new text, so nobody's cache helps. The peer, one process of FastAPI on uvicorn, runs
the same text tower (transformers' BertModel) and the trained head's text side in
torch, and the same kind of index (HNSW32, halves, efSearch as storage/vindex.c has it)
over the same vectors; it answers with ids and scores alone. Its work is like ours, its
answers are not: the head's parts beside the trained one are a random linear map there,
and its recall is not measured. The clients are threads of this one Python process and
share the cores with what they measure. Peer first, then ours, never both at once.
"""
import argparse
import concurrent.futures
import http.client
import itertools
import json
import os
import pathlib
import re
import shutil
import socket
import sqlite3
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

    config = json.loads((MODEL / "config.json").read_text())["text_config"]
    tower = BertModel(BertConfig(**config), add_pooling_layer=False).eval()
    weights = load_file(MODEL / "model.safetensors")
    tower.load_state_dict({k[11:]: v.float() for k, v in weights.items()
                           if k.startswith("text_model.") and "pooler" not in k}, strict=False)
    tokenizer = BertTokenizerFast(str(MODEL / "vocab.txt"), do_lower_case=True)
    head = {k[5:]: v.float() for k, v in load_file(MODEL / "heads.safetensors").items()
            if k.startswith("text.")}
    rows = sqlite3.connect(library / "catalog.db").execute("SELECT vector FROM embeddings")
    vectors = np.stack([np.frombuffer(r[0], dtype=np.float16) for r in rows])
    beside = torch.randn(vectors.shape[1] - head["linear.bias"].shape[0], config["hidden_size"])
    index = faiss.index_factory(vectors.shape[1], "HNSW32_SQfp16", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[:1000].astype(np.float32))
    for part in np.array_split(vectors, max(1, len(vectors) // 10000)):
        index.add(part.astype(np.float32))
    index.hnsw.efSearch = 128
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


def ask(connection):
    start = time.perf_counter()
    connection.request("GET", "/v1/search?k=20&q=" + urllib.parse.quote(text()))
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200 or len(json.loads(body)["results"]) != 20:
        raise RuntimeError("%d: %s" % (answer.status, body[:200]))
    return time.perf_counter() - start


def client(port, seconds):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        times.append(ask(connection))
    connection.close()
    return times


def measure(port, clients, seconds):
    """(p50 ms, p99 ms, answers a second)"""
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        times = [t for ts in pool.map(lambda _: client(port, seconds), range(clients)) for t in ts]
    took = time.perf_counter() - start
    times.sort()
    return times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3, len(times) / took


def anonymous_mb(pid):
    status = pathlib.Path("/proc/%d/status" % pid).read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status).group(1)) / 1024


def start_ours(library):
    """(process, port, ms from exec until /readyz says 200)"""
    start = time.perf_counter()
    process = subprocess.Popen([BUILD / "osprey-searchd", "--port", "0", "--json", "--quiet", "--log",
                                "off", "--library", library], stdout=subprocess.PIPE)
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
            client(port, 0.1)
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
    client(port, 1)
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
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--serve", nargs=2)
    args = parser.parse_args()
    if args.serve:
        serve_peer(int(args.serve[0]), pathlib.Path(args.serve[1]))
        return
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="osprey-bench-"))
    processes = []
    try:
        library = make_library(tmp, args.pictures)
        process, port, found = ours_alone(library)
        processes.append(process)
        found.update(what="text search over HTTP", pictures=args.pictures, osprey=figures(port, args))
        print(json.dumps(found), flush=True)
        if args.no_peer:
            return
        process, peer_port = start_peer(library)
        processes.append(process)
        found["peer"] = figures(peer_port, args)
        found["osprey"] = figures(port, args)
        found["ratio_32"] = round(found["osprey"]["per_second_32"] / found["peer"]["per_second_32"], 1)
        print(json.dumps(found))
    finally:
        for process in processes:
            stop(process)
        shutil.rmtree(tmp)


if __name__ == "__main__":
    main()
