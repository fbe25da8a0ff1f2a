#!/usr/bin/env python3
"""A step of training heads against PyTorch: the same sizes (bench_train.c), f32, runs
taken in turn.

    python benchmarks/peers/bench_train.py [--threads 2] [--steps 10] [--rounds 3]
        [--loss infonce|triplet|siglip|contrastive] [--distance cosine|euclidean|manhattan]

One JSON line: the least milliseconds of a step on either side, in wall-clock and in
processor time, and ours over theirs. Needs torch.
"""
import argparse
import json
import math
import os
import subprocess
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
BUILD = os.environ.get("OSPREY_BUILD", os.path.join(SOURCE, "build"))
BATCH, IMAGE, TEXT, HIDDEN, DIM = 1000, 2688, 768, 1024, 512


class Head(nn.Module):
    def __init__(self, inputs, dropout):
        super().__init__()
        self.dropout, self.linear = dropout, nn.Linear(inputs, DIM)
        self.up, self.down = nn.Linear(inputs, HIDDEN), nn.Linear(HIDDEN, DIM)
        self.mean, self.scale = torch.zeros(inputs), torch.ones(inputs)

    def forward(self, x):
        z = F.dropout((x - self.mean) * self.scale, self.dropout, self.training)
        return F.normalize(self.linear(z) + self.down(F.gelu(self.up(z))), dim=1)


def loss_of(kind, distance, a, b, scale):
    if distance == "cosine":
        s = a @ b.T
    else:
        s = -torch.cdist(a, b, p=2 if distance == "euclidean" else 1)
    y = torch.arange(len(a))
    own = torch.eye(len(a), dtype=torch.bool)
    if kind == "infonce":
        z = scale.exp() * s
        return (F.cross_entropy(z, y) + F.cross_entropy(z.T, y)) / 2
    if kind == "siglip":
        return -F.logsigmoid((2.0 * own - 1) * (scale.exp() * s - 10)).sum() / len(a)
    if kind == "triplet":
        d = s.diagonal()
        h = (F.relu(0.2 + s - d[:, None]) + F.relu(0.2 + s - d)).masked_fill(own, 0)
        return h.sum() / (2 * len(a))
    d = 1 - s if distance == "cosine" else -s
    return d[own].square().mean() / 2 + F.relu(0.8 - d)[~own].square().mean() / 2


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--loss", default="infonce")
    p.add_argument("--distance", default="cosine")
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    heads = nn.ModuleList([Head(IMAGE, 0.6), Head(TEXT, 0.4)])
    average = [q.detach().clone() for q in heads.parameters()]
    scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
    matrices = [q for q in heads.parameters() if q.ndim > 1]
    others = [q for q in heads.parameters() if q.ndim == 1] + [scale]
    optimiser = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1},
                                   {"params": others, "weight_decay": 0}], lr=1e-3)
    x, t = torch.randn(BATCH, IMAGE), torch.randn(BATCH, TEXT)

    def step():
        optimiser.zero_grad(set_to_none=True)
        loss_of(o.loss, o.distance, heads[0](x), heads[1](t), scale).backward()
        optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(heads.parameters()), 0.01)

    ours, theirs = [], []
    for _ in range(o.rounds):
        out = subprocess.run([os.path.join(BUILD, "benchmarks/bench_train"), str(o.threads),
                              str(o.steps), o.loss, o.distance], capture_output=True, check=True)
        found = json.loads(out.stdout)
        ours.append((found["step_ms"], found["step_cpu_ms"]))
        for _ in range(o.steps):
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            theirs.append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)))
    best = [min(v[k] for v in of) for of in (ours, theirs) for k in (0, 1)]
    print(json.dumps({"threads": o.threads, "loss": o.loss, "distance": o.distance,
                      "osprey_ms": round(best[0], 2), "torch_ms": round(best[2], 2),
                      "ratio": round(best[0] / best[2], 3),
                      "osprey_cpu_ms": round(best[1], 2), "torch_cpu_ms": round(best[3], 2),
                      "cpu_ratio": round(best[1] / best[3], 3)}))


if __name__ == "__main__":
    main()
