#!/usr/bin/env python3
"""`osprey search` from a cold process on 10,000 pictures, beside importing torch.

The library holds 10,000 different small pictures made here; every search is a new
process. Importing torch alone is what a Python peer pays before it does anything.
"""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
OSPREY = pathlib.Path(os.environ.get("OSPREY_BUILD", ROOT / "build")) / "osprey"
PICTURES = 10_000
RUNS = 21


def seconds(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main():
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="osprey-bench-"))
    try:
        pictures = tmp / "pictures"
        pictures.mkdir()
        rng = np.random.default_rng(1)
        for i in range(PICTURES):
            small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            small.resize((64, 64), Image.BICUBIC).save(pictures / f"{i:05}.jpg", quality=80)
        library = tmp / "library"
        subprocess.run([OSPREY, "index", "--quiet", "--library", library, pictures], check=True,
                       stdout=subprocess.DEVNULL)
        search = [OSPREY, "search", "--library", library, "a dog on a beach"]
        seconds(search)
        ours, theirs = [], []
        for i in range(RUNS):
            ours.append(seconds(search))
            if i % 5 == 0:
                theirs.append(seconds([sys.executable, "-c", "import torch"]))
        ours, theirs = statistics.median(ours), statistics.median(theirs)
        print(json.dumps({"what": "cold search", "pictures": PICTURES,
                          "osprey_ms": round(ours * 1000, 1),
                          "import_torch_ms": round(theirs * 1000, 1),
                          "ratio": round(theirs / ours, 1)}))
    finally:
        shutil.rmtree(tmp)


if __name__ == "__main__":
    main()
