#!/usr/bin/env python3
"""The rules of the tree that no compiler checks.

Rooms include only downwards: core <- storage <- {indexer, searchd, cli}, and these
last three not one another. A third-party header is included in its one file or
small group (the table OWNERS). No tracked file is large or a build product; no
source file is long. Rooms link what is not theirs PRIVATE.
"""

import os
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(os.environ.get("OSPREY_SOURCE", pathlib.Path(__file__).resolve().parents[1]))

ROOMS = {
    "core": {"core"},
    "decode": {"decode", "core"},
    "storage": {"storage", "core"},
    "indexer": {"indexer", "storage", "core"},
    "searchd": {"searchd", "storage", "core"},
    "cli": {"cli", "storage", "core"},
}

# Third-party headers (by the beginning of their name) and the files that may include them.
OWNERS = [
    (r"sqlite3\.h", r"storage/catalog[^/]*"),
    (r"faiss/", r"storage/vindex[^/]*"),
    (r"turbojpeg\.h|jpeglib\.h|jerror\.h", r"core/image/(de|en)code_jpeg\.c"),
    (r"png\.h", r"core/image/decode_png\.c"),
    (r"libexif/", r"core/image/exif\.c"),
    (r"exempi/", r"core/meta/xmp\.c"),
    (r"zlib\.h", r"core/meta/container_png\.c|cli/parquet_codec\.c"),
    (r"brotli/", r"core/meta/container_boxes\.c"),
    (r"snappy-c\.h", r"cli/parquet_codec\.c"),
    (r"webp/", r"core/image/decode_webp\.c"),
    (r"gif_lib\.h", r"core/image/decode_gif\.c"),
    (r"tiffio\.h", r"core/image/decode_tiff\.c"),
    (r"libheif/", r"core/image/decode_heif\.c"),
    (r"jxl/", r"core/image/decode_jxl\.c"),
    (r"libraw/", r"core/image/decode_raw\.c"),
    (r"libav[a-z]+/|libswscale/", r"core/image/decode_video\.c"),
    (r"lcms2\.h", r"core/image/colour\.c"),
    (r"seccomp\.h", r"decode/sandbox\.c"),
    (r"jansson\.h", r"core/base/json\.c"),
    (r"utf8proc\.h", r"core/text/[^/]*"),
    (r"xxhash\.h", r"core/base/hash\.c|core/model/prepared\.c|indexer/[^/]*|storage/[^/]*"),
    (r"curl/", r"cli/(hub_http|remote)\.c"),
    (r"openssl/", r"cli/hub_hash\.c"),
    (r"chafa\.h", r"cli/preview\.c"),
    (r"microhttpd\.h", r"searchd/server[^/]*"),
    (r"cmocka\.h", r"tests/.*"),
    (r"cblas\.h|openblas[^/]*\.h", r"storage/vindex[^/]*|benchmarks/.*"),
]

# The C library's, POSIX's, Linux's and the compiler's own.
STANDARD = re.compile(
    r"(assert|complex|ctype|errno|fenv|float|inttypes|iso646|limits|locale|math|setjmp|signal"
    r"|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|tgmath"
    r"|threads|time|uchar|wchar|wctype"
    r"|dirent|dlfcn|fcntl|fnmatch|ftw|getopt|glob|grp|iconv|langinfo|libgen|malloc|poll|pthread"
    r"|pwd|regex|sched|semaphore|spawn|strings|sysexits|syslog|termios|unistd|utime|wordexp|alloca"
    r"|byteswap|endian|err|execinfo|features|mntent|netdb|omp|cpuid|immintrin|x86intrin|arm_neon"
    r"|(sys|linux|netinet|arpa|net|asm)/[a-z0-9_/]+)\.h$")

# Lines; generated tables (*_tables.h) may be longer.
LONGEST, LONGEST_TEST = 600, 800
LARGEST = 1 << 20  # bytes
MAY_BE_LARGE = re.compile(r"models/[^/]+/(heads|reranker)[^/]*\.safetensors$")
PRODUCTS = re.compile(r"\.(o|a|so|obj|pyc|gch|d|whl|deb|db|faiss)$|(^|/)CMakeCache\.txt$")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def tracked():
    """The project's files: git's, or all outside ignored folders where there is no git."""
    run = subprocess.run(["git", "-C", str(ROOT), "-c", "safe.directory=*", "ls-files", "-z"],
                         capture_output=True)
    if run.returncode == 0 and run.stdout:
        names = [os.fsdecode(n) for n in run.stdout.split(b"\0") if n]
    else:
        names = []
        for top, folders, files in os.walk(ROOT):
            folders[:] = [f for f in folders if f not in (".git", ".deps", "__pycache__", "demo")
                          and not f.startswith("build")]
            names += [os.path.relpath(os.path.join(top, f), ROOT) for f in files
                      if not re.search(r"model\.safetensors$|vocab\.txt$", f)]
    return sorted(n for n in names if (ROOT / n).is_file())


FILES = tracked()
SOURCES = [n for n in FILES if n.endswith((".c", ".h"))]


def includes(name):
    """(is in angle brackets, header) for each #include of a file."""
    text = (ROOT / name).read_text(errors="replace")
    return [(mark == "<", header) for mark, header in INCLUDE.findall(text)]


