"""Writes tests/data/efficientnet.golden: what torch computes for one synthetic
picture, stage by stage.

    python tools/goldens/efficientnet.py models/osprey-small/model.safetensors

Needs torch and safetensors. Each stage is a line "name h w c mean n" and n
lines "index value", the index into (h, w, c).
"""
import os
import sys

import torch

from effnet_torch import EffNet

SAMPLES = 64
SIZE = 224
WHOLE = ("pooled", "logits")


def picture():
    """tests/test_efficientnet.c computes the same bytes."""
    out = torch.empty(SIZE, SIZE, 3, dtype=torch.uint8)
    for y in range(SIZE):
        for x in range(SIZE):
            for c in range(3):
                i = (y * SIZE + x) * 3 + c
                noise = (i * 2654435761 & 0xFFFFFFFF) >> 27
                out[y, x, c] = (x * (c + 1) // 2 + (y * (3 - c)) // 3 +
                                ((x * x + y * y) >> 7) + noise) & 255
    return out


def main():
    torch.set_num_threads(1)
    net = EffNet(sys.argv[1])
    stages = []

    def tap(name, x):
        if x.dim() == 2:
            x = x[:, :, None, None]
        stages.append((name, x[0].permute(1, 2, 0).contiguous()))

    net.tap = tap
    with torch.no_grad():
        x = picture().permute(2, 0, 1)[None].float() / 255
        net((x - 0.5) / 0.5)
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "../../tests/data/efficientnet.golden"), "w") as f:
        for number, (name, x) in enumerate(stages):
            flat = x.flatten()
            n = flat.numel()
            at = range(n)
            if name not in WHOLE:
                at = sorted({(i * n // SAMPLES + (i * 7919 + number) % (n // SAMPLES)) % n
                             for i in range(SAMPLES)} | {0, n - 1})
            h, w, c = x.shape
            f.write(f"{name} {h} {w} {c} {flat.double().mean():.9g} {len(at)}\n")
            for i in at:
                f.write(f"{i} {flat[i]:.9g}\n")


if __name__ == "__main__":
    main()
