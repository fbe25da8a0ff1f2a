#!/usr/bin/env python3
"""Reference outputs of transformers' BertModel, for tests/test_bert.c.

Usage: bert.py MODEL_DIR REPOSITORY     (the folder of all-MiniLM-L6-v2)

Writes tests/data/bert_sentences.txt (1,000 sentences of a small grammar) and
tests/data/bert_golden.safetensors:
  stage.*     each stage of three sentences, every 16th component
  normalised  (1000, 24) each sentence's embedding as Sentence-Transformers makes
              it; of sentence i the components i % 16, i % 16 + 16, ...
Needs the packages torch, transformers and safetensors.
"""
import random
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, BertModel

MAX_TOKENS = 256
STAGED = ["a dog runs on the beach", "Zwei Möwen über dem Kölner Hafen, 2019!",
          "an old man in a red hat reads a newspaper on a wooden bench"]

WHO = ["a dog", "two children", "an old man", "a woman in a red coat", "a brown horse", "three birds",
       "a young couple", "a street musician", "several cyclists", "a black cat", "the bride",
       "a fisherman", "a group of hikers", "a small boy with a kite", "an orange butterfly",
       "a café owner", "the goalkeeper", "a flock of sheep", "somebody", "nobody at all"]
DOES = ["runs", "is sleeping", "plays the accordion", "jumps over a puddle", "waits", "looks up",
        "throws a ball", "eats an apple", "climbs", "swims", "dances", "stands still",
        "is photographed", "hides", "reads a newspaper", "carries an umbrella", "sits"]
WHERE = ["on the beach", "in a snowy park", "near the old harbour", "under a bridge",
         "beside a wooden fence", "in front of the cathedral", "on a mountain trail", "at night",
         "in shallow water", "behind a yellow bus", "between two parked cars", "in the rain",
         "at the Champs-Élysées", "on stage", "in a wheat field", ""]
ENDS = ["", ".", "!", " ...", ", close-up", " (black and white)", ", 35 mm film", " - 東京", " 🙂"]


def sentences(n):
    r = random.Random(7)
    out = list(STAGED)
    while len(out) < n - 4:
        s = f"{r.choice(WHO)} {r.choice(DOES)} {r.choice(WHERE)}".strip()
        if r.random() < 0.2:
            s += f" while {r.choice(WHO)} {r.choice(DOES)}"
        if r.random() < 0.3:
            s = s.capitalize()
        out.append(s + r.choice(ENDS))
    out += ["", "x", " ".join(out[3:60]), "photograph " * 300]
    return out


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, root = sys.argv[1:]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    tensors = {}

    def encode(text):
        ids = tokenizer(text, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        with torch.no_grad():
            return model(input_ids=ids["input_ids"], attention_mask=ids["attention_mask"],
                         output_hidden_states=True)

    staged = [encode(s) for s in STAGED]
    for i in range(len(staged[0].hidden_states)):
        name = "embeddings" if i == 0 else f"layer{i - 1}"
        rows = torch.cat([s.hidden_states[i][0] for s in staged])
        tensors[f"stage.{name}"] = rows[:, ::16].contiguous()
    tensors["stage.pooled"] = torch.stack(
        [s.last_hidden_state[0].mean(0) for s in staged])[:, ::16].contiguous()

    texts = sentences(1000)
    rows = []
    for i, text in enumerate(texts):
        e = torch.nn.functional.normalize(encode(text).last_hidden_state[0].mean(0), dim=0)
        rows.append(e[i % 16::16])
    tensors["normalised"] = torch.stack(rows)
    save_file(tensors, f"{root}/tests/data/bert_golden.safetensors")
    with open(f"{root}/tests/data/bert_sentences.txt", "w", encoding="utf-8") as f:
        f.writelines(t + "\n" for t in texts)


if __name__ == "__main__":
    main()