def room_of(name, header):
    """The top folder that a quoted header lies in, as the compiler would find it."""
    for base in (os.path.dirname(name), "core", "."):
        path = os.path.normpath(os.path.join(base, header))
        if (ROOT / path).is_file():
            return path.split(os.sep)[0]
    return None


def include_faults(name, found):
    """What is wrong with the headers that a file includes, as sentences."""
    faults = []
    for angled, header in found:
        if angled:
            owner = next((files for names, files in OWNERS if re.match(names, header)), None)
            if owner is not None:
                if not re.fullmatch(owner, name):
                    faults.append("%s includes <%s>, which only %s may" % (name, header, owner))
            elif not STANDARD.match(header):
                faults.append("%s includes <%s>, which is in no table here" % (name, header))
            continue
        if any(re.match(names, header) for names, _ in OWNERS):
            faults.append('%s includes "%s" in quotes: third-party headers go in < >'
                          % (name, header))
            continue
        allowed = ROOMS.get(name.split("/")[0])
        if allowed is None:
            continue  # tests, benchmarks: anywhere
        if header.endswith(".inc") and "/" not in header:
            continue  # made by the build from a file of the tree
        room = room_of(name, header)
        if room is None:
            faults.append('%s includes "%s", which is not found' % (name, header))
        elif room not in allowed:
            faults.append('%s includes "%s": %s may not include %s'
                          % (name, header, name.split("/")[0], room))
    return faults


class Structure(unittest.TestCase):
    def assert_none(self, faults):
        self.assertEqual(faults, [], "\n" + "\n".join(faults))

    def test_there_is_something_to_check(self):
        self.assertGreater(len(SOURCES), 20)
        for room in ROOMS:
            self.assertTrue(any(n.startswith(room + "/") for n in SOURCES), room)

    def test_includes_go_downwards_and_third_parties_stay_home(self):
        self.assert_none([f for n in SOURCES for f in include_faults(n, includes(n))])

    def test_the_rules_would_catch(self):
        some = next(n for n in SOURCES if n.startswith("storage/") and n.endswith(".h"))
        for name, found in [
                ("core/base/err.c", (False, some)),
                ("core/base/err.c", (True, "sqlite3.h")),
                ("storage/library.c", (True, "faiss/c_api/Index_c.h")),
                ("cli/main.c", (True, "nowhere.h")),
                ("cli/main.c", (False, "jansson.h")),
                ("cli/main.c", (False, "not/there.h"))]:
            self.assertEqual(len(include_faults(name, [found])), 1, (name, found))
        self.assertEqual(include_faults("cli/main.c", [(False, some), (True, "stdio.h")]), [])

    def test_the_last_rooms_do_not_know_one_another(self):
        for room in ("indexer", "searchd", "cli"):
            others = {"indexer", "searchd", "cli"} - {room}
            self.assertFalse(ROOMS[room] & others)
            text = (ROOT / room / "CMakeLists.txt").read_text()
            for other in others:
                self.assertNotRegex(text, r"osprey_%s\b" % other)

    def test_third_parties_are_linked_privately(self):
        faults = []
        for room in ROOMS:
            text = re.sub(r"#.*", "", (ROOT / room / "CMakeLists.txt").read_text())
            for call in re.findall(r"target_link_libraries\(([^)]*)\)", text):
                scope = None
                for word in call.split()[1:]:
                    if word in ("PUBLIC", "PRIVATE", "INTERFACE"):
                        scope = word
                    elif scope != "PRIVATE" and not word.startswith("osprey_"):
                        faults.append("%s/CMakeLists.txt links %s %s" % (room, word, scope))
                    elif scope != "PRIVATE" and word == "osprey_faiss":
                        faults.append("%s/CMakeLists.txt links FAISS %s" % (room, scope))
        self.assert_none(faults)

    def test_nothing_large_or_built_is_tracked(self):
        faults = []
        for name in FILES:
            size = (ROOT / name).stat().st_size
            if size > LARGEST and not MAY_BE_LARGE.search(name):
                faults.append("%s has %d bytes" % (name, size))
            with open(ROOT / name, "rb") as f:
                head = f.read(8)
            if PRODUCTS.search(name) or head.startswith((b"\x7fELF", b"!<arch>")):
                faults.append("%s is a build product" % name)
        self.assert_none(faults)

    def test_files_are_short(self):
        faults = []
        for name in FILES:
            if not name.endswith((".c", ".h", ".py", ".sh")) or name.endswith("_tables.h"):
                continue
            lines = (ROOT / name).read_bytes().count(b"\n")
            if lines > (LONGEST_TEST if name.startswith("tests/") else LONGEST):
                faults.append("%s has %d lines: it probably holds two things" % (name, lines))
        self.assert_none(faults)

    def test_each_source_says_what_it_is(self):
        faults = []
        for name in SOURCES:
            text = (ROOT / name).read_text(errors="replace")
            # A handful of lines needs no introduction.
            if (name.split("/")[0] in ROOMS and text.count("\n") > 8
                    and not text.lstrip().startswith("/*")):
                faults.append("%s does not begin with a comment" % name)
        self.assert_none(faults)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
