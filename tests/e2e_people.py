#!/usr/bin/env python3
"""Whose a tag in a file is, when Osprey wrote it there: a person's stays the person's, for
another library and for --remove, until that person takes it away; Osprey's go; and what
another program took out is not written again.
"""

import os
import shutil
import sqlite3
import tempfile
import unittest

import pictures
import searchd
from e2e_write import EXIFTOOL, OSPREY, ExifTool, exif, listed, read, run


def tearDownModule():
    ExifTool.end()


@unittest.skipUnless(EXIFTOOL, "exiftool is missing (libimage-exiftool-perl)")
class People(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="osprey-people-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.folder = os.path.join(self.dir, "pictures")
        os.mkdir(self.folder)
        self.libraries = [os.path.join(self.dir, name) for name in ("first", "second")]
        self.library = self.libraries[0]
        self.labels = os.path.join(self.dir, "labels.txt")
        pictures.write(self.labels, b"pattern|blocks\npattern|colours\ncat\n")
        self.names = ["a.jpg", "b.png", "c.jpg"]
        for i, name in enumerate(self.names):
            pictures.write(self.path(name), (pictures.png if i == 1 else pictures.jpeg)(i + 1))
        self.before = self.files()
        self.index()

    def path(self, name):
        return os.path.join(self.folder, name)

    def files(self):
        return {n: read(self.path(n)) for n in os.listdir(self.folder)}

    def osprey(self, *command, status=0, **more):
        return run(OSPREY, command[0], "--library", self.library, *command[1:], status=status,
                   **more)

    def index(self):
        return self.osprey("index", "--quiet", self.folder)

    def tag(self, *more, **others):
        return self.osprey("tag", "--vocab", self.labels, "--threshold", "0", *more, **others)

    def begin_anew(self):
        """As another computer would, which knows the files alone."""
        self.library = self.libraries[1]
        shutil.rmtree(self.library, ignore_errors=True)
        self.index()

    def rows(self, sql, *args):
        db = sqlite3.connect(os.path.join(self.library, "catalog.db"))
        with db:
            found = db.execute(sql, args).fetchall()
        db.close()
        return found

    def id(self, name):
        return self.rows("SELECT id FROM images WHERE CAST(path AS TEXT) = ?", name)[0][0]

    def said(self, name, *sources):
        return {tag for tag, source in self.rows("SELECT tag, source FROM tags WHERE image_id = ?",
                                                 self.id(name)) if source in sources}

    def person(self, name, **edit):
        """By the page's way."""
        daemon = searchd.Daemon("--library", self.library, "--port", "0")
        try:
            daemon.post("/v1/images/%d/tags" % self.id(name), edit)
        finally:
            daemon.stop()

    def target(self, name, place):
        return self.path(name) + (".xmp" if place == "sidecar" else "")

    def lists(self, target):
        found = exif(target) if os.path.exists(target) else {}
        return [set(listed(found, key)) for key in
                ("XMP-dc:Subject", "XMP-lr:HierarchicalSubject", "XMP-digiKam:TagsList")]

    def assert_there(self, target, tag, there=True):
        flat, deep, slashed = self.lists(target)
        self.assertEqual((tag.split("|")[-1] in flat, tag in deep, tag.replace("|", "/") in slashed),
                         (there,) * 3, (target, tag, flat, deep, slashed))

    def write(self, place, *more):
        """Whatever is written, a second run changes nothing."""
        self.osprey("tag", "--write", place, *more)
        written = self.files()
        times = {n: os.stat(self.path(n)).st_ctime_ns for n in written}
        self.osprey("tag", "--write", place, *more)
        self.assertEqual(self.files(), written)
        self.assertEqual({n: os.stat(self.path(n)).st_ctime_ns for n in written}, times)

    def test_a_person_s_tags_outlive_the_library(self):
        for place in ("file", "sidecar"):
            with self.subTest(place):
                target = self.target("a.jpg", place)
                self.library = self.libraries[0]
                self.tag()
                self.person("a.jpg", add=["Familie|Oma"])
                self.write(place)
                self.assert_there(target, "Familie|Oma")
                self.assert_there(target, "cat")
                # What it wrote itself is no news to the library.
                self.rows("UPDATE images SET metadata = 0")
                self.index()
                self.assertEqual(self.said("a.jpg", "picture"), set())
                # Another one finds it, and says nothing itself: nothing changes.
                self.begin_anew()
                self.assertEqual(self.said("a.jpg", "picture"), {"Familie|Oma"})
                self.assertIn("a.jpg", self.osprey("search", "--tag", "Oma"))
                written = self.files()
                self.assertEqual(self.osprey("tag", "--write", place, "--dry-run"), "")
                self.write(place)
                self.assertEqual(self.files(), written)
                # Nor when it has tags of its own, nor when it takes them back.
                pictures.write(self.labels, b"seal\n")
                self.tag("--write", place)
                self.assert_there(target, "Familie|Oma")
                self.assert_there(target, "seal")
                self.assert_there(target, "cat", False)
                self.osprey("tag", "--remove")
                self.assert_there(target, "Familie|Oma")
                self.assert_there(target, "seal", False)
                # Nor the first, which then lets go of it as the person does.
                pictures.write(self.labels, b"pattern|blocks\ncat\n")
                self.library = self.libraries[0]
                self.index()
                self.assertEqual(self.said("a.jpg", "picture"), set())
                self.osprey("tag", "--remove")
                self.assert_there(target, "Familie|Oma")
                self.assertEqual(self.said("a.jpg", "user"), {"Familie|Oma"})
                self.person("a.jpg", remove=["Familie|Oma"])
                self.write(place)
                self.assertEqual(self.files(), self.before)

    def test_what_a_person_takes_away_leaves_the_files(self):
        self.person("a.jpg", add=["Familie|Oma", "Haus"])
        ExifTool.change("-XMP-dc:Subject=Boot", "-XMP-lr:HierarchicalSubject=Boot",
                        self.path("b.png"))
        self.index()
        self.person("b.png", add=["Boot", "Haus"])
        for place in ("file", "sidecar"):
            self.write(place)
        self.person("a.jpg", remove=["Haus"])
        self.person("b.png", remove=["Boot", "Haus"])
        self.write("sidecar")
        self.write("file")
        self.write("sidecar")
        for place in ("file", "sidecar"):
            a, b = self.target("a.jpg", place), self.target("b.png", place)
            self.assert_there(a, "Familie|Oma")
            self.assert_there(a, "Haus", False)
            self.assert_there(b, "Haus", False)
        self.assertEqual(self.lists(self.path("b.png")), [{"Boot"}, {"Boot"}, set()])
        # Said again, it is written again.
        self.person("a.jpg", add=["Haus"])
        self.write("file")
        self.assert_there(self.path("a.jpg"), "Haus")

    def test_forgotten_pictures_keep_their_tags(self):
        self.person("a.jpg", add=["Familie|Oma"])
        self.write("file")
        written = self.files()
        self.osprey("forget", self.folder)
        self.index()
        self.write("file")
        self.assertEqual(self.files(), written)
        self.assertEqual(self.said("a.jpg", "picture"), {"Familie|Oma"})
        # Taken for one's own and given up, it goes, and is not found any more.
        self.person("a.jpg", add=["Familie|Oma"])
        self.person("a.jpg", remove=["Familie|Oma"])
        self.write("file")
        self.index()
        self.assertEqual(self.said("a.jpg", "picture", "user"), set())
        self.assertEqual(self.files(), self.before)

    def test_files_of_earlier_versions(self):
        """Their notes take a person's tags for Osprey's; the library knows better."""
        both = ("Familie|Oma", "cat")
        args = []
        for item in both:
            args += ["-XMP-dc:Subject=" + item.split("|")[-1],
                     "-XMP-lr:HierarchicalSubject=" + item,
                     "-XMP-digiKam:TagsList=" + item.replace("|", "/")]
        for name in ("a.jpg", "c.jpg"):
            ExifTool.change(*args, self.path(name))
            data = read(self.path(name))
            start, end = data.index(b"<x:xmpmeta"), data.index(b"</x:xmpmeta>") + 12
            note = "".join("<osprey:%s><rdf:Bag>%s</rdf:Bag></osprey:%s>" % (
                p, "".join("<rdf:li>%s</rdf:li>" % form(t) for t in both), p) for p, form in (
                    ("subject", lambda t: t.split("|")[-1]), ("hierarchicalSubject", str),
                    ("TagsList", lambda t: t.replace("|", "/"))))
            packet = data[start:end].replace(
                b"</rdf:RDF>", ("<rdf:Description rdf:about='' xmlns:osprey='http://ns.osprey/xmp/"
                                "1.0/'>%s</rdf:Description></rdf:RDF>" % note).encode())
            xmp = os.path.join(self.dir, "old.xmp")
            pictures.write(xmp, packet)
            segment = data.index(b"\xff\xe1")
            size = int.from_bytes(data[segment + 2:segment + 4], "big")
            body = data[segment + 4:segment + 33] + packet
            pictures.write(self.path(name), data[:segment] + b"\xff\xe1"
                           + (len(body) + 2).to_bytes(2, "big") + body + data[segment + 2 + size:])
        self.index()
        self.assertEqual(self.said("a.jpg", "picture"), set())
        self.person("a.jpg", add=["Familie|Oma"])
        self.osprey("tag", "--remove")
        self.assert_there(self.path("a.jpg"), "Familie|Oma")
        self.assert_there(self.path("a.jpg"), "cat", False)
        self.assert_there(self.path("c.jpg"), "Familie|Oma", False)
        self.begin_anew()
        self.assertEqual(self.said("a.jpg", "picture"), {"Familie|Oma"})

    def test_what_another_program_took_out_stays_out(self):
        self.tag("--write", "file")
        target = self.path("a.jpg")
        ExifTool.change("-XMP-dc:Subject-=cat", "-XMP-lr:HierarchicalSubject-=cat", target)
        self.index()
        self.write("file")
        self.tag("--write", "file")
        self.assert_there(target, "cat", False)
        self.assert_there(target, "pattern|blocks")
        self.assert_there(self.path("b.png"), "cat")
        self.person("a.jpg", add=["cat"])  # a person's word counts for more
        self.write("file")
        self.assert_there(target, "cat")
        self.person("a.jpg", remove=["cat"])
        self.osprey("tag", "--remove")
        self.write("file")
        self.assertEqual(self.files(), self.before)

    def test_more_tags_than_a_picture_takes(self):
        many = ["p%d" % i for i in range(520)]
        self.tag()
        for name, n, left_out in (("b.png", 500, 0), ("d.png", 520, 8)):
            if not os.path.exists(self.path(name)):
                pictures.write(self.path(name), pictures.png(9))
                self.index()
            for i in range(0, n, 100):
                self.person(name, add=many[i:min(i + 100, n)])
            told = self.osprey("tag", "--write", "file", stderr_too=True)
            flat = self.lists(self.path(name))[0]
            self.assertEqual(len(flat & set(many)), n - left_out)
            self.assertEqual("cat" in flat, not left_out)
            if left_out:
                left_out += len(self.said(name, "osprey"))
                self.assertIn("%d tags left out" % left_out, told)
            else:
                self.assertNotIn("left out", told)

    def test_a_slash_is_no_level(self):
        self.person("a.jpg", add=["AC/DC", "Bands|AC/DC"])
        for place in ("file", "sidecar"):
            self.write(place)
            flat, deep, slashed = self.lists(self.target("a.jpg", place))
            self.assertEqual((flat, deep), ({"AC/DC"}, {"AC/DC", "Bands|AC/DC"}))
            self.assertEqual(slashed, {"AC\\DC", "Bands/AC\\DC"})
        self.begin_anew()
        self.assertEqual(self.said("a.jpg", "picture"), {"Bands|AC/DC", "AC/DC"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
