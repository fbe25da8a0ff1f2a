#!/usr/bin/env python3
"""Randomly initialised CLIP checkpoints with reference embeddings, for tests/test_clip.c.

Usage: clip.py small REPOSITORY   the fixtures in tests/data/clip
       clip.py full DIR [NAME...] full-sized ones; then OSPREY_CLIP_DIR=DIR build/tests/test_clip

Each model is a folder in the layout of transformers (CLIPModel) or OpenCLIP, with golden.safetensors:
  pixels (n, size, size, 3) U8; ids (total) I32 and starts (n + 1) I32: the texts' token ids laid
  end to end; image and text (n, dim) F32: the reference's normalised embeddings, computed in F32
  from the weights as they are stored.
Needs torch, transformers, safetensors, and open_clip for that layout.
"""
import json
import os
import shutil
import sys

import torch
from safetensors.torch import load_file, save_file

BOS, EOS = "bos", "eos"
MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def tower(width, layers, heads, mlp, act, **more):
    return dict(hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
                intermediate_size=mlp, hidden_act=act, **more)


SMALL = {
    "quick_p32_f16": dict(
        dtype="F16", dim=24, vision=tower(8, 3, 2, 24, "quick_gelu", image_size=64, patch_size=32),
        text=tower(16, 1, 4, 32, "quick_gelu")),
    "gelu_p8_f32": dict(  # widths that are no multiple of a panel, a layer alone
        dtype="F32", dim=19, vision=tower(20, 1, 2, 37, "gelu", image_size=32, patch_size=8),
        text=tower(12, 1, 3, 20, "gelu", layer_norm_eps=1e-3), images=3),
    "new_p14_bf16": dict(  # a picture that patches do not cover
        dtype="BF16", dim=32, vision=tower(16, 2, 2, 48, "gelu_new", image_size=61, patch_size=14),
        text=tower(32, 1, 1, 24, "gelu_new")),
    "legacy_p8_f32": dict(  # eos_token_id 2, text_config_dict, position_ids
        dtype="F32", dim=16, legacy=True,
        vision=tower(16, 2, 2, 40, "quick_gelu", image_size=40, patch_size=8),
        text=tower(16, 1, 2, 32, "quick_gelu")),
    "sharded_p16_f16": dict(
        dtype="F16", dim=40, shard="15KB",
        vision=tower(16, 2, 1, 64, "quick_gelu", image_size=48, patch_size=16),
        text=tower(24, 2, 6, 24, "quick_gelu"), images=3),
    "open_p16_f16": dict(
        dtype="F16", dim=24, open_clip=dict(
            embed_dim=24, quick_gelu=False,
            vision_cfg=dict(layers=2, width=16, head_width=8, patch_size=16, image_size=48,
                            mlp_ratio=2.0),
            text_cfg=dict(context_length=77, vocab_size=128, width=16, heads=2, layers=2))),
    "open_custom_p8_f32": dict(
        dtype="F32", dim=16, open_clip=dict(
            embed_dim=16, quick_gelu=True, custom_text=True,
            vision_cfg=dict(layers=2, width=16, head_width=8, patch_size=8, image_size=24),
            text_cfg=dict(context_length=40, vocab_size=128, width=12, heads=3, layers=1,
                          proj_bias=True))),
}

FULL = {
    "b32": dict(dtype="F32", dim=512, text=tower(512, 12, 8, 2048, "quick_gelu"),
                vision=tower(768, 12, 12, 3072, "quick_gelu", image_size=224, patch_size=32)),
    "tiny8m16": dict(dtype="F32", dim=512, text=tower(256, 3, 4, 1024, "quick_gelu"),
                     vision=tower(256, 10, 4, 1024, "quick_gelu", image_size=224, patch_size=16)),
    "b16": dict(dtype="F16", dim=512, text=tower(512, 12, 8, 2048, "gelu"),
                vision=tower(768, 12, 12, 3072, "gelu", image_size=224, patch_size=16)),
    "l14_336": dict(dtype="BF16", dim=768, shard="500MB", text=tower(768, 12, 12, 3072, "quick_gelu"),
                    vision=tower(1024, 24, 16, 4096, "quick_gelu", image_size=336, patch_size=14)),
    "open_b32": dict(dtype="F32", dim=512, open_clip=dict(
        embed_dim=512, vision_cfg=dict(layers=12, width=768, patch_size=32, image_size=224),
        text_cfg=dict(context_length=77, vocab_size=49408, width=512, heads=8, layers=12))),
    "open_h14_8": dict(dtype="F16", dim=1024, open_clip=dict(  # ViT-H/14's shapes, 8 layers of it
        embed_dim=1024, vision_cfg=dict(layers=8, width=1280, head_width=80, patch_size=14,
                                        image_size=224),
        text_cfg=dict(context_length=77, vocab_size=49408, width=1024, heads=16, layers=6))),
}


def randomise(model):
    """Weights under which every part of the network shows in the result."""
    for name, p in model.named_parameters():
        r = torch.randn_like(p)
        if name == "logit_scale":
            p.data = torch.tensor(4.6052)
        elif "embedding" in name and p.ndim == 2 or p.ndim == 1 and "class" in name:
            p.data = 0.5 * r
        elif p.ndim >= 2:
            p.data = 1.2 * r / p[0].numel() ** 0.5
        elif name.endswith("bias"):
            p.data = 0.2 * r
        else:
            p.data = 1 + 0.2 * r


