#!/usr/bin/env python3
"""The PyTorch twin of `osprey train heads`: the same recipe on the same features, to
compare seconds and recall with.

    python benchmarks/peers/twin_heads.py FEATURES.safetensors [--seed 0] [--steps 480]
        [--threads 2] [--width 384] [--hidden 256] [--out HEADS.safetensors]

FEATURES holds, in f16 or f32, as the towers give them (not standardised):

    images        (views, n, image inputs)  view 0 is the picture itself
    texts         (n, captions, text inputs)
    probabilities (n, classes)              the image tower's, temperature 1
    class_images, class_texts, class_probabilities, class_rows
                  the pictures labelled with a class: (views, k, image inputs), every
                  class's name in each prompt (classes, prompts, text inputs), (k, classes)
                  and the class of each picture (k), integers
    dev_images    (m, image inputs)
    dev_texts     (m, captions, text inputs)

The class_* and probabilities are optional, together; without them nothing keeps the
breadth. One JSON line at the end: seconds of training alone (no loading, no
measuring), steps, and recall on dev of the averaged weights.
"""
import argparse
import copy
import json
import math
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

BATCH = 1000
CLASS_SHARE = 0.15
IMAGE_DROPOUT, TEXT_DROPOUT = 0.6, 0.4
DISTILL = 1.0
RATE, DECAY, WARM_UP = 2e-3, 0.1, 50
TEMPERATURE, LOWEST_TEMPERATURE = 0.05, 0.02
AVERAGE = 0.99


class Head(nn.Module):
    """Standardised input, dropout, a linear map and a residual MLP, length 1."""

    def __init__(self, inputs, width, hidden, dropout):
        super().__init__()
        self.register_buffer("mean", inputs.reshape(-1, inputs.shape[-1]).mean(0))
        self.register_buffer("scale", 1 / (inputs.reshape(-1, inputs.shape[-1]).std(0) + 1e-3))
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(inputs.shape[-1], width)
        self.into = nn.Linear(inputs.shape[-1], hidden)
        self.out = nn.Linear(hidden, width)
        nn.init.normal_(self.out.weight, std=0.01 / math.sqrt(hidden / 1024))

    def standardise(self, x):
        return (x - self.mean) * self.scale

    def forward(self, x):
        x = self.dropout(x)
        return F.normalize(self.linear(x) + self.out(F.gelu(self.into(x))), dim=1)


class Deck:
    """Deals row numbers without replacement, and shuffles when it runs out."""

    def __init__(self, size, hand):
        self.size, self.hand, self.at = size, hand, size

    def deal(self):
        if self.at + self.hand > self.size:
            self.order, self.at = torch.randperm(self.size), 0
        self.at += self.hand
        return self.order[self.at - self.hand:self.at]


def in_random_views(images, rows):
    return images[torch.randint(len(images), (len(rows),)), rows]


def mixed(texts, rows):
    """Two different texts of each row, mixed by a random share."""
    two = torch.rand(len(rows), texts.shape[1]).argsort(1)[:, :2]
    share = torch.rand(len(rows), 1)
    return share * texts[rows, two[:, 0]] + (1 - share) * texts[rows, two[:, 1]]


def recall(images, texts):
    """R@1, R@5, R@10 of pictures by text, and of the best of its texts by picture."""
    n, captions = texts.shape[:2]
    scores = texts.reshape(n * captions, -1) @ images.T
    truth = torch.arange(n).repeat_interleave(captions)
    own = scores[torch.arange(n * captions), truth]
    by_text = (scores > own[:, None]).sum(1)
    best = own.view(n, captions).amax(1)
    by_image = (scores > best[None]).sum(0)
    return [[round(100 * (r < k).float().mean().item(), 1) for k in (1, 5, 10)]
            for r in (by_text, by_image)]


def train(data, args):
    image = Head(data["images"][0], args.width, args.hidden, IMAGE_DROPOUT)
    text = Head(data["texts"], args.width, args.hidden, TEXT_DROPOUT)
    heads = nn.ModuleList([image, text])
    averaged = copy.deepcopy(heads).eval()
    inverse = nn.Parameter(torch.tensor(-math.log(TEMPERATURE)))
    weights = list(heads.parameters())
    optimiser = torch.optim.AdamW(
        [{"params": [w for w in weights if w.ndim > 1], "weight_decay": DECAY},
         {"params": [w for w in weights if w.ndim == 1] + [inverse], "weight_decay": 0.0}],
        lr=RATE, betas=(0.9, 0.98))

    breadth = "class_images" in data
    images, texts = image.standardise(data["images"]), text.standardise(data["texts"])
    few = int(BATCH * CLASS_SHARE) if breadth else 0
    deck = Deck(images.shape[1], min(BATCH - few, images.shape[1]))
    if breadth:
        class_images = image.standardise(data["class_images"])
        class_texts = text.standardise(data["class_texts"])
        class_rows, classes = data["class_rows"].long(), len(data["class_texts"])
        class_deck = Deck(class_images.shape[1], min(few, class_images.shape[1]))

    start = time.perf_counter()
    for step in range(args.steps):
        for group in optimiser.param_groups:
            group["lr"] = (RATE * min(1, (step + 1) / WARM_UP) *
                           0.5 * (1 + math.cos(math.pi * step / args.steps)))
        rows = deck.deal()
        x, t = in_random_views(images, rows), mixed(texts, rows)
        if breadth:
            labelled = class_deck.deal()
            x = torch.cat([x, in_random_views(class_images, labelled)])
            t = torch.cat([t, mixed(class_texts, class_rows[labelled])])
        a, b = image(x), text(t)
        sharpness = inverse.exp().clamp(max=1 / LOWEST_TEMPERATURE)
        scores, truth = sharpness * (a @ b.T), torch.arange(len(a))
        loss = (F.cross_entropy(scores, truth) + F.cross_entropy(scores.T, truth)) / 2
        if breadth:
            target = torch.cat([data["probabilities"][rows], data["class_probabilities"][labelled]])
            prompt = torch.randint(class_texts.shape[1], (classes,))
            names = text(class_texts[torch.arange(classes), prompt])
            guess = F.log_softmax(sharpness.detach() * (a @ names.T), dim=1)
            loss = loss - DISTILL * (target * guess).sum(1).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        keep = min(AVERAGE, (step + 1) / (step + 10))
        with torch.no_grad():
            for mean, now in zip(averaged.parameters(), heads.parameters()):
                mean.lerp_(now, 1 - keep)
    return averaged, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=480)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    data = {k: v.float() for k, v in load_file(args.features).items()}
    heads, seconds = train(data, args)
    image, text = heads
    with torch.no_grad():
        dev_texts = data["dev_texts"]
        embedded = text(text.standardise(dev_texts.reshape(-1, dev_texts.shape[-1])))
        t2i, i2t = recall(image(image.standardise(data["dev_images"])),
                          embedded.view(*dev_texts.shape[:2], -1))
    if args.out:
        save_file({f"{name}.{k}": v.contiguous() for name, head in (("image", image), ("text", text))
                   for k, v in head.state_dict().items()}, args.out)
    print(json.dumps({"seconds": round(seconds, 1), "steps": args.steps, "threads": args.threads,
                      "seed": args.seed, "t2i": t2i, "i2t": i2t}))


if __name__ == "__main__":
    main()
