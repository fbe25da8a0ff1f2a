#!/usr/bin/env python3
"""What scaled JPEG decoding does to embeddings.

    tools/evaluate/scaled_decoding.py --images DIR [--count 100] [--enlarge 4]

Enlarges photographs, saves each as JPEG (which osprey decodes at n/8 scale) and,
decoded by Pillow at full scale, as PNG; prints the cosine of the two embeddings and
how often the PNG's nearest among all JPEGs is its own. Needs Pillow.
"""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile

from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
OSPREY = pathlib.Path(os.environ.get("OSPREY_BUILD", ROOT / "build")) / "osprey"


def embed(path):
    out = subprocess.run([OSPREY, "embed", "--json", "--image", path], check=True,
                         stdout=subprocess.PIPE).stdout
    return json.loads(out)["embedding"]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", required=True, type=pathlib.Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--enlarge", type=float, default=4)
    args = parser.parse_args()
    paths = sorted(args.images.iterdir())
    paths = paths[::max(1, len(paths) // args.count)][:args.count]
    scaled, full = [], []
    with tempfile.TemporaryDirectory() as tmp:
        jpeg, png = os.path.join(tmp, "a.jpg"), os.path.join(tmp, "a.png")
        for path in paths:
            image = Image.open(path).convert("RGB")
            size = tuple(round(side * args.enlarge) for side in image.size)
            image.resize(size, Image.BICUBIC).save(jpeg, quality=90)
            Image.open(jpeg).save(png, compress_level=1)
            scaled.append(embed(jpeg))
            full.append(embed(png))
    cosines = sorted(dot(a, b) for a, b in zip(scaled, full, strict=True))
    own = sum(max(range(len(scaled)), key=lambda j: dot(f, scaled[j])) == i
              for i, f in enumerate(full))
    print(f"{len(cosines)} pictures: cosine least {cosines[0]:.4f}, 5th percentile "
          f"{cosines[len(cosines) // 20]:.4f}, median {cosines[len(cosines) // 2]:.4f}; "
          f"own is nearest for {own}")


if __name__ == "__main__":
    main()
