#!/usr/bin/env python3
"""A step of training heads, and one of training the cross-attention re-ranker, against
PyTorch: the same sizes (bench_train.c, bench_reranker.c), f32, runs taken in turn.

    python benchmarks/peers/bench_train.py [--what heads|reranker] [--threads 2] [--rounds 3]
        [--steps 10] [--loss infonce|triplet|siglip|contrastive]
        [--distance cosine|euclidean|manhattan]
        [--groups 16] [--group-size 8]

A JSON line for each: the least milliseconds of a step on either side, in wall-clock and
in processor time, and ours over theirs. A re-ranker's are means over twice as many steps,
drawing batches included, and its peer is twin_reranker.py on made-up features. Needs torch
and safetensors.
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

import twin_reranker as twin

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
BUILD = os.environ.get("OSPREY_BUILD", os.path.join(SOURCE, "build"))
BATCH, IMAGE, TEXT, HIDDEN, DIM = 1000, 2688, 768, 1024, 512           # bench_train.c
PICTURES, CAPTIONS, CELLS, REGION, WORD = 400, 5, 49, 1280, 384        # bench_reranker.c


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


def ours(program, *args):
    """What a program of ours found: (milliseconds of a step, of processor time)."""
    out = subprocess.run([os.path.join(BUILD, "benchmarks", program), *map(str, args)],
                         capture_output=True, check=True)
    found = json.loads(out.stdout)
    return found["step_ms"], found["step_cpu_ms"]


def report(mine, theirs, **about):
    """Of (milliseconds, of processor time) each."""
    best = [min(v[k] for v in of) for of in (mine, theirs) for k in (0, 1)]
    print(json.dumps({**about, "osprey_ms": round(best[0], 2), "torch_ms": round(best[2], 2),
                      "ratio": round(best[0] / best[2], 3), "osprey_cpu_ms": round(best[1], 2),
                      "torch_cpu_ms": round(best[3], 2), "cpu_ratio": round(best[1] / best[3], 3)}),
          flush=True)


def bench_heads(o):
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

    mine, theirs = [], []
    for _ in range(o.rounds):
        mine.append(ours("bench_train", o.threads, o.steps, o.loss, o.distance))
        for _ in range(o.steps):
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            theirs.append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)))
    report(mine, theirs, what="heads", threads=o.threads, loss=o.loss, distance=o.distance)


def made_up_features():
    """What twin_reranker.py reads, in the shape of bench_reranker.c's."""
    words = torch.randint(6, 19, (PICTURES * CAPTIONS,))
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), words.cumsum(0)])
    near = (torch.arange(PICTURES)[:, None] + 1 + 13 * torch.arange(30)) % PICTURES
    return {"regions": torch.rand(2, PICTURES, CELLS, REGION).half(), "offsets": offsets,
            "words": torch.randn(int(offsets[-1]), WORD).half(), "neighbours": near}


def bench_reranker(o):
    twin.GROUPS, twin.GROUP = o.groups, o.group_size
    features, few = made_up_features(), argparse.Namespace(steps=2 * o.steps, bf16=False)
    mine, theirs = [], []
    for _ in range(o.rounds):
        mine.append(ours("bench_reranker", o.threads, few.steps, o.groups, o.group_size))
        cpu = time.process_time()
        _, seconds = twin.train(features, few)
        theirs.append((1e3 * seconds / few.steps, 1e3 * (time.process_time() - cpu) / few.steps))
    report(mine, theirs, what="reranker", threads=o.threads, groups=o.groups,
           group_size=o.group_size)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--what", choices=("heads", "reranker"))
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--loss", default="infonce")
    p.add_argument("--distance", default="cosine")
    p.add_argument("--groups", type=int, default=16)
    p.add_argument("--group-size", type=int, default=8)
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    if o.what != "reranker":
        bench_heads(o)
    if o.what != "heads":
        bench_reranker(o)


if __name__ == "__main__":
    main()
