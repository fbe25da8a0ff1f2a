"""Small ICC profiles, made here byte by byte (ICC.1:2001-04): matrix and curve for
RGB, a curve for grey, and a coarse table for CMYK. For the fixtures of tests."""
import struct

import numpy as np

D50 = np.array([0.9642, 1.0, 0.8249])
D65 = (0.3127, 0.3290)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367],
                     [0.0389, -0.0685, 1.0296]])
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
P3 = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def xyz_of(xy):
    return np.array([xy[0] / xy[1], 1.0, (1 - xy[0] - xy[1]) / xy[1]])


def colorants(primaries, white=D65):
    """Columns: red, green, blue, adapted to D50."""
    m = np.stack([xyz_of(p) for p in primaries], axis=1)
    m = m * np.linalg.solve(m, xyz_of(white))
    ratio = (BRADFORD @ D50) / (BRADFORD @ xyz_of(white))
    return np.linalg.inv(BRADFORD) @ np.diag(ratio) @ BRADFORD @ m


def fixed(value):
    return struct.pack(">i", int(round(value * 65536)))


def xyz(values):
    return b"XYZ \0\0\0\0" + b"".join(fixed(v) for v in values)


def gamma_curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, int(round(gamma * 256))) + b"\0\0"


def parametric_curve(values):
    return b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + b"".join(fixed(v) for v in values)


def text(name):
    data = name.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(data)) + data + bytes(78)


def profile(space, kind, tags, pcs=b"XYZ ", version=0x02400000):
    tags = [(b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", xyz(D50))] + tags
    at = 128 + 4 + 12 * len(tags)
    table, data = b"", b""
    for name, body in tags:
        body += bytes(-len(body) % 4)
        table += name + struct.pack(">II", at + len(data), len(body))
        data += body
    size = at + len(data)
    head = struct.pack(">I4sI4s4s4s", size, b"none", version, kind, space, pcs)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += b"".join(fixed(v) for v in D50)
    head += bytes(128 - len(head))
    return head + struct.pack(">I", len(tags)) + table + data


def rgb(name, primaries, curve):
    m = colorants(primaries)
    tags = [(b"desc", text(name))]
    tags += [(tag, xyz(m[:, i])) for i, tag in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))]
    tags += [(tag, curve) for tag in (b"rTRC", b"gTRC", b"bTRC")]
    return profile(b"RGB ", b"mntr", tags, version=0x04300000)


def grey(name, gamma):
    return profile(b"GRAY", b"mntr", [(b"desc", text(name)), (b"kTRC", gamma_curve(gamma))])


def cmyk(name):
    """Inks that are a little dirty: a table of 2 x 2 x 2 x 2 points, in Lab."""
    ramp = bytes(range(256))
    points = b""
    for c in (0, 1):
        for m in (0, 1):
            for y in (0, 1):
                for k in (0, 1):
                    light = (95 - 35 * c - 45 * m - 8 * y) * (0.15 if k else 1)
                    a = (-35 * c + 70 * m - 5 * y) * (0.1 if k else 1)
                    b = (-45 * c - 5 * m + 85 * y) * (0.1 if k else 1)
                    points += bytes([int(max(light, 0) * 2.55),
                                     int(min(max(a + 128, 0), 255)),
                                     int(min(max(b + 128, 0), 255))])
    identity = b"".join(fixed(v) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + ramp * 4 + points + ramp * 3
    return profile(b"CMYK", b"prtr", [(b"desc", text(name)), (b"A2B0", lut)], pcs=b"Lab ")


DISPLAY_P3 = rgb("Display P3", P3, parametric_curve(SRGB_CURVE))
SRGB_LIKE = rgb("no name that tells", SRGB, parametric_curve(SRGB_CURVE))
LINEAR_SRGB = rgb("sRGB, but linear", SRGB, gamma_curve(1.0))
GREY_18 = grey("grey, gamma 1.8", 1.8)
CMYK = cmyk("dirty inks")
