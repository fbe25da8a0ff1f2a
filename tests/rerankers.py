"""Writes re-rankers of random weights for tests, with the standard library."""

import json
import random
import struct

import pictures

WIDTH, MLP, CELLS, REGION, WORD = 16, 24, 49, 1280, 384
KEPT = {"mmca": CELLS * (WIDTH + 2) + 2 * WIDTH, "regions": CELLS * (WIDTH + 2)}
WEIGHT = 0.3


def head_tensors():
    """Names and shapes as core/model/head.h has them."""
    for modality, width in (("image", REGION), ("text", WORD)):
        yield from [(modality + ".mean", (width,)), (modality + ".scale", (width,)),
                    (modality + ".linear.weight", (WIDTH, width))]


def mmca_tensors():
    """Names and shapes as core/rerank/mmca_config.h has them."""
    def pair(name, *shape):
        return [(name + ".weight", shape), (name + ".bias", shape[:1])]
    yield from [("region.mean", (REGION,)), ("region.scale", (REGION,))]
    yield from pair("region", WIDTH, REGION) + [("region.position", (CELLS, WIDTH))]
    yield from [("word.mean", (WORD,)), ("word.scale", (WORD,))] + pair("word", WIDTH, WORD)
    for module in ("image", "text", "cross"):
        for part, *shape in (("qkv", 3 * WIDTH, WIDTH), ("out", WIDTH, WIDTH), ("norm1", WIDTH),
                             ("up", MLP, WIDTH), ("down", WIDTH, MLP), ("norm2", WIDTH)):
            yield from pair("%s.0.%s" % (module, part), *shape)
        yield from pair(module + ".last", WIDTH)
    for pooled in ("i0", "c0", "i1", "c1"):
        yield from pair(pooled, WIDTH, WIDTH)
    yield "alpha", (1,)


def value(name, shape, rng):
    if name.endswith((".scale", "norm1.weight", "norm2.weight", "last.weight")) or name == "alpha":
        return 1.0
    if name.endswith(".mean"):
        return 0.0
    return rng.gauss(0, 1.5 / shape[-1] ** 0.5)


CONFIGS = {
    "mmca": {"cells": CELLS, "region": REGION, "word": WORD, "width": WIDTH, "heads": 2,
             "mlp": MLP, "image_layers": 1, "text_layers": 1, "cross_layers": 1, "norm": "pre",
             "image_pool": "mean", "text_pool": "mean", "unit": True},
    "regions": {"grid": 7, "reach": 2, "top": 3,
                "head": {"head": "trained", "image_inputs": ["pooled:root"],
                         "text_inputs": ["mean"]}}}
TENSORS = {"mmca": mmca_tensors, "regions": head_tensors}


def write_reranker(path, seed, kind="mmca", **changes):
    config = {"type": kind, "weight": WEIGHT, **CONFIGS[kind], **changes}
    rng = random.Random(seed)
    header, data = {"__metadata__": {"reranker": json.dumps(config)}}, b""
    for name, shape in TENSORS[kind]():
        count = 1
        for d in shape:
            count *= d
        raw = struct.pack("<%df" % count, *(value(name, shape, rng) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": list(shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pictures.write(path, struct.pack("<Q", len(text)) + text + data)
