#!/usr/bin/env python3
"""Do copies of pictures find their originals?

    tools/evaluate/similar_copies.py --images DIR [--list FILE.tsv] [--copies 500]

Indexes the pictures of DIR (or those named in the first column of FILE.tsv),
makes copies (half size, JPEG quality 40, 5% crop, in turn), asks `osprey
similar` for each, and prints how many found their original first. Needs Pillow.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import subprocess
import tempfile

from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
OSPREY = pathlib.Path(os.environ.get("OSPREY_BUILD", ROOT / "build")) / "osprey"


def half_size(image, path):
    image.resize((image.width // 2, image.height // 2), Image.BICUBIC).save(path, quality=90)


def quality_40(image, path):
    image.save(path, quality=40)


def crop_5_percent(image, path):
    w, h = image.size
    dx, dy = round(w * 0.025), round(h * 0.025)
    image.crop((dx, dy, w - dx, h - dy)).save(path, quality=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", required=True, type=pathlib.Path)
    parser.add_argument("--list", type=pathlib.Path)
    parser.add_argument("--copies", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    if args.list:
        names = dict.fromkeys(line.split("\t")[0] for line in args.list.open())
    else:
        names = sorted(p.name for p in args.images.iterdir())
    names = list(names)
    random.seed(args.seed)
    chosen = random.choices(names, k=args.copies)
    makers = [half_size, quality_40, crop_5_percent]
    found, asked = collections.Counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        pictures = tmp / "pictures"
        pictures.mkdir()
        for name in names:
            os.link(args.images / name, pictures / name) if same_device(args.images, tmp) else \
                (pictures / name).write_bytes((args.images / name).read_bytes())
        library = ["--library", str(tmp / "library")]
        subprocess.run([OSPREY, "index", "--quiet", *library, pictures], check=True,
                       stdout=subprocess.DEVNULL)
        for i, name in enumerate(chosen):
            make = makers[i % len(makers)]
            copy = tmp / "copy.jpg"
            make(Image.open(args.images / name).convert("RGB"), copy)
            out = subprocess.run([OSPREY, "similar", "--json", "-k", "1", *library, copy],
                                 check=True, stdout=subprocess.PIPE).stdout
            asked[make.__name__] += 1
            found[make.__name__] += pathlib.Path(json.loads(out)["path"]).name == name
    for kind in asked:
        print(f"{kind:16} {found[kind]:4} of {asked[kind]:4}  {100 * found[kind] / asked[kind]:.1f}%")
    total = 100 * sum(found.values()) / sum(asked.values())
    print(f"{'all':16} {sum(found.values()):4} of {sum(asked.values()):4}  {total:.1f}%")


def same_device(a, b):
    return os.stat(a).st_dev == os.stat(b).st_dev and os.access(a, os.W_OK)


if __name__ == "__main__":
    main()
