"""Pictures and broken pictures for tests, made from seeds with the standard library.

png() and jpeg() yield whole files as bytes; bad_inputs() yields everything that a
folder of pictures must survive. The JPEGs are baseline ones whose 8x8 blocks are
flat (DC coefficients alone), coded with the standard tables of ITU-T T.81, annex K.
"""

import os
import random
import socket
import struct
import zlib

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# Annex K.3, table K.3 and the end-of-block code of K.5: enough for flat blocks.
DC_COUNTS = bytes((0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0))
DC_VALUES = bytes(range(12))
AC_COUNTS = bytes((0, 0, 0, 1) + (0,) * 12)  # one code, 0000, of four bits: end of block
AC_VALUES = b"\0"


def dc_codes():
    codes, code = {}, 0
    values = iter(DC_VALUES)
    for bits, count in enumerate(DC_COUNTS, 1):
        for _ in range(count):
            codes[next(values)] = (code, bits)
            code += 1
        code <<= 1
    return codes


DC_CODES = dc_codes()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rgb_png(width, height, rows, level=-1):
    """Rows: each a zero, then three bytes for each pixel."""
    return (PNG_MAGIC + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(b"".join(rows), level)) + chunk(b"IEND", b""))


def png(seed, width=64, height=64):
    """An RGB PNG of random blocks."""
    rnd = random.Random("png %d" % seed)
    cell = rnd.choice((4, 8, 16))
    rows = []
    for _ in range(0, height, cell):
        row = b"".join(bytes(rnd.randrange(256) for _ in range(3)) * cell
                       for _ in range(0, width, cell))[:width * 3]
        rows += [b"\0" + row] * cell
    return rgb_png(width, height, rows[:height])


class BitWriter:
    def __init__(self):
        self.out, self.bits, self.n = bytearray(), 0, 0

    def put(self, value, n):
        self.bits = self.bits << n | value
        self.n += n
        while self.n >= 8:
            byte = self.bits >> (self.n - 8) & 255
            self.out += bytes((byte, 0)) if byte == 255 else bytes((byte,))
            self.n -= 8
            self.bits &= (1 << self.n) - 1

    def finish(self):
        if self.n:
            self.put((1 << (8 - self.n)) - 1, 8 - self.n)
        return bytes(self.out)


def segment(marker, data):
    return b"\xff" + bytes((marker,)) + struct.pack(">H", len(data) + 2) + data


def jpeg_header(width, height):
    components = b"".join(bytes((i, 0x11, 0)) for i in (1, 2, 3))
    return (b"\xff\xd8" + segment(0xDB, b"\0" + bytes((8,)) * 64) +
            segment(0xC0, struct.pack(">BHHB", 8, height, width, 3) + components) +
            segment(0xC4, b"\0" + DC_COUNTS + DC_VALUES) +
            segment(0xC4, b"\x10" + AC_COUNTS + AC_VALUES) +
            segment(0xDA, b"\3" + b"".join(bytes((i, 0)) for i in (1, 2, 3)) + bytes((0, 63, 0))))


