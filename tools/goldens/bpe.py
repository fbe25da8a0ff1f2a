#!/usr/bin/env python3
"""Reference outputs of transformers' CLIPTokenizer, for tests/test_bpe.c.

Usage: bpe.py small REPOSITORY      the fixtures in tests/data/bpe, with a small vocabulary
       bpe.py full TOKENIZER_DIR    golden files beside a full-size tokenizer; then run
                                    OSPREY_BPE_DIR=TOKENIZER_DIR build/tests/test_bpe
       bpe.py unpack BPE.txt.gz DIR vocab.json and merges.txt of OpenAI's CLIP from the file
                                    bpe_simple_vocab_16e6.txt.gz of the package clip or open_clip

`small` writes vocab.json, merges.txt, tokenizer.json, and, as `full` does,
  golden_pieces.txt   what test strings are made of: hex bytes, a piece a line
  golden_hashes.bin   FNV-1a (32 bits, little-endian) over the ids of each string

The strings themselves are not stored: the test makes them from the pieces with
the same generator as strings() below. Every fourth is encoded whole, the others
are truncated to 77 ids. Needs transformers and tokenizers.
"""
import gzip
import json
import os
import random
import struct
import sys
import unicodedata

N_STRINGS = 20_000
MASK = (1 << 64) - 1
WHOLE = 1 << 20

SENTENCES = """a photo of a cat|A Dog on the beach, running!|two people don't know they're 42 years old
l'été à la plage, où l'on s'aime|Grüße aus München: 3 Bären|¿Dónde está el niño pequeño?|Não há pão
Żółta łódka na jeziorze|Příliš žluťoučký kůň|Árvíztűrő tükörfúrógép|Ţară şi oameni|İstanbul'da IĞDIR
Собака на пляже в 1999 году|Київ — столиця|Ελληνικά γράμματα ΣΊΣΥΦΟΣ|שלום עולם|مرحبا بالعالم ١٢٣
नमस्ते दुनिया|বাংলা ভাষা|தமிழ் மொழி|తెలుగు|ภาษาไทยสวยงาม|ພາສາລາວ|မြန်မာ|ភាសាខ្មែរ|ქართული ენა|Հայերեն
こんにちは世界、犬の写真|カタカナと漢字|한국어 강아지 사진|猫的照片，很可爱！|繁體中文|tiếng Việt có dấu|አማርኛ
👩‍👩‍👧‍👦 family 🏳️‍🌈|🇫🇷🇯🇵 flags ☀️|I ❤️ NY|:-) ;) ^_^ <3|&amp; &lt;b&gt; &#39;quoted&#39; &eacute; &nbsp;
it's we've I'm you'll he'd they're can't 'tis ''s '|HTTP://EXAMPLE.COM/a?b=c&d=e#f|C++ / C# / .NET 4.8
1234567890 3.14159 ½ Ⅷ ² ٣ ๓|ﬁne ﬂow ﬀ ſ ẞ ß|“quotes” ‘single’ — dash … ellipsis|#hashtag @user $100 50% 7×8
the quick brown fox jumps over the lazy dog|x86_64 snake_case camelCase|e\u0301 A\u030a q\u0323\u0307 \u1100\u1161\u11a8
<|startoftext|> hi <|endoftext|>|<|EndOfText|>|a<|startoftext|>b|!<|STARTOFTEXT|>!|<|endoftext|<|endoftext|>
tab\tand\nnewline\r\nand\u00a0nbsp\u3000wide\u2028sep\u0085nel\u200bzero|\u212b \u2126 \u0958 \ufb1d \u0344 \u0390""".replace(
    "\n", "|").split("|")


