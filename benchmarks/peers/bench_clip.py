#!/usr/bin/env python3
"""CLIP's towers against ONNX Runtime and PyTorch: same weights, same threads, runs
taken in turn, so that all see the same machine.

    python benchmarks/peers/bench_clip.py MODEL_DIR --bench build/benchmarks/bench_clip
        [--threads 2] [--runs 30] [--batches 1 8 32] [--texts] [--torch] [--cpu]
        [--precision f32|bf16|int8]

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
import time

import numpy as np


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
    for i in range(args.runs + 2):
        time.sleep(0.1)  # the peers' threads spin for a while after their work
        row = {"osprey": ours.run()}
        for name, run in them.items():
            start = clock()
            run()
            row[name] = clock() - start
        if i >= 2:
            for name, t in row.items():
                times[name].append(t)
    ours.close()
    median = {name: statistics.median(t) for name, t in times.items()}
    least = {name: min(t) for name, t in times.items()}
    print(json.dumps({
        "model": os.path.basename(os.path.normpath(args.model)), "what": "text" if text else "image",
        "batch": batch, "threads": args.threads, "clock": "cpu" if args.cpu else "wall",
        "precision": args.precision,
        **{f"{n}_ms": round(1000 * t, 2) for n, t in median.items()},
        **{f"{n}_ms_min": round(1000 * t, 2) for n, t in least.items()},
        **{f"{n}_ratio": round(t / median["osprey"], 2) for n, t in median.items() if n != "osprey"},
        **{f"{n}_ratio_of_min": round(t / least["osprey"], 2) for n, t in least.items()
           if n != "osprey"}}), flush=True)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("model")
    ap.add_argument("--bench", required=True)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--runs", type=int, default=30)
    ap.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    ap.add_argument("--texts", action="store_true")
    ap.add_argument("--torch", action="store_true")
    ap.add_argument("--cpu", action="store_true")
    ap.add_argument("--precision", default="f32", choices=["f32", "bf16", "int8"],
                    help="ours; the peers' is f32")
    args = ap.parse_args()
    if not os.path.exists(f"{args.model}/text.onnx"):
        export(args.model)
    for batch in args.batches:
        measure(args, batch, args.texts)


if __name__ == "__main__":
    main()
