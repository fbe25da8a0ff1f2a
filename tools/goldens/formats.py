#!/usr/bin/env python3
"""Writes tests/data/formats/: small files of every format but JPEG and PNG (which
image.py writes), those two with colour profiles, and what they must decode to.

formats.txt has one line a file: name, kind, width, height, pages, what became of
its colours (0 as they are, 1 converted, 2 ignored), tolerance, and the pixels: a
CRC-32 where the tolerance is 0, else the means of 8 x 8 blocks as hexadecimal. They
are Pillow's (of RAW: rawpy's, with the settings that core/image/decode_raw.c
states), after exif_transpose, alpha pasted on white, profiles applied by ImageCms.
What Pillow cannot read or reads otherwise is computed from the samples.

Needs numpy, Pillow, pillow-heif, pillow-jxl-plugin, tifffile, imagecodecs, rawpy, and cjxl
(Debian's libjxl-tools); run it only to change the fixtures.
"""
import io
import os
import struct
import subprocess
import tempfile
import zlib

import imagecodecs
import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401 registers itself
import rawpy
import tifffile
from PIL import Image, ImageCms, ImageOps

import icc
from dng import dng, ifd_bytes
from image import exif_of, scene

pillow_heif.register_heif_opener()
OUT = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "data", "formats")
LINES = []
# A lossy decoder may round otherwise than the one inside Pillow's wheels, which is
# newer, and enlarge chroma by another filter: seen on the mean of a block.
LOSSY = 3
# libheif repeats halved chroma, Pillow's decoders interpolate it.
HALVED = 6


def on_white(image):
    """Upright, sRGB, on white."""
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode in ("P", "PA", "LA") or "transparency" in image.info:
        image = image.convert("RGBA")
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    if profile:
        if image.mode == "RGBA":
            image = image.convert("RGB")
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        image = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"),
                                          outputMode="RGB")
    image = image.convert("RGB")
    if alpha is not None:
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=alpha)
        image = white
    return np.asarray(image)


