#!/usr/bin/env python3
"""How good are the captions of `osprey caption`?

    tools/evaluate/captions.py --images DIR --captions FILE.tsv [--bank FILE] [-k 1]

FILE.tsv: name, tab, a sentence that a person wrote; several rows a picture. Indexes these
pictures, captions them without a threshold, and prints how many captions share a content
word (neither a function word nor a colour nor a number; plurals and -ing cut off) with what
people wrote of that picture; beside it the same for captions dealt out at random, which is
what the bank's favourite words are worth; and both for the surest captions alone. With
--leave-one FILE.tsv is the bank, too, each picture's own rows left out when it is judged
(-k 50 then): what other people's sentences could do.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
OSPREY = pathlib.Path(os.environ.get("OSPREY_BUILD", ROOT / "build")) / "osprey"
STOP = set("""a an the and or of in on at to with by for from into onto over under up down off out
near beside behind front next through across along around between against above below before after
while as is are was be being been has have had his her its their them they he she it him who that
which this these those one two three four five several some many other another each both all no not
very small large big little young old long short tall red blue green yellow black white brown grey
gray orange pink purple dark light bright wearing wear holding hold standing stand look looking
picture photo image people person someone there where what background side top back several group
""".split())


def words(text):
    found = set()
    for word in re.findall(r"[a-z]+", text.lower()):
        if word in STOP or len(word) < 3:
            continue
        for end in ("ing", "es", "s"):
            if word.endswith(end) and len(word) - len(end) >= 3 and not word.endswith("ss"):
                word = word[:-len(end)]
                break
        found.add(word)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", required=True, type=pathlib.Path)
    parser.add_argument("--captions", required=True, type=pathlib.Path)
    parser.add_argument("--bank", type=pathlib.Path)
    parser.add_argument("--leave-one", action="store_true")
    parser.add_argument("-k", type=int, default=1)
    parser.add_argument("--library", type=pathlib.Path, help="keep it here, and use it again")
    args = parser.parse_args()
    written = collections.defaultdict(list)
    for line in args.captions.open():
        name, text = line.rstrip("\n").split("\t")
        written[name].append(text)
    with tempfile.TemporaryDirectory() as made:
        tmp = pathlib.Path(made)
        library = args.library or tmp / "library"
        bank = args.bank
        if args.leave_one:
            bank = tmp / "bank.txt"
            bank.write_text("\n".join(t for texts in written.values() for t in texts))
        if not library.exists():
            pictures = tmp / "pictures"
            pictures.mkdir()
            for name in written:
                (pictures / name).write_bytes((args.images / name).read_bytes())
            subprocess.run([OSPREY, "index", "--quiet", "--library", library, pictures], check=True)
        run = subprocess.run(
            [OSPREY, "caption", "--json", "--quiet", "--dry-run", "--threshold", "0", "-k",
             str(args.k), "--library", library] + (["--bank", bank] if bank else []),
            check=True, stdout=subprocess.PIPE)
    rows = []
    for line in run.stdout.splitlines():
        found = json.loads(line)
        name = pathlib.Path(found["path"]).name
        own = set(written[name]) if args.leave_one else set()
        best = next(c for c in found["captions"] if c["text"] not in own)
        rows.append((best["score"], best["text"], set().union(*map(words, written[name]))))
    dealt = [row[1] for row in rows]
    random.Random(1).shuffle(dealt)
    rows = [(score, text, truth, other) for (score, text, truth), other in zip(rows, dealt)]
    rows.sort(key=lambda r: -r[0])
    print("of the surest   least score   share a word   at random")
    for share in (0.1, 0.25, 0.5, 0.75, 1):
        part = rows[:max(1, round(share * len(rows)))]
        right = sum(bool(words(text) & truth) for _, text, truth, _ in part) / len(part)
        chance = sum(bool(words(other) & truth) for _, _, truth, other in part) / len(part)
        print("%10.0f%%   %11.2f   %11.1f%%   %8.1f%%"
              % (100 * share, part[-1][0], 100 * right, 100 * chance))
    print("different sentences used: %d" % len({row[1] for row in rows}))


if __name__ == "__main__":
    main()
