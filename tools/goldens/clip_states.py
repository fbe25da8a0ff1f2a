#!/usr/bin/env python3
"""The states of a small CLIP's patches and words, for tests/test_encoder_features.c.

Usage: clip_states.py REPOSITORY

Reads the fixture tests/data/clip/NAME (tools/goldens/clip.py makes it) and writes
tests/data/clip_states.safetensors:
  regions (n, patches, width) F32: the patch tokens of its pictures after the last layer norm;
  states (tokens, width) F32: the token states of one text, TEXT, after the last layer norm.
Needs torch, transformers, safetensors.
"""
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel

NAME, TEXT = "new_p14_bf16", [126, 5, 3, 4, 127]  # "ab a b" by the test's tokenizer


def main():
    torch.set_num_threads(1)
    folder = f"{sys.argv[1]}/tests/data/clip/{NAME}"
    model = CLIPModel(CLIPConfig.from_pretrained(folder)).eval().float()
    model.load_state_dict({k: v.float() for k, v in load_file(f"{folder}/model.safetensors").items()})
    pixels = load_file(f"{folder}/golden.safetensors")["pixels"]
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])
    with torch.no_grad():
        x = ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()
        tokens = model.vision_model(pixel_values=x).last_hidden_state
        regions = model.vision_model.post_layernorm(tokens)[:, 1:]
        states = model.text_model(input_ids=torch.tensor([TEXT])).last_hidden_state[0]
    save_file({"regions": regions.contiguous(), "states": states.contiguous()},
              f"{sys.argv[1]}/tests/data/clip_states.safetensors")


if __name__ == "__main__":
    main()
