"""Drives `osprey model use`, `check` and `list` with models by name and by folder.

The references of `check` are those that torch made for the unit tests
(tests/data/encoder_golden.safetensors, tests/data/clip/*/golden.safetensors).
Python's standard library alone.
"""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

BUILD = os.environ["OSPREY_BUILD"]
SOURCE = os.environ["OSPREY_SOURCE"]
OSPREY = os.path.join(BUILD, "osprey")
DATA = os.path.join(SOURCE, "tests", "data")
CLIP = "quick_p32_f16"

TOKENIZER = {"model": {
    "type": "BPE", "unk_token": "<|endoftext|>", "end_of_word_suffix": "</w>",
    "vocab": {"a": 0, "a</w>": 1, "<|startoftext|>": 126, "<|endoftext|>": 127}, "merges": []}}
PREPROCESSOR = {"crop_size": 64, "do_center_crop": True, "do_normalize": True, "do_resize": True,
                "image_mean": [0.48145466, 0.4578275, 0.40821073],
                "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": 64}


def read_safetensors(path):
    """{name: (dtype, shape, bytes)}"""
    with open(path, "rb") as f:
        data = f.read()
    (n,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + n])
    header.pop("__metadata__", None)
    return {k: (v["dtype"], v["shape"], data[8 + n:][slice(*v["data_offsets"])])
            for k, v in header.items()}


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    head = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + b"".join(d for _, _, d in tensors.values()))


def picture(k, size=224):
    """The synthetic pictures of tools/goldens/encoder.py."""
    out = bytearray()
    for y in range(size):
        for x in range(size):
            d = (x - 112) ** 2 + (y - 100 - 10 * k) ** 2
            for c in range(3):
                v = 200 - 60 * c + 25 * k if d < (40 + 20 * k) ** 2 else x * (k + 1) // 2 + y // 3
                out.append((v + ((x * 7 + y * 13) % 5) * 9) & 255)
    return bytes(out)


def integers(*values):
    return struct.pack("<%di" % len(values), *values)


