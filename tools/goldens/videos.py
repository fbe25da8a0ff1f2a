#!/usr/bin/env python3
"""Writes tests/data/videos/: small films in every container and codec that matters, and
what they must decode to.

videos.txt has one line a film: name, kind, width, height, when it was taken, how many
frames, and for each its time in milliseconds and the means of 4 x 4 blocks as
hexadecimal, as ffmpeg itself decodes and turns that frame.

Half a second is black; then come a test card, orange, and another test card, at 0.5,
2.5 and 4 seconds. Needs Debian's ffmpeg; run it only to change the fixtures.
"""
import os
import re
import subprocess

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "data",
                   "videos")
SCENES = [500, 2500, 4000]
# How chroma is enlarged.
SCALE = "scale=flags=bilinear+accurate_rnd+full_chroma_int"
TAKEN = ["-metadata", "creation_time=2024-02-29T21:29:58Z"]


def ffmpeg(*arguments):
    return subprocess.run(["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *arguments],
                          check=True, capture_output=True, cwd=OUT).stdout


def film(name, size, *options):
    parts = ["color=black:d=0.5", "testsrc=d=2", "color=orange:d=1.5", "testsrc2=d=2"]
    source = ";".join("%s:s=%s:r=10,setsar=1[s%d]" % (p, size, i) for i, p in enumerate(parts))
    ffmpeg("-filter_complex", source + ";[s0][s1][s2][s3]concat=n=4[v]", "-map", "[v]",
           *options, "-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", name)


def cut(name, source, length):
    with open(os.path.join(OUT, source), "rb") as f:
        data = f.read(length)
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(data)


def means(name, ms):
    """Size, and the means of a frame's blocks. It is turned as ffmpeg does by itself, but
    after chroma was enlarged."""
    turn = {"turned.mov": ",format=rgb24,transpose=cclock",
            "upside-down.mp4": ",format=rgb24,hflip,vflip"}.get(name, "")
    ppm = ffmpeg("-noautorotate", "-i", name, "-vf",
                 "select=gte(t\\,%.4f),%s%s" % (ms / 1000 - 0.0005, SCALE, turn), "-frames:v", "1", "-f", "image2pipe", "-c:v", "ppm", "-")
    head = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", ppm)
    width, height = int(head[1]), int(head[2])
    pixels, text = ppm[head.end():], ""
    for block in range(16):
        xs = range(width * (block % 4) // 4, width * (block % 4 + 1) // 4)
        ys = range(height * (block // 4) // 4, height * (block // 4 + 1) // 4)
        for c in range(3):
            total = sum(pixels[(y * width + x) * 3 + c] for y in ys for x in xs)
            text += "%02x" % round(total / (len(xs) * len(ys)))
    return width, height, text


def main():
    os.makedirs(OUT, exist_ok=True)
    x264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "32", "-g", "25"]
    film("h264.mp4", "64x48", *x264, *TAKEN)
    film("fragments.mp4", "64x48", *x264, "-movflags", "frag_keyframe+empty_moov")
    film("vp9.webm", "64x48", "-c:v", "libvpx-vp9", "-b:v", "20k", "-g", "20")
    film("vp8.webm", "64x48", "-c:v", "libvpx", "-b:v", "20k", "-g", "20")
    film("mpeg4.mkv", "64x48", "-c:v", "mpeg4", "-q:v", "20")
    film("mjpeg.avi", "64x48", "-c:v", "mjpeg", "-q:v", "31")
    film("hevc.mp4", "64x48", "-c:v", "libx265", "-x265-params", "log-level=none", "-crf", "34")
    film("av1.mp4", "64x48", "-c:v", "libaom-av1", "-cpu-used", "8", "-crf", "45")
    film("odd.mkv", "63x47", "-c:v", "mpeg4", "-q:v", "20")
    ffmpeg("-i", "h264.mp4", "-c", "copy", "-metadata:s:v", "rotate=90", "-fflags", "+bitexact",
           "turned.mov")
    ffmpeg("-i", "h264.mp4", "-c", "copy", "-metadata:s:v", "rotate=180", "-fflags", "+bitexact",
           "upside-down.mp4")
    cut("cut.webm", "vp9.webm", 6000)
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.3", "-c:a", "aac", "-b:a", "16k", "sound.mp4")
    cut("cut-header.mp4", "h264.mp4", 600)
    lines = []
    for name, kind, taken, times in [
            ("h264.mp4", "MP4", 1709242198, SCENES), ("fragments.mp4", "MP4", 0, SCENES),
            ("hevc.mp4", "MP4", 0, SCENES), ("av1.mp4", "MP4", 0, SCENES),
            ("upside-down.mp4", "MP4", 0, SCENES),
            ("turned.mov", "MOV", 0, SCENES), ("vp9.webm", "WebM", 0, SCENES),
            ("vp8.webm", "WebM", 0, SCENES), ("mpeg4.mkv", "Matroska", 0, SCENES),
            ("odd.mkv", "Matroska", 0, SCENES), ("mjpeg.avi", "AVI", 0, SCENES),
            ("cut.webm", "WebM", 0, SCENES[:2])]:
        frames = [means(name, ms) for ms in times]
        lines.append("%s %s %d %d %d %d" % (name, kind, *frames[0][:2], taken, len(times)))
        lines += ["%d %s" % (ms, frame[2]) for ms, frame in zip(times, frames)]
    with open(os.path.join(OUT, "videos.txt"), "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
