"""What ExifTool writes into pictures and films of every format is found by filters: a tag, a
caption, a rating, a lens, a place; and dates, wherever archivists put them. A library from
before these were read learns them at the next run, and encodes nothing for it.
"""

import calendar
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

BUILD = os.environ["OSPREY_BUILD"]
SOURCE = os.environ["OSPREY_SOURCE"]
OSPREY = os.path.join(BUILD, "osprey")
DATA = os.path.join(SOURCE, "tests", "data")
EXIFTOOL = shutil.which("exiftool")

PICTURES = {"JPEG": "formats/srgb.jpg", "PNG": "formats/p3-alpha.png", "WebP": "formats/lossy.webp",
            "TIFF": "formats/rgb-raw.tif", "HEIC": "formats/420.heic", "AVIF": "formats/444.avif",
            "JPEG XL": "formats/exif.jxl"}
FILMS = {"MP4": "videos/hevc.mp4", "MOV": "videos/turned.mov"}
SAID = ["-XMP-lr:HierarchicalSubject=animal|heron", "-XMP-xmp:Rating=4",
        "-XMP-dc:Description=In the reeds"]
OF_CAMERAS = ["-EXIF:GPSLatitude=52.5", "-EXIF:GPSLatitudeRef=S", "-EXIF:GPSLongitude=13.4",
              "-EXIF:GPSLongitudeRef=E", "-EXIF:LensModel=Summar 50mm",
              "-EXIF:DateTimeOriginal=1987:06:05 10:11:12", "-EXIF:OffsetTimeOriginal=+02:00"]
SIDECAR = """<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF
 xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about=''
 xmlns:exif='http://ns.adobe.com/exif/1.0/' exif:DateTimeOriginal='%s'/></rdf:RDF></x:xmpmeta>"""


def moment(*parts):
    return calendar.timegm((*parts, 0, 0, 0)[:6])


