#!/usr/bin/env python3
"""The PyTorch twin of `osprey train reranker`: an MMCA re-ranker of one layer a module
on the same features, to compare seconds and recall with.

    python benchmarks/peers/twin_reranker.py FEATURES.safetensors [--seed 0] [--steps 900]
        [--threads 2] [--bf16] [--top 50]

FEATURES holds, in f16 or f32 unless said otherwise:

    regions    (views, n, cells, region inputs)  view 0 is the picture itself
    words      (all words of all captions, word inputs), standardised
    offsets    (n * captions + 1), integers: words of caption c are rows [c], [c + 1) - 1
    neighbours (n, k), integers: the pictures most like each, hard negatives
    dev_regions (m, cells, region inputs), dev_words, dev_offsets
    dev_first  (m * captions, m)                 the first stage's scores

Captions of a picture follow one another, as many for each. One JSON line at the end:
seconds of training alone, and recall on dev of pictures by text, before and after
mixing in, at the weight that is best there.

Pooling weights are learned; the cross-attention's output is pooled before its residual
and its MLP, so that what a pair costs is its attention alone, and the part of it that
regards one picture or one text is computed once for all pairs.
"""
import argparse
import copy
import json
import math
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

WIDTH, HEADS, MLP, LONGEST = 256, 4, 512, 26
GROUPS, GROUP = 32, 4
RATE, DECAY, WARM_UP, AVERAGE = 1.5e-3, 0.1, 100, 0.995
SMOOTHING, DROPOUT = 0.05, 0.1
CHANNELS = {"image": 0.5, "text": 0.4}  # dropped in all cells or words alike
ITEMS = {"image": 0.2, "text": 0.1}     # whole cells or words dropped
WEIGHTS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8)


def split(x):
    return x.view(*x.shape[:-1], HEADS, WIDTH // HEADS).transpose(-2, -3)


class Side(nn.Module):
    """One modality: projection, self-attention block, pooling, and what pairs need."""

    def __init__(self, inputs, cells, kind):
        super().__init__()
        self.kind = kind
        self.project = nn.Linear(inputs, WIDTH)
        self.position = nn.Parameter(torch.randn(cells, WIDTH) * 0.02) if cells else None
        self.norm1, self.norm2, self.last = (nn.LayerNorm(WIDTH) for _ in range(3))
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, MLP), nn.GELU(), nn.Linear(MLP, WIDTH))
        self.dropout = nn.Dropout(DROPOUT)
        self.weigh = nn.Linear(WIDTH, 1)
        self.alone, self.local, self.crossed = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, x, mask, cross):
        if self.training:
            x = x * F.dropout(torch.ones(len(x), 1, x.shape[2]), CHANNELS[self.kind])
        x = self.project(x)
        if self.position is not None:
            x = x + self.position
        n, items, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, items, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask[:, None, None].expand(n, 1, items, items))
        x = x + self.dropout(self.out(mixed.transpose(1, 2).reshape(n, items, WIDTH)))
        z = self.last(x + self.dropout(self.mlp(self.norm2(x))))
        weights = self.weigh(z)[..., 0].float().masked_fill(~mask, -1e4).softmax(1)
        pooled = (weights[..., None] * z).sum(1)
        return {"mask": mask, "weights": weights, "pooled": pooled.float(),
                "alone": F.normalize(self.alone(pooled).float(), dim=-1),
                "local": F.normalize(self.local(z).float(), dim=-1),
                "q": cross.q(z), "k": cross.k(z), "v": cross.v(z)}


