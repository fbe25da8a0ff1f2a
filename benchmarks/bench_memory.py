"""Memory of the indexer over 20,000 pictures: anonymous resident memory (RssAnon of
/proc) sampled while it runs. It should be flat after the first thousand.

Python's standard library alone; the pictures are made by tests/pictures.py.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tests"))
import pictures  # noqa: E402

OSPREY_INDEXER = os.path.join(os.environ.get("OSPREY_BUILD", os.path.join(HERE, "../build")),
                              "osprey-indexer")
COUNT = int(os.environ.get("PICTURES", 20000))


def rss_anon_kb(pid):
    try:
        with open(f"/proc/{pid}/status") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def main():
    with tempfile.TemporaryDirectory(prefix="osprey-bench-") as tmp:
        folder = os.path.join(tmp, "pictures")
        os.mkdir(folder)
        for i in range(COUNT):
            with open(os.path.join(folder, f"{i:05}.jpg"), "wb") as f:
                f.write(pictures.jpeg(i, 320, 240))
        start = time.monotonic()
        indexer = subprocess.Popen([OSPREY_INDEXER, "--quiet", "--library",
                                    os.path.join(tmp, "library"), folder], stdout=subprocess.DEVNULL)
        samples = []
        while indexer.poll() is None:
            samples.append(rss_anon_kb(indexer.pid))
            time.sleep(0.05)
        seconds = time.monotonic() - start
        if indexer.returncode:
            sys.exit(f"osprey-indexer ended with {indexer.returncode}")
        # By share of the run: the indexer's speed is even.
        after = samples[len(samples) * 1000 // COUNT:]
        tenths = [round(after[len(after) * i // 10] / 1024, 1) for i in range(10)]
        print(json.dumps({"bench": "index_memory", "pictures": COUNT, "seconds": round(seconds, 1),
                          "pictures_per_s": round(COUNT / seconds, 1),
                          "rss_anon_mb_after_each_tenth": tenths,
                          "rss_anon_mb_peak": round(max(samples) / 1024, 1)}))


if __name__ == "__main__":
    main()
