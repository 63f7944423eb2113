"""The few EXIF fields people search by. Tag numbers: CIPA DC-008 (Exif 3.0), tables 4 to 15."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import ItemsView, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Protocol

from bucketlens.model.ifd import Plain, Unusual
from bucketlens.records import Metadata, Value

# How to turn the stored picture so that it stands upright (CIPA DC-008, Exif 3.0, section 4.6.5.1).
_ORIENTATION = 0x0112
_MAKE, _MODEL, _DATE_TIME, _EXIF_IFD, _GPS_IFD = 0x010F, 0x0110, 0x0132, 0x8769, 0x8825
_LENS_MODEL = 0xA434
# (date, its offset from UTC), best first: the shutter, the digitisation, the last change of the file.
_DATES = ((0x9003, 0x9011), (0x9004, 0x9012), (_DATE_TIME, 0x9010))
_LATITUDE, _LONGITUDE = (1, 2, "N", "S", 90.0), (3, 4, "E", "W", 180.0)
_MAIN = frozenset((_ORIENTATION, _MAKE, _MODEL, _DATE_TIME, _EXIF_IFD, _GPS_IFD))
_DETAIL = frozenset((_LENS_MODEL, _DATE_TIME, *(tag for pair in _DATES for tag in pair)))
_GPS = frozenset((*_LATITUDE[:2], *_LONGITUDE[:2]))
_DATE = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d)(?::(\d\d))?")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
_LONGEST = 256

# What Pillow raises on broken EXIF blocks.
_BROKEN = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, struct.error,
)  # fmt: skip


class Block(Protocol):
    """The tags of one EXIF block by number, as Pillow reads them."""

    def items(self) -> ItemsView[int, Any]:
        """Tags and values of the main directory."""
        ...

    def get_ifd(self, tag: int) -> Mapping[int, Any]:
        """Tags and values of the directory that ``tag`` points to."""
        ...


class Tagged(Protocol):
    """A picture of Pillow, as far as its EXIF goes."""

    info: dict[str | tuple[int, int], Any]

    def getexif(self) -> Block:
        """The EXIF block; an empty one when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Exif:
    """``orientation`` is 1 (upright) to 8, or what else stands there; ``fields`` are those people search by."""

    orientation: int
    fields: Metadata


def read_exif(image: Tagged) -> Exif:
    """The EXIF block of a loaded picture; a field that is absent or broken is left out, and nothing is raised.

    taken_at   timezone-aware datetime; UTC when the camera gave no offset
    camera     "Make Model", the make not doubled
    lens       model of the lens
    latitude, longitude   degrees, north and east positive; both or neither

    Texts are cut to 256 characters.
    """
    try:
        main, detail, gps = _plain(image)
    except Unusual:
        main, detail, gps = _whole(image)
    found: dict[str, Value | None] = {
        "taken_at": _taken_at({**main, **detail}),
        "camera": _camera(_text(main.get(_MAKE)), _text(main.get(_MODEL))),
        "lens": _text(detail.get(_LENS_MODEL)),
        "latitude": _degrees(gps, *_LATITUDE),
        "longitude": _degrees(gps, *_LONGITUDE),
    }
    if found["latitude"] is None or found["longitude"] is None:
        found["latitude"] = found["longitude"] = None
    fields = {name: value for name, value in found.items() if value is not None}
    return Exif(_orientation(main), fields)


_Directories = tuple[Mapping[int, object], Mapping[int, object], Mapping[int, object]]
"""The main directory, that of EXIF's own tags, and that of GPS."""


def _plain(image: Tagged) -> _Directories:
    """Raises Unusual for what is better left to Pillow: also a picture that XMP may turn, or a TIFF."""
    body = image.info.get("exif")
    if not isinstance(body, bytes):
        raise Unusual
    block = Plain.of(body)
    main = block.directory(block.first, _MAIN)
    if _ORIENTATION not in main and ("xmp" in image.info or "XML:com.adobe.xmp" in image.info):
        raise Unusual

    def behind(pointer: int, wanted: frozenset[int]) -> Mapping[int, object]:
        at = main.get(pointer)
        if at is None:
            return {}
        if not isinstance(at, int):
            raise Unusual
        return block.directory(at, wanted)

    return main, behind(_EXIF_IFD, _DETAIL), behind(_GPS_IFD, _GPS)


def _whole(image: Tagged) -> _Directories:
    try:
        exif = image.getexif()
        main = dict(exif.items())
    except _BROKEN:
        return {}, {}, {}
    return main, _block(exif, _EXIF_IFD), _block(exif, _GPS_IFD)


def _block(exif: Block, number: int) -> Mapping[int, object]:
    try:
        return dict(exif.get_ifd(number))
    except _BROKEN:
        return {}


def _orientation(main: Mapping[int, Any]) -> int:
    try:
        return int(main.get(_ORIENTATION, 1))
    except _BROKEN:
        return 1


def _taken_at(tags: Mapping[int, object]) -> datetime | None:
    for date, offset in _DATES:
        match = _DATE.match(_text(tags.get(date)) or "")
        if match is None:
            continue
        try:
            year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
            taken = datetime(year, month, day, hour, minute, second, tzinfo=_zone(_text(tags.get(offset))))
            taken.astimezone(UTC)  # a date at the edge of the calendar may not exist in UTC
        except (ValueError, OverflowError):
            continue
        return taken
    return None


def _zone(text: str | None) -> timezone:
    match = _OFFSET.match(text or "")
    if match is None:
        return UTC
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    if not offset or offset > timedelta(hours=14):  # the easternmost zone in use is UTC+14
        return UTC
    return timezone(-offset if match[1] == "-" else offset)


def _camera(make: str | None, model: str | None) -> str | None:
    if not make or not model:
        return model or make
    doubled = model.lower().startswith(make.split()[0].lower())
    return model if doubled else f"{make} {model}"[:_LONGEST]


def _text(value: object) -> str | None:
    """Pillow reads ASCII fields as Latin-1; many programs write UTF-8 into them."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return None
    value = value.partition("\0")[0]
    with suppress(UnicodeError):
        value = value.encode("latin-1").decode("utf-8")
    printable = "".join(character if character.isprintable() else " " for character in value)
    return " ".join(printable.split())[:_LONGEST] or None


def _degrees(gps: Mapping[int, object], ref: int, tag: int, plus: str, minus: str, most: float) -> float | None:
    side, parts = (_text(gps.get(ref)) or "").upper(), gps.get(tag)
    if side not in (plus, minus) or not isinstance(parts, tuple) or len(parts) != 3:
        return None
    try:
        degrees, minutes, seconds = (float(part) for part in parts)
    except (TypeError, ValueError, ArithmeticError):
        return None
    size = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(size) or min(degrees, minutes, seconds) < 0 or size > most:
        return None
    return -size if side == minus else size
