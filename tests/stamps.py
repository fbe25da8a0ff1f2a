"""Debian's tuxpaint stamps, drawings and photos sorted by what they show; the set-up
installs them."""

import pathlib

STAMPS = pathlib.Path("/usr/share/tuxpaint/stamps")
RENAMED = {"space/planets": "space/solarsystem"}  # from Debian 12 to 13


def of(folder, *suffixes):
    """The pictures of a folder, sorted."""
    place = STAMPS / folder
    if not place.is_dir() and folder in RENAMED:
        place = STAMPS / RENAMED[folder]
    return sorted(p for p in place.iterdir() if p.suffix in suffixes)
