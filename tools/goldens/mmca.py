#!/usr/bin/env python3
"""Small randomly initialised re-rankers with reference scores, for tests/test_mmca.c.

Usage: mmca.py REPOSITORY

Writes tests/data/mmca_NAME.safetensors: a re-ranker (core/rerank/mmca_config.h) and beside its
tensors what the reference makes of random pictures and texts:
  golden.regions (pictures, cells, region), golden.words (texts, words, word): the input
  golden.lengths (texts) I32: words of each text, the rest is padding
  golden.i0 (pictures, width), golden.scores (texts, pictures)
The scores are those of regions kept in 8 bits, as core/rerank/mmca.h keeps them.
Needs torch, safetensors.
"""
import json
import sys

import torch
from safetensors.torch import save_file
from torch import nn

CONFIGS = {
    "pre": dict(cells=9, region=20, word=12, width=20, heads=2, mlp=28, image_layers=1,
                text_layers=2, cross_layers=2, norm="pre", image_pool="mean", text_pool="mean",
                unit=True, weight=0.25),
    "post": dict(cells=7, region=17, word=10, width=18, heads=3, mlp=37, image_layers=2,
                 text_layers=0, cross_layers=1, norm="post", image_pool="mean", text_pool="max",
                 unit=False, weight=0.5),
}


class Block(nn.Module):
    def __init__(self, width, heads, mlp, pre):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.up, self.down = nn.Linear(width, mlp), nn.Linear(mlp, width)
        self.norm1, self.norm2, self.pre = nn.LayerNorm(width), nn.LayerNorm(width), pre

    def forward(self, x):
        def attend(y):
            return self.attention(y, y, y, need_weights=False)[0]

        def mlp(y):
            return self.down(nn.functional.gelu(self.up(y)))
        if self.pre:
            x = x + attend(self.norm1(x))
            return x + mlp(self.norm2(x))
        x = self.norm1(x + attend(x))
        return self.norm2(x + mlp(x))


class Mmca(nn.Module):
    def __init__(self, c):
        super().__init__()
        w, self.c = c["width"], c
        self.region, self.word = nn.Linear(c["region"], w), nn.Linear(c["word"], w)
        self.mean_r, self.scale_r = torch.randn(c["region"]), 0.5 + torch.rand(c["region"])
        self.mean_w, self.scale_w = torch.randn(c["word"]), 0.5 + torch.rand(c["word"])
        self.position = nn.Parameter(torch.randn(c["cells"], w) * 0.3)
        self.modules_ = nn.ModuleDict({
            m: nn.ModuleList(Block(w, c["heads"], c["mlp"], c["norm"] == "pre")
                             for _ in range(c[m + "_layers"])) for m in ("image", "text", "cross")})
        self.last = nn.ModuleDict({m: nn.LayerNorm(w) for m in ("image", "text", "cross")
                                   if c["norm"] == "pre" and c[m + "_layers"]})
        self.pooled = nn.ModuleDict({p: nn.Linear(w, w) for p in ("i0", "c0", "i1", "c1")})
        self.alpha = torch.tensor([0.7])

    def run(self, m, x):
        for block in self.modules_[m]:
            x = block(x)
        return self.last[m](x) if m in self.last else x

    def pool(self, p, x):
        kind = self.c["image_pool" if p in ("i0", "i1") else "text_pool"]
        x = self.pooled[p](x.mean(1) if kind == "mean" else x.amax(1))
        return nn.functional.normalize(x, dim=-1) if self.c["unit"] else x

    def keep(self, regions):
        """Projected regions in 8 bits with a scale in half precision, i0 in half precision."""
        r = self.region((regions - self.mean_r) * self.scale_r) + self.position
        scale = (r.abs().amax(-1, keepdim=True) / 127).half().float()
        kept = (r / scale).round().clamp(-127, 127) * scale
        return kept, self.pool("i0", self.run("image", r)).half().float()

    def score(self, kept, i0, words):
        e = self.word((words - self.mean_w) * self.scale_w)[None]
        c0 = self.pool("c0", self.run("text", e))
        y = self.run("cross", torch.cat([kept, e.expand(len(kept), -1, -1)], 1))
        i1, c1 = self.pool("i1", y[:, :self.c["cells"]]), self.pool("c1", y[:, self.c["cells"]:])
        return (i0 * c0).sum(-1) + self.alpha * (i1 * c1).sum(-1)

    def tensors(self):
        def pair(name, layer):
            return {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
        t = {"region.mean": self.mean_r, "region.scale": self.scale_r, "word.mean": self.mean_w,
             "word.scale": self.scale_w, "region.position": self.position, "alpha": self.alpha,
             **pair("region", self.region), **pair("word", self.word)}
        for m, blocks in self.modules_.items():
            for i, b in enumerate(blocks):
                t[f"{m}.{i}.qkv.weight"] = b.attention.in_proj_weight
                t[f"{m}.{i}.qkv.bias"] = b.attention.in_proj_bias
                for name, layer in (("out", b.attention.out_proj), ("up", b.up), ("down", b.down),
                                    ("norm1", b.norm1), ("norm2", b.norm2)):
                    t.update(pair(f"{m}.{i}.{name}", layer))
        for m, norm in self.last.items():
            t.update(pair(f"{m}.last", norm))
        for p, layer in self.pooled.items():
            t.update(pair(p, layer))
        return {k: v.detach().contiguous() for k, v in t.items()}


def make(name, c, folder):
    torch.manual_seed(sum(name.encode()))
    model = Mmca(c).eval()
    for p in model.parameters():  # so that every part shows in the result
        p.data = p.data * 1.5 + 0.05 * torch.randn_like(p)
    pictures, lengths = 6, [1, 5, 3]
    regions = torch.randn(pictures, c["cells"], c["region"])
    words = torch.randn(len(lengths), max(lengths), c["word"])
    with torch.no_grad():
        kept, i0 = model.keep(regions)
        scores = torch.stack([model.score(kept, i0, w[:n]) for w, n in zip(words, lengths)])
    save_file({**model.tensors(), "golden.regions": regions, "golden.words": words,
               "golden.lengths": torch.tensor(lengths, dtype=torch.int32),
               "golden.i0": i0.contiguous(), "golden.scores": scores.contiguous()},
              f"{folder}/mmca_{name}.safetensors",
              metadata={"reranker": json.dumps({"type": "mmca", **c})})
    print(name, scores)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for key, config in CONFIGS.items():
        make(key, config, f"{sys.argv[1]}/tests/data")
