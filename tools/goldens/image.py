#!/usr/bin/env python3
"""Writes tests/data/images/: small JPEG and PNG files of every kind, and what
they must decode to.

A JPEG x.jpg comes with x.jpg.ref.png, Pillow's pixels after exif_transpose and
convert("RGB"). PNGs are written here byte by byte (Pillow cannot write most
kinds); what they decode to is computed from their samples by the formulas that
core/image/decode_png.c states, as CRC-32 in png.txt.

Needs numpy, Pillow and jpegtran (for arithmetic coding); run it only to change
the fixtures.
"""
import io
import os
import shutil
import struct
import subprocess
import zlib

import numpy as np
from PIL import Image, ImageOps

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "data", "images")


def scene(width, height):
    """Smooth colours with a few edges: compresses well, hides no mistakes."""
    y, x = np.mgrid[0:height, 0:width]
    r = 128 + 100 * np.sin(x / 7.0) * np.cos(y / 11.0)
    g = 255.0 * x / max(1, width - 1)
    b = 255.0 * y / max(1, height - 1)
    rgb = np.stack([r, g, b], axis=2)
    rgb[height // 4:height // 2, width // 4:width // 3] = (250, 20, 30)
    rgb[: max(1, height // 6), : max(1, width // 6)] = (0, 0, 255)
    return Image.fromarray(rgb.clip(0, 255).astype(np.uint8))


def write(name, data):
    with open(os.path.join(OUT, name), "wb") as file:
        file.write(data)


def write_jpeg(name, data):
    write(name, data)
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    image.save(os.path.join(OUT, name + ".ref.png"), optimize=True)


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", quality=options.pop("quality", 85), **options)
    return out.getvalue()


def patch_adobe(data, transform):
    """Another colour transform in the Adobe marker; None removes the marker."""
    at = data.index(b"\xff\xee\x00\x0eAdobe")
    if transform is None:
        return data[:at] + data[at + 16:]
    return data[:at + 15] + bytes([transform]) + data[at + 16:]


def exif_of(orientation, full=False):
    exif = Image.Exif()
    exif[0x0112] = orientation
    if full:
        exif[0x010F] = "  Osprey Optics "
        exif[0x0110] = "Talon\t 3  "
        exif.get_ifd(0x8769)[0x9003] = "2024:02:29 23:59:58"
        exif.get_ifd(0x8769)[0x9011] = "+02:30"
    return exif


def write_jpegs():
    photo = scene(61, 45)
    write_jpeg("baseline-420.jpg", jpeg(photo, subsampling=2))
    write_jpeg("baseline-422.jpg", jpeg(photo, subsampling=1))
    write_jpeg("baseline-444.jpg", jpeg(photo, subsampling=0))
    write_jpeg("restart.jpg", jpeg(photo, restart_marker_rows=1))
    write_jpeg("progressive.jpg", jpeg(photo, progressive=True))
    write_jpeg("rgb.jpg", jpeg(photo, keep_rgb=True))
    write_jpeg("grey.jpg", jpeg(photo.convert("L")))
    write_jpeg("grey-progressive.jpg", jpeg(photo.convert("L"), progressive=True))
    write_jpeg("one.jpg", jpeg(scene(1, 1)))
    write_jpeg("thin.jpg", jpeg(scene(3, 131)))
    cmyk = photo.convert("CMYK")
    cmyk.putdata([(c, m, y, (c + m) // 4) for c, m, y, _ in cmyk.getdata()])
    write_jpeg("cmyk.jpg", jpeg(cmyk))
    write_jpeg("cmyk-progressive.jpg", jpeg(cmyk, progressive=True))
    write_jpeg("cmyk-no-adobe.jpg", patch_adobe(jpeg(cmyk), None))
    write_jpeg("ycck.jpg", patch_adobe(jpeg(cmyk), 2))
    for orientation in range(1, 9):
        write_jpeg("orient-%d.jpg" % orientation,
                   jpeg(scene(29, 18), exif=exif_of(orientation), subsampling=0))
    write_jpeg("exif.jpg", jpeg(scene(24, 16), exif=exif_of(6, full=True)))
    plain = jpeg(photo)
    write_jpeg("trailing-junk.jpg", plain + b"\0junk" * 9)
    at = plain.index(b"\xff\xc4")  # harmless bytes between two segments
    write_jpeg("extraneous.jpg", plain[:at] + b"\x00\x01\x02" + plain[at:])
    tool = shutil.which("jpegtran")
    if tool:
        arithmetic = subprocess.run([tool, "-arithmetic"], input=plain, stdout=subprocess.PIPE,
                                    check=True).stdout
        write_jpeg("arithmetic.jpg", arithmetic)


# PNG: samples are an array (height, width, channels) of unsigned integers.
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2))


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def pack_rows(samples, depth):
    """Each row with a filter byte: 0 and 1 in turn where bytes are pixels' parts."""
    out = bytearray()
    height, width, channels = samples.shape
    for y in range(height):
        row = samples[y].reshape(-1)
        if depth == 16:
            data = row.astype(">u2").tobytes()
        elif depth == 8:
            data = row.astype(np.uint8).tobytes()
        else:
            bits = "".join(format(int(v), "0%db" % depth) for v in row)
            bits += "0" * (-len(bits) % 8)
            data = int(bits, 2).to_bytes(len(bits) // 8, "big")
        if y % 2:
            step = max(1, channels * depth // 8)
            data = bytes((b - (data[i - step] if i >= step else 0)) & 255
                         for i, b in enumerate(data))
        out += bytes([y % 2]) + data
    return bytes(out)


def png(samples, kind, depth, interlaced=False, extra=b"", last=b""):
    height, width, _ = samples.shape
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 1 if interlaced else 0)
    if interlaced:
        raw = b"".join(pack_rows(samples[y0::dy, x0::dx], depth) for x0, y0, dx, dy in ADAM7
                       if samples[y0::dy, x0::dx].size)
    else:
        raw = pack_rows(samples, depth)
    data = zlib.compress(raw, 9)
    half = len(data) // 2
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", data[:half])
            + chunk(b"IDAT", data[half:]) + last + chunk(b"IEND", b""))


def to8(values, depth):
    """As libpng: few bits are repeated, sixteen are rounded."""
    values = values.astype(np.int64)
    if depth == 16:
        return (values * 255 + 32895) >> 16
    return values * 255 // ((1 << depth) - 1)


def on_white(rgb, alpha):
    return (rgb * alpha + 255 * (255 - alpha) + 127) // 255


def samples_of(width, height, channels, depth, rng):
    base = rng.integers(0, 1 << depth, (height // 4 + 1, width // 4 + 1, channels))
    return np.kron(base, np.ones((4, 4, 1), dtype=np.int64))[:height, :width]


def write_pngs():
    rng = np.random.default_rng(11)
    lines = []

    def emit(name, data, rgb):
        assert rgb.min() >= 0 and rgb.max() <= 255
        pixels = np.ascontiguousarray(rgb.astype(np.uint8))
        write(name, data)
        lines.append("%s %d %d %08x" % (name, rgb.shape[1], rgb.shape[0],
                                        zlib.crc32(pixels.tobytes())))

    for interlaced in (False, True):
        tail = "-adam7.png" if interlaced else ".png"
        for depth in (1, 2, 4, 8, 16):
            grey = samples_of(37, 21, 1, depth, rng)
            rgb = np.repeat(to8(grey, depth), 3, axis=2)
            emit("grey%d%s" % (depth, tail), png(grey, 0, depth, interlaced), rgb)
            clear = int(grey[5, 5, 0])
            alpha = np.where(grey == clear, 0, 255)
            emit("grey%d-trns%s" % (depth, tail),
                 png(grey, 0, depth, interlaced, chunk(b"tRNS", struct.pack(">H", clear))),
                 on_white(rgb, alpha))
        for depth in (1, 2, 4, 8):
            count = min(1 << depth, 40)
            palette = rng.integers(0, 256, (count, 3))
            index = samples_of(37, 21, 1, depth, rng) % count
            plte = chunk(b"PLTE", palette.astype(np.uint8).tobytes())
            emit("palette%d%s" % (depth, tail), png(index, 3, depth, interlaced, plte),
                 palette[index[..., 0]])
            few = rng.integers(0, 256, max(1, count // 2))
            alphas = np.concatenate([few, np.full(count - len(few), 255)])
            emit("palette%d-trns%s" % (depth, tail),
                 png(index, 3, depth, interlaced,
                     plte + chunk(b"tRNS", few.astype(np.uint8).tobytes())),
                 on_white(palette[index[..., 0]], alphas[index[..., 0]][..., None]))
        for depth in (8, 16):
            colour = samples_of(37, 21, 3, depth, rng)
            rgb = to8(colour, depth)
            emit("rgb%d%s" % (depth, tail), png(colour, 2, depth, interlaced), rgb)
            clear = colour[9, 9]
            alpha = np.where((colour == clear).all(axis=2, keepdims=True), 0, 255)
            emit("rgb%d-trns%s" % (depth, tail),
                 png(colour, 2, depth, interlaced,
                     chunk(b"tRNS", struct.pack(">HHH", *[int(v) for v in clear]))),
                 on_white(rgb, alpha))
            both = samples_of(37, 21, 2, depth, rng)
            eight = to8(both, depth)
            emit("grey-alpha%d%s" % (depth, tail), png(both, 4, depth, interlaced),
                 on_white(np.repeat(eight[..., :1], 3, axis=2), eight[..., 1:]))
            four = samples_of(37, 21, 4, depth, rng)
            eight = to8(four, depth)
            emit("rgba%d%s" % (depth, tail), png(four, 6, depth, interlaced),
                 on_white(eight[..., :3], eight[..., 3:]))
        four = samples_of(23, 14, 4, 8, rng)
        tiff = exif_of(6, full=True).tobytes()[6:]
        turned = np.rot90(on_white(four[..., :3], four[..., 3:]), 3)
        emit("exif%s" % tail, png(four, 6, 8, interlaced, chunk(b"eXIf", tiff)), turned)
    colour = samples_of(23, 14, 3, 8, rng)
    emit("exif-last.png", png(colour, 2, 8, last=chunk(b"eXIf", tiff)), np.rot90(colour, 3))
    emit("one.png", png(colour[:1, :1], 2, 8), colour[:1, :1])
    emit("one-adam7.png", png(colour[:1, :1], 2, 8, True), colour[:1, :1])
    bad = bytearray(chunk(b"tEXt", b"Comment\0x"))
    bad[-1] ^= 1
    emit("bad-ancillary-crc.png", png(colour, 2, 8, extra=bytes(bad)), colour)
    check_against_pillow(lines)
    with open(os.path.join(OUT, "png.txt"), "w") as file:
        file.write("\n".join(lines) + "\n")


def check_against_pillow(lines):
    """Where Pillow keeps 8 bits, pasting onto white must give the same. (It takes
    the tRNS of 2 and 4 bit grey for an 8-bit value; libpng and the
    specification do not.)"""
    for line in lines:
        name, _, _, crc = line.split()
        if "16" in name or name.startswith(("bad", "grey2-trns", "grey4-trns")):
            continue
        image = ImageOps.exif_transpose(Image.open(os.path.join(OUT, name)))
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(rgba.convert("RGB"), mask=rgba.getchannel("A"))
        assert "%08x" % zlib.crc32(white.tobytes()) == crc, name


def main():
    os.makedirs(OUT, exist_ok=True)
    write_jpegs()
    write_pngs()


if __name__ == "__main__":
    main()
