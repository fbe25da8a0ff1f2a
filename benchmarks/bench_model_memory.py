"""Peak memory of models by precision: RssAnon (the process's own pages) and Pss (its
share of mapped files added), sampled while `osprey model bench` encodes batches of 8.

    bench_model_memory.py [MODEL...]

The default is osprey-small. Weights are mapped, so Pss holds them and RssAnon does
not; of two processes with the same model each has half of them. The first run of a
model prepares its weights and is not counted. Python's standard library alone.
"""
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
OSPREY = os.path.join(os.environ.get("OSPREY_BUILD", os.path.join(HERE, "../build")), "osprey")


def sample(pid):
    values = {}
    try:
        for name, keys in (("status", ("RssAnon",)), ("smaps_rollup", ("Pss",))):
            with open(f"/proc/{pid}/{name}") as f:
                for line in f:
                    key, _, rest = line.partition(":")
                    if key in keys:
                        values[key] = int(rest.split()[0]) / 1024
    except (OSError, ProcessLookupError):
        pass
    return values


def peak(model, precision):
    command = [OSPREY, "model", "bench", model, "--batch", "8", "--precision", precision, "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    most = {"RssAnon": 0.0, "Pss": 0.0}
    while process.poll() is None:
        for key, value in sample(process.pid).items():
            most[key] = max(most[key], value)
        time.sleep(0.05)
    if process.returncode:
        sys.exit(f"osprey model bench {model} ended with {process.returncode}")
    return most


def main():
    for model in sys.argv[1:] or ["osprey-small"]:
        for precision in ("f32", "bf16", "int8"):
            most = peak(model, precision)
            print(json.dumps({"bench": "model_memory", "model": os.path.basename(model),
                              "precision": precision, "rss_anon_mb": round(most["RssAnon"], 1),
                              "pss_mb": round(most["Pss"], 1)}), flush=True)


if __name__ == "__main__":
    main()