class Generator:
    """xorshift64, as in the test."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state ^= (self.state << 13) & MASK
        self.state ^= self.state >> 7
        self.state ^= (self.state << 17) & MASK
        return (self.state >> 33) % n


def strings(pieces, count, seed=0x05B9E5):
    g = Generator(seed)
    for _ in range(count):
        out = b""
        for _ in range(1 + g.below(24)):
            piece = pieces[g.below(len(pieces))]
            times = 90 + g.below(300) if g.below(400) == 0 else 1
            out += piece * times
            if g.below(3) == 0:
                out += b" "
        yield out


def fnv1a(ids):
    h = 0x811C9DC5
    for i in ids:
        for b in struct.pack("<I", i):
            h = ((h ^ b) * 0x01000193) & 0xFFFFFFFF
    return h


def make_pieces():
    r = random.Random(4)
    # Unicode 14: what every supported utf8proc knows
    assert unicodedata.unidata_version == "14.0.0", "this needs Python 3.11"
    known = [c for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cs", "Cn")]
    by_category = {}
    for c in known:
        by_category.setdefault(unicodedata.category(chr(c)), []).append(c)
    pieces = []
    for category in sorted(by_category):
        chosen = by_category[category]
        pieces += [chr(c) for c in r.sample(chosen, min(len(chosen), 50))]
    decomposing = [c for c in known if unicodedata.decomposition(chr(c))]
    cased = [c for c in known if chr(c).lower() != chr(c)]
    marks = [c for c in known if unicodedata.combining(chr(c))]
    emoji = [c for c in known if 0x1F300 <= c < 0x1FAFF]
    for pool, n in ((decomposing, 200), (cased, 120), (marks, 150), (emoji, 60)):
        pieces += [chr(c) for c in r.sample(pool, n)]
    pieces += [chr(c) for c in range(0x180)]
    pieces += SENTENCES
    words = sorted({w for s in SENTENCES for w in s.split()})
    pieces += words + [w.upper() for w in r.sample(words, 60)]
    pieces += ["'s", "'t", "'RE", "'ve", "'M", "'ll", "'d", "'", "''", "<|", "|>", "&amp;",
               "<|startoftext|>", "<|endoftext|>", "<|EndOfText|>", "\u0130", "\u0000", "\ufeff",
               "\ufffd", "\u200d", "\ufe0f", "x" * 100, "\u0345\u0301\u0316" * 20] * 3
    pieces = [p.encode() for p in pieces]
    # truncated, overlong, surrogates, past the end, lone bytes
    pieces += [b"\xff", b"\x80", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\xaf",
               b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"caf\xe9",
               b"\xe0\x80\xaf", b"\xf0\x9f<|endoftext|>", b"\xc3 "] * 4
    return pieces


def write_golden(tokenizer, folder):
    pieces = make_pieces()
    with open(f"{folder}/golden_pieces.txt", "w", encoding="ascii") as f:
        f.writelines(p.hex() + "\n" for p in pieces)
    with open(f"{folder}/golden_hashes.bin", "wb") as f:
        for i, s in enumerate(strings(pieces, N_STRINGS)):
            limit = WHOLE if i % 4 == 0 else 77
            ids = tokenizer(s.decode("utf-8", errors="replace"), truncation=True,
                            max_length=limit).input_ids
            f.write(struct.pack("<I", fnv1a(ids)))


def small_vocabulary(folder):
    """400 merges trained on the sentences, in CLIP's layout of ids."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer
    plain = CLIPTokenizer(vocab={"<|startoftext|>": 0, "<|endoftext|>": 1}, merges=[])
    t = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    t.normalizer = plain.backend_tokenizer.normalizer
    t.pre_tokenizer = plain.backend_tokenizer.pre_tokenizer
    t.train_from_iterator(
        [s for s in SENTENCES if "<|" not in s] * 2,
        trainers.BpeTrainer(vocab_size=900, end_of_word_suffix="</w>", show_progress=False))
    merges = json.loads(t.to_str())["model"]["merges"]
    merges = [m if isinstance(m, list) else m.split(" ") for m in merges]
    assert 300 < len(merges) < 900, len(merges)
    save_vocabulary(merges, folder)


def save_vocabulary(merges, folder):
    printable = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    others = [b for b in range(256) if b not in printable]
    symbols = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    vocab = symbols + [s + "</w>" for s in symbols] + ["".join(m) for m in merges]
    vocab += ["<|startoftext|>", "<|endoftext|>"]
    assert len(set(vocab)) == len(vocab)
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/vocab.json", "w", encoding="utf-8") as f:
        json.dump({t: i for i, t in enumerate(vocab)}, f, separators=(",", ":"))
    with open(f"{folder}/merges.txt", "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))


def main():
    from transformers import CLIPTokenizer
    if len(sys.argv) == 3 and sys.argv[1] == "small":
        folder = f"{sys.argv[2]}/tests/data/bpe"
        small_vocabulary(folder)
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        write_golden(tokenizer, folder)
        os.makedirs(f"{folder}/whole", exist_ok=True)
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        with open(f"{folder}/whole/tokenizer.json", "w", encoding="utf-8") as f:
            json.dump(state, f, separators=(",", ":"))
    elif len(sys.argv) == 3 and sys.argv[1] == "full":
        write_golden(CLIPTokenizer.from_pretrained(sys.argv[2]), sys.argv[2])
    elif len(sys.argv) == 4 and sys.argv[1] == "unpack":
        with gzip.open(sys.argv[2]) as f:
            lines = f.read().decode("utf-8").split("\n")
        save_vocabulary([line.split() for line in lines[1:49152 - 256 - 2 + 1]], sys.argv[3])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