class Cross(nn.Module):
    """Attention over cells and words together, pooled over the cells or the words."""

    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.norm = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, MLP), nn.GELU(), nn.Linear(MLP, WIDTH))
        self.dropout = nn.Dropout(DROPOUT)

    def pooled(self, own, other, last):
        """(groups, own, other, WIDTH): each of own's sets beside each of other's."""
        q, k, v = (split(own[x].float()) for x in "qkv")
        q = q / math.sqrt(WIDTH // HEADS)
        k2, v2 = split(other["k"].float()), split(other["v"].float())
        within = (q @ k.transpose(-1, -2)).masked_fill(~own["mask"][:, :, None, None], -1e4)
        top = within.amax(-1, keepdim=True).detach()
        within = (within - top).exp()
        beyond = torch.einsum("gahrd,gbhld->gabhrl", q, k2) - top[:, :, None]
        beyond = beyond.clamp(max=20).exp() * other["mask"][:, None, :, None, None].float()
        share = own["weights"][:, :, None, None] / (within.sum(-1)[:, :, None] + beyond.sum(-1))
        y = torch.einsum("gabhr,gahrd->gabhd", share, within @ v)
        y = y + torch.einsum("gabhl,gbhld->gabhd",
                             torch.einsum("gabhr,gabhrl->gabhl", share, beyond), v2)
        x = own["pooled"][:, :, None] + self.out(y.flatten(-2)).float()
        return F.normalize(last(x + self.dropout(self.mlp(self.norm(x)))).float(), dim=-1)


class Reranker(nn.Module):
    def __init__(self, cells, region, word):
        super().__init__()
        self.cross = Cross()
        self.image, self.text = Side(region, cells, "image"), Side(word, 0, "text")
        self.sharpness = nn.Parameter(torch.full((3,), math.log(1 / 0.07)))
        self.shares = nn.Parameter(torch.ones(3))

    def scores(self, images, texts):
        """i0.c0, best cell for each word, i1.c1: each (groups, texts, images)."""
        alone = texts["alone"] @ images["alone"].transpose(-1, -2)
        best = torch.einsum("gtld,gird->gtlir", texts["local"], images["local"])
        best = best.masked_fill(~images["mask"][:, None, None], -1).max(-1).values
        best = (best * texts["weights"][..., None]).sum(2)
        i1 = self.cross.pooled(images, texts, self.image.crossed).transpose(1, 2)
        return alone, best, (i1 * self.cross.pooled(texts, images, self.text.crossed)).sum(-1)


def words_of(words, offsets, captions):
    spans = [words[offsets[c]:offsets[c + 1]][:LONGEST] for c in captions.tolist()]
    x = nn.utils.rnn.pad_sequence(spans, batch_first=True).float()
    lengths = torch.tensor([len(s) for s in spans])
    return x, torch.arange(x.shape[1])[None] < lengths[:, None]


def keep_some(mask, kind):
    keep = torch.rand(mask.shape) >= ITEMS[kind]
    keep[:, 0] = True
    return mask & keep


def draw_groups(neighbours, seeds):
    """Each seed with GROUP - 1 of its neighbours; no picture twice in a batch."""
    seen, rows = set(seeds.tolist()), []
    for seed in seeds.tolist():
        group = [seed]
        near = neighbours[seed][torch.randperm(neighbours.shape[1])].tolist()
        while len(group) < GROUP:
            row = near.pop() if near else int(torch.randint(len(neighbours), (1,)))
            if row not in seen:
                seen.add(row)
                group.append(row)
        rows += group
    return torch.tensor(rows)


def both_ways(scores):
    truth = torch.arange(scores.shape[-1]).repeat(scores.shape[:-2].numel())
    loss = 0
    for s in (scores, scores.transpose(-1, -2)):
        loss = loss + F.cross_entropy(s.reshape(len(truth), -1), truth, label_smoothing=SMOOTHING)
    return loss / 2


def grouped(side):
    return {k: v.view(GROUPS, GROUP, *v.shape[1:]) for k, v in side.items()}


def train(data, args):
    regions, words, offsets = data["regions"], data["words"], data["offsets"].tolist()
    pictures = regions.shape[1]
    captions = (len(offsets) - 1) // pictures
    net = Reranker(regions.shape[2], regions.shape[3], words.shape[1])
    averaged = copy.deepcopy(net).eval()
    plain = [p for n, p in net.named_parameters() if p.ndim == 1 or "position" in n]
    decayed = [p for n, p in net.named_parameters() if p.ndim > 1 and "position" not in n]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": DECAY},
                                   {"params": plain, "weight_decay": 0.0}],
                                  lr=RATE, betas=(0.9, 0.98))
    order, at, start = torch.randperm(pictures), 0, time.perf_counter()
    for step in range(args.steps):
        for group in optimiser.param_groups:
            group["lr"] = (RATE * min(1, (step + 1) / WARM_UP) *
                           0.5 * (1 + math.cos(math.pi * step / args.steps)))
        if at + GROUPS > pictures:
            order, at = torch.randperm(pictures), 0
        rows = draw_groups(data["neighbours"], order[at:at + GROUPS])
        at += GROUPS
        x = regions[torch.randint(len(regions), (len(rows),)), rows].float()
        seen = keep_some(torch.ones(x.shape[:2], dtype=torch.bool), "image")
        t, read = words_of(words, offsets, rows * captions + torch.randint(captions, rows.shape))
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            images = net.image(x, seen, net.cross)
            texts = net.text(t, keep_some(read, "text"), net.cross)
            alone, best, crossed = net.scores(grouped(images), grouped(texts))
        sharpness, shares = net.sharpness.exp().clamp(max=50), net.shares
        whole = texts["alone"] @ images["alone"].T
        loss = (both_ways(sharpness[0] * whole) + both_ways(sharpness[1] * best) +
                both_ways(sharpness[2] * (shares[0] * alone + shares[1] * best +
                                          shares[2] * crossed)))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        keep = min(AVERAGE, (step + 1) / (step + 10))
        with torch.no_grad():
            for mean, now in zip(averaged.parameters(), net.parameters()):
                mean.lerp_(now, 1 - keep)
    return averaged, time.perf_counter() - start


