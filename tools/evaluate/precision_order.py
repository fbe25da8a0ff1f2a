#!/usr/bin/env python3
"""Do reduced precisions keep the order of pictures?

    tools/evaluate/precision_order.py --model DIR --images DIR [--count 300] [--precision bf16]

Indexes pictures with a model in f32 and in another precision and, with each picture
as the query, looks at all pairs of others whose f32 scores differ by more than 2e-3:
how many of them keep their order. Also prints the least cosine between a picture's
two embeddings. Needs numpy.
"""
import argparse
import os
import pathlib
import sqlite3
import subprocess
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
OSPREY = pathlib.Path(os.environ.get("OSPREY_BUILD", ROOT / "build")) / "osprey"
MARGIN = 2e-3


def embeddings(model, precision, folder, library):
    subprocess.run([OSPREY, "index", "--quiet", "--model", model, "--precision", precision,
                    "--library", library, folder], check=True, stdout=subprocess.DEVNULL)
    rows = sqlite3.connect(library / "catalog.db").execute(
        "SELECT images.path, embeddings.vector FROM images JOIN embeddings"
        " ON embeddings.key & ((1 << 40) - 1) = images.id ORDER BY images.path").fetchall()
    vectors = np.array([np.frombuffer(v, np.float16) for _, v in rows], np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--images", required=True, type=pathlib.Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--precision", default="bf16")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        folder = tmp / "pictures"
        folder.mkdir()
        for path in sorted(args.images.iterdir())[:args.count]:
            (folder / path.name).symlink_to(path.resolve())
        full = embeddings(args.model, "f32", folder, tmp / "f32")
        low = embeddings(args.model, args.precision, folder, tmp / "low")
    scores, others = full @ full.T, low @ low.T
    kept = pairs = 0
    for a, b in zip(scores, others, strict=True):
        apart = a[:, None] - a[None, :]
        counts = apart > MARGIN
        pairs += counts.sum()
        kept += (counts & (b[:, None] > b[None, :])).sum()
    cosines = (full * low).sum(axis=1)
    print(f"{args.precision}: {len(full)} pictures, {pairs} pairs, {100 * kept / pairs:.3f}% in order; "
          f"cosine at least {cosines.min():.6f}")


if __name__ == "__main__":
    main()
