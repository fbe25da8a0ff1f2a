#!/usr/bin/env python3
"""CLIP's towers against ONNX Runtime and PyTorch: same weights, same threads, runs
taken in turn, so that all see the same machine.

    python benchmarks/peers/bench_clip.py [MODEL_DIR] [--bench build/benchmarks/bench_clip]
        [--threads 2] [--runs 30] [--batches 1 8 32] [--texts] [--torch] [--cpu]
        [--precision f32|bf16|int8]

Without MODEL_DIR: the whole table, on models of random weights in the shapes of
openai/clip-vit-base-patch32 and TinyCLIP ViT-8M/16 that are made first (the time does
not depend on what weights say), in every precision for which this processor has
instructions; a Markdown table at the end.

Exports both towers with torch (opset 17) beside the model unless they are there.
Texts: ours of 8 tokens against ONNX Runtime's padded to 77. One JSON line a row;
"ratio" is the peer's median over ours. --cpu compares processor time instead, of
one thread, for machines that others use. Needs torch, transformers, onnxruntime.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
BUILD = os.environ.get("OSPREY_BUILD", os.path.join(SOURCE, "build"))


def export(model_dir):
    import torch
    from transformers import CLIPModel
    model = CLIPModel.from_pretrained(model_dir, attn_implementation="eager").eval()

    class Vision(torch.nn.Module):
        def forward(self, x):
            out = model.get_image_features(pixel_values=x)
            return getattr(out, "pooler_output", out)

    class Text(torch.nn.Module):
        def forward(self, ids):
            out = model.get_text_features(input_ids=ids)
            return getattr(out, "pooler_output", out)

    size = model.config.vision_config.image_size
    for name, net, x in (("vision", Vision(), torch.zeros(2, 3, size, size)),
                         ("text", Text(), torch.zeros(2, 77, dtype=torch.long))):
        net.model = model
        with torch.no_grad():
            torch.onnx.export(net.eval(), x, f"{model_dir}/{name}.onnx", opset_version=17,
                              input_names=["x"], output_names=["y"], dynamo=False,
                              dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})


class Ours:
    def __init__(self, args, batch, text):
        command = [args.bench, args.model, "--batch", str(batch), "--threads", str(args.threads),
                   "--serve"]
        command += ["--text", "8"] if text else []
        command += ["--cpu"] if args.cpu else []
        command += ["--precision", args.precision]
        self.p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self):
        self.p.stdin.write("\n")
        self.p.stdin.flush()
        return float(self.p.stdout.readline())

    def close(self):
        self.p.stdin.close()
        self.p.wait()


def peers(args, batch, text):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    # Spinning workers of an idle peer would take the other side's processor.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(f"{args.model}/{'text' if text else 'vision'}.onnx", options,
                                   providers=["CPUExecutionProvider"])
    if text:
        x = np.random.randint(0, 40000, (batch, 77)).astype(np.int64)
        x[:, -1] = 49407
    else:
        size = session.get_inputs()[0].shape[2]
        x = np.random.randn(batch, 3, size, size).astype(np.float32)
    out = {"onnxruntime": lambda: session.run(None, {"x": x})}
    if args.torch:
        import torch
        from transformers import CLIPModel
        torch.set_num_threads(args.threads)
        model = CLIPModel.from_pretrained(args.model).eval()
        xt = torch.from_numpy(x)

        def run():
            with torch.inference_mode():
                if text:
                    model.get_text_features(input_ids=xt)
                else:
                    model.get_image_features(pixel_values=xt)
        out["torch"] = run
    return out


def measure(args, batch, text):
    clock = time.process_time if args.cpu else time.perf_counter
    ours, them = Ours(args, batch, text), peers(args, batch, text)
    times = {name: [] for name in ("osprey", *them)}

    def timed(run):
        start = clock()
        run()
        return clock() - start

    # One picture or text at a time comes in rows of four, and the first of a row, which
    # finds caches full of the others' weights, is not counted.
    row = 4 if batch == 1 else 1
    for i in range(args.runs // row + 2):
        time.sleep(0.1)  # the peers' threads spin for a while after their work
        for name, run in (("osprey", ours.run), *them.items()):
            took = [run() if name == "osprey" else timed(run) for _ in range(row)]
            if i >= 2:
                times[name] += took[1:] if row > 1 else took
    ours.close()
    median = {name: statistics.median(t) for name, t in times.items()}
    least = {name: min(t) for name, t in times.items()}
    row = {
        "model": os.path.basename(os.path.normpath(args.model)), "what": "text" if text else "image",
        "batch": batch, "threads": args.threads, "clock": "cpu" if args.cpu else "wall",
        "precision": args.precision,
        **{f"{n}_ms": round(1000 * t, 2) for n, t in median.items()},
        **{f"{n}_ms_min": round(1000 * t, 2) for n, t in least.items()},
        **{f"{n}_ratio": round(t / median["osprey"], 2) for n, t in median.items() if n != "osprey"},
        **{f"{n}_ratio_of_min": round(t / least["osprey"], 2) for n, t in least.items()
           if n != "osprey"}}
    print(json.dumps(row), flush=True)
    return row


# Goals: how many times as fast as ONNX Runtime in f32.
F32_GOALS = {"b32": {1: 1.3, 8: 1.1, 32: 1.1}, "tiny8m16": {1: 1.3, 8: 1.3, 32: 1.3}}
TEXT_GOAL = 6


def instructions():
    """The reduced precisions that this processor has instructions for, and their goal."""
    with open("/proc/cpuinfo") as f:
        flags = set(f.read().split())
    wide = "avx512_bf16" in flags or "avx512_vnni" in flags
    return [p for p, has in (("bf16", "avx512_bf16" in flags), ("int8", "avx2" in flags)) if has], \
        2.2 if wide else 1.5


def table(args):
    """Every row of the table; the model folders are made, measured and removed."""
    low, low_goal = instructions()
    rows = []
    with tempfile.TemporaryDirectory(prefix="osprey-clip-") as tmp:
        subprocess.run([sys.executable, os.path.join(SOURCE, "tools/goldens/clip.py"), "full", tmp,
                        *F32_GOALS], check=True, stdout=subprocess.DEVNULL)
        for name, goals in F32_GOALS.items():
            args.model = os.path.join(tmp, name)
            export(args.model)
            for args.precision in ["f32", *low]:
                for batch, goal in goals.items():
                    args.runs = {1: 40, 8: 20, 32: 8}[batch]
                    rows.append((measure(args, batch, False),
                                 goal if args.precision == "f32" else low_goal))
            args.precision, args.runs = "f32", 40
            rows.append((measure(args, 1, True), TEXT_GOAL if name == "b32" else None))
    peers = [n for n in ("onnxruntime", "torch") if f"{n}_ms" in rows[0][0]]
    print("\n| what | batch | precision | Osprey, ms | " +
          " | ".join(f"{n}, ms | ratio" for n in peers) + " | goal |")
    print("|---" * (5 + 2 * len(peers)) + "|")
    for row, goal in rows:
        print(f"| {row['model']} {row['what']} | {row['batch']} | {row['precision']} | "
              f"{row['osprey_ms']} | " +
              " | ".join(f"{row[n + '_ms']} | {row[n + '_ratio']}" for n in peers) +
              f" | {goal or ''} |")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("model", nargs="?")
    ap.add_argument("--bench", default=os.path.join(BUILD, "benchmarks/bench_clip"))
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--runs", type=int, default=30)
    ap.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    ap.add_argument("--texts", action="store_true")
    ap.add_argument("--torch", action="store_true")
    ap.add_argument("--cpu", action="store_true")
    ap.add_argument("--precision", default="f32", choices=["f32", "bf16", "int8"],
                    help="ours; the peers' is f32")
    args = ap.parse_args()
    if not args.model:
        args.torch = True
        table(args)
        return
    if not os.path.exists(f"{args.model}/text.onnx"):
        export(args.model)
    for batch in args.batches:
        measure(args, batch, args.texts)


if __name__ == "__main__":
    main()
