#!/usr/bin/env python3
"""Reference outputs of Hugging Face's fast BertTokenizer, for tests/test_wordpiece.c.

Usage: wordpiece.py TOKENIZER.json VOCAB.txt REPOSITORY

Writes
  core/text/wordpiece_tables.h       the reference's character classes, as ranges
  tests/data/wordpiece_pieces.txt    what test strings are made of: hex bytes, a piece a line
  tests/data/wordpiece_hashes.bin    FNV-1a (32 bits, little-endian) over the ids of each string

The strings themselves are not stored: the test makes them from the pieces with
the same generator as strings() below. Needs the packages tokenizers and numpy.
"""
import random
import struct
import sys
import unicodedata

from tokenizers import Tokenizer, normalizers, pre_tokenizers

N_STRINGS = 10_000
MASK = (1 << 64) - 1


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
            times = 90 + g.below(30) if g.below(200) == 0 else 1
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


def characters():
    """Code points that Unicode 14 knows."""
    return [c for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cs", "Cn")]


def make_pieces(vocab):
    r = random.Random(4)
    known = [c for c in characters() if unicodedata.unidata_version == "14.0.0"]
    assert known, "this needs a Python whose unicodedata is of Unicode 14 (3.11)"
    by_category = {}
    for c in known:
        by_category.setdefault(unicodedata.category(chr(c)), []).append(c)
    pieces = []
    for category in sorted(by_category):
        chosen = by_category[category]
        for c in r.sample(chosen, min(len(chosen), 60)):
            pieces.append(chr(c).encode())
    decomposing = [c for c in known if unicodedata.decomposition(chr(c))]
    cased = [c for c in known if chr(c).lower() != chr(c)]
    han = [c for c in known if 0x3000 <= c < 0xA000 or 0x20000 <= c < 0x30000]
    marks = [c for c in known if unicodedata.combining(chr(c))]
    emoji = [c for c in known if 0x1F300 <= c < 0x1FAFF]
    for pool, n in ((decomposing, 250), (cased, 150), (han, 150), (marks, 150), (emoji, 80)):
        pieces += [chr(c).encode() for c in r.sample(pool, n)]
    pieces += [chr(c).encode() for c in range(0x250)]
    words = [w for w in vocab if not w.startswith("[") and len(w) > 2]
    pieces += [w.removeprefix("##").encode() for w in r.sample(words, 600)]
    pieces += [w.removeprefix("##").title().encode() for w in r.sample(words, 150)]
    pieces += ["".join(ch + r.choice(("", "", "\u0301", "\u0308", "\u0323\u0302")) for ch in w)
               .encode() for w in r.sample(words, 100)]
    pieces += [t.encode() for t in ("[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "[cls]", "[MASK",
                                    "##", "##ing", "[unused5]", "\u0130stanbul", "\u2126", "\r\n",
                                    "\u200d", "\ufe0f", "\ufeff", "\u0000", "\ufffd", "x" * 100,
                                    "x" * 101, "\u1e9e", "\uac01", "\u1100\u1161", "can't", "e.g.")
               for _ in range(4)]
    # truncated, overlong, surrogates, past the end, lone bytes
    pieces += [b for b in (b"\xff", b"\x80", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\xaf",
                           b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80",
                           b"caf\xe9", b"\xe0\x80\xaf", b"\xf0\x9f[SEP]", b"\xc3 ")
               for _ in range(4)]
    return pieces


def ranges(codes):
    out = []
    for c in codes:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def write_tables(path):
    scalar = [c for c in range(0x80, 0x110000) if not 0xD800 <= c < 0xE000]
    clean = normalizers.BertNormalizer(True, False, False, False)
    strip = normalizers.BertNormalizer(False, False, True, False)
    split = pre_tokenizers.BertPreTokenizer()
    dropped = [c for c in scalar if clean.normalize_str(chr(c)) == ""]
    marks = [c for c in scalar if strip.normalize_str(chr(c)) == ""]
    punctuation = [c for c in scalar if len(split.pre_tokenize_str(f"a{chr(c)}b")) == 3]
    with open(path, "w", encoding="utf-8") as f:
        f.write("""/* Character classes of the reference tokenizer, beyond ASCII.
 *
 * Written by tools/goldens/wordpiece.py from the reference's behaviour. They are
 * those of an old Unicode (its tables end at 8.0), so that a newer library's
 * categories would not do. Ranges are sorted and inclusive.
 */
#ifndef OSPREY_TEXT_WORDPIECE_TABLES_H
#define OSPREY_TEXT_WORDPIECE_TABLES_H

#include <stdint.h>

struct char_range {
    uint32_t first, last;
};

""")
        for name, what, codes in (
                ("DROPPED", "controls, formats, private use, and U+FFFD", dropped),
                ("NONSPACING", "Mn", marks),
                ("PUNCTUATION", "P*", punctuation)):
            f.write(f"/* {what} */\nstatic const struct char_range {name}[] = {{\n")
            row = "   "
            for a, b in ranges(codes):
                cell = f" {{0x{a:X}, 0x{b:X}}},"
                if len(row) + len(cell) > 100:
                    f.write(row + "\n")
                    row = "   "
                row += cell
            f.write(row + "\n};\n\n")
        f.write("#endif\n")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    tokenizer = Tokenizer.from_file(sys.argv[1])
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)
    with open(sys.argv[2], encoding="utf-8") as f:
        vocab = f.read().splitlines()
    root = sys.argv[3]
    write_tables(f"{root}/core/text/wordpiece_tables.h")
    pieces = make_pieces(vocab)
    with open(f"{root}/tests/data/wordpiece_pieces.txt", "w", encoding="ascii") as f:
        f.writelines(p.hex() + "\n" for p in pieces)
    with open(f"{root}/tests/data/wordpiece_hashes.bin", "wb") as f:
        for s in strings(pieces, N_STRINGS):
            ids = tokenizer.encode(s.decode("utf-8", errors="replace")).ids
            f.write(struct.pack("<I", fnv1a(ids)))


if __name__ == "__main__":
    main()