def png(path, shade):
    rows = b"".join(b"\0" + bytes((x * shade + y) % 256 for x in range(96)) for y in range(32))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Models(unittest.TestCase):
    def setUp(self):
        self.tmp = os.path.realpath(tempfile.mkdtemp(prefix="osprey-models-"))
        self.place = os.path.join(self.tmp, "place")
        self.clip = self.make_clip("tiny-clip")
        self.config = os.path.join(self.tmp, "config", "osprey", "default-model")

    def tearDown(self):
        shutil.rmtree(self.tmp)

    def make_clip(self, name, place=None):
        folder = os.path.join(place or self.place, name)
        shutil.copytree(os.path.join(DATA, "clip", CLIP), folder)
        for file, value in (("tokenizer.json", TOKENIZER), ("preprocessor_config.json", PREPROCESSOR)):
            with open(os.path.join(folder, file), "w") as f:
                json.dump(value, f)
        return folder

    def osprey(self, *args, status=0, cwd=None):
        """Runs it; returns (stdout, stderr) as text."""
        env = dict(os.environ, XDG_DATA_HOME=os.path.join(self.tmp, "data"),
                   XDG_CONFIG_HOME=os.path.join(self.tmp, "config"), OSPREY_MODELS=self.place)
        env.pop("OSPREY_LIBRARY", None)
        done = subprocess.run([OSPREY] + list(args), capture_output=True, text=True, env=env,
                              cwd=cwd or self.tmp, timeout=300)
        self.assertEqual(done.returncode, status, (args, done.stdout, done.stderr))
        return done.stdout, done.stderr

    def lines(self, *args, **more):
        return [json.loads(line) for line in self.osprey(*args, "--json", **more)[0].splitlines()]

    def defaults(self):
        return [m["name"] for m in self.lines("model", "list") if m["default"]]

    # ---- use ----

    def test_use_is_for_new_libraries(self):
        pictures = os.path.join(self.tmp, "pictures")
        os.mkdir(pictures)
        for i in range(3):
            png(os.path.join(pictures, "%d.png" % i), 3 + i)
        self.assertEqual(self.defaults(), ["osprey-small"])
        (used,) = self.lines("model", "use", "tiny-clip")
        self.assertEqual(used, {"default": "tiny-clip", "dir": self.clip})
        with open(self.config) as f:
            self.assertEqual(f.read(), "tiny-clip\n")
        self.assertEqual(self.defaults(), ["tiny-clip"])
        self.assertIn("* tiny-clip ", self.osprey("model", "list")[0])
        self.assertEqual(self.lines("model", "info")[0]["name"], "tiny-clip")
        self.assertEqual(self.lines("embed", "a")[0]["dimension"], 24)
        library = os.path.join(self.tmp, "library")
        self.osprey("index", "--library", library, pictures)
        self.assertEqual(self.lines("status", "--library", library)[0]["model"], "tiny-clip")
        # Back: the library goes on with its own.
        self.osprey("model", "use", "osprey-small")
        self.assertFalse(os.path.exists(self.config))
        self.assertEqual(self.defaults(), ["osprey-small"])
        png(os.path.join(pictures, "new.png"), 11)
        self.osprey("index", "--library", library)
        (status,) = self.lines("status", "--library", library)
        self.assertEqual((status["model"], status["images"]), ("tiny-clip", 4))
        self.assertEqual(len(self.lines("search", "--library", library, "a")), 4)

    def test_use_a_folder(self):
        elsewhere = self.make_clip("mine", os.path.join(self.tmp, "else where"))
        self.osprey("model", "use", "./else where/mine")
        with open(self.config) as f:
            self.assertEqual(f.read(), elsewhere + "\n")
        (default,) = [m for m in self.lines("model", "list") if m["default"]]
        self.assertEqual(default["dir"], elsewhere)
        self.assertEqual(self.lines("embed", "a", cwd="/")[0]["dimension"], 24)
        shutil.rmtree(elsewhere)
        _, err = self.osprey("embed", "a", status=3)
        self.assertIn("osprey model use osprey-small", err)
        out, err = self.osprey("model", "list")
        self.assertIn("cannot be used", err)
        self.assertIn("osprey-small", out)
        self.osprey("model", "use", "osprey-small")
        self.osprey("embed", "a")

    def test_use_what_cannot_be(self):
        self.osprey("model", "use", status=2)
        self.osprey("model", "use", "no-such-model", status=3)
        os.truncate(os.path.join(self.clip, "model.safetensors"), 1000)
        self.osprey("model", "use", "tiny-clip", status=3)
        self.assertFalse(os.path.exists(self.config))
        os.makedirs(os.path.dirname(self.config))
        for text in (b"", b"\n", b"a\0b\n"):
            with open(self.config, "wb") as f:
                f.write(text)
            _, err = self.osprey("embed", "a", status=3)
            self.assertIn("default-model", err)

    def test_fetched_models_go_by_their_names_on_the_hub(self):
        folder = self.make_clip("some-lab--clip@v1.0")
        self.assertIn("some-lab/clip@v1.0", [m["name"] for m in self.lines("model", "list")])
        self.osprey("model", "use", "some-lab/clip@v1.0")
        self.assertEqual(self.defaults(), ["some-lab/clip@v1.0"])
        self.assertEqual(self.lines("model", "info")[0]["dir"], folder)
        pictures = os.path.join(self.tmp, "pictures")
        os.mkdir(pictures)
        for i in range(3):
            png(os.path.join(pictures, "%d.png" % i), 3 + i)
        library = ["--library", os.path.join(self.tmp, "library")]
        self.osprey("index", "--model", "some-lab/clip@v1.0", pictures, *library)
        self.assertEqual(self.lines("status", *library)[0]["model"], "some-lab/clip@v1.0")
        self.assertEqual(len(self.lines("search", "a", *library)), 3)
        self.assertEqual(len(self.lines("search", "--model", "some-lab/clip@v1.0", "a", *library)), 3)
        _, err = self.osprey("search", "--model", "osprey-small", "a", *library, status=3)
        self.assertIn("some-lab/clip@v1.0", err)
        self.assertIn("osprey-small", err)
        _, err = self.osprey("index", "--model", "some-lab/other", pictures, *library, status=3)
        self.assertIn("osprey model get some-lab/other", err)
        # A folder of that name comes first.
        other = self.make_clip("clip@v1.0", os.path.join(self.tmp, "some-lab"))
        self.assertEqual(self.lines("model", "info", "some-lab/clip@v1.0")[0]["dir"], other)
        self.assertEqual(self.lines("model", "info", "some-lab/clip@v1.0", cwd="/")[0]["dir"], folder)

    def test_list_says_what_finds_more(self):
        shutil.rmtree(self.place)
        _, err = self.osprey("model", "list")
        self.assertIn("osprey model get openai/clip-vit-base-patch32\n", err)
        self.assertIn("osprey index --model openai/clip-vit-base-patch32 DIR\n", err)
        self.assertEqual(self.osprey("model", "list", "-q")[1], "")
        self.make_clip("tiny-clip")
        self.assertEqual(self.osprey("model", "list")[1], "")

    # ---- check ----

    def small_golden(self):
        """osprey-small's reference, in the format that check reads."""
        stored = read_safetensors(os.path.join(DATA, "encoder_golden.safetensors"))
        dtype, (n, dim), images = stored["images"]
        text = stored["texts"][2][:4 * dim]  # "a dog on a beach"
        return {"image": (dtype, [n, dim], images), "text": ("F32", [1, dim], text),
                "pixels": ("U8", [3, 224, 224, 3], b"".join(picture(k) for k in range(3))),
                "ids": ("I32", [7], integers(101, 1037, 3899, 2006, 1037, 3509, 102)),
                "starts": ("I32", [2], integers(0, 7))}

    def test_the_towers_alone_can_be_measured(self):
        bare = os.path.join(self.tmp, "bare")
        shutil.copytree(os.path.join(DATA, "clip", CLIP), bare)
        self.assertNotIn("tokenizer.json", os.listdir(bare))
        (b,) = self.lines("model", "bench", bare, "--batch", "3", "--threads", "1")
        self.assertEqual((b["batch"], b["threads"]), (3, 1))
        for rate in ("images_per_s", "texts_per_s", "gflops"):
            self.assertGreater(b[rate], 0)
        (info,) = self.lines("model", "info", bare)
        self.assertEqual(info["missing"], "preprocessor_config.json, tokenizer.json")
        self.assertNotIn("missing", self.lines("model", "info", "tiny-clip")[0])
        _, err = self.osprey("embed", "--model", bare, "a", status=3)
        self.assertIn("preprocessor_config.json", err)

    def test_check_a_clip(self):
        (c,) = self.lines("model", "check", "tiny-clip")
        self.assertEqual((c["ok"], c["images"]["n"], c["texts"]["n"]), (True, 2, 4))
        self.assertEqual(c["golden"], os.path.join(self.clip, "golden.safetensors"))
        out, _ = self.osprey("model", "check", "tiny-clip")
        self.assertEqual(out.count("the same"), 2)
        # Weights of which one byte changed.
        with open(os.path.join(self.clip, "model.safetensors"), "r+b") as f:
            f.seek(-1, os.SEEK_END)
            (byte,) = f.read(1)
            f.seek(-1, os.SEEK_END)
            f.write(bytes([byte ^ 0x40]))
        out, err = self.osprey("model", "check", "tiny-clip", "--json", status=3)
        self.assertFalse(json.loads(out)["ok"])
        self.assertIn("does not make the embeddings", err)

    def test_check_osprey_small(self):
        path = os.path.join(self.tmp, "golden")
        golden = self.small_golden()
        write_safetensors(path, golden)
        (c,) = self.lines("model", "check", "osprey-small-zeroshot", "--golden", path, "--tolerance", "1e-4")
        self.assertTrue(c["ok"] and c["images"]["ok"] and c["texts"]["ok"])
        self.assertLess(c["images"]["max_abs"], 1e-4)
        self.assertGreater(c["texts"]["min_cosine"], 0.99999)
        self.osprey("model", "check", "osprey-small-zeroshot", "--golden", path, "--tolerance", "1e-12", status=3)
        # One part alone; another text's embedding.
        write_safetensors(path, {k: golden[k] for k in ("text", "ids", "starts")})
        (c,) = self.lines("model", "check", "osprey-small-zeroshot", "--golden", path, "--tolerance", "1e-4")
        self.assertIsNone(c["images"])
        golden["ids"] = ("I32", [7], integers(101, 1037, 4937, 2006, 1037, 3509, 102))
        write_safetensors(path, golden)
        out, _ = self.osprey("model", "check", "osprey-small-zeroshot", "--golden", path, status=3)
        self.assertIn("texts    1: ", out)
        self.assertIn("DIFFERENT", out)

    def test_check_with_goldens_that_are_none(self):
        path = os.path.join(self.tmp, "golden")
        good = read_safetensors(os.path.join(self.clip, "golden.safetensors"))
        n = good["ids"][1][0]
        _, err = self.osprey("model", "check", "osprey-small", status=3)
        self.assertIn("golden.safetensors", err)
        for change, words in (
                ({"image": None, "text": None}, "neither image nor text"),
                ({"pixels": None}, "pixels"),
                ({"ids": None}, "has no ids"),
                ({"starts": ("I32", [2], integers(0, n))}, "starts"),
                ({"starts": ("I32", [5], integers(0, 3, 2, 9, n))}, "tokens"),
                ({"starts": ("I32", [5], integers(0, 3, 3, 9, n))}, "tokens"),
                ({"starts": ("I32", [5], integers(0, 3, 11, n, n + 1))}, "outside"),
                ({"starts": ("I32", [5], integers(-5, 3, 11, 20, n))}, "outside"),
                ({"starts": ("I32", [5], integers(1, 3, 11, 20, n))}, "begins"),
                ({"ids": ("I32", [n], integers(*[128] * n))}, "token 128"),
                ({"ids": ("I32", [n], integers(*[-1] * n))}, "token -1"),
                ({"ids": ("I64", [n], b"\0" * 8 * n)}, "type"),
                ({"image": ("F32", [2, 25], b"\0" * 200)}, "image"),
                ({"image": ("F32", [48], b"\0" * 192)}, "table"),
                ({"pixels": ("U8", [2, 32, 32, 3], b"\0" * 6144)}, "pixels")):
            tensors = dict(good, **change)
            write_safetensors(path, {k: v for k, v in tensors.items() if v})
            _, err = self.osprey("model", "check", "tiny-clip", "--golden", path, status=3)
            self.assertIn(words, err, change)


if __name__ == "__main__":
    sys.argv.append("-v")
    unittest.main()
