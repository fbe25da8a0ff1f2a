"""What is written into pictures and beside them, read back by ExifTool.

Every kind of file that is written into, with and without what other programs left
there: all of that stays, Osprey's tags come and go, and without them the file is what
it was to the byte. `osprey tag --write` is killed fifty times; the library learns of
what was written, and does not take it for the pictures' own.
"""

import base64
import json
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import tempfile
import time
import unittest
import xml.etree.ElementTree

import pictures

BUILD = os.environ["OSPREY_BUILD"]
OSPREY = os.path.join(BUILD, "osprey")
TOOL = os.path.join(BUILD, "tests", "metadata-tool")
EXIFTOOL = shutil.which("exiftool")
KILLS = 50

# A pixel each: lossless with transparency, and lossy.
WEBP = [base64.b64decode(b"UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="),
        base64.b64decode(b"UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA")]


def tiff(order, big=False):
    """A grey TIFF of 4 x 3 pixels, its directory behind them."""
    wide = "Q" if big else "I"
    head = 16 if big else 8
    fields = [(256, 4), (257, 3), (258, 8), (259, 1), (262, 1), (273, head), (277, 1),
              (278, 3), (279, 12)]
    mark = b"II" if order == "<" else b"MM"
    start = (struct.pack(order + "HHHQ", 43, 8, 0, head + 12) if big
             else struct.pack(order + "HI", 42, head + 12))
    directory = struct.pack(order + ("Q" if big else "H"), len(fields))
    for tag, value in fields:
        directory += struct.pack(order + "HH" + wide, tag, 4, 1)
        directory += struct.pack(order + "I", value) + b"\0" * (4 if big else 0)
    return mark + start + bytes(range(12)) + directory + struct.pack(order + wide, 0)


KINDS = {"a.jpg": pictures.jpeg(1), "b.png": pictures.png(2), "c.webp": WEBP[0],
         "d.webp": WEBP[1], "e.tif": tiff("<"), "f.tif": tiff(">"), "g.tiff": tiff("<", True)}

# What other programs leave behind.
OTHERS = ["-XMP-dc:Subject=Grandmother", "-XMP-dc:Subject=dog", "-XMP-dc:Creator=Somebody",
          "-XMP-lr:HierarchicalSubject=Family|Grandmother", "-XMP-xmp:Rating=4",
          "-XMP-dc:Description-de=Auf Deutsch", "-XMP-photoshop:City=Rome",
          "-XMP-xmpMM:History+={Action=saved,When=2020:01:02}", "-EXIF:ImageDescription=An old one",
          "-EXIF:Artist=Painter", "-EXIF:GPSLatitude=52.5", "-EXIF:GPSLatitudeRef=N",
          "-EXIF:GPSLongitude=13.4", "-EXIF:GPSLongitudeRef=E"]
IPTC = ["-IPTC:Keywords=Hafen", "-IPTC:Keywords=Schiff", "-IPTC:Caption-Abstract=Am Hafen"]


def run(*command, status=0, stderr_too=False, **more):
    done = subprocess.run(command, capture_output=True, **more)
    if status is not None and done.returncode != status:
        raise AssertionError("%r: %d\n%s%s" % (command, done.returncode, done.stdout.decode(),
                                               done.stderr.decode()))
    return (done.stdout + (done.stderr if stderr_too else b"")).decode()


class ExifTool:
    """One process for all, for Perl takes its time to start."""

    process = None

    @classmethod
    def ask(cls, *arguments):
        if cls.process is None:
            cls.process = subprocess.Popen([EXIFTOOL, "-stay_open", "True", "-@", "-"],
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                           stderr=subprocess.STDOUT)
        cls.process.stdin.write(("\n".join(arguments + ("-execute", ""))).encode())
        cls.process.stdin.flush()
        lines = []
        while True:
            line = cls.process.stdout.readline().decode()
            if not line:
                raise AssertionError("exiftool ended: %s" % "".join(lines))
            if line.startswith("{ready"):
                return "".join(lines)
            lines.append(line)

    @classmethod
    def change(cls, *arguments):
        said = cls.ask(*([] if "-o" in arguments else ["-overwrite_original"]), *arguments)
        if "Error" in said or "Warning" in said:  # silenced, it would not say that it is ready
            raise AssertionError("exiftool %s: %s" % (" ".join(arguments), said))

    @classmethod
    def end(cls):
        if cls.process:
            cls.process.communicate(b"-stay_open\nFalse\n")
            cls.process = None