@torch.no_grad()
def measure(net, data, top, chunk=10):
    """R@1, R@5, R@10 of pictures by text: the first stage's, and mixed at the best weight."""
    regions, first = data["dev_regions"].float(), data["dev_first"].float()
    offsets = data["dev_offsets"].tolist()
    truth = torch.arange(len(first)) // (len(first) // len(regions))
    parts = [net.image(r, torch.ones(r.shape[:2], dtype=torch.bool), net.cross)
             for r in regions.split(100)]
    images = {k: torch.cat([p[k] for p in parts]) for k in parts[0]}
    near = first.topk(top, 1)
    second = torch.empty_like(near.values)
    for i in range(0, len(first), chunk):
        captions = torch.arange(i, min(i + chunk, len(first)))
        texts = net.text(*words_of(data["dev_words"], offsets, captions), net.cross)
        candidates = {k: v[near.indices[captions]] for k, v in images.items()}
        scores = net.scores(candidates, {k: v[:, None] for k, v in texts.items()})
        second[captions] = sum(w * s[:, 0] for w, s in zip(net.shares, scores))
    own = near.indices == truth[:, None]

    def recall(scores):
        rank = (scores > scores.masked_fill(~own, -1e9).amax(1, keepdim=True)).sum(1)
        rank[~own.any(1)] = len(regions)
        return [round(100 * (rank < k).float().mean().item(), 1) for k in (1, 5, 10)]

    best = max(WEIGHTS, key=lambda w: sum(recall(near.values + w * second)))
    return recall(near.values), best, recall(near.values + best * second)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--top", type=int, default=50)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    data = load_file(args.features)
    net, seconds = train(data, args)
    first, weight, mixed = measure(net, data, args.top)
    print(json.dumps({"seconds": round(seconds, 1), "steps": args.steps, "threads": args.threads,
                      "seed": args.seed, "top": args.top, "first": first, "weight": weight,
                      "mixed": mixed}))


if __name__ == "__main__":
    main()
