#!/usr/bin/env python3
"""Small trained heads and what they yield, for tests/test_head.c.

Usage: heads.py REPOSITORY

Writes tests/data/heads/CASE.safetensors: the tensors of a head as core/model/head.h
names them, what towers could have seen (in.*, random), and what PyTorch makes of it
in double precision (out.image, out.text); the metadata's "config" is the object
"osprey" of a config.json. Needs torch, safetensors.
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

FEATURES, STAGES, CLASSES, HIDDEN, VISUAL, DIM, WIDE, N = 12, 10, 7, 6, 5, 9, 20, 5
CASES = {
    "beside": {"mlp": "beside", "image_inputs": ["pooled:root", "stages", "classes"],
               "text_inputs": ["mean", "first"], "temperature": 2.0, "trained_weight": 0.65,
               "class_weight": 0.15, "visual_weight": 0.2},
    "after": {"image_inputs": ["logits", "pooled", "classes", "stages:unit"],
              "text_inputs": ["mean:unit"], "top_classes": 3, "center": True,
              "class_weight": 0.4},
    "linear": {"image_inputs": ["pooled"], "text_inputs": ["mean"]},
}


def unit(x):
    return torch.nn.functional.normalize(x, dim=-1)


def head(case, config, seen):
    """Random tensors of a head; in half precision where the recipe has it."""
    half = torch.float16 if case == "beside" else torch.float32
    rand = lambda *shape: torch.randn(*shape, dtype=torch.float64)
    t = {"conse.class_embeddings": rand(CLASSES, HIDDEN).to(half)}
    if config.get("visual_weight"):
        t["conse.visual_projection"] = rand(VISUAL, FEATURES).to(half)
    for m in ("image", "text"):
        wide_in = DIM if config.get("mlp") != "beside" else None
        n = sum(seen[i.split(":")[0]] for i in config[m + "_inputs"])
        t[f"{m}.mean"], t[f"{m}.scale"] = rand(n).float(), rand(n).abs().float()
        t[f"{m}.linear.weight"] = (rand(DIM, n) / n ** 0.5).to(half)
        if case == "linear":
            continue
        t[f"{m}.linear.bias"] = rand(DIM).float()
        t[f"{m}.mlp.up.weight"] = (rand(WIDE, wide_in or n) / (wide_in or n) ** 0.5).to(half)
        t[f"{m}.mlp.down.weight"] = (rand(DIM, WIDE) / WIDE ** 0.5).to(half)
        if case == "beside":
            t[f"{m}.mlp.up.bias"], t[f"{m}.mlp.down.bias"] = rand(WIDE).float(), rand(DIM).float()
        else:
            t[f"{m}.norm.weight"], t[f"{m}.norm.bias"] = rand(DIM).float(), rand(DIM).float()
    return t


def classes(config, t, logits):
    p = torch.softmax(logits / config.get("temperature", 1.0), dim=-1)
    if config.get("top_classes"):
        p = p * (p >= p.sort(descending=True).values[:, config["top_classes"] - 1:][:, :1])
    w = t["conse.class_embeddings"].double()
    return unit(p @ (w - w.mean(0) if config.get("center") else w))


def project(config, t, m, inputs):
    x = []
    for name in config[m + "_inputs"]:
        source, _, how = name.partition(":")
        x.append({"": lambda v: v, "unit": unit, "root": lambda v: v.clamp(min=0).sqrt()}
                 [how](inputs[source]))
    get = lambda name: t[f"{m}.{name}"].double() if f"{m}.{name}" in t else 0
    s = (torch.cat(x, -1) - get("mean")) * get("scale")
    h = s @ get("linear.weight").T + get("linear.bias")
    if f"{m}.mlp.up.weight" in t:
        u = s if config.get("mlp") == "beside" else h
        wide = torch.nn.functional.gelu(u @ get("mlp.up.weight").T + get("mlp.up.bias"))
        h = h + wide @ get("mlp.down.weight").T + get("mlp.down.bias")
    if f"{m}.norm.weight" in t:
        h = torch.nn.functional.layer_norm(h, (DIM,), get("norm.weight"), get("norm.bias"), 1e-5)
    return unit(h)


def main():
    out = pathlib.Path(sys.argv[1]) / "tests/data/heads"
    out.mkdir(exist_ok=True)
    sizes = {"pooled": FEATURES, "stages": STAGES, "classes": HIDDEN, "logits": CLASSES,
             "mean": HIDDEN, "first": HIDDEN}
    for seed, (case, config) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        t = head(case, config, sizes)
        seen = {k: torch.randn(N, n).double() for k, n in sizes.items() if k != "classes"}
        seen["pooled"] = seen["pooled"].abs() * (torch.rand(N, FEATURES) > 0.2)
        seen["classes"] = classes(config, t, seen["logits"])
        a, b, c = (config.get(k, d) ** 0.5 for k, d in
                   (("trained_weight", 1), ("class_weight", 0), ("visual_weight", 0)))
        image, text = [a * project(config, t, "image", seen)], [a * project(config, t, "text", seen)]
        if b:
            image.append(b * seen["classes"])
            text.append(b * unit(seen["mean"]))
        if c:
            image.append(c * unit(seen["pooled"] @ t["conse.visual_projection"].double().T))
            text.append(torch.zeros(N, VISUAL, dtype=torch.float64))
        t.update({f"in.{k}": v.float() for k, v in seen.items() if k != "classes"})
        t["out.image"], t["out.text"] = (unit(torch.cat(x, -1)).float() for x in (image, text))
        save_file({k: v.contiguous() for k, v in t.items()}, out / f"{case}.safetensors",
                  {"config": json.dumps(dict(config, head="trained"))})


if __name__ == "__main__":
    main()
