"""Bytes become an upright RGB picture here, or a clear refusal. Pillow is used here and in ``rgb.py``."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

# Naming the plugins registers exactly them: Pillow's own discovery would import some forty more.
from PIL import (  # noqa: TID251
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from bucketlens.errors import UnreadableObject
from bucketlens.model.exif import read_exif
from bucketlens.model.preprocess import Frame
from bucketlens.model.quiet import Quiet
from bucketlens.model.rgb import to_rgb
from bucketlens.model.signature import SUPPORTED, recognise
from bucketlens.records import Metadata

Raster = Image.Image
"""A picture of Pillow, named here for those who must not import Pillow."""

_PLUGINS = {
    "jpeg": JpegImagePlugin.JpegImageFile.format,
    "png": PngImagePlugin.PngImageFile.format,
    "webp": WebPImagePlugin.WebPImageFile.format,
    "gif": GifImagePlugin.GifImageFile.format,
    "bmp": BmpImagePlugin.BmpImageFile.format,
    "tiff": TiffImagePlugin.TiffImageFile.format,
    "avif": AvifImagePlugin.AvifImageFile.format,
}
# By EXIF's orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
# Orientations that put the stored right edge left, and those that put the stored bottom edge on top.
_MIRRORED, _UPENDED = (2, 3, 6, 7), (3, 4, 7, 8)
# What Pillow 12 and 13 raise on damaged files, found by reading the plugins and by corrupting 400,000 files at random:
# RuntimeError comes from libavif, TypeError from TIFF offsets, ArithmeticError from numbers too large for C.
_DAMAGE = (
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_QUIET = Quiet("PIL")
_CONVERT = "Convert it to JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF."


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture: ``image`` is RGB, upright, sRGB, over white.

    ``width`` and ``height`` are those of the original after orientation; ``image`` is smaller when a scaled decode
    was asked for, and ``frame`` says where the original lies in it. ``format`` is one of ``SUPPORTED``. ``exif`` holds
    what ``read_exif`` found.
    """

    image: Image.Image
    format: str
    frame: Frame
    exif: Metadata

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return self.frame.width

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.frame.height


def decode(
    body: bytes, *, max_pixels: int, at_least: int | None = None, admit: Callable[[int], None] = lambda pixels: None
) -> Picture:
    """The picture in ``body``: the first frame of an animation, the first page of a TIFF.

    ``at_least`` lets a JPEG be decoded at 1/2, 1/4 or 1/8 of its size as long as its short side keeps that many pixels.
    ``admit`` is told how many pixels there are before they are decoded, and may wait. Safe to call from many threads.
    Raises UnreadableObject, before any pixel is decoded where the header suffices:
    ``empty``, ``not_an_image``, ``unsupported_format``, ``too_many_pixels`` (more than ``max_pixels``, or than twice
    Pillow's ``MAX_IMAGE_PIXELS``), ``corrupt_image``, ``out_of_memory``.
    """
    kind = _format_of(body)
    with _QUIET:
        try:
            return _decode(body, kind, max_pixels, at_least, admit)
        except UnreadableObject:
            raise
        except Image.DecompressionBombError as error:
            raise _too_many(str(error), max_pixels) from error
        except MemoryError as error:
            raise _out_of_memory(kind) from error
        except _DAMAGE as error:
            raise _corrupt(kind, str(error) or type(error).__name__) from error


def _decode(body: bytes, kind: str, max_pixels: int, at_least: int | None, admit: Callable[[int], None]) -> Picture:
    with Image.open(io.BytesIO(body), formats=[_PLUGINS[kind]]) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise _too_many(f"{width} x {height}", max_pixels)
        if min(width, height) < 1:
            raise _corrupt(kind, f"the header says {width} x {height} pixels")
        admit(width * height)
        drafted = None if at_least is None else image.draft(None, (at_least, at_least))
        image.load()
        exif = read_exif(image)  # after loading: the TIFF plugin turns the picture itself
        upright = to_rgb(image)
    if exif.orientation in _TURNS:
        upright = upright.transpose(_TURNS[exif.orientation])
    covered = drafted[1][2:] if drafted else image.size
    if exif.orientation in _SIDEWAYS:
        width, height, covered = height, width, covered[::-1]
    frame = Frame(height, width, _box(upright, covered, exif.orientation))
    return Picture(upright, kind, frame, exif.fields)


def _box(upright: Image.Image, covered: tuple[float, ...], orientation: int) -> tuple[float, float, float, float]:
    """Where the picture lies in its pixels: at a fraction of its size it may cover the last row and column in part."""
    left = upright.width - covered[0] if orientation in _MIRRORED else 0.0
    top = upright.height - covered[1] if orientation in _UPENDED else 0.0
    return left, top, left + covered[0], top + covered[1]


def _format_of(body: bytes) -> str:
    if not body:
        raise UnreadableObject(
            "The object is empty: it has no bytes.", code="empty", value="0 bytes", remedy="Upload it again."
        )
    seen = recognise(body)
    if seen in SUPPORTED:
        return seen
    if seen is None or seen == "text":
        shown = repr(body[:16])[2:-1] if seen is None else body[:40].decode("utf-8", "replace")
        raise UnreadableObject(
            f"This is not an image: it begins like {'a text file' if seen else 'no known kind of file'}.",
            code="not_an_image",
            value=shown,
            remedy="Keep files that are not images outside the image prefix.",
        )
    raise UnreadableObject(f"{seen} files cannot be read.", code="unsupported_format", value=seen, remedy=_CONVERT)


def _corrupt(kind: str, reason: str) -> UnreadableObject:
    return UnreadableObject(
        f"This {kind} file is damaged or incomplete.",
        code="corrupt_image",
        value=reason,
        remedy="Upload an intact copy of the file.",
    )


def _out_of_memory(kind: str) -> UnreadableObject:
    return UnreadableObject(
        f"This {kind} file needs more memory than there is.",
        code="out_of_memory",
        remedy="Give the function more memory, or upload a smaller version.",
    )


def _too_many(seen: str, max_pixels: int) -> UnreadableObject:
    return UnreadableObject(
        f"The picture has too many pixels; the limit is {max_pixels}.",
        code="too_many_pixels",
        value=seen,
        remedy="Upload a smaller version, or raise MAX_IMAGE_PIXELS and the function's memory.",
    )