def blocks(pixels):
    height, width, _ = pixels.shape
    ys = [height * i // 8 for i in range(9)]
    xs = [width * i // 8 for i in range(9)]
    out = []
    for i in range(8):
        for j in range(8):
            part = pixels[ys[i]:max(ys[i + 1], ys[i] + 1), xs[j]:max(xs[j + 1], xs[j] + 1)]
            out += [int(round(float(v))) for v in part.reshape(-1, 3).mean(axis=0)]
    return bytes(out).hex()


def add(name, kind, data, tolerance=0, pixels=None, pages=1, colours=0):
    """pixels: where Pillow's are not what is wanted."""
    with open(os.path.join(OUT, name), "wb") as file:
        file.write(data)
    if pixels is None:
        pixels = on_white(Image.open(io.BytesIO(data)))
    pixels = np.ascontiguousarray(pixels, np.uint8)
    what = blocks(pixels) if tolerance else "%08x" % zlib.crc32(pixels.tobytes())
    LINES.append("%s %s %d %d %d %d %d %s" % (
        name, kind, pixels.shape[1], pixels.shape[0], pages, colours, tolerance, what))


def encode(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def with_alpha(image):
    """A gradient with whole and no opacity among it."""
    width, height = image.size
    y, x = np.mgrid[0:height, 0:width]
    alpha = (255.0 * x / max(1, width - 1)).astype(np.uint8)
    alpha[: height // 4] = 0
    alpha[-(height // 4):] = 255
    out = image.convert("RGBA")
    out.putalpha(Image.fromarray(alpha))
    return out


def dated(orientation=1):
    return exif_of(orientation, full=True)


PHOTO = scene(61, 45)
SMALL = scene(40, 30)


def write_webp():
    def webp(image, **options):
        return encode(image, "WEBP", **options)
    add("lossy.webp", "WebP", webp(PHOTO, quality=80), LOSSY)
    add("coarse.webp", "WebP", webp(PHOTO, quality=5), LOSSY)
    add("lossless.webp", "WebP", webp(PHOTO, lossless=True))
    add("lossy-alpha.webp", "WebP", webp(with_alpha(PHOTO), quality=80), LOSSY)
    add("lossless-alpha.webp", "WebP", webp(with_alpha(PHOTO), lossless=True, exact=True))
    add("grey.webp", "WebP", webp(PHOTO.convert("L").convert("RGB"), lossless=True))
    add("one.webp", "WebP", webp(scene(1, 1), lossless=True))
    add("thin.webp", "WebP", webp(scene(3, 131), lossless=True))
    add("orient-6.webp", "WebP", webp(scene(29, 18), lossless=True, exif=dated(6)))
    add("p3.webp", "WebP", webp(PHOTO, lossless=True, icc_profile=icc.DISPLAY_P3), 2, colours=1)
    add("p3-alpha.webp", "WebP", webp(with_alpha(PHOTO), lossless=True, exact=True,
                                      icc_profile=icc.DISPLAY_P3), 2, colours=1)
    frames = [scene(40, 30), scene(40, 30).rotate(180)]
    add("animated.webp", "WebP", webp(frames[0], save_all=True, append_images=frames[1:],
                                      lossless=True))
    # The first frame does not fill the canvas: 40 x 30 at (10, 8) of 61 x 45.
    data = webp(frames[0], save_all=True, append_images=frames[1:], lossless=True)
    at, vp8x = data.index(b"ANMF"), data.index(b"VP8X")
    data = bytearray(data)
    data[vp8x + 12:vp8x + 18] = struct.pack("<I", 60)[:3] + struct.pack("<I", 44)[:3]
    data[at + 8:at + 14] = struct.pack("<I", 5)[:3] + struct.pack("<I", 4)[:3]
    canvas = Image.new("RGB", (61, 45), (255, 255, 255))
    canvas.paste(frames[0], (10, 8))
    add("animated-offset.webp", "WebP", bytes(data), pixels=np.asarray(canvas))


def write_gif():
    def gif(image, **options):
        return encode(image, "GIF", **options)
    palette = PHOTO.quantize(64)
    add("palette.gif", "GIF", gif(palette))
    add("interlaced.gif", "GIF", gif(palette, interlace=True))
    add("plain.gif", "GIF", gif(palette, interlace=False))
    add("grey.gif", "GIF", gif(PHOTO.convert("L")))
    add("two.gif", "GIF", gif(PHOTO.convert("1").convert("P")))
    add("one.gif", "GIF", gif(scene(1, 1).quantize(2)))
    add("comment.gif", "GIF", gif(palette, comment=b"a comment " * 40))
    clear = palette.copy()
    add("transparent.gif", "GIF", gif(clear, transparency=int(clear.getpixel((30, 20)))))
    frames = [scene(40, 30).quantize(32), scene(40, 30).rotate(90).quantize(32)]
    data = gif(frames[0], save_all=True, append_images=frames[1:], duration=50, loop=0)
    add("animated.gif", "GIF", data)
    add("junk.gif", "GIF", gif(palette) + b"junk" * 20)
    # A screen that is larger than the frame, which lies at (9, 7) and interlaced.
    data = bytearray(gif(frames[0], interlace=True))
    data[6:10] = struct.pack("<HH", 61, 45)
    at = data.index(b"\x2c", 13 + 3 * (2 << (data[10] & 7)))
    assert struct.unpack_from("<HHHH", data, at + 1) == (0, 0, 40, 30)
    data[at + 1:at + 5] = struct.pack("<HH", 9, 7)
    canvas = Image.new("RGB", (61, 45), (255, 255, 255))
    canvas.paste(frames[0].convert("RGB"), (9, 7))
    add("offset.gif", "GIF", bytes(data), pixels=np.asarray(canvas))
    # The frame reaches over the screen's edge.
    data[at + 1:at + 5] = struct.pack("<HH", 40, 30)
    canvas = Image.new("RGB", (61, 45), (255, 255, 255))
    canvas.paste(frames[0].convert("RGB"), (40, 30))
    add("beyond.gif", "GIF", bytes(data), pixels=np.asarray(canvas))


def tiff_bytes(array, **options):
    out = io.BytesIO()
    options.setdefault("compression", "zlib")
    options.setdefault("photometric", "rgb")
    options.setdefault("metadata", None)
    with tifffile.TiffWriter(out, bigtiff=options.pop("bigtiff", False),
                             byteorder=options.pop("byteorder", None)) as writer:
        for page in array if isinstance(array, list) else [array]:
            writer.write(page, **options)
    return out.getvalue()


def write_tiff():
    def tiff(image, compression="tiff_adobe_deflate", **options):
        return encode(image, "TIFF", compression=compression, **options)
    rgb = np.asarray(SMALL)
    for compression in ("raw", "tiff_lzw", "packbits", "tiff_adobe_deflate"):
        add("rgb-%s.tif" % compression.replace("tiff_", ""), "TIFF", tiff(SMALL, compression))
    add("rgb-jpeg.tif", "TIFF", tiff(SMALL, "jpeg", quality=90), LOSSY)
    add("grey.tif", "TIFF", tiff(SMALL.convert("L")))
    add("palette.tif", "TIFF", tiff(SMALL.quantize(64)))
    add("bilevel-g4.tif", "TIFF", tiff(SMALL.convert("1"), "group4"))
    # Pillow writes no EXIF directory.
    turned = np.asarray(scene(29, 18))
    exif = ifd_bytes("<", [(36867, 2, b"2024:02:29 23:59:58\0"), (36881, 2, b"+02:30\0")], 8)
    raw_at, raw = 8 + len(exif), turned.tobytes()
    main = [(256, 4, [29]), (257, 4, [18]), (258, 3, [8, 8, 8]), (259, 3, [1]), (262, 3, [2]),
            (271, 2, b"Osprey Optics\0"), (272, 2, b"Talon 3\0"), (273, 4, [raw_at]),
            (274, 3, [6]), (277, 3, [3]), (278, 4, [18]), (279, 4, [len(raw)]), (34665, 4, [8])]
    at = raw_at + len(raw)
    add("orient-6.tif", "TIFF", b"II*\0" + struct.pack("<I", at) + exif + raw +
        ifd_bytes("<", main, at), pixels=np.rot90(turned, -1))
    add("cmyk.tif", "TIFF", tiff(SMALL.convert("CMYK")), 1)
    cmyk = SMALL.convert("CMYK")
    # So steep a table is resampled by littlecms otherwise from release to release.
    add("cmyk-icc.tif", "TIFF", tiff(cmyk, icc_profile=icc.CMYK), 4, colours=1)
    add("p3.tif", "TIFF", tiff(SMALL, icc_profile=icc.DISPLAY_P3), 2, colours=1)
    grey = SMALL.convert("L")
    light = ImageCms.profileToProfile(
        grey, ImageCms.ImageCmsProfile(io.BytesIO(icc.GREY_18)), ImageCms.createProfile("sRGB"),
        outputMode="RGB")
    add("grey-icc.tif", "TIFF", tiff(grey, icc_profile=icc.GREY_18), 2, pixels=np.asarray(light),
        colours=1)
    add("pages.tif", "TIFF", encode(SMALL, "TIFF", save_all=True, compression="tiff_adobe_deflate",
                                    append_images=[scene(30, 40), SMALL.convert("1")]), pages=3)
    add("page-2.png", "PNG", encode(scene(30, 40), "PNG"))
    # From samples, for tifffile writes what Pillow does not.
    noise = np.random.default_rng(1).integers(0, 65536, (30, 40, 3)).astype(np.uint16)
    high = (rgb.astype(np.uint16) * 257) ^ (noise & 15)
    seen = ((high.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    add("rgb16.tif", "TIFF", tiff_bytes(high), pixels=seen)
    add("rgb16-big-endian.tif", "TIFF", tiff_bytes(high, byteorder=">"), pixels=seen)
    add("grey16.tif", "TIFF", tiff_bytes(high[..., 0], photometric="minisblack"),
        pixels=np.repeat(seen[..., :1], 3, 2))
    add("white-is-0.tif", "TIFF", tiff_bytes(rgb[..., 0], photometric="miniswhite"),
        pixels=np.repeat(255 - rgb[..., :1], 3, 2))
    add("tiled.tif", "TIFF", tiff_bytes(rgb, tile=(16, 16)), pixels=rgb)
    add("planes.tif", "TIFF", tiff_bytes(np.moveaxis(rgb, 2, 0), planarconfig="separate"),
        pixels=rgb)
    add("tiled-planes.tif", "TIFF", tiff_bytes(np.moveaxis(rgb, 2, 0), planarconfig="separate",
                                               tile=(32, 16)), pixels=rgb)
    add("strips.tif", "TIFF", tiff_bytes(rgb, rowsperstrip=7), pixels=rgb)
    add("bigtiff.tif", "TIFF", tiff_bytes(rgb, bigtiff=True), pixels=rgb)
    rgba = np.asarray(with_alpha(SMALL))
    add("alpha.tif", "TIFF", tiff_bytes(rgba, extrasamples=["unassalpha"]), 1,
        pixels=on_white(Image.fromarray(rgba)))
    opacity = rgba[..., 3:].astype(np.float64) / 255
    premultiplied = np.concatenate([np.round(rgba[..., :3] * opacity), rgba[..., 3:]], 2)
    add("alpha-multiplied.tif", "TIFF",
        tiff_bytes(premultiplied.astype(np.uint8), extrasamples=["assocalpha"]), 1,
        pixels=on_white(Image.fromarray(rgba)))
    add("extra.tif", "TIFF", tiff_bytes(np.concatenate([rgb, rgb[..., :1]], 2),
                                        extrasamples=["unspecified"]), pixels=rgb)
    # A thumbnail before the picture.
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for page, kind in ((rgb[::4, ::4], 1), (rgb, 0)):
            writer.write(page, photometric="rgb", compression="zlib", metadata=None,
                         subfiletype=kind)
    add("thumbnail-first.tif", "TIFF", out.getvalue(), pixels=rgb)


def write_heif():
    def heif(image, codec="HEIF", **options):
        options.setdefault("quality", 80)
        return encode(image, codec, **options)
    add("420.heic", "HEIC", heif(PHOTO), LOSSY)
    add("444.heic", "HEIC", heif(PHOTO, chroma=444), LOSSY)
    add("lossless.heic", "HEIC", heif(PHOTO, quality=-1, chroma=444, matrix_coefficients=0), 1)
    add("alpha.heic", "HEIC", heif(with_alpha(PHOTO)), LOSSY)
    add("grey.heic", "HEIC", heif(PHOTO.convert("L")), LOSSY)
    add("one.heic", "HEIC", heif(scene(16, 16)), LOSSY)
    add("odd.heic", "HEIC", heif(scene(63, 65)), LOSSY)
    add("exif.heic", "HEIC", heif(scene(46, 30), exif=dated(1).tobytes()), LOSSY)
    add("turned.heic", "HEIC", heif(scene(46, 30), exif=dated(6).tobytes()), LOSSY)
    add("mirrored.heic", "HEIC", heif(scene(46, 30), exif=dated(2).tobytes()), LOSSY)
    add("p3.heic", "HEIC", heif(PHOTO, icc_profile=icc.DISPLAY_P3), LOSSY, colours=1)
    add("primary.heic", "HEIC", heif(scene(20, 30), save_all=True, append_images=[PHOTO],
                                     primary_index=1), LOSSY,
        pixels=on_white(Image.open(io.BytesIO(heif(PHOTO)))))
    # 16 bits, which become 10 or 12
    deep16 = (np.asarray(PHOTO).astype(np.uint16) * 257).astype("<u2")
    out = io.BytesIO()
    pillow_heif.encode("RGB;16", (61, 45), deep16.tobytes(), out, quality=90, chroma=444)
    add("deep.heic", "HEIC", out.getvalue(), LOSSY, pixels=np.asarray(PHOTO))

    def avif(image, **options):
        options.setdefault("quality", 80)
        return encode(image, "AVIF", **options)
    add("420.avif", "AVIF", avif(PHOTO, subsampling="4:2:0"), HALVED)
    add("444.avif", "AVIF", avif(PHOTO, subsampling="4:4:4"), LOSSY)
    add("full.avif", "AVIF", avif(PHOTO, range="full", subsampling="4:4:4"), LOSSY)
    add("alpha.avif", "AVIF", avif(with_alpha(PHOTO)), HALVED)
    add("grey.avif", "AVIF", avif(PHOTO.convert("L")), HALVED)
    add("odd.avif", "AVIF", avif(scene(33, 31), subsampling="4:4:4"), HALVED)
    add("turned.avif", "AVIF", avif(scene(46, 30), subsampling="4:4:4", exif=dated(6).tobytes()), HALVED)
    add("p3.avif", "AVIF", avif(PHOTO, subsampling="4:4:4", icc_profile=icc.DISPLAY_P3), HALVED, colours=1)
    frames = [scene(40, 30), scene(40, 30).rotate(180)]
    add("animated.avif", "AVIF", avif(frames[0], save_all=True, append_images=frames[1:]), HALVED)
    add("coarse.avif", "AVIF", avif(PHOTO, quality=20), HALVED)


def write_jxl():
    def jxl(image, **options):
        return encode(image, "JXL", **options)
    add("lossless.jxl", "JPEG_XL", jxl(PHOTO, lossless=True))
    add("lossy.jxl", "JPEG_XL", jxl(PHOTO, quality=85), LOSSY)
    add("coarse.jxl", "JPEG_XL", jxl(PHOTO, quality=30), LOSSY)
    add("alpha.jxl", "JPEG_XL", jxl(with_alpha(PHOTO), lossless=True), 1)
    add("grey.jxl", "JPEG_XL", jxl(PHOTO.convert("L"), lossless=True))
    add("one.jxl", "JPEG_XL", jxl(scene(1, 1), lossless=True))
    add("thin.jxl", "JPEG_XL", jxl(scene(3, 131), lossless=True))
    # The plugin leaves out the four bytes that belong before the TIFF header.
    bare = jxl(scene(46, 30), lossless=True, exif=dated(1).tobytes())
    at = bare.index(b"Exif") - 4
    size = struct.unpack_from(">I", bare, at)[0]
    add("exif-bare.jxl", "JPEG_XL", bare)
    add("exif.jxl", "JPEG_XL", bare[:at] + struct.pack(">I", size + 4) + b"Exif" + bytes(4) +
        bare[at + 8:])
    # The plugin writes no profiles; libjxl's own program takes those of a PNG.
    png = encode(PHOTO, "PNG", icc_profile=icc.DISPLAY_P3)
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("a.png", "a.jxl")]
        with open(paths[0], "wb") as file:
            file.write(png)
        for name, distance, tolerance in (("p3", "0", 2), ("p3-lossy", "1", LOSSY)):
            subprocess.run(["cjxl", "--quiet", "-d", distance] + paths, check=True)
            with open(paths[1], "rb") as file:
                add(name + ".jxl", "JPEG_XL", file.read(), tolerance, colours=1)
    rgb = np.asarray(PHOTO)
    deep = rgb.astype(np.uint16) * 257
    # imagecodecs calls 16 bits linear light.
    light = Image.fromarray(rgb)
    light.info["icc_profile"] = icc.LINEAR_SRGB
    add("deep.jxl", "JPEG_XL", imagecodecs.jpegxl_encode(deep, lossless=True), 2,
        pixels=on_white(light), colours=1)
    jpeg = encode(PHOTO, "JPEG", quality=85)
    add("from-jpeg.jxl", "JPEG_XL", imagecodecs.jpegxl_encode_jpeg(jpeg, usecontainer=True), LOSSY,
        pixels=np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")))
    frames = np.stack([rgb[:30, :40], rgb[15:, 21:]])
    add("animated.jxl", "JPEG_XL", imagecodecs.jpegxl_encode(frames, lossless=True, photometric="rgb"),
        pixels=frames[0])


def mosaic(image, white=4095):
    light = (np.asarray(image).astype(np.float64) / 255) ** 2.2 * white
    out = np.empty(light.shape[:2])
    out[0::2, 0::2] = light[0::2, 0::2, 0]
    out[0::2, 1::2] = light[0::2, 1::2, 1]
    out[1::2, 0::2] = light[1::2, 0::2, 1]
    out[1::2, 1::2] = light[1::2, 1::2, 2]
    return out.round()


def developed(data):
    with rawpy.imread(io.BytesIO(data)) as raw:
        return raw.postprocess(half_size=True, use_camera_wb=True, output_bps=8,
                               gamma=(2.4, 12.92), output_color=rawpy.ColorSpace.sRGB)


def write_raw():
    # libraw refuses pictures of less than 22 pixels a side.
    photo = scene(48, 36)
    big, small = encode(photo, "JPEG", quality=85), encode(photo.resize((16, 12)), "JPEG")
    def jpeg_pixels(data):
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    sensor = mosaic(photo)
    def plain(name, data):
        add(name, "RAW", data, LOSSY, pixels=developed(data))
    plain("plain.dng", dng(sensor))
    plain("big-endian.dng", dng(sensor, order=">"))
    plain("turned.dng", dng(sensor, orientation=6))
    plain("half-turned.dng", dng(sensor, orientation=3))
    plain("left-turned.dng", dng(sensor, orientation=8))
    plain("small-preview.dng", dng(sensor, small))
    plain("bright.dng", dng(mosaic(photo, 16383), white=16383))
    plain("dated.dng", dng(sensor, dated_at=b"2024:02:29 23:59:58"))
    add("preview.dng", "RAW", dng(sensor, big), LOSSY, pixels=jpeg_pixels(big))
    add("preview-turned.dng", "RAW", dng(sensor, big, orientation=6), LOSSY,
        pixels=np.rot90(jpeg_pixels(big), -1))
    light = (np.asarray(photo).astype(np.float64) / 255) ** 2.2 * 4095
    plain("linear.dng", dng(light.round(), linear=True))


def bmp_file(header, rest, pixels):
    start = 14 + len(header) + len(rest)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + rest + pixels


def bmp_rows(packed, top_down=False):
    rows = [row + bytes(-len(row) % 4) for row in packed]
    return b"".join(rows if top_down else rows[::-1])


def info_header(width, height, bits, compression=0, size=0, colours=0, header=40, more=b""):
    return struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, size, 2835,
                       2835, colours, 0) + more


def run_lengths(levels, four):
    out = b""
    for row in levels[::-1]:
        x = 0
        while x < len(row):
            n = 1
            while x + n < len(row) and row[x + n] == row[x] and n < 255:
                n += 1
            if n == 1 and x + 4 <= len(row):  # some as themselves
                part = row[x:x + 4]
                data = bytes([part[0] << 4 | part[1], part[2] << 4 | part[3]]) if four else bytes(
                    int(v) for v in part)
                out += bytes([0, 4]) + data + bytes(len(data) % 2)
                n = 4
            else:
                value = int(row[x])
                out += bytes([n, value << 4 | value if four else value])
            x += n
        out += b"\0\0"
    return out + b"\0\1"


def write_bmp():
    def bmp(image):
        return encode(image, "BMP")
    add("rgb.bmp", "BMP", bmp(SMALL))
    add("grey.bmp", "BMP", bmp(SMALL.convert("L")))
    add("palette.bmp", "BMP", bmp(SMALL.quantize(64)))
    add("two.bmp", "BMP", bmp(SMALL.convert("1")))
    add("rgbx.bmp", "BMP", bmp(SMALL.convert("RGBA")), pixels=np.asarray(SMALL))
    rgb = np.asarray(scene(30, 20))
    packed = [row[:, ::-1].tobytes() for row in rgb]
    add("top-down.bmp", "BMP", bmp_file(info_header(30, -20, 24), b"", bmp_rows(packed, True)),
        pixels=rgb)
    add("os2.bmp", "BMP", bmp_file(struct.pack("<IHHHH", 12, 30, 20, 1, 24), b"",
                                   bmp_rows(packed)), pixels=rgb)
    small = scene(30, 20).quantize(16)
    levels = np.asarray(small)
    table = np.array(small.getpalette()[:48], np.uint8).reshape(-1, 3)
    table = np.concatenate([table, np.zeros((16 - len(table), 3), np.uint8)])
    colours = b"".join(bytes([b, g, r, 0]) for r, g, b in table)
    fours = [bytes(int(a) << 4 | int(b) for a, b in zip(row[0::2], row[1::2])) for row in levels]
    add("four.bmp", "BMP", bmp_file(info_header(30, 20, 4, colours=16), colours, bmp_rows(fours)),
        pixels=table[levels])
    for bits, compression in ((8, 1), (4, 2)):
        data = run_lengths(levels, bits == 4)
        add("rle%d.bmp" % bits, "BMP",
            bmp_file(info_header(30, 20, bits, compression, len(data), 16), colours, data),
            pixels=table[levels])
    wide = rgb.astype(np.uint32)
    r5, g6, b5 = wide[..., 0] >> 3, wide[..., 1] >> 2, wide[..., 2] >> 3
    def spread(value, most):
        return ((value * 255 + most // 2) // most).astype(np.uint8)
    data = [row.astype("<u2").tobytes() for row in (r5 << 11 | g6 << 5 | b5)]
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    add("565.bmp", "BMP", bmp_file(info_header(30, 20, 16, 3), masks, bmp_rows(data)),
        pixels=np.stack([spread(r5, 31), spread(g6, 63), spread(b5, 31)], 2))
    g5 = wide[..., 1] >> 3
    data = [row.astype("<u2").tobytes() for row in (r5 << 10 | g5 << 5 | b5)]
    add("555.bmp", "BMP", bmp_file(info_header(30, 20, 16), b"", bmp_rows(data)),
        pixels=np.stack([spread(r5, 31), spread(g5, 31), spread(b5, 31)], 2))
    rgba = np.asarray(with_alpha(scene(30, 20)))
    data = [row[:, [2, 1, 0, 3]].tobytes() for row in rgba]
    more = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    add("alpha.bmp", "BMP", bmp_file(info_header(30, 20, 32, 3, header=108, more=more), b"",
                                     bmp_rows(data)), pixels=on_white(Image.fromarray(rgba)))


def write_pnm():
    rgb = np.asarray(scene(30, 20))
    bits = (rgb[..., 0] > 128).astype(np.uint8)
    grey = rgb[..., 1]
    def words(values, each=10):
        flat = [str(int(v)) for v in values.reshape(-1)]
        return b"\n".join(" ".join(flat[i:i + each]).encode()
                          for i in range(0, len(flat), each)) + b"\n"
    def spread(level):
        return np.repeat(level[..., None], 3, 2)
    black = spread(((1 - bits) * 255).astype(np.uint8))
    add("text.pbm", "PNM", b"P1\n# a comment\n30 20\n" + words(bits, 15), pixels=black)
    dense = b"\n".join(bytes(48 + v for v in row) for row in bits)
    add("dense.pbm", "PNM", b"P1 30 20 " + dense, pixels=black)
    add("text.pgm", "PNM", b"P2\n30 20\n255\n" + words(grey), pixels=spread(grey))
    hundred = (grey.astype(np.uint32) * 100 // 255)
    scaled = ((hundred * 255 + 50) // 100).astype(np.uint8)
    add("hundred.pgm", "PNM", b"P2\n30 20\n100\n" + words(hundred), pixels=spread(scaled))
    add("text.ppm", "PNM", b"P3\n30 20\n255\n" + words(rgb), pixels=rgb)
    add("bytes.pbm", "PNM", b"P4\n30 20\n" + np.packbits(bits, axis=1).tobytes(), pixels=black)
    add("bytes.pgm", "PNM", b"P5\n30 #width\n20\n255\n" + grey.tobytes(), pixels=spread(grey))
    add("bytes.ppm", "PNM", b"P6 30 20 255\n" + rgb.tobytes(), pixels=rgb)
    deep = (rgb.astype(np.uint16) * 257).astype(">u2")
    add("deep.ppm", "PNM", b"P6\n30 20\n65535\n" + deep.tobytes(), pixels=rgb)
    add("deep.pgm", "PNM", b"P5\n30 20\n65535\n" + deep[..., 1].tobytes(), pixels=spread(grey))
    add("two.ppm", "PNM", (b"P6 30 20 255\n" + rgb.tobytes()) * 2, pixels=rgb)


def png_with(image, *chunks):
    data = encode(image, "PNG")
    at = data.index(b"IDAT") - 4
    extra = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d))
                     for n, d in chunks)
    return data[:at] + extra + data[at:]


def write_colours():
    """JPEG and PNG with profiles, sane and not."""
    small = scene(40, 30)
    def jpeg(image, profile, **options):
        return encode(image, "JPEG", quality=92, icc_profile=profile, **options)
    add("p3.jpg", "JPEG", jpeg(small, icc.DISPLAY_P3), 2, colours=1)
    add("p3-turned.jpg", "JPEG", jpeg(small, icc.DISPLAY_P3, exif=exif_of(6)), 2, colours=1)
    plain = on_white(Image.open(io.BytesIO(jpeg(small, None))))
    add("srgb.jpg", "JPEG", jpeg(small, icc.SRGB_LIKE), 1, pixels=plain)
    add("broken.jpg", "JPEG", jpeg(small, icc.DISPLAY_P3[:200]), 1, pixels=plain, colours=2)
    add("wrong-space.jpg", "JPEG", jpeg(small, icc.CMYK), 1, pixels=plain, colours=2)
    grey = small.convert("L")
    light = ImageCms.profileToProfile(
        grey, ImageCms.ImageCmsProfile(io.BytesIO(icc.GREY_18)), ImageCms.createProfile("sRGB"),
        outputMode="RGB")
    add("grey.jpg", "JPEG", jpeg(grey, icc.GREY_18), 2, pixels=np.asarray(light), colours=1)
    add("cmyk.jpg", "JPEG", jpeg(small.convert("CMYK"), icc.CMYK), 4, colours=1)
    add("linear.png", "PNG", encode(small, "PNG", icc_profile=icc.LINEAR_SRGB), 2, colours=1)
    add("p3-alpha.png", "PNG", encode(with_alpha(small), "PNG", icc_profile=icc.DISPLAY_P3), 2,
        colours=1)
    linear = on_white(Image.open(io.BytesIO(encode(small, "PNG", icc_profile=icc.LINEAR_SRGB))))
    add("gamma-1.png", "PNG", png_with(small, (b"gAMA", struct.pack(">I", 100000))), 2,
        pixels=linear, colours=1)
    add("gamma-srgb.png", "PNG", png_with(small, (b"gAMA", struct.pack(">I", 45455))))
    p3 = on_white(Image.open(io.BytesIO(encode(small, "PNG", icc_profile=icc.DISPLAY_P3))))
    add("cicp-p3.png", "PNG", png_with(small, (b"cICP", bytes([12, 13, 0, 1]))), 2, pixels=p3,
        colours=1)
    primaries = b"".join(struct.pack(">I", int(round(v * 100000))) for p in
                         ((icc.D65,) + icc.P3) for v in p)
    add("chrm-p3.png", "PNG", png_with(small, (b"gAMA", struct.pack(">I", 45455)),
                                       (b"cHRM", primaries)), 2, pixels=p3, colours=1)


def main():
    os.makedirs(OUT, exist_ok=True)
    for name in os.listdir(OUT):
        os.remove(os.path.join(OUT, name))
    for writer in (write_webp, write_gif, write_tiff, write_heif, write_jxl, write_raw, write_bmp,
                   write_pnm, write_colours):
        writer()
    with open(os.path.join(OUT, "formats.txt"), "w") as file:
        file.write("\n".join(LINES) + "\n")


if __name__ == "__main__":
    main()
