#!/usr/bin/env python3
"""Writes tests/data/resize.txt: what Pillow's Image.resize makes of synthetic
pictures, as CRC-32 of the output bytes, and tests/data/preprocess.txt: the same
of transformers' Pillow-based CLIP processor before rescaling.

Needs numpy, Pillow and transformers; run it only to change the cases.
tests/test_resize.c and tests/test_preprocess.c make the same pictures
(tests/picture.h) and compare.
"""
import os
import random
import zlib

import numpy as np
from PIL import Image

DATA = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "data")


def picture(width, height, seed):
    """As picture_fill in tests/picture.h: noise for odd seeds, else ramps."""
    y, x, c = np.meshgrid(np.arange(height, dtype=np.uint32), np.arange(width, dtype=np.uint32),
                          np.arange(3, dtype=np.uint32), indexing="ij")
    if seed % 2 == 0:
        return ((x * 5 + y * 3 + c * 40 + np.uint32(seed)) & 255).astype(np.uint8)
    with np.errstate(over="ignore"):
        h = (x * np.uint32(2654435761) + y * np.uint32(2246822519) + c * np.uint32(3266489917)
             + np.uint32(seed))
        h ^= h >> np.uint32(15)
        h *= np.uint32(2246822519)
        h ^= h >> np.uint32(13)
    return (h & 255).astype(np.uint8)


def side(rng):
    return rng.choice([rng.randint(1, 9), rng.randint(1, 60), rng.randint(1, 400)])


def resize_cases():
    rng = random.Random(20240229)
    for _ in range(300):
        yield (side(rng), side(rng), side(rng), side(rng), rng.choice([0, 2, 2, 3, 3, 3]),
               rng.randint(0, 999))
    for resample in (0, 2, 3):
        for iw, ih, ow, oh in ((1, 1, 1, 1), (1, 1, 37, 23), (640, 480, 1, 1), (1, 2000, 8, 300),
                               (2000, 1, 300, 8), (500, 333, 500, 111), (500, 333, 111, 333),
                               (500, 333, 500, 333), (1000, 750, 298, 224), (224, 224, 225, 223),
                               (31, 17, 1024, 768), (3001, 5, 2, 9)):
            yield iw, ih, ow, oh, resample, 2 * resample + iw % 2


def preprocess_cases():
    rng = random.Random(7)
    for _ in range(120):
        yield side(rng), side(rng), rng.randint(1, 60), rng.randint(1, 80), rng.randint(1, 80), \
            rng.choice([0, 2, 3]), rng.randint(0, 999)
    for case in ((640, 480, 224, 224, 224, 3, 1), (333, 500, 224, 224, 224, 2, 3),
                 (3, 2000, 24, 32, 16, 3, 5), (2000, 3, 24, 16, 32, 3, 5),
                 (100, 100, 32, 64, 64, 3, 7)):
        yield case


def main():
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    with open(os.path.join(DATA, "resize.txt"), "w") as out:
        for iw, ih, ow, oh, resample, seed in resize_cases():
            image = Image.fromarray(picture(iw, ih, seed)).resize((ow, oh), resample)
            print(iw, ih, ow, oh, resample, seed, "%08x" % zlib.crc32(image.tobytes()), file=out)
    with open(os.path.join(DATA, "preprocess.txt"), "w") as out:
        for iw, ih, edge, cw, ch, resample, seed in preprocess_cases():
            processor = CLIPImageProcessorPil(
                size={"shortest_edge": edge}, crop_size={"height": ch, "width": cw},
                resample=resample, do_rescale=False, do_normalize=False)
            pixels = processor(Image.fromarray(picture(iw, ih, seed)),
                               return_tensors="np")["pixel_values"][0]
            assert pixels.shape == (3, ch, cw), pixels.shape
            data = pixels.transpose(1, 2, 0).astype(np.uint8).tobytes()
            print(iw, ih, edge, cw, ch, resample, seed, "%08x" % zlib.crc32(data), file=out)


if __name__ == "__main__":
    main()
