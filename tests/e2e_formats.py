"""Every fixture of tests/data/formats through the programs: indexed, found again,
served; and what is said where a format's library is missing.
"""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

BUILD = os.environ["OSPREY_BUILD"]
SOURCE = os.environ["OSPREY_SOURCE"]
OSPREY = os.path.join(BUILD, "osprey")
FIXTURES = os.path.join(SOURCE, "tests", "data", "formats")
VIDEOS = os.path.join(SOURCE, "tests", "data", "videos")
LIBRARIES = {"WebP": "libwebp", "GIF": "giflib", "TIFF": "libtiff", "HEIC": "libheif",
             "AVIF": "libheif", "JPEG XL": "libjxl", "RAW": "libraw", "MP4": "FFmpeg",
             "MOV": "FFmpeg", "Matroska": "FFmpeg", "WebM": "FFmpeg", "AVI": "FFmpeg"}
ALWAYS = ["JPEG", "PNG", "BMP", "PNM"]


def fixtures():
    """Name and format of each."""
    with open(os.path.join(FIXTURES, "formats.txt"), encoding="ascii") as f:
        return {line.split()[0]: line.split()[1].replace("_", " ") for line in f}


class Formats(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="osprey-formats-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.library = os.path.join(self.dir, "library")

    def run_osprey(self, *arguments, status=0, **env):
        done = subprocess.run([OSPREY, *arguments, "--library", self.library], text=True,
                              capture_output=True, env=dict(os.environ, **env), check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def lines(self, *arguments, **options):
        return [json.loads(line)
                for line in self.run_osprey(*arguments, "--json", **options).splitlines()]

    def test_all_are_indexed_and_found(self):
        self.run_osprey("index", "--quiet", FIXTURES)
        status = self.lines("status")[0]
        can = set(status["formats"])
        self.assertEqual({m["format"]: m["library"] for m in status["missing"]},
                         {name: lib for name, lib in LIBRARIES.items() if name not in can})
        expected = {name for name, kind in fixtures().items() if kind in can}
        errors = {os.path.basename(e["path"]): e["error"] for e in self.lines("status", "--errors")}
        self.assertEqual(set(errors), set(fixtures()) - expected)
        self.assertEqual(status["images"], len(expected))
        for name in sorted(expected)[::6]:
            found = self.lines("search", "-k", "3", "--image", os.path.join(FIXTURES, name))
            self.assertGreater(found[0]["score"], 0.999, name)

    def test_every_page_of_a_scan_is_found(self):
        folder = os.path.join(self.dir, "scans")
        os.mkdir(folder)
        scan, page = os.path.join(folder, "pages.tif"), os.path.join(FIXTURES, "page-2.png")
        shutil.copy(os.path.join(FIXTURES, "pages.tif"), scan)
        shutil.copy(os.path.join(FIXTURES, "rgb.bmp"), folder)
        self.run_osprey("index", "--quiet", folder)
        if "TIFF" not in self.lines("status")[0]["formats"]:
            self.skipTest("without libtiff")
        self.assertEqual(self.lines("status")[0]["images"], 2)
        found = self.lines("search", "--image", page)
        self.assertEqual(len(found), 2)
        self.assertEqual((found[0]["path"], found[0]["page"]), (scan, 2))
        self.assertGreater(found[0]["score"], 0.999)
        self.assertNotIn("page", found[1])
        self.assertEqual(self.lines("search", "--image", scan)[0].get("page", 1), 1)
        every = self.lines("search", "--pages", "--image", page)
        self.assertEqual(len(every), 4)
        self.assertEqual(sorted(hit["page"] for hit in every if "page" in hit), [1, 2, 3])
        self.assertRegex(self.run_osprey("search", "--image", page), r"pages\.tif  page 2\n")
        self.assertRegex(self.run_osprey("similar", "--pages", page), r"pages\.tif  page 2\n")
        # Moved and copied, it keeps its pages; cut to one, it has none.
        os.rename(scan, os.path.join(folder, "moved.tif"))
        shutil.copy(os.path.join(folder, "moved.tif"), os.path.join(folder, "copy.tif"))
        self.run_osprey("index", "--quiet", folder)
        pages = {os.path.basename(hit["path"]): hit["page"]
                 for hit in self.lines("search", "--image", page) if "page" in hit}
        self.assertEqual(pages, {"moved.tif": 2, "copy.tif": 2})
        for name in ("moved.tif", "copy.tif"):
            shutil.copy(os.path.join(FIXTURES, "tiled.tif"), os.path.join(folder, name))
        self.run_osprey("index", "--quiet", folder)
        self.assertFalse(any("page" in hit for hit in self.lines("search", "--image", page)))
        self.run_osprey("verify")

    def test_scenes_of_videos_are_found(self):
        folder = os.path.join(self.dir, "films")
        os.mkdir(folder)
        names = ["h264.mp4", "turned.mov", "vp9.webm", "mjpeg.avi", "mpeg4.mkv"]
        for name in names + ["sound.mp4", "cut-header.mp4"]:
            shutil.copy(os.path.join(VIDEOS, name), folder)
        with open(os.path.join(folder, "empty.webm"), "wb"):
            pass
        shutil.copy(os.path.join(FIXTURES, "rgb.bmp"), folder)
        self.run_osprey("index", "--quiet", folder)
        if "MP4" not in self.lines("status")[0]["formats"]:
            self.skipTest("without FFmpeg")
        errors = {os.path.basename(e["path"]): e["error"] for e in self.lines("status", "--errors")}
        self.assertEqual(set(errors), {"sound.mp4", "cut-header.mp4", "empty.webm"})
        self.assertIn("no moving pictures, only sound", errors["sound.mp4"])
        orange = os.path.join(self.dir, "orange.ppm")
        with open(orange, "wb") as f:
            f.write(b"P6 64 48 255\n" + bytes((254, 165, 0)) * (64 * 48))
        found = self.lines("search", "--image", orange)
        self.assertEqual(len(found), len(names) + 1)
        self.assertEqual({os.path.basename(hit["path"]): hit.get("time_ms") for hit in found},
                         dict({name: 2500 for name in names}, **{"rgb.bmp": None}))
        self.assertFalse(any("page" in hit for hit in found))
        self.assertGreater(found[0]["score"], 0.99)
        every = self.lines("search", "--pages", "-k", "100", "--image", orange)
        self.assertEqual(sorted(hit["time_ms"] for hit in every if hit["path"].endswith(".avi")),
                         [500, 2500, 4000])
        self.assertRegex(self.run_osprey("search", "--image", orange), r"h264\.mp4  at 0:02\n")
        film = os.path.join(folder, "h264.mp4")
        self.assertEqual(self.lines("search", "--image", film)[0]["time_ms"], 500)
        # The same bytes elsewhere have the same frames; fewer are taken where fewer are wanted.
        shutil.copy(film, os.path.join(folder, "copy.mp4"))
        self.run_osprey("index", "--quiet", folder)
        times = {os.path.basename(hit["path"]): hit.get("time_ms")
                 for hit in self.lines("search", "--image", orange)}
        self.assertEqual(times["copy.mp4"], 2500)
        # Films that begin alike are no duplicates, the same bytes are.
        groups = [{os.path.basename(m["path"]) for m in group["members"]}
                  for group in self.lines("dupes")]
        self.assertEqual(groups, [{"h264.mp4", "copy.mp4"}])
        os.remove(os.path.join(folder, "copy.mp4"))
        with open(film, "ab") as f:
            f.write(b"\0\0\0\x08free")
        self.run_osprey("index", "--quiet", "--frames", "1", folder)
        times = [hit["time_ms"] for hit in self.lines("search", "--pages", "--image", orange,
                                                      "-k", "100") if hit["path"] == film]
        self.assertEqual(times, [500])
        self.run_osprey("verify")
        self.run_osprey("index", "--frames", "0", folder, status=2)

    def test_without_any_library(self):
        """A worker that finds no modules: four formats remain, the others are named."""
        worker = os.path.join(self.dir, "osprey-decode")
        shutil.copy(os.path.join(BUILD, "osprey-decode"), worker)
        env = {"OSPREY_DECODE": worker}
        self.run_osprey("index", "--quiet", FIXTURES, **env)
        status = self.lines("status", **env)[0]
        self.assertEqual(status["formats"], ALWAYS)
        self.assertEqual({m["format"]: m["library"] for m in status["missing"]}, LIBRARIES)
        kinds = fixtures()
        errors = {os.path.basename(e["path"]): e["error"] for e in self.lines("status", "--errors")}
        self.assertEqual(set(errors), {n for n, kind in kinds.items() if kind in LIBRARIES})
        for name, error in errors.items():
            self.assertIn("%s needs %s, which" % (kinds[name], LIBRARIES[kinds[name]]), error)
        text = self.run_osprey("status", **env)
        self.assertRegex(text, r"(?m)^formats     JPEG, PNG, BMP, PNM$")
        self.assertRegex(text, r"(?m)^missing     HEIC: it needs libheif, which ")

    def test_they_come_through_unguarded_too(self):
        self.run_osprey("index", "--quiet", FIXTURES, OSPREY_DECODE="in-process")
        alone = self.lines("status", OSPREY_DECODE="in-process")[0]
        self.assertEqual(alone["formats"], self.lines("status")[0]["formats"])
        self.assertEqual(alone["images"] + alone["errors"], len(fixtures()))


if __name__ == "__main__":
    unittest.main()
