#!/usr/bin/env python3
"""Indexing photographs end to end: Osprey beside Pillow and ONNX Runtime.

Makes JPEGs of 12 megapixels, then, in turn, lets osprey index them and lets one
Python process (Pillow on a pool of threads, ONNX Runtime with as many threads,
the same weights and the same preprocessing) embed them. Prints seconds, pictures
a second, and the ratio.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime
from PIL import Image

from bench_onnx import export, pads_into_convolutions

ROOT = pathlib.Path(__file__).resolve().parents[2]
OSPREY = pathlib.Path(os.environ.get("OSPREY_BUILD", ROOT / "build")) / "osprey"
MEAN, STD = 127 / 255, 128 / 255


def make_pictures(folder, count, sources, sigma):
    """Photographs of 4000 x 3000 from smaller ones: enlarged, cut and grained. What a
    JPEG weighs decides what its entropy decoding costs, and that nobody can skip:
    grain of sigma 0 makes about 1 MB, 3 about 2.4 MB, 6 about 3.8 MB, as cameras do
    in good light, usually, and at night."""
    rng = np.random.default_rng(1)
    random.seed(1)
    grain = rng.normal(0, sigma, (3000, 4000, 1)).astype(np.float32)
    made = []
    distinct = min(count, 25)
    for i in range(distinct):
        source = Image.open(sources[i % len(sources)]).convert("RGB")
        picture = np.asarray(source.resize((4000, 3000), Image.BICUBIC), np.float32)
        picture = np.roll(picture, random.randrange(4000), axis=1) + np.roll(grain, i * 37, axis=0)
        path = folder / f"picture{i:04}.jpg"
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path, quality=92)
        made.append(path)
    for i in range(distinct, count):
        # Other bytes, the same work: a comment makes it another file.
        data = made[i % distinct].read_bytes()
        note = f"{i:08}".encode()
        comment = b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note
        (folder / f"picture{i:04}.jpg").write_bytes(data[:2] + comment + data[2:])


def preprocess(path):
    image = Image.open(path).convert("RGB")
    scale = 224 / min(image.size)
    size = tuple(max(224, int(side * scale)) for side in image.size)
    image = image.resize(size, Image.BICUBIC)
    left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
    return ((pixels - MEAN) / STD).transpose(2, 0, 1)


def open_peer(path, threads):
    export(str(ROOT / "models/osprey-small/model.safetensors"), str(path))
    pads_into_convolutions(str(path))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def embed_with_peer(net, paths, threads):
    out = []
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(paths), 16):
            batch = np.stack(list(pool.map(preprocess, paths[start:start + 16])))
            out.append(net.run(None, {net.get_inputs()[0].name: batch.astype(np.float32)})[0])
    return np.concatenate(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--grain", type=float, action="append", help="default: 0, 3 and 6")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    stamps = sorted(pathlib.Path("/usr/share/tuxpaint/stamps").rglob("*.png"), key=lambda p: -p.stat().st_size)
    if not stamps:
        raise SystemExit("needs Debian's tuxpaint-stamps-default")
    for sigma in args.grain or [0, 3, 6]:
        with tempfile.TemporaryDirectory(prefix="osprey-bench-") as tmp:
            compare(pathlib.Path(tmp), stamps, sigma, args)


def compare(tmp, stamps, sigma, args):
    pictures = tmp / "pictures"
    pictures.mkdir()
    make_pictures(pictures, args.count, stamps, sigma)
    paths = sorted(pictures.iterdir())
    net = open_peer(tmp / "tower.onnx", args.threads)
    start = time.perf_counter()
    subprocess.run([OSPREY, "index", "--quiet", "--library", tmp / "library", pictures], check=True,
                   stdout=subprocess.DEVNULL)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    embed_with_peer(net, paths, args.threads)
    theirs = time.perf_counter() - start
    megabytes = sum(path.stat().st_size for path in paths) / len(paths) / 1e6
    print(json.dumps({"what": "index 12 MP JPEGs", "pictures": len(paths),
                      "mb_each": round(megabytes, 2), "threads": args.threads,
                      "osprey_s": round(ours, 2), "pillow_onnxruntime_s": round(theirs, 2),
                      "osprey_per_s": round(len(paths) / ours, 1),
                      "pillow_onnxruntime_per_s": round(len(paths) / theirs, 1),
                      "ratio": round(theirs / ours, 2)}), flush=True)


if __name__ == "__main__":
    main()