def setUpModule():
    global cache
    cache = tempfile.mkdtemp(prefix="osprey-write-")
    os.environ["XDG_CACHE_HOME"] = cache


def tearDownModule():
    ExifTool.end()
    shutil.rmtree(cache)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def exif(path):
    """All that ExifTool finds in a file; lists as lists."""
    out = ExifTool.ask("-json", "-struct", "-a", "-G1", "-n", "-api", "LargeFileSupport=1", path)
    return {k: v for k, v in json.loads(out)[0].items()
            if k.split(":")[0] not in ("System", "File", "ExifTool", "SourceFile", "Composite")
            and not k.endswith(":XMPToolkit")}


def listed(found, key):
    value = found.get(key, [])
    return value if isinstance(value, list) else [value]


@unittest.skipUnless(EXIFTOOL, "exiftool is missing (libimage-exiftool-perl)")
class Kinds(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="osprey-write-")
        self.addCleanup(shutil.rmtree, self.dir)

    def make(self, name, *others):
        path = os.path.join(self.dir, name)
        pictures.write(path, KINDS[name])
        if others:
            ExifTool.change(*others, path)
        os.utime(path, (1000000000, 1100000000))
        return path

    def check_tags(self, found, tags):
        self.assertEqual(set(listed(found, "XMP-dc:Subject")) & {"dog", "beach", "Flu\u00df"},
                         {t.split("|")[-1] for t in tags})
        for tag in tags:
            self.assertIn(tag, listed(found, "XMP-lr:HierarchicalSubject"))
            self.assertIn(tag.replace("|", "/"), listed(found, "XMP-digiKam:TagsList"))

    def check_others(self, before, after):
        """All that was there is there, lists perhaps with more in them."""
        for key, value in before.items():
            if isinstance(value, list) and isinstance(after.get(key), list):
                self.assertEqual([v for v in after[key] if v in value], value, key)
            elif isinstance(after.get(key), list):
                self.assertIn(value, after[key], key)
            else:
                self.assertEqual(after.get(key), value, key)

    def round_trip(self, path, place):
        tags = ["animal|dog", "beach", "Flu\u00df"]
        target = path + ".xmp" if place == "sidecar" else path
        untouched = read(path)
        started = read(target) if os.path.exists(target) else None
        before = exif(target) if started else {}
        run(TOOL, place, path, *tags)
        after = exif(target)
        self.check_tags(after, tags)
        self.check_others(before, after)
        written = read(target)
        run(TOOL, place, path, *tags, status=1)
        self.assertEqual(read(target), written)
        run(TOOL, place, path, "beach")
        self.assertNotIn("animal|dog", listed(exif(target), "XMP-lr:HierarchicalSubject"))
        run(TOOL, place, path)
        if started is None:
            self.assertFalse(os.path.exists(target))
        else:
            self.assertEqual(exif(target), before)
        if place == "sidecar":
            self.assertEqual(read(path), untouched)
        return started

    def test_plain_files(self):
        for name in KINDS:
            with self.subTest(name):
                path = self.make(name)
                self.round_trip(path, "file")
                self.assertEqual(read(path), KINDS[name])
                status = os.stat(path)
                self.assertEqual((status.st_mtime, status.st_mode & 0o777), (1100000000, 0o644))
                self.round_trip(path, "sidecar")

    def test_files_with_what_others_wrote(self):
        for name in KINDS:
            if name in ("g.tiff",):  # which this ExifTool does not write
                continue
            with self.subTest(name):
                others = OTHERS + (IPTC if name[-3:] in ("jpg", "tif") else [])
                path = self.make(name, *others)
                self.assertIn("Grandmother", listed(exif(path), "XMP-dc:Subject"))
                self.round_trip(path, "file")
                self.round_trip(path, "sidecar")

    def test_sidecars_with_what_others_wrote(self):
        path = self.make("a.jpg")
        ExifTool.change(*[o for o in OTHERS if "XMP" in o], "-o", path + ".xmp", path)
        self.assertIsNotNone(self.round_trip(path, "sidecar"))

    def test_old_keywords_are_not_hidden(self):
        for name in ("a.jpg", "e.tif"):
            path = self.make(name, *IPTC)
            before = read(path)
            run(TOOL, "file", path, "beach")
            self.assertEqual(set(listed(exif(path), "XMP-dc:Subject")),
                             {"beach", "Hafen", "Schiff"})
            run(TOOL, "file", path)
            self.assertEqual(read(path), before)

    def test_a_long_packet_stays_whole(self):
        """More than a JPEG's segment holds, which lies in "extended" ones."""
        path = self.make("a.jpg", "-XMP-dc:Creator=Me")
        big = os.path.join(self.dir, "big.xmp")
        ExifTool.change("-XMP-dc:Description=" + "long " * 4000,
            "-XMP-photoshop:Instructions=" + "more " * 12000, "-o", big, path)
        ExifTool.change("-tagsFromFile", big, "-all:all", path)
        before = exif(path)
        self.assertIn(b"http://ns.adobe.com/xmp/extension/", read(path))
        self.assertGreater(len(before["XMP-photoshop:Instructions"]), 59000)
        run(TOOL, "file", path, "beach")
        after = exif(path)
        self.assertEqual(listed(after, "XMP-dc:Subject"), ["beach"])
        self.check_others(before, after)
        run(TOOL, "file", path)
        self.assertEqual(exif(path), before)