@unittest.skipUnless(EXIFTOOL, "exiftool is missing (libimage-exiftool-perl)")
class Metadata(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="osprey-metadata-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.library = os.path.join(self.dir, "library")
        self.folder = os.path.join(self.dir, "pictures")
        os.mkdir(self.folder)

    def osprey(self, *arguments, status=0):
        done = subprocess.run([OSPREY, *arguments, "--library", self.library, "--json"], text=True,
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def change(self, *arguments):
        done = subprocess.run([EXIFTOOL, "-overwrite_original", *arguments], text=True,
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def put(self, name, fixture="formats/srgb.jpg"):
        path = os.path.join(self.folder, name)
        shutil.copyfile(os.path.join(DATA, fixture), path)
        return path

    def found(self, *filters, status=0):
        lines = self.osprey("search", "-k", "100", *filters, status=status)
        return {os.path.basename(line["path"]): line for line in lines}

    def fill(self):
        """One of each format that this build reads; the pictures, and the films."""
        made = {}
        for formats in (PICTURES, FILMS):
            made[id(formats)] = {kind: self.put("%s.%s" % (kind[:4].strip(), f.split(".")[1]), f)
                                 for kind, f in formats.items()}
        self.change(*SAID, *OF_CAMERAS, *made[id(PICTURES)].values())
        films = made[id(FILMS)]
        self.change(*SAID, "-Keys:GPSCoordinates=-52.5, 13.4",
                    "-Keys:CreationDate=1987:06:05 10:11:12+02:00", films["MP4"])
        self.change(*SAID, "-UserData:GPSCoordinates=-52.5, 13.4", films["MOV"])
        self.osprey("index", self.folder)
        here = set(self.osprey("status")[0]["formats"])
        names = [{os.path.basename(p) for kind, p in made[id(formats)].items() if kind in here}
                 for formats in (PICTURES, FILMS)]
        self.assertGreaterEqual(len(names[0]), 2)
        return names

    def check(self, pictures, films):
        for filters in (["--tag", "heron"], ["--tag", "animal"], ["--rating", "4"],
                        ["--caption", "reeds"], ["--near", "-52.5,13.4,1"]):
            self.assertEqual(set(self.found(*filters)), pictures | films, filters)
        self.assertEqual(set(self.found("--lens", "summar")), pictures)
        self.assertEqual(set(self.found("--after", "1987-06-05", "--before", "1987-06-05")),
                         pictures | {n for n in films if n.startswith("MP4")})
        for line in self.found("--after", "1987-06-05", "--before", "1987-06-05").values():
            self.assertEqual(line["taken_at"], moment(1987, 6, 5, 8, 11, 12), line["path"])

    def test_every_format_is_found_by_what_it_says(self):
        self.check(*self.fill())

    def test_a_library_from_before_learns_it(self):
        names = self.fill()
        with sqlite3.connect(os.path.join(self.library, "catalog.db")) as db:
            db.execute("UPDATE images SET metadata = 1, lens = '', rating = 0, latitude = NULL,"
                       " longitude = NULL, taken_at = 0")
            db.execute("DELETE FROM tags")
            db.execute("DELETE FROM captions")
        self.assertEqual(self.found("--tag", "heron", "--after", "1900", status=1), {})
        run = self.osprey("index")[-1]
        self.assertEqual((run["encoded"], run["added"]), (0, 0), run)
        self.check(*names)
        self.assertEqual(self.osprey("index")[-1]["unchanged"], len(names[0] | names[1]))

    def test_dates_are_read_wherever_they_stand(self):
        noon = moment(2004, 6, 1, 12)
        cases = {  # what is written, and when that is
            "none": ([], None),
            "photoshop": (["-XMP-photoshop:DateCreated=2004:06:01 12:00:00"], noon),
            "zone": (["-XMP-photoshop:DateCreated=2004:06:01 12:00:00+02:00"], noon - 7200),
            "year": (["-XMP-photoshop:DateCreated=1923"], moment(1923, 1, 1)),
            "month": (["-XMP-photoshop:DateCreated=1923:05"], moment(1923, 5, 1)),
            "create": (["-XMP-xmp:CreateDate=2004:06:01 12:00:00"], noon),
            "original": (["-XMP-exif:DateTimeOriginal=2004:06:01 12:00:00"], noon),
            "iptc": (["-IPTC:DateCreated=2004:06:01", "-IPTC:TimeCreated=12:00:00+02:00"],
                     noon - 7200),
            "iptc-day": (["-IPTC:DateCreated=1955:03:04"], moment(1955, 3, 4)),
            "exif": (["-EXIF:DateTimeOriginal=2004:06:01 12:00:00"], noon),
            "exif-month": (["-EXIF:DateTimeOriginal#=1987:06:00 00:00:00"], moment(1987, 6, 1)),
            "digitized": (["-EXIF:CreateDate=2004:06:01 12:00:00"], noon),
            "epoch": (["-EXIF:DateTimeOriginal=1970:01:01 00:00:00"], 1),
            "scan": (["-XMP-photoshop:DateCreated=1923", "-EXIF:CreateDate=2004:06:01 12:00:00"],
                     moment(1923, 1, 1)),
            "exif-first": (["-XMP-photoshop:DateCreated=1990", "-IPTC:DateCreated=1991:01:01",
                            "-EXIF:DateTimeOriginal=2004:06:01 12:00:00"], noon),
            "xmp-second": (["-XMP-photoshop:DateCreated=1990", "-IPTC:DateCreated=1991:01:01"],
                           moment(1990, 1, 1)),
        }
        for name, (arguments, _) in cases.items():
            path = self.put(name + ".jpg")
            if arguments:
                self.change(*arguments, path)
        for beside, name in (("exif", "beside.jpg"), ("none", "beside.png")):
            shutil.copyfile(os.path.join(self.folder, beside + ".jpg"),
                            os.path.join(self.folder, name))
            with open(os.path.join(self.folder, name + ".xmp"), "w", encoding="ascii") as f:
                f.write(SIDECAR % "1999:12:31 23:59:58.000")  # as darktable has it
        self.osprey("index", self.folder)
        lines = self.found("--in", self.folder)
        self.assertEqual({n: lines[n + ".jpg"].get("taken_at") for n in cases},
                         {n: when for n, (_, when) in cases.items()})
        for name in ("beside.jpg", "beside.png"):
            self.assertEqual(lines[name]["taken_at"], moment(1999, 12, 31, 23, 59, 58))
        self.assertEqual(set(self.found("--after", "1923", "--before", "1923")),
                         {"year.jpg", "month.jpg", "scan.jpg"})
        self.assertEqual(set(self.found("--after", "1970", "--before", "1970-01-01")),
                         {"epoch.jpg"})
        # A sidecar that comes and goes brings its date and takes it along.
        beside = os.path.join(self.folder, "exif.jpg.xmp")
        with open(beside, "w", encoding="ascii") as f:
            f.write(SIDECAR % "1888")
        self.assertEqual(self.osprey("index")[-1]["encoded"], 0)
        self.assertEqual(set(self.found("--before", "1900")), {"exif.jpg"})
        os.unlink(beside)
        self.assertEqual(self.osprey("index")[-1]["encoded"], 0)
        self.assertEqual(self.found("--in", self.folder)["exif.jpg"]["taken_at"], noon)


if __name__ == "__main__":
    unittest.main(verbosity=2)
