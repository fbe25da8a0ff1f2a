#!/usr/bin/env python3
"""`osprey dupes` among 100,000 pictures: time and memory.

    bench_dupes.py [--pictures 100000] [--folder DIR]

The library is made of DIR's pictures (else of a thousand that are made up) and filled by
fill_library.c: nothing is decoded while copies are looked for, fingerprints are made when
pictures are indexed.
"""
import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(os.environ.get("OSPREY_SOURCE", pathlib.Path(__file__).resolve().parents[1]))
BUILD = pathlib.Path(os.environ.get("OSPREY_BUILD", ROOT / "build"))
sys.path.insert(0, str(ROOT / "tests"))
import pictures  # noqa: E402  pylint: disable=wrong-import-position


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--folder", type=pathlib.Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="osprey-bench-") as tmp:
        library, folder = os.path.join(tmp, "library"), args.folder or os.path.join(tmp, "pictures")
        if not args.folder:
            pictures.fill(folder, 1000, seed=1)
        subprocess.run([BUILD / "osprey", "index", "--quiet", "--library", library, folder], check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run([BUILD / "benchmarks" / "fill_library", library, str(args.pictures), "4000", "0.8"], check=True)
        start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        out = subprocess.run([BUILD / "osprey", "dupes", "--json", "--quiet", "--library", library],
                             stdout=subprocess.PIPE, check=False)
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if out.returncode not in (0, 1):  # 1: none found
            sys.exit("osprey dupes failed")
        print(json.dumps({"what": "osprey dupes", "pictures": args.pictures,
                          "groups": out.stdout.count(b"\n"), "seconds": round(wall, 1),
                          "processor_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime
                                                     - before.ru_stime, 1),
                          "peak_mb": after.ru_maxrss >> 10}))


if __name__ == "__main__":
    main()