def jpeg(seed, width=64, height=64):
    """A baseline YCbCr JPEG of random flat blocks."""
    rnd = random.Random("jpeg %d" % seed)
    bits, last = BitWriter(), [0, 0, 0]
    for _ in range(((height + 7) // 8) * ((width + 7) // 8)):
        for i, reach in enumerate((120, 60, 60)):
            dc = rnd.randint(-reach, reach)
            difference, last[i] = dc - last[i], dc
            size = abs(difference).bit_length()
            bits.put(*DC_CODES[size])
            if size:
                bits.put(difference if difference > 0 else difference + (1 << size) - 1, size)
            bits.put(0, 4)
    return jpeg_header(width, height) + bits.finish() + b"\xff\xd9"


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def fill(folder, n, seed=0):
    """n small pictures, half of them JPEGs, in a few subfolders."""
    for i in range(n):
        sub = os.path.join(folder, "d%d" % (i % 7))
        os.makedirs(sub, exist_ok=True)
        make, extension = (jpeg, "jpg") if i % 2 else (png, "png")
        write(os.path.join(sub, "%04d.%s" % (i, extension)),
              make(seed + i, 40 + i % 5 * 16, 40 + i % 3 * 24))


def truncations():
    for name, data in (("jpg", jpeg(1, 96, 96)), ("png", png(1, 96, 96))):
        for i in range(40):
            cut = len(data) * i // 41
            yield "truncated-%02d.%s" % (i, name), data[:cut]
    large = jpeg(2, 640, 480)
    for i in range(10):
        yield "truncated-large-%d.jpeg" % i, large[:len(large) * (i + 1) // 12]


def corrupt_pngs():
    """PNGs with damage that a decoder must notice: checksums, lengths, headers, data."""
    data = png(3, 64, 64)
    for i in range(20):  # one bit of the compressed data, at different places
        at = 41 + (len(data) - 41 - 16) * i // 20
        yield "flipped-%02d.png" % i, data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1:]
    for i in range(8):  # the header's checksum and fields
        at = 16 + 2 * i
        yield "header-%d.png" % i, data[:at] + bytes((data[at] ^ 0x81,)) + data[at + 1:]

    def ihdr(width, height, depth=8, colour=2, method=0, filtering=0, lace=0):
        return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, method,
                                          filtering, lace))

    idat, iend = chunk(b"IDAT", zlib.compress(b"\0" * 1000)), chunk(b"IEND", b"")
    yield "huge.png", PNG_MAGIC + ihdr(60000, 60000) + idat + iend
    yield "huger.png", PNG_MAGIC + ihdr(0x7FFFFFFF, 0x7FFFFFFF) + idat + iend
    yield "tall.png", PNG_MAGIC + ihdr(1, 0x7FFFFFFF) + idat + iend
    yield "no-width.png", PNG_MAGIC + ihdr(0, 10) + idat + iend
    yield "no-height.png", PNG_MAGIC + ihdr(10, 0) + idat + iend
    yield "negative.png", PNG_MAGIC + ihdr(0xFFFFFFFF, 10) + idat + iend
    yield "depth.png", PNG_MAGIC + ihdr(10, 10, depth=3) + idat + iend
    yield "colour.png", PNG_MAGIC + ihdr(10, 10, colour=5) + idat + iend
    yield "method.png", PNG_MAGIC + ihdr(10, 10, method=9) + idat + iend
    yield "lace.png", PNG_MAGIC + ihdr(10, 10, lace=7) + idat + iend
    yield "no-palette.png", PNG_MAGIC + ihdr(10, 10, colour=3) + idat + iend
    yield "no-data.png", PNG_MAGIC + ihdr(10, 10) + iend
    yield "short-data.png", PNG_MAGIC + ihdr(100, 100) + idat + iend
    yield "no-zlib.png", PNG_MAGIC + ihdr(10, 10) + chunk(b"IDAT", b"not compressed") + iend
    yield "long-chunk.png", PNG_MAGIC + ihdr(10, 10) + struct.pack(">I", 0x7FFFFFFF) + b"IDAT"
    yield "filter.png", PNG_MAGIC + ihdr(10, 10) + chunk(b"IDAT", zlib.compress(b"\x09" * 310)) + iend


