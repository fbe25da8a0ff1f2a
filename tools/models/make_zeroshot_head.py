#!/usr/bin/env python3
"""Makes models/osprey-small-zeroshot/heads.safetensors, the zero-shot joint space.

No training: two matrices are derived from the towers' own weights.

conse.class_embeddings (1000, 384): the text tower's embedding of "a photo of a
    NAME" for each line of classes.txt, minus their mean. An image's class
    probabilities weight them (ConSE, Norouzi et al. 2014). The mean is taken
    away because it is what all names share: with it, flat distributions over
    classes all point the same way.
conse.visual_projection (256, 1280): the leading right singular vectors of the
    classifier's centred weights, which is the part of the tower's features in
    which classes differ. It keeps beside the class names what the tower sees,
    so that a picture finds its own copies.

Needs numpy, torch, transformers and safetensors, and the assembled towers.
"""
import pathlib
import sys

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from transformers import BertConfig, BertModel, BertTokenizerFast
import json

VISUAL_DIMS = 256
PROMPT = "a photo of a {}"


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "models/osprey-small"
    heads = root / "models/osprey-small-zeroshot"
    config = json.loads((folder / "config.json").read_text())
    weights = {}
    with safe_open(folder / "model.safetensors", "pt") as f:
        for name in f.keys():
            if name.startswith("text_model."):
                weights[name.removeprefix("text_model.")] = f.get_tensor(name)
        classifier = f.get_tensor("vision_model._fc.weight").double().numpy()

    bert = BertModel(BertConfig(**config["text_config"]), add_pooling_layer=True).eval()
    missing = bert.load_state_dict(weights, strict=False).missing_keys
    assert all("pooler" in k or "position_ids" in k for k in missing), missing
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), do_lower_case=True)

    names = (folder / "classes.txt").read_text().splitlines()
    assert len(names) == 1000
    rows = []
    with torch.no_grad():
        for name in names:
            tokens = tokenizer(PROMPT.format(name), return_tensors="pt")
            pooled = bert(**tokens).last_hidden_state.mean(dim=1)
            rows.append(torch.nn.functional.normalize(pooled)[0].double().numpy())
    classes = np.array(rows)
    classes -= classes.mean(axis=0)

    _, _, v = np.linalg.svd(classifier - classifier.mean(axis=0), full_matrices=False)
    visual = v[:VISUAL_DIMS]
    # The sign of a singular vector is arbitrary: make its largest entry positive.
    largest = np.abs(visual).argmax(axis=1)
    visual *= np.sign(visual[np.arange(VISUAL_DIMS), largest])[:, None]

    save_file({"conse.class_embeddings": classes.astype(np.float16),
               "conse.visual_projection": visual.astype(np.float16)},
              heads / "heads.safetensors")


if __name__ == "__main__":
    main()