def texts(vocab, positions, eos):
    """Ids of a start token, words, an end token; one text has an end token in its middle."""
    out = []
    for n in (1, 6, positions - 2, 17):
        words = torch.randint(0, vocab - 2, (n,)).tolist()
        if n == 17:
            words[5] = eos
        out.append([vocab - 2, *words, eos])
    return out


def save_weights(state, folder, dtype, name="model.safetensors"):
    state = {k: v.to(DTYPES[dtype]).contiguous() if v.is_floating_point() else v
             for k, v in state.items()}
    save_file(state, f"{folder}/{name}", metadata={"format": "pt"})


def make_transformers(folder, spec, small):
    from transformers import CLIPConfig, CLIPModel
    vocab = 128 if small else 49408
    text = dict(spec["text"], vocab_size=vocab, eos_token_id=vocab - 1, bos_token_id=vocab - 2)
    if spec.get("legacy"):
        text["eos_token_id"] = 2
    config = CLIPConfig(text_config=text, vision_config=spec["vision"], projection_dim=spec["dim"])
    model = CLIPModel(config).eval()
    if small:
        randomise(model)
    model = model.to(DTYPES[spec["dtype"]]).float()  # rounded as it will be stored
    if spec.get("shard"):
        model.to(DTYPES[spec["dtype"]]).save_pretrained(folder, max_shard_size=spec["shard"])
        model = model.float()
        assert os.path.exists(f"{folder}/model.safetensors.index.json")
    else:
        state = model.state_dict()
        if spec.get("legacy"):
            state["text_model.embeddings.position_ids"] = torch.arange(77).expand(1, -1).clone()
        save_weights(state, folder, spec["dtype"])
    abbreviated = dict(model_type="clip", projection_dim=spec["dim"], vision_config=spec["vision"],
                       text_config=text)
    if spec.get("legacy"):
        abbreviated.update(text_config={"hidden_size": 4}, text_config_dict=text,
                           vision_config_dict=None)
    with open(f"{folder}/config.json", "w", encoding="utf-8") as f:
        json.dump(abbreviated if small else config.to_dict(), f, indent=1)

    def run(pixels, ids):
        image = model.get_image_features(pixel_values=pixels)
        text = [model.get_text_features(input_ids=torch.tensor([i])) for i in ids]
        image, text = (getattr(x, "pooler_output", x) for x in (image, text))
        return image, torch.cat([getattr(t, "pooler_output", t) for t in text])
    return run, spec["vision"]["image_size"], texts(vocab, 77, vocab - 1)


def make_open_clip(folder, spec, small):
    from open_clip.model import CLIP, CustomTextCLIP
    config = dict(spec["open_clip"])
    custom = config.pop("custom_text", False)
    model = (CustomTextCLIP if custom else CLIP)(**config).eval()
    if small:
        randomise(model)
    model = model.to(DTYPES[spec["dtype"]]).float()
    save_weights(model.state_dict(), folder, spec["dtype"], "open_clip_model.safetensors")
    with open(f"{folder}/open_clip_config.json", "w", encoding="utf-8") as f:
        json.dump({"model_cfg": spec["open_clip"], "preprocess_cfg": {"mean": MEAN, "std": STD}}, f,
                  indent=1)
    cfg = config["text_cfg"]

    def run(pixels, ids):
        padded = torch.zeros(len(ids), cfg["context_length"], dtype=torch.long)
        for row, i in zip(padded, ids):
            row[:len(i)] = torch.tensor(i)
        return model.encode_image(pixels), model.encode_text(padded)
    return (run, config["vision_cfg"]["image_size"],
            texts(cfg["vocab_size"], cfg["context_length"], cfg["vocab_size"] - 1))


def make(name, spec, parent, small):
    torch.manual_seed(sum(name.encode()))
    folder = f"{parent}/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    builder = make_open_clip if "open_clip" in spec else make_transformers
    run, size, ids = builder(folder, spec, small)
    pixels = torch.randint(0, 256, (spec.get("images", 2), size, size, 3), dtype=torch.uint8)
    x = (pixels.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.no_grad():
        image, text = run(x.permute(0, 3, 1, 2).contiguous(), ids)
    starts = [0]
    for i in ids:
        starts.append(starts[-1] + len(i))
    save_file({"pixels": pixels, "ids": torch.tensor(sum(ids, []), dtype=torch.int32),
               "starts": torch.tensor(starts, dtype=torch.int32),
               "image": torch.nn.functional.normalize(image, dim=-1).contiguous(),
               "text": torch.nn.functional.normalize(text, dim=-1).contiguous()},
              f"{folder}/golden.safetensors")
    print(name, "image spread", float((image[0] - image[1]).norm() / image[0].norm()))


def main():
    torch.set_num_threads(1)
    if len(sys.argv) == 3 and sys.argv[1] == "small":
        for name, spec in SMALL.items():
            make(name, spec, f"{sys.argv[2]}/tests/data/clip", True)
    elif len(sys.argv) >= 3 and sys.argv[1] == "full":
        for name in sys.argv[3:] or FULL:
            make(name, FULL[name], sys.argv[2], False)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