def corrupt_jpegs():
    data = jpeg(4, 64, 64)
    scan = data.index(b"\xff\xda")
    yield "huge.jpg", jpeg_header(60000, 60000) + b"\0" * 100 + b"\xff\xd9"
    yield "hugest.jpg", jpeg_header(65535, 65535) + b"\xff\xd9"
    yield "no-width.jpg", jpeg_header(0, 10) + b"\xff\xd9"
    yield "no-height.jpg", jpeg_header(10, 0) + b"\xff\xd9"
    yield "no-scan.jpg", data[:scan] + b"\xff\xd9"
    yield "no-tables.jpg", data.replace(b"\xff\xc4", b"\xff\xee")
    yield "no-quantisation.jpg", data.replace(b"\xff\xdb", b"\xff\xee")
    yield "no-frame.jpg", data.replace(b"\xff\xc0", b"\xff\xee")
    yield "lossless.jpg", data.replace(b"\xff\xc0", b"\xff\xc3")
    yield "twelve-bits.jpg", data.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c")
    yield "only-start.jpg", b"\xff\xd8"
    yield "only-marks.jpg", b"\xff\xd8" + b"\xff" * 500
    yield "start-end.jpg", b"\xff\xd8\xff\xd9"
    yield "segment.jpg", b"\xff\xd8\xff\xe1\xff\xff" + b"Exif\0\0" * 4
    yield "components.jpg", data.replace(struct.pack(">BHHB", 8, 64, 64, 3),
                                         struct.pack(">BHHB", 8, 64, 64, 200))
    # Code lengths that promise more codes than there are bits.
    yield "huffman.jpg", data.replace(b"\0" + DC_COUNTS, b"\0" + b"\xff" * 16)
    for i in range(6):
        at = 4 + i * (scan - 4) // 6
        yield "cut-header-%d.jpg" % i, data[:at] + b"\xff\xd9"


def other_content():
    rnd = random.Random(5)
    yield "empty.jpg", b""
    yield "empty.png", b""
    yield "text.jpg", b"This is not a picture.\n"
    yield "page.png", b"<!DOCTYPE html><title>404</title>"
    yield "program.jpe", b"\x7fELF" + bytes(200)
    yield "gif.jpg", b"GIF89a\1\0\1\0\0\0\0;"
    yield "webp.png", b"RIFF\x1a\0\0\0WEBPVP8L"
    yield "tiff.jpg", b"II*\0\x08\0\0\0\0\0"
    yield "pdf.jfif", b"%PDF-1.7\n"
    yield "zip.png", b"PK\3\4" + bytes(60)
    yield "zero.jpg", bytes(100000)
    yield "ones.png", b"\xff" * 1000
    for i in range(40):
        yield "noise-%02d.%s" % (i, ("jpg", "png")[i % 2]), rnd.randbytes(1 + 97 * i)
    for i in range(20):
        yield "magic-%02d.png" % i, PNG_MAGIC + rnd.randbytes(i * 31)
        yield "magic-%02d.jpg" % i, b"\xff\xd8\xff\xe0" + rnd.randbytes(i * 31)


def bad_inputs(folder):
    """Writes them all; returns the names, as bytes, that must be listed as errors."""
    bad = []

    def at(name):
        bad.append(name if isinstance(name, bytes) else name.encode())
        return os.path.join(os.fsencode(folder), bad[-1])

    for source in (truncations(), corrupt_pngs(), corrupt_jpegs(), other_content()):
        for name, data in source:
            write(at(name), data)
    write(at(b"not-utf8-\xff\xfe.jpg"), b"x")
    write(at("line\nbreak \x1b[31m.png"), b"x")
    write(at("a" * 251 + ".jpg"), b"x")
    os.mkfifo(at("fifo.jpg"))
    os.mkfifo(at("fifo.png"))
    with socket.socket(socket.AF_UNIX) as s:
        here = os.getcwd()
        os.chdir(folder)
        s.bind(at("socket.jpg").rsplit(b"/", 1)[-1])
        os.chdir(here)
    os.symlink("nowhere.jpg", at("dangling.jpg"))
    os.symlink("loop.jpg", at("loop.jpg"))
    os.symlink("/dev/zero", at("device.jpg"))
    os.symlink("fifo.jpg", at("linked-fifo.jpg"))
    with open(at("sparse.jpg"), "wb") as f:
        f.truncate((1 << 30) + 1)  # longer than any picture may be; takes no room
    return bad
