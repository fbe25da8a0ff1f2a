"""The image tower against ONNX Runtime: same weights, same threads, runs taken
in turn, so that both see the same machine.

    python benchmarks/peers/bench_onnx.py [--weights FILE] [--bench PROGRAM] [--threads 2] [--runs 60]

Exports the network with torch (opset 17); ONNX Runtime's default optimisations
fold batch norms, clamps and padding into its convolutions. The normalisation of
pixels is ours to do and not part of its work. One JSON line a batch size; "ratio" is ONNX Runtime's median over ours.
Needs torch, onnx, onnxruntime and safetensors.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../tools/goldens"))
SOURCE = os.path.join(HERE, "../..")
BUILD = os.environ.get("OSPREY_BUILD", os.path.join(SOURCE, "build"))


def export(weights, path):
    import torch
    from effnet_torch import EffNet
    net = EffNet(weights).eval()
    # Parameters and buffers that are known to the exporter, so that it folds them.
    for name, value in list(net.t.items()):
        net.register_buffer(name.replace(".", "__"), value)
        net.t[name] = getattr(net, name.replace(".", "__"))
    with torch.no_grad():
        torch.onnx.export(net, torch.zeros(2, 3, 224, 224), path, opset_version=17,
                          input_names=["x"], output_names=["y"], dynamo=False,
                          dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})


def pads_into_convolutions(path):
    """The exporter writes the stride-2 convolutions' uneven padding as a node of
    its own; ONNX's convolution takes it as an attribute, which is faster."""
    import onnx
    model = onnx.load(path)
    graph = model.graph
    pads = {n.output[0]: n for n in graph.node if n.op_type == "Pad"}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[0] in pads:
            pad = pads.pop(node.input[0])
            kernel = next(a.ints[0] for a in node.attribute if a.name == "kernel_shape")
            before = (kernel - 2) // 2  # sizes are even: kernel - 2 pixels in all
            after = kernel - 2 - before
            for a in list(node.attribute):
                if a.name == "pads":
                    node.attribute.remove(a)
            node.attribute.append(onnx.helper.make_attribute("pads", [before] * 2 + [after] * 2))
            node.input[0] = pad.input[0]
            graph.node.remove(pad)
    onnx.save(model, path)


def check(session, weights, x):
    """The exported network computes what torch does."""
    import numpy as np
    import torch
    from effnet_torch import EffNet
    with torch.no_grad():
        want = EffNet(weights)(torch.from_numpy(x)).numpy()
    off = np.abs(session.run(None, {"x": x})[0] - want).max()
    if not off < 1e-3:
        sys.exit(f"the exported network is off by {off}")


class Ours:
    def __init__(self, bench, weights, batch, threads):
        self.p = subprocess.Popen([bench, "--weights", weights, "--batch", str(batch), "--threads",
                                   str(threads), "--serve"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)

    def run(self):
        self.p.stdin.write("\n")
        self.p.stdin.flush()
        return float(self.p.stdout.readline())

    def close(self):
        self.p.stdin.close()
        self.p.wait()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--weights", default=os.path.join(SOURCE, "models/osprey-small/model.safetensors"))
    ap.add_argument("--bench", default=os.path.join(BUILD, "benchmarks/bench_encode"))
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--runs", type=int, default=60)
    ap.add_argument("--batch", type=int, action="append")
    ap.add_argument("--onnx", help="keep the exported network here")
    args = ap.parse_args()
    import numpy as np
    import onnxruntime as ort

    path = args.onnx or os.path.join(tempfile.mkdtemp(), "lite0.onnx")
    if not os.path.exists(path):
        export(args.weights, path)
        pads_into_convolutions(path)
    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    # Spinning workers of an idle peer would take the other side's processor.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for batch in args.batch or [1, 16]:
        x = np.random.default_rng(0).standard_normal((batch, 3, 224, 224)).astype("float32")
        check(session, args.weights, x[:1])
        ours = Ours(args.bench, args.weights, batch, args.threads)
        times = {"ours": [], "onnxruntime": []}
        inner = 8 if batch == 1 else 2  # in a row; the first of each row finds cold caches
        for _ in range(args.runs // inner + 1):
            for i in range(inner):
                start = time.perf_counter()
                session.run(None, {"x": x})
                if i:
                    times["onnxruntime"].append(time.perf_counter() - start)
            for i in range(inner):
                seconds = ours.run()
                if i:
                    times["ours"].append(seconds)
        ours.close()
        mine, peer = (statistics.median(times[k]) for k in ("ours", "onnxruntime"))
        print(json.dumps({"bench": "encode_vs_onnxruntime", "version": ort.__version__,
                          "batch": batch, "threads": args.threads,
                          "ms_median": round(mine * 1e3, 3),
                          "ms_min": round(min(times["ours"]) * 1e3, 3),
                          "ms_onnxruntime": round(peer * 1e3, 3),
                          "ms_min_onnxruntime": round(min(times["onnxruntime"]) * 1e3, 3),
                          "ratio": round(peer / mine, 2)}), flush=True)


if __name__ == "__main__":
    main()
