"""The contact sheet: queries and their answers as one picture that a person can judge at a glance."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps  # noqa: TID251

_CELL = 150
_LABEL = 230
_LINE = 30
_GAP = 8
_PAPER, _INK, _FAINT, _RULE = "#ffffff", "#1c1e21", "#6b7075", "#e3e5e8"


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer: the bytes of an image file, and the lines under it."""

    image: bytes
    caption: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One query: what was asked (as words, and as a picture when it was one) and the answers, best first."""

    title: str
    note: str
    asked: bytes | None
    answers: Sequence[Shown]


def write_sheet(lines: Sequence[Line], path: Path, title: str) -> None:
    """Write the sheet as PNG, one row per query. Folders are made as needed."""
    columns = max((len(line.answers) for line in lines), default=0)
    height = _CELL + 2 * _LINE + _GAP
    sheet = Image.new("RGB", (_LABEL + columns * (_CELL + _GAP) + _GAP, 64 + height * len(lines)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP * 2, 20), title, _INK, ImageFont.load_default(22))
    for number, line in enumerate(lines):
        top = 64 + number * height
        pen.line((0, top - _GAP // 2, sheet.width, top - _GAP // 2), _RULE)
        _write_label(sheet, pen, line, top)
        for column, shown in enumerate(line.answers):
            left = _LABEL + column * (_CELL + _GAP)
            _paste(sheet, shown.image, left, top)
            _write(pen, shown.caption, (left, top + _CELL + 4), _CELL, 12, _INK)
            _write(pen, shown.note, (left, top + _CELL + 22), _CELL, 12, _FAINT)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _write_label(sheet: Image.Image, pen: ImageDraw.ImageDraw, line: Line, top: int) -> None:
    width = _LABEL - 3 * _GAP
    below = _write(pen, line.title, (_GAP * 2, top + 4), width, 17, _INK, lines=3)
    below = _write(pen, line.note, (_GAP * 2, below + 2), width, 12, _FAINT, lines=3)
    if line.asked is not None:
        side = min(96, top + _CELL + _LINE - below)
        if side > 30:
            _paste(sheet, line.asked, _GAP * 2, below + 4, side)


def _write(
    pen: ImageDraw.ImageDraw, text: str, at: tuple[int, int], width: int, size: int, colour: str, lines: int = 1
) -> int:
    """Write words from ``at`` downwards, cut to the width and number of lines; returns the y below the last."""
    font = ImageFont.load_default(size)
    left, y = at
    words = text.split()
    for number in range(lines):
        if not words:
            break
        count = len(words)
        while count > 1 and font.getlength(" ".join(words[:count])) > width:
            count -= 1
        shown = " ".join(words if number == lines - 1 else words[:count])
        while shown and font.getlength(shown) > width:
            shown = shown[:-2] + "…" if len(shown) > 2 else ""
        pen.text((left, y), shown, colour, font)
        words = words[count:]
        y += size + 4
    return y


def _paste(sheet: Image.Image, body: bytes, left: int, top: int, side: int = _CELL) -> None:
    with Image.open(io.BytesIO(body)) as opened:
        picture = ImageOps.contain(ImageOps.exif_transpose(opened).convert("RGB"), (side, side))
    sheet.paste(picture, (left + (side - picture.width) // 2, top + (side - picture.height) // 2))
