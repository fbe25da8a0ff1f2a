#!/usr/bin/env python3
"""Reference embeddings of osprey-small-zeroshot's joint space, for tests/test_encoder.c.

Usage: encoder.py MODEL_DIR TOKENIZER_DIR REPOSITORY

Writes tests/data/encoder_golden.safetensors: three synthetic pictures, once with
the options of config.json ("images") and once with temperature 1, the ten
likeliest classes, centred names and no visual part ("images_top"); and three
texts ("texts"). Needs torch, transformers and safetensors.
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertConfig, BertModel

from effnet_torch import EffNet

SIZE = 224
TEXTS = ["a dog on a beach", "ein Café in Köln, 2019!", "photograph " * 300]


def picture(k):
    """tests/test_encoder.c computes the same bytes."""
    y, x, c = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), torch.arange(3), indexing="ij")
    d = (x - 112) ** 2 + (y - 100 - 10 * k) ** 2
    v = torch.where(d < (40 + 20 * k) ** 2, 200 - 60 * c + 25 * k, x * (k + 1) // 2 + y // 3)
    return ((v + ((x * 7 + y * 13) % 5) * 9) & 255).to(torch.uint8)


def normalise(x):
    return torch.nn.functional.normalize(x, dim=-1)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    folder, tokenizer_folder, root = map(pathlib.Path, sys.argv[1:])
    config = json.loads((folder / "config.json").read_text())
    pre = json.loads((folder / "preprocessor_config.json").read_text())
    heads = {k: v.float() for k, v in load_file(folder / "heads.safetensors").items()}
    classes, visual = heads["conse.class_embeddings"], heads["conse.visual_projection"]
    options = config["osprey"]

    seen = {}
    net = EffNet(str(folder / "model.safetensors"))
    net.tap = lambda name, x: seen.__setitem__(name, x.reshape(x.shape[0], -1))
    mean, std = (torch.tensor(pre[k]).view(3, 1, 1) for k in ("image_mean", "image_std"))
    images, top = [], []
    for k in range(3):
        x = picture(k).permute(2, 0, 1).float() * pre["rescale_factor"]
        with torch.no_grad():
            net(((x - mean) / std)[None])
        logits, pooled = seen["logits"][0], seen["pooled"][0]
        w = options["visual_weight"]
        p = torch.softmax(logits / options["temperature"], 0)
        images.append(torch.cat([(1 - w) ** 0.5 * normalise(p @ classes),
                                 w ** 0.5 * normalise(visual @ pooled)]))
        p = torch.softmax(logits, 0)
        p[p < p.topk(10).values[-1]] = 0
        top.append(normalise(p @ (classes - classes.mean(0))))

    weights = load_file(folder / "model.safetensors")
    bert = BertModel(BertConfig(**config["text_config"])).eval()
    bert.load_state_dict({k.removeprefix("text_model."): v for k, v in weights.items()
                          if k.startswith("text_model.")}, strict=False)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    texts = []
    for text in TEXTS:
        ids = tokenizer(text, truncation=True, max_length=options["max_tokens"],
                        return_tensors="pt")
        with torch.no_grad():
            e = normalise(bert(**ids).last_hidden_state[0].mean(0))
        texts.append(torch.cat([e, torch.zeros(visual.shape[0])]))
    save_file({"images": torch.stack(images), "images_top": torch.stack(top),
               "texts": torch.stack(texts)}, root / "tests/data/encoder_golden.safetensors")


if __name__ == "__main__":
    main()
