"""TIFF directories, and camera RAW as DNG 1.4, written byte by byte. For the fixtures of
tests."""
import io
import struct

from PIL import Image


def ifd_bytes(order, entries, at):
    """One directory at offset at, and behind it what does not fit into entries."""
    sizes = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 7: "B", 9: "i", 10: "ii"}
    head, tail = struct.pack(order + "H", len(entries)), b""
    beyond = at + 2 + 12 * len(entries) + 4
    for tag, kind, values in sorted(entries):
        if kind == 2:
            data, count = values, len(values)
        elif kind in (5, 10):
            data = b"".join(struct.pack(order + sizes[kind], *v) for v in values)
            count = len(values)
        else:
            data = struct.pack(order + "%d%s" % (len(values), sizes[kind]), *values)
            count = len(values)
        if len(data) <= 4:
            body = data + bytes(4 - len(data))
        else:
            body = struct.pack(order + "I", beyond + len(tail))
            tail += data + bytes(len(data) % 2)
        head += struct.pack(order + "HHI", tag, kind, count) + body
    return head + struct.pack(order + "I", 0) + tail


def dng(samples, preview=None, order="<", orientation=1, white=4095, linear=False, dated_at=None,
        bits=16):
    """samples: (height, width) of an RGGB sensor, or (height, width, 3) linear."""
    height, width = samples.shape[:2]
    raw = samples.astype(order + "u2").tobytes() if bits == 16 else samples.astype("u1").tobytes()
    blob, at = b"", 8
    def put(data):
        nonlocal blob
        offset = at + len(blob)
        blob += data + bytes(len(data) % 2)
        return offset
    raw_at = put(raw)
    sensor = [(254, 4, [0]), (256, 4, [width]), (257, 4, [height]), (259, 3, [1]),
              (277, 3, [3 if linear else 1]), (278, 4, [height]), (273, 4, [raw_at]),
              (279, 4, [len(raw)]), (284, 3, [1]), (262, 3, [34892 if linear else 32803]),
              (258, 3, [bits] * (3 if linear else 1)), (50717, 4, [white] * (3 if linear else 1))]
    if not linear:
        sensor += [(33421, 3, [2, 2]), (33422, 1, [0, 1, 1, 2])]
    common = [(271, 2, b"Osprey Optics\0"), (272, 2, b"Talon 3\0"), (274, 3, [orientation]),
              (50706, 1, [1, 4, 0, 0]), (50708, 2, b"Osprey Optics Talon 3\0"),
              (50721, 10, [(32406, 10000), (-15372, 10000), (-4986, 10000), (-9689, 10000),
                           (18758, 10000), (415, 10000), (557, 10000), (-2040, 10000),
                           (10570, 10000)]),
              (50728, 5, [(1, 1), (1, 1), (1, 1)]), (50778, 3, [21])]
    if dated_at:
        common += [(306, 2, dated_at + b"\0")]
    if preview is None:
        main = sensor + common
    else:
        preview_at = put(preview)
        size = Image.open(io.BytesIO(preview)).size
        sub_at = at + len(blob)
        blob += ifd_bytes(order, sensor, sub_at)
        blob += bytes(len(blob) % 2)
        main = common + [(254, 4, [1]), (256, 4, [size[0]]), (257, 4, [size[1]]), (259, 3, [7]),
                         (258, 3, [8, 8, 8]), (262, 3, [6]), (277, 3, [3]), (278, 4, [size[1]]),
                         (273, 4, [preview_at]), (279, 4, [len(preview)]), (284, 3, [1]),
                         (330, 4, [sub_at])]
    main_at = at + len(blob)
    blob += ifd_bytes(order, main, main_at)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(order + "I", main_at) + blob
