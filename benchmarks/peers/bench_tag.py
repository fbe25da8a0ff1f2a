#!/usr/bin/env python3
"""Tagging: labels from five examples beside scikit-learn and beside words; and how long
10,000 pictures with 400 labels take beside numpy.

Accuracy: the folders of Debian's tuxpaint-stamps with eight pictures or more are classes.
Five pictures of each are examples, drawn anew in each round; the rest is a library.
`osprey tag` names one label for each picture; scikit-learn's LogisticRegression (C = 1
and the C that Osprey's cross-validation chooses among, the best of them) predicts on the
very embeddings that the libraries hold. Needs numpy, scikit-learn, pillow.

Speed: the whole command, labels known from before and not, beside numpy on ready
embeddings (one product, calibrated in the same way, the best five) and beside Pillow
decoding the pictures, which is what Python pays before it can embed them.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
OSPREY = pathlib.Path(os.environ.get("OSPREY_BUILD", ROOT / "build")) / "osprey"
STAMPS = pathlib.Path("/usr/share/tuxpaint/stamps")
EXAMPLES = 5


def osprey(*args):
    done = subprocess.run([OSPREY, *map(str, args)], check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
    return [json.loads(line) for line in done.stdout.splitlines() if line[:1] == b"{"]


def embeddings(library):
    """[(path below its folder, embedding)] from the catalogue."""
    db = sqlite3.connect("file:%s/catalog.db?mode=ro" % library, uri=True)
    (model,) = db.execute("SELECT id FROM models WHERE state = 'active'").fetchone()
    rows = db.execute("SELECT i.path, e.vector FROM images i JOIN embeddings e"
                      " ON e.key = (? << 40) | i.id ORDER BY i.id", (model,)).fetchall()
    db.close()
    return [(os.fsdecode(p), np.frombuffer(v, np.float16).astype(np.float32)) for p, v in rows]


def classes():
    """{label: pictures}; what people would call a folder, read from the inside out."""
    found = {}
    for folder, _, files in os.walk(STAMPS):
        name = os.path.relpath(folder, STAMPS)
        pictures = sorted(f for f in files if f.endswith((".png", ".jpg")))
        if len(pictures) >= 8 and not name.startswith("symbols"):
            label = " ".join(reversed(name.split("/")))
            found[label] = [os.path.join(folder, f) for f in pictures]
    return found


def scikit(x, y, test, right):
    from sklearn.linear_model import LogisticRegression
    accuracy = {}
    for strength in (1, 10, 100):
        fit = LogisticRegression(C=strength, max_iter=5000).fit(x, y)
        accuracy[strength] = float(np.mean(fit.predict(test) == right))
    return accuracy


def accuracy_round(found, seed, tmp):
    rng = random.Random(seed)
    examples, rest = tmp / "examples", tmp / "rest"
    for label, pictures in found.items():
        chosen = set(rng.sample(pictures, EXAMPLES))
        for i, picture in enumerate(pictures):
            folder = (examples if picture in chosen else rest) / label.replace(" ", "_")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, folder / ("%03d%s" % (i, os.path.splitext(picture)[1])))
    osprey("index", "--quiet", "--library", tmp / "lib", rest)
    osprey("index", "--quiet", "--library", tmp / "elib", examples)
    vocabulary = tmp / "labels.txt"
    vocabulary.write_text("".join(label + "\n" for label in found))

    def told(*args):
        lines = osprey("tag", "--library", tmp / "lib", "--dry-run", "--json", "--threshold", 0,
                       "--top", 1, *args)
        return sum(l["tags"][0]["label"] == os.path.basename(os.path.dirname(l["path"]))
                   .replace("_", " ") for l in lines) / len(lines)

    train, test = embeddings(tmp / "elib"), embeddings(tmp / "lib")
    labels = [p.split("/")[0] for p, _ in train]
    right = np.array([p.split("/")[0] for p, _ in test])
    peers = scikit(np.array([v for _, v in train]), labels, np.array([v for _, v in test]), right)
    return {"examples": told("--examples", examples), "words": told("--vocab", vocabulary),
            "both": told("--examples", examples, "--vocab", vocabulary),
            "scikit-learn C=1": peers[1], "scikit-learn best C": max(peers.values()),
            "pictures": len(test)}


def accuracy(rounds):
    found = classes()
    results = []
    for seed in range(rounds):
        tmp = pathlib.Path(tempfile.mkdtemp(prefix="osprey-bench-"))
        try:
            results.append(accuracy_round(found, seed, tmp))
        finally:
            shutil.rmtree(tmp)
    print("%d classes, %d examples of each, %d pictures, %d rounds" %
          (len(found), EXAMPLES, results[0]["pictures"], rounds))
    for name in results[0]:
        if name != "pictures":
            values = [100 * r[name] for r in results]
            print("%-20s %5.1f%% (%.1f to %.1f)" % (name, statistics.mean(values), min(values),
                                                   max(values)))


def numpy_tags(x, rows, mean, scale):
    """The same work on ready embeddings: product, calibration, competition, best five."""
    v = x @ rows.T
    v -= mean
    v -= v.mean(1, keepdims=True)
    v /= scale
    v -= np.maximum(0, v.max(1, keepdims=True) - 2.5) / 2
    best = np.argpartition(-v, 5, axis=1)[:, :5]
    score = 1 / (1 + np.exp(-2 * (np.take_along_axis(v, best, 1) - 2.5)))
    return best, score


def speed(pictures, runs):
    from PIL import Image
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="osprey-bench-"))
    environment = os.environ.pop("XDG_CACHE_HOME", None)
    os.environ["XDG_CACHE_HOME"] = str(tmp / "cache")
    try:
        folder = tmp / "pictures"
        folder.mkdir()
        rng = np.random.default_rng(1)
        for i in range(pictures):
            small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            small.resize((256, 256), Image.BICUBIC).save(folder / f"{i:05}.jpg", quality=90)
        osprey("index", "--quiet", "--library", tmp / "lib", folder)
        lines = (ROOT / "models/vocab/everyday.txt").read_text().splitlines()
        lines = [l for l in lines if l and not l.startswith("#")][:400]
        (tmp / "labels.txt").write_text("\n".join(lines) + "\n")
        x = np.array([v for _, v in embeddings(tmp / "lib")])
        rows = rng.standard_normal((400, x.shape[1])).astype(np.float32)
        mean, scale = np.zeros(400, np.float32), np.full(400, .05, np.float32)
        times = {"osprey, new labels": [], "osprey, again": [], "numpy, ready embeddings": [],
                 "Pillow decoding": []}

        def timed(name, run):
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)

        tag = ("tag", "--library", tmp / "lib", "--quiet", "--threshold", "0.1", "--vocab",
               tmp / "labels.txt")
        for _ in range(runs):
            shutil.rmtree(tmp / "cache/osprey/labels", ignore_errors=True)
            timed("osprey, new labels", lambda: osprey(*tag))
            timed("osprey, again", lambda: osprey(*tag))
            timed("numpy, ready embeddings", lambda: numpy_tags(x, rows, mean, scale))
        timed("Pillow decoding", lambda: [Image.open(f).convert("RGB").resize((224, 224))
                                          for f in sorted(folder.iterdir())])
        print("%d pictures, 400 labels, whole command, least of %d runs" % (len(x), runs))
        for name, values in times.items():
            print("%-24s %6.3f s" % (name, min(values)))
    finally:
        shutil.rmtree(tmp)
        if environment is not None:
            os.environ["XDG_CACHE_HOME"] = environment


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--only", choices=["accuracy", "speed"])
    o = parser.parse_args()
    if o.only != "speed":
        accuracy(o.rounds)
    if o.only != "accuracy":
        speed(o.pictures, o.runs)


if __name__ == "__main__":
    main()
