#!/usr/bin/env python3
"""Searches of 1,000,000 vectors of 512 dimensions, beside faiss-cpu from Python.

    bench_vectors.py [--vectors 1000000] [--queries 200] [--library DIR]

The vectors are bench_library.c's: a thousand clusters, queries drawn as they are. Both
sides search the very same index, one query at a time on one core; ours is the whole
stage of a search (the library as it is now, the index, exact scores from the
catalogue), the peer's is index.search alone, with the fewest probes that find as much.
What is found is held against every vector's score.
"""
import argparse
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile
import time

import faiss
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("OSPREY_BUILD", ROOT / "build"))
PROGRAM = BUILD / "benchmarks" / "bench_library"
DIM = 512
K = 10


def ours(library, queries):
    out = subprocess.run([PROGRAM, "--search", library, str(DIM), str(queries)], check=True,
                         stdout=subprocess.PIPE, env=dict(os.environ, OMP_NUM_THREADS="1"))
    return json.loads(out.stdout)


def make_queries(n):
    out = subprocess.run([PROGRAM, "--queries", "-", str(DIM), str(n)], check=True, stdout=subprocess.PIPE)
    return np.frombuffer(out.stdout, dtype=np.float32).reshape(n, DIM)


def truth(library, queries):
    """(n, K) ids of the nearest, by every score."""
    best = [[] for _ in queries]
    rows = sqlite3.connect(library / "catalog.db").execute("SELECT key & ((1 << 40) - 1), vector FROM embeddings")
    while some := rows.fetchmany(20000):
        ids = np.array([r[0] for r in some])
        vectors = np.frombuffer(b"".join(r[1] for r in some), dtype=np.float16).reshape(-1, DIM)
        scores = queries @ vectors.astype(np.float32).T
        for i, row in enumerate(scores):
            near = np.argpartition(-row, K)[:K]
            best[i] = sorted(best[i] + list(zip((-row[near]).tolist(), ids[near].tolist())))[:K]
    return np.array([[i for _, i in b] for b in best])


def recall(found, nearest):
    return sum(len(set(f) & set(n)) for f, n in zip(found.tolist(), nearest.tolist())) / nearest.size


def one_by_one(index, queries):
    """(p50 ms, ids)"""
    times, ids = [], []
    for q in queries:
        start = time.perf_counter()
        ids.append(index.search(q[None], K)[1][0])
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2] * 1e3, np.array(ids)


def peer(library, queries, nearest, wanted):
    faiss.omp_set_num_threads(1)
    index = faiss.read_index(str(library / "vectors.faiss"))
    space = faiss.ParameterSpace()
    probes = 1
    while True:
        space.set_index_parameter(index, "nprobe", probes)
        one_by_one(index, queries[:20])
        p50, ids = one_by_one(index, queries)
        found = recall(ids, nearest)
        if found >= wanted or probes >= 1024:
            return {"p50_ms": round(p50, 3), "recall_10": round(found, 4), "nprobe": probes}
        probes *= 2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--library", type=pathlib.Path, help="made before by bench_library")
    args = parser.parse_args()
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="osprey-bench-"))
    try:
        library = args.library
        if not library:
            subprocess.run([PROGRAM, tmp, str(args.vectors), str(args.vectors), str(DIM)], check=True)
            library = tmp / str(args.vectors)
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        found = {"what": "search stage on one core", "osprey": ours(library, args.queries)}
        size = (library / "vectors.faiss").stat().st_size
        halves = found["osprey"]["images"] * DIM * 2
        found["memory_to_halves"] = round((size + (found["osprey"]["anon_mb"] << 20)) / halves, 3)
        queries = make_queries(args.queries)
        found["faiss"] = peer(library, queries, truth(library, queries), found["osprey"]["recall_10"] - 0.001)
        found["ratio"] = round(found["faiss"]["p50_ms"] / found["osprey"]["p50_ms"], 2)
        print(json.dumps(found))
    finally:
        shutil.rmtree(tmp)


if __name__ == "__main__":
    main()
