#!/usr/bin/env python3
"""Does `osprey dupes` find copies of pictures, and nothing else?

    tools/evaluate/duplicates.py --images DIR [--list FILE.tsv] [--pictures 500] [--others 0]

Takes pictures of DIR (or of those named in the first column of FILE.tsv) and makes eight
versions of each: JPEG of quality 85 and 40, half size, a 5% crop (in turn around the middle
and from a corner), turned by 90 degrees, 20% brighter, grey, WebP (PNG where this Osprey
reads none). Adds --others pictures as they are, indexes all of it, asks `osprey dupes`, and
prints recall and precision over pairs, by kind of version, and what was taken for the same
that is not. Pictures of DIR that are copies of one another count as errors: look at them.
Needs Pillow.
"""
import argparse
import collections
import itertools
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from PIL import Image, ImageEnhance

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("OSPREY_BUILD", ROOT / "build"))
OSPREY = BUILD / "osprey"


def versions(image, turn, webp):
    """(name, suffix, picture, how it is saved) of each version."""
    w, h = image.size
    if turn % 2:
        box = (0, 0, round(w * 0.95), round(h * 0.95))
    else:
        dx, dy = round(w * 0.025), round(h * 0.025)
        box = (dx, dy, w - dx, h - dy)
    jpeg = {"quality": 90}
    return [
        ("quality85", ".jpg", image, {"quality": 85}),
        ("quality40", ".jpg", image, {"quality": 40}),
        ("half", ".jpg", image.resize((w // 2, h // 2), Image.BICUBIC), jpeg),
        ("crop", ".jpg", image.crop(box), jpeg),
        ("turned", ".jpg", image.transpose(Image.ROTATE_90), jpeg),
        ("brighter", ".jpg", ImageEnhance.Brightness(image).enhance(1.2), jpeg),
        ("grey", ".jpg", image.convert("L"), jpeg),
        ("webp", ".webp" if webp else ".png", image, {"quality": 80} if webp else {}),
    ]


def reads_webp(tmp):
    picture = tmp / "probe.webp"
    Image.new("RGB", (32, 32), (200, 80, 10)).save(picture)
    run = subprocess.run([OSPREY, "embed", "--image", picture], capture_output=True)
    return run.returncode == 0


def make(args, tmp):
    """Fills tmp/pictures; returns how many pictures, and whether WebP was among them."""
    if args.list:
        names = list(dict.fromkeys(line.split("\t")[0] for line in args.list.open()))
    else:
        names = sorted(p.name for p in args.images.iterdir())
    random.Random(args.seed).shuffle(names)
    pictures = tmp / "pictures"
    pictures.mkdir()
    webp = reads_webp(tmp)
    for i, name in enumerate(names[:args.pictures + args.others]):
        stem = "%05d" % i
        (pictures / (stem + "-original.jpg")).write_bytes((args.images / name).read_bytes())
        if i >= args.pictures:
            continue
        image = Image.open(args.images / name).convert("RGB")
        for version, suffix, picture, how in versions(image, i, webp):
            picture.save(pictures / ("%s-%s%s" % (stem, version, suffix)), **how)
    return min(len(names), args.pictures), webp


def measure(groups, n):
    """Of all pairs of versions, those found by kinds of both; and the false ones."""
    found, false = collections.Counter(), []
    for group in groups:
        members = [pathlib.Path(m["path"]).name.split(".")[0].split("-") for m in group["members"]]
        for (a, x), (b, y) in itertools.combinations(members, 2):
            if a == b:
                found[tuple(sorted((x, y)))] += 1
            else:
                false.append((a + "-" + x, b + "-" + y))
    names = ["original"] + [v[0] for v in versions(Image.new("RGB", (64, 64)), 0, False)]
    wanted = {tuple(sorted(p)): n for p in itertools.combinations(names, 2)}
    return found, wanted, false


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", required=True, type=pathlib.Path)
    parser.add_argument("--list", type=pathlib.Path)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--others", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=pathlib.Path, help="keep what is made here")
    parser.add_argument("options", nargs="*", help="after --: for osprey dupes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        tmp = args.work or pathlib.Path(made)
        library = ["--library", tmp / "library"]
        if not (tmp / "pictures").is_dir():
            tmp.mkdir(exist_ok=True)
            make(args, tmp)
            subprocess.run([OSPREY, "index", "--quiet", *library, tmp / "pictures"], check=True,
                           stdout=subprocess.DEVNULL)
        start = time.monotonic()
        run = subprocess.run([OSPREY, "dupes", "--json", *library, *args.options],
                             stdout=subprocess.PIPE)
        took = time.monotonic() - start
        if run.returncode > 1:
            sys.exit(run.returncode)
        groups = [json.loads(line) for line in run.stdout.splitlines()]
        n = args.pictures
    found, wanted, false = measure(groups, n)
    names = sorted({name for pair in wanted for name in pair})
    for name in names:
        pairs = [p for p in wanted if name in p]
        print("%-10s %.4f of its pairs" % (name, sum(found[p] for p in pairs) /
                                           sum(wanted[p] for p in pairs)))
    right, total = sum(found.values()), sum(wanted.values())
    print("recall     %.4f  (%d of %d pairs)" % (right / total, right, total))
    print("precision  %.4f  (%d false pairs)" % (right / max(1, right + len(false)), len(false)))
    print("groups     %d, in %.1f s" % (len(groups), took))
    for pair in false[:20]:
        print("  not the same: %s %s" % pair)


if __name__ == "__main__":
    main()
