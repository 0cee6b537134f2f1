"""Compare two images by what they show.

A PNG file also contains a time and the name of a program, and matplotlib's SVG files contain random ids. So files with
different bytes may show the same picture. If Pillow is installed, slight differences are ignored, such as those between
versions of a font library.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import struct
import zlib

_PNG = b"\x89PNG\r\n\x1a\n"
_SHOWN = (b"IHDR", b"PLTE", b"IDAT", b"tRNS")  # the chunks of a PNG file that determine its picture
_VISIBLE = 24  # difference of a colour, out of 255, that a person sees
_SMALL_PART = 0.0005  # maximum part of the pixels that may differ visibly
_SVG_DATE = re.compile(r"<(dc:date|dc:title|metadata)\b.*?</\1>", re.DOTALL)
_SVG_ID = re.compile(r'(?:\bid="|url\(#|href="#|for="|class=")([\w.:-]+)')
_MAX_PIXELS = 50_000_000


def image_difference(first: str, second: str) -> str | None:
    """Return how two images in base64 differ, such as "12% of the pixels differ"; None if they show the same."""
    if first.split() == second.split():
        return None
    try:
        before, after = base64.b64decode(first), base64.b64decode(second)
    except (binascii.Error, ValueError):
        return "the image cannot be decoded"
    if before == after:
        return None
    sizes = _png_size(before), _png_size(after)
    if None not in sizes and sizes[0] != sizes[1]:
        (width, height), (other_width, other_height) = sizes  # type: ignore[misc]
        return f"an image of {width} × {height} pixels became one of {other_width} × {other_height}"
    if None not in sizes and _picture(before) == _picture(after):
        return None
    return _pixel_difference(before, after)


def svg_difference(first: str, second: str) -> str | None:
    """Return a message if two drawings differ, or None if they differ at most in ids and dates."""
    return None if _without_ids(first) == _without_ids(second) else "the drawing differs"


def _without_ids(drawing: str) -> str:
    drawing = _SVG_DATE.sub("", drawing)
    numbers: dict[str, str] = {}
    for found in _SVG_ID.finditer(drawing):
        numbers.setdefault(found[1], f"id{len(numbers)}")
    return " ".join(_SVG_ID.sub(lambda found: found[0].replace(found[1], numbers[found[1]]), drawing).split())


def _png_size(image: bytes) -> tuple[int, int] | None:
    return struct.unpack(">II", image[16:24]) if image.startswith(_PNG) and len(image) >= 24 else None


def _picture(image: bytes) -> tuple[bytes, ...] | None:
    """Return the content of the chunks that determine the picture; None if the file is damaged."""
    found = dict.fromkeys(_SHOWN, b"")
    at = len(_PNG)
    while at + 8 <= len(image):
        (size,), name = struct.unpack(">I", image[at : at + 4]), image[at + 4 : at + 8]
        if name in found:
            found[name] += image[at + 8 : at + 8 + size]
        at += size + 12
    try:
        found[b"IDAT"] = zlib.decompress(found[b"IDAT"])
    except zlib.error:
        return None
    return tuple(found.values())


def _pixel_difference(before: bytes, after: bytes) -> str | None:
    """Compare pixels by Pillow; without Pillow, images with different content count as different."""
    try:
        from PIL import Image, ImageChops  # not a dependency of nbdag, but of every library that draws images
    except ImportError:
        return "the image differs"
    try:
        with Image.open(io.BytesIO(before)) as old, Image.open(io.BytesIO(after)) as new:
            if old.size != new.size:
                return f"an image of {old.width} × {old.height} pixels became one of {new.width} × {new.height}"
            count = old.width * old.height
            if count > _MAX_PIXELS:
                return "the image differs"
            bands = ImageChops.difference(old.convert("RGBA"), new.convert("RGBA")).split()
    except Exception:  # Pillow raises errors of many kinds for a file that it cannot read
        return "the image differs"
    worst = bands[0]
    for band in bands[1:]:
        worst = ImageChops.lighter(worst, band)
    changed = sum(worst.histogram()[_VISIBLE:])
    if changed <= count * _SMALL_PART:
        return None
    share = 100 * changed / count
    return f"{share:.0f}% of the image's pixels differ" if share >= 1 else "some of the image's pixels differ"