class Library(unittest.TestCase):
    """Through osprey: pictures of a library, told of by the catalogue."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="osprey-write-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.folder = os.path.join(self.dir, "pictures")
        os.mkdir(self.folder)
        self.library = os.path.join(self.dir, "library")
        self.labels = os.path.join(self.dir, "labels.txt")
        pictures.write(self.labels, b"pattern|blocks\npattern|colours\ncat\n")
        self.names = ["%02d.%s" % (i, "png" if i % 2 else "jpg") for i in range(16)]
        for i, name in enumerate(self.names):
            make = pictures.png if i % 2 else pictures.jpeg
            pictures.write(self.path(name), make(i + 1))
        self.before = {n: read(self.path(n)) for n in self.names}

    def path(self, name):
        return os.path.join(self.folder, name)

    def osprey(self, *command, status=0):
        return run(OSPREY, command[0], "--library", self.library, *command[1:], status=status)

    def index(self, *more):
        return json.loads(self.osprey("index", "--json", self.folder, *more).splitlines()[-1])

    def tag(self, *more, status=0):
        return self.osprey("tag", "--vocab", self.labels, "--threshold", "0", *more, status=status)

    def rows(self, sql):
        db = sqlite3.connect(os.path.join(self.library, "catalog.db"))
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def files(self):
        return {n: read(self.path(n)) for n in os.listdir(self.folder)}

    def test_what_is_written_is_known(self):
        self.index()
        for place in ("file", "sidecar"):
            with self.subTest(place):
                would = self.tag("--write", place, "--dry-run")
                self.assertIn("+ lr:hierarchicalSubject: pattern|blocks", would)
                self.assertEqual(self.files(), self.before)
                self.tag("--write", place)
                written = self.files()
                self.assertNotEqual(written, self.before)
                if place == "sidecar":
                    self.assertEqual({n: written[n] for n in self.names}, self.before)
                    self.assertIn("00.jpg.xmp", written)
                times = {n: os.stat(self.path(n)).st_ctime_ns for n in written}
                self.tag("--write", place)
                self.assertEqual(times, {n: os.stat(self.path(n)).st_ctime_ns for n in written})
                # The catalogue knows the files as they are, and none of it as their own.
                before = self.rows("SELECT image_id, tag, source FROM tags ORDER BY 1, 2, 3")
                self.assertTrue(before)
                run = self.index()
                self.assertEqual((run["encoded"], run["updated"], run["unchanged"]), (0, 0, 16))
                self.osprey("verify")
                self.assertEqual(self.rows("SELECT count(*) FROM tags WHERE source = 'picture'"),
                                 [(0,)])
                shutil.rmtree(self.library)  # nor does a library that begins anew
                self.index()
                self.assertEqual(self.rows("SELECT count(*) FROM tags WHERE source = 'picture'"),
                                 [(0,)])
                self.osprey("tag", "--remove")
                self.assertEqual(self.files(), self.before)
                self.assertEqual(self.rows("SELECT count(*) FROM tags"), [(0,)])
                self.assertEqual(self.index()["unchanged"], 16)

    @unittest.skipUnless(EXIFTOOL, "exiftool is missing (libimage-exiftool-perl)")
    def test_all_kinds_that_can_hold_it(self):
        """TIFF, also of pages and with a sidecar, and WebP; others are named, not harmed."""
        for name in self.names:
            os.remove(self.path(name))
        kinds = ("c.webp", "d.webp", "e.tif", "f.tif", "g.tiff", "pages.tif")
        for name in kinds[:-1]:
            pictures.write(self.path(name), KINDS[name])
        for name in ("pages.tif", "rgb.bmp"):
            shutil.copy(os.path.join(os.environ["OSPREY_SOURCE"], "tests", "data", "formats", name),
                        self.folder)
        ExifTool.change("-o", self.path("pages.tif.xmp"), "-XMP-dc:Subject=Beside",
                        self.path("pages.tif"))
        self.index()
        formats = json.loads(self.osprey("status", "--json"))["formats"]
        if not {"TIFF", "WebP"} <= set(formats):
            self.skipTest("without libtiff or libwebp")
        self.assertEqual(self.rows("SELECT tag FROM tags WHERE source = 'picture'"), [("Beside",)])
        before = self.files()
        told = run(OSPREY, "tag", "--library", self.library, "--vocab", self.labels, "--threshold",
                   "0", "--write", "file", status=3, stderr_too=True)
        self.assertRegex(told, r"cannot write .*rgb\.bmp: .*--write sidecar")
        for name in kinds:
            self.assertIn("blocks", listed(exif(self.path(name)), "XMP-dc:Subject"), name)
        self.assertEqual(read(self.path("rgb.bmp")), before["rgb.bmp"])
        done = self.index()
        self.assertEqual((done["encoded"], done["unchanged"]), (0, 7))
        self.osprey("verify")
        self.osprey("tag", "--remove")
        self.assertEqual(self.files(), before)

    def test_changed_and_read_only_files_are_left_alone(self):
        self.index()
        changed, fixed, gone = self.names[:3]
        pictures.write(self.path(changed), pictures.jpeg(99))
        os.chmod(self.path(fixed), 0o444)
        os.unlink(self.path(gone))
        lines = [json.loads(line) for line in
                 self.tag("--write", "file", "--json", status=3).splitlines()]
        errors = {os.path.basename(l["path"]): l["error"] for l in lines if "error" in l}
        self.assertEqual(set(errors), {changed, fixed, gone})
        self.assertIn("changed since it was indexed", errors[changed])
        self.assertIn("read-only", errors[fixed])
        self.assertEqual(read(self.path(changed)), pictures.jpeg(99))
        self.assertEqual(read(self.path(fixed)), self.before[fixed])
        self.assertEqual(sum("changes" in l for l in lines), 13)

    def test_links_stay_links(self):
        elsewhere = os.path.join(self.dir, "elsewhere.jpg")
        os.rename(self.path("00.jpg"), elsewhere)
        os.symlink(elsewhere, self.path("00.jpg"))
        self.index()
        self.tag("--write", "file")
        self.assertTrue(os.path.islink(self.path("00.jpg")))
        self.assertNotEqual(read(elsewhere), self.before["00.jpg"])
        self.osprey("tag", "--remove", "--write", "file")
        self.assertEqual(read(elsewhere), self.before["00.jpg"])

    def test_links_of_the_library_itself(self):
        """A file that has a second name there is known by both as it was written."""
        for i, name in enumerate(("a link.jpg", "00 link.jpg")):  # before it and behind it
            os.symlink("00.jpg", self.path(name))
        os.link(self.path("02.jpg"), self.path("hard.jpg"))
        self.index()
        self.tag("--write", "file")
        self.assertTrue(os.path.islink(self.path("a link.jpg")))
        self.assertNotEqual(read(self.path("00.jpg")), self.before["00.jpg"])
        self.assertEqual(self.index()["unchanged"], 19)
        self.osprey("verify")
        times = {n: os.stat(self.path(n)).st_ctime_ns for n in self.files()}
        self.tag("--write", "file")
        self.assertEqual(times, {n: os.stat(self.path(n)).st_ctime_ns for n in self.files()})
        self.osprey("tag", "--remove", "--write", "file")
        self.assertEqual({n: read(self.path(n)) for n in self.names}, self.before)
        self.assertEqual(self.index()["unchanged"], 19)

    def test_taking_back_goes_past_what_cannot_be_written(self):
        """The library keeps nothing of it, and what is left to do is said."""
        self.index()
        self.caption()
        for command in ("tag", "caption"):
            with self.subTest(command):
                self.tag("--write", "file") if command == "tag" else self.caption("--write", "file")
                away = os.path.join(self.dir, "away.jpg")
                os.rename(self.path("00.jpg"), away)
                os.chmod(self.path("01.png"), 0o444)
                told = run(OSPREY, command, "--library", self.library, "--remove", status=3,
                           stderr_too=True)
                self.assertRegex(told, r"00\.jpg: it is not there any more")
                self.assertEqual(told.count("00.jpg"), 1, told)  # and not for each place
                self.assertRegex(told, r"01\.png: it is read-only")
                self.assertRegex(told, r"\b2 pictures\b.*osprey %s --remove" % command)
                self.assertEqual(self.rows("SELECT count(*) FROM %ss" % command), [(0,)])
                if command == "tag":
                    self.assertEqual(self.rows("SELECT count(*) FROM taggers"), [(0,)])
                    pictures.write(self.path("new.jpg"), pictures.jpeg(77))
                    self.assertNotIn("tagged", self.index())
                    os.unlink(self.path("new.jpg"))
                os.rename(away, self.path("00.jpg"))
                os.chmod(self.path("01.png"), 0o644)
                self.index()
                self.osprey(command, "--remove")
        self.assertEqual(self.files(), self.before)

    def test_broken_sidecars_of_others_are_no_obstacle(self):
        broken = b"<?xml version='1.0'?><x:xmpmeta xmlns:x='adobe:ns:meta/'><unfinished"
        pictures.write(self.path("02.jpg.xmp"), broken)
        self.index()
        self.tag()
        told = run(OSPREY, "tag", "--library", self.library, "--write", "sidecar", status=3,
                   stderr_too=True)
        self.assertRegex(told, r"cannot write .*02\.jpg\.xmp")
        self.osprey("tag", "--remove")
        self.assertEqual(self.files(), dict(self.before, **{"02.jpg.xmp": broken}))
        broken += b" http://ns.osprey/xmp/1.0/"  # which may be Osprey's
        pictures.write(self.path("02.jpg.xmp"), broken)
        self.osprey("tag", "--remove", status=3)
        self.assertEqual(self.files(), dict(self.before, **{"02.jpg.xmp": broken}))

    def caption(self, *more, status=0):
        bank = os.path.join(self.dir, "bank.txt")
        pictures.write(bank, b"a pattern of our own\nblocks of our own\n")
        return self.osprey("caption", "--bank", bank, "--threshold", "0", *more, status=status)

    def captions(self):
        return dict(self.rows("SELECT image_id, text FROM captions WHERE source = 'osprey'"))

    def test_captions_that_are_kept_are_written(self):
        self.index()
        self.caption()
        kept = self.captions()
        self.assertEqual(len(kept), 16)
        would = self.osprey("caption", "--write", "sidecar", "--dry-run")
        self.assertEqual(would.count("of our own"), 16 * 2, would)
        self.assertEqual(self.files(), self.before)
        self.osprey("caption", "--write", "sidecar", self.path(""))
        self.assertEqual(self.captions(), kept)
        for name in self.names:
            self.assertIn(b"of our own", read(self.path(name + ".xmp")))
        self.osprey("caption", "--write", "file", "--threshold", "0")  # anew: Osprey's own bank
        self.assertFalse(any("of our own" in text for text in self.captions().values()))
        self.osprey("caption", "--remove")
        told = run(OSPREY, "caption", "--library", self.library, "--write", "sidecar",
                   stderr_too=True, status=None)
        self.assertRegex(told, r"of 16 pictures got a caption")  # none are kept: made first

    def test_captions_of_a_folder_are_taken_back(self):
        below = os.path.join(self.folder, "below")
        os.mkdir(below)
        for name in self.names[:3]:
            os.rename(self.path(name), os.path.join(below, name))
        self.index()
        self.caption("--write", "sidecar")
        os.unlink(os.path.join(below, self.names[0] + ".xmp"))
        self.index()
        written = {n: read(os.path.join(below, n)) for n in os.listdir(below)}
        would = self.osprey("caption", "--remove", "--dry-run", below)
        self.assertEqual(would.count("- dc:description"), 2, would)
        self.assertEqual({n: read(os.path.join(below, n)) for n in os.listdir(below)}, written)
        self.assertEqual(len(self.captions()), 16)
        told = run(OSPREY, "caption", "--library", self.library, "--remove", below,
                   stderr_too=True)
        self.assertIn("3 captions", told)
        self.assertEqual(sorted(os.listdir(below)), self.names[:3])
        self.assertEqual(len(self.captions()), 13)
        self.assertTrue(os.path.exists(self.path(self.names[3] + ".xmp")))
        # A library that has said nothing takes back what another one wrote.
        shutil.rmtree(self.library)
        self.index()
        self.osprey("caption", "--remove")
        self.assertFalse([n for n in os.listdir(self.folder) if n.endswith(".xmp")])
        self.osprey("caption", "--remove", status=1)

    def test_a_dry_run_knows_what_cannot_be_written(self):
        self.index()
        self.tag()
        os.chmod(self.path("03.png"), 0o444)
        os.unlink(self.path("04.jpg"))
        for place in ("file", "sidecar"):
            with self.subTest(place):
                would, done = ([json.loads(line) for line in self.osprey(
                    "tag", "--json", "--write", place, *more, status=3).splitlines()]
                    for more in (["--dry-run", self.folder], [self.folder]))
                for line in would + done:
                    line.get("changes", []).sort()
                would, done = (sorted((l for l in lines if "tags" not in l),
                                      key=lambda l: l["path"]) for lines in (would, done))
                self.assertEqual(would, done)
                self.assertEqual(sum("error" in l for l in would), 2 if place == "file" else 1)
                self.assertIn("04.jpg", [os.path.basename(l["path"]) for l in would
                                         if "error" in l])
                self.assertGreater(sum("changes" in l for l in would), 12)
                self.osprey("tag", "--remove", "--write", place, self.folder, status=3)
                self.tag(status=0)
                os.chmod(self.path("03.png"), 0o444)

    @unittest.skipUnless(EXIFTOOL, "exiftool is missing (libimage-exiftool-perl)")
    def test_what_pictures_say_is_read(self):
        a, b, c = (self.path(n) for n in ("00.jpg", "02.jpg", "01.png"))
        ExifTool.change(*OTHERS, "-EXIF:LensModel=EF 50mm", a)
        ExifTool.change(*IPTC, b)
        ExifTool.change("-XMP-digiKam:TagsList=Places/Rome", "-XMP-xmp:Rating=2",
            "-XMP-dc:Description=beside", "-o", c + ".xmp", c)
        self.index()

        def said(path):
            name = os.path.basename(path)
            row, = self.rows("SELECT id, lens, rating, latitude, longitude FROM images"
                             " WHERE CAST(path AS TEXT) = '%s'" % name)
            tags = [t for t, in self.rows("SELECT tag FROM tags WHERE source = 'picture' AND"
                                          " image_id = %d ORDER BY tag" % row[0])]
            texts = [t for t, in self.rows("SELECT text FROM captions WHERE source = 'picture' AND"
                                           " image_id = %d" % row[0])]
            return row[1:], tags, texts

        self.assertEqual(said(a), (("EF 50mm", 4, 52.5, 13.4), ["Family|Grandmother", "dog"],
                                   ["Auf Deutsch"]))
        self.assertEqual(said(b), (("", 0, None, None), ["Hafen", "Schiff"], ["Am Hafen"]))
        self.assertEqual(said(c), (("", 2, None, None), ["Places|Rome"], ["beside"]))
        # A sidecar that changed, came or went is seen, and nothing is encoded again.
        ExifTool.change("-XMP-digiKam:TagsList+=Places/Paris",
            c + ".xmp")
        ExifTool.change("-XMP-dc:Subject=new", "-o", b + ".xmp")
        self.assertEqual(self.index()["encoded"], 0)
        self.assertEqual(said(c)[1], ["Places|Paris", "Places|Rome"])
        self.assertEqual(said(b)[1], ["new"])
        os.unlink(c + ".xmp")
        self.assertEqual(self.index()["encoded"], 0)
        self.assertEqual(said(c), (("", 0, None, None), [], []))

    def without_packet(self, data):
        """A picture without its XMP, which must be whole XML."""
        if data.startswith(b"\x89PNG"):
            parts, at = [data[:8]], 8
            while at < len(data):
                end = at + 12 + struct.unpack(">I", data[at:at + 4])[0]
                self.assertLessEqual(end, len(data))
                if data[at + 4:at + 8] == b"iTXt":
                    xml.etree.ElementTree.fromstring(data[at + 8 + 22:end - 4])
                else:
                    parts.append(data[at:end])
                at = end
            return b"".join(parts)
        at = data.find(b"\xff\xe1")
        if at < 0:
            return data
        end = at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
        xml.etree.ElementTree.fromstring(data[at + 4 + 29:end])
        return data[:at] + data[end:]

    def test_kills(self):
        """Each picture is what it was, or has all of its tags; afterwards all goes on."""
        self.index()
        rnd = random.Random(50)
        met = set()
        for i in range(KILLS):
            more = ["--remove"] if i % 2 else ["--vocab", self.labels, "--threshold", "0"]
            process = subprocess.Popen([OSPREY, "tag", "--library", self.library, "--write", "file",
                                        *more], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            time.sleep(rnd.uniform(0.005, 0.25))
            process.send_signal(signal.SIGKILL)
            process.wait()
            for name in self.names:
                data = read(self.path(name))
                self.assertEqual(self.without_packet(data), self.before[name], name)
                met.add(data == self.before[name])
        self.assertEqual(met, {True, False})
        self.index()
        self.tag("--write", "file")
        left = [n for n in os.listdir(self.folder) if n not in self.names]
        self.assertLessEqual(len(left), 1, left)  # hidden, until that picture is written again
        self.assertEqual(self.index()["unchanged"], 16)
        self.osprey("verify")
        self.osprey("tag", "--remove")
        self.assertEqual({n: read(self.path(n)) for n in self.names}, self.before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
