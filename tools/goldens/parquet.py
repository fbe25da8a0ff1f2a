#!/usr/bin/env python3
"""Writes tests/data/parquet/: small files of every encoding, page version and codec that
cli/parquet.h reads, and of some that it refuses; and the first of the fuzzer's corpus.

All but some small ones have the ROWS rows that row() makes, which
tests/test_parquet.c makes again. pandas.parquet is what clip-retrieval's writer asks
pandas for, with defaults, beside columns of other kinds.

Needs pyarrow and pandas; run it only to change the fixtures.
"""
import os
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "..", "tests", "data", "parquet")
CORPUS = os.path.join(HERE, "..", "..", "tests", "fuzz", "corpus", "parquet")
ROWS = 60
CAPTIONS = ["a dog", "a cat on a mat", "two owls"]


def row(i):
    path = "photos/%d/picture %d \u00e9.jpg" % (i % 4, i * i // 2)
    if i == 17:
        path = "wide/" + "x" * 900
    caption = None if i % 7 == 3 else "" if i % 11 == 5 else CAPTIONS[i % 3]
    return path, caption


def table(required=False):
    rows = [row(i) for i in range(ROWS)]
    columns = [("n", pa.int64(), list(range(ROWS)), True),
               ("tags", pa.list_(pa.string()), [["x"] * (i % 3) for i in range(ROWS)], True),
               ("image_path", pa.string(), [r[0] for r in rows], not required),
               ("caption", pa.string(), [r[1] for r in rows], True)]
    schema = pa.schema([pa.field(name, kind, null) for name, kind, _, null in columns])
    return pa.table([pa.array(values, kind) for _, kind, values, _ in columns], schema=schema)


def write(name, what=None, **options):
    options = {"compression": "none", "write_statistics": False, "store_schema": False,
               "use_dictionary": False} | options
    pq.write_table(table() if what is None else what, os.path.join(OUT, name + ".parquet"), **options)


os.makedirs(OUT, exist_ok=True)
os.makedirs(CORPUS, exist_ok=True)
write("plain")
write("plain-snappy", compression="snappy")
write("plain-gzip", compression="gzip", write_page_checksum=True)
write("plain-2", data_page_version="2.0")
write("plain-2-snappy", data_page_version="2.0", compression="snappy")
write("dictionary", use_dictionary=True, write_page_checksum=True)
write("dictionary-old", use_dictionary=True, version="1.0", compression="snappy")
write("dictionary-2-snappy", use_dictionary=True, data_page_version="2.0", compression="snappy")
write("required", table(True), use_dictionary=True)
write("required-2-gzip", table(True), data_page_version="2.0", compression="gzip")
write("groups", use_dictionary=True, row_group_size=23, data_page_size=64, write_batch_size=4,
      compression="snappy")
write("fall-back", use_dictionary=True, dictionary_pagesize_limit=300, write_batch_size=8,
      compression="snappy")
write("statistics", use_dictionary=True, write_statistics=True, write_page_index=True,
      store_schema=True, compression="snappy")
write("empty", table()[:0])
# What osprey import takes, image_path before path; and refuses: a path that is null, one that is empty, no column of paths.
write("paths", pa.table({"path": ["no", "no", "no"],
                          "image_path": ["one.png", "below/two \u00e9.png", "gone.png"]}))
write("null", pa.table({"path": ["a.png", None]}))
write("blank", pa.table({"path": ["a.png", ""]}), use_dictionary=True)
write("other", pa.table({"name": ["a.png", "b.png"]}))
# Refused, with a reason.
write("zstd", compression="zstd")
write("delta", compression="gzip", column_encoding={"image_path": "DELTA_BYTE_ARRAY"})

pd.DataFrame({"image_path": ["one.png", "below/two \u00e9.png", "gone.png"],
              "caption": ["a disc", None, "waves"],
              "key": ["000000000", "000000001", "000000002"],
              "url": ["https://example.org/%d" % i for i in range(3)],
              "width": [640, 320, None], "similarity": [0.25, 0.5, 0.75],
              "tags": [["a", "b"], [], None]}).to_parquet(os.path.join(OUT, "pandas.parquet"))

for name in ("dictionary-2-snappy", "required-2-gzip", "fall-back"):
    shutil.copy(os.path.join(OUT, name + ".parquet"), os.path.join(CORPUS, name))
