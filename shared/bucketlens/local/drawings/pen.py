"""A pen that draws shapes in a unit square on a transparent layer, in the manner of a style."""

import math
import random
from collections.abc import Sequence

from PIL import Image, ImageDraw

from .palette import INK, Colour, shade

Point = tuple[float, float]
_OVERSAMPLE = 3


class Pen:
    """Draws on a layer of `width` x `height` pixels; coordinates run from 0 to 1, right and down.

    `outlined` and `sketch` give shapes an ink line; `sketch` also wobbles. `layer()` returns the finished RGBA image.
    """

    def __init__(self, width: int, height: int, style: str, rng: random.Random) -> None:
        self._width, self._height = width * _OVERSAMPLE, height * _OVERSAMPLE
        self._size = (width, height)
        self._style, self._rng = style, rng
        self._image = Image.new("RGBA", (self._width, self._height), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self._image)
        self._line = max(2, round(min(self._width, self._height) * 0.016))
        self._inked = style in ("outlined", "sketch")

    def polygon(self, points: Sequence[Point], fill: Colour, ink: bool = True) -> None:
        """A filled polygon."""
        corners = [self._at(p) for p in points]
        self._draw.polygon(corners, fill=(*fill, 255))
        if self._inked and ink:
            self._outline([*corners, corners[0]], fill)

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Colour, ink: bool = True, turn: float = 0.0) -> None:
        """A filled ellipse around (x, y), turned by `turn` degrees."""
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        points = []
        for i in range(48):
            a = i * math.tau / 48
            dx, dy = rx * math.cos(a) * self._width, ry * math.sin(a) * self._height
            points.append((x + (dx * cos - dy * sin) / self._width, y + (dx * sin + dy * cos) / self._height))
        self.polygon(points, fill, ink)

    def disc(self, x: float, y: float, radius: float, fill: Colour, ink: bool = True) -> None:
        """A true circle; the radius is a share of the layer's height."""
        self.oval(x, y, radius * self._height / self._width, radius, fill, ink)

    def ring(self, x: float, y: float, radius: float, thick: float, fill: Colour) -> None:
        """A circle's line; radius and thickness are shares of the layer's height."""
        points = [
            (
                x + radius * self._height / self._width * math.cos(i * math.tau / 48),
                y + radius * math.sin(i * math.tau / 48),
            )
            for i in range(49)
        ]
        self.line(points, thick, fill)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, fill: Colour, round_by: float = 0.0, ink: bool = True
    ) -> None:
        """A rectangle; `round_by` is the corner radius as a share of the layer's height."""
        rx, ry = min(round_by * self._height / self._width, (x1 - x0) / 2), min(round_by, (y1 - y0) / 2)
        if not round_by:
            self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill, ink)
            return
        points = []
        for cx, cy, start in (
            (x1 - rx, y0 + ry, -90),
            (x1 - rx, y1 - ry, 0),
            (x0 + rx, y1 - ry, 90),
            (x0 + rx, y0 + ry, 180),
        ):
            for step in range(0, 91, 15):
                a = math.radians(start + step)
                points.append((cx + rx * math.cos(a), cy + ry * math.sin(a)))
        self.polygon(points, fill, ink)

    def line(self, points: Sequence[Point], thick: float, fill: Colour) -> None:
        """A line through points with round ends; `thick` is a share of the layer's height."""
        wide = max(1, round(thick * self._height))
        corners = [self._at(p) for p in points]
        self._draw.line(corners, fill=(*fill, 255), width=wide, joint="curve")
        for x, y in (corners[0], corners[-1]):
            self._draw.ellipse((x - wide / 2, y - wide / 2, x + wide / 2, y + wide / 2), fill=(*fill, 255))

    def layer(self, flip: bool = False, tilt: float = 0.0) -> Image.Image:
        """The drawn layer at its final size, mirrored and tilted as asked."""
        image = self._image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else self._image
        if tilt:
            image = image.rotate(tilt, Image.Resampling.BICUBIC)
        return image.resize(self._size, Image.Resampling.LANCZOS)

    def _at(self, point: Point) -> Point:
        x, y = point[0] * self._width, point[1] * self._height
        if self._style == "sketch":
            reach = self._line * 0.5
            return x + self._rng.uniform(-reach, reach), y + self._rng.uniform(-reach, reach)
        return x, y

    def _outline(self, corners: list[Point], fill: Colour) -> None:
        ink = INK if sum(fill) > 200 else shade(fill, 1.25)
        self._draw.line(corners, fill=(*ink, 255), width=self._line, joint="curve")
        if self._style == "sketch":
            reach = self._line
            again = [(x + self._rng.uniform(-reach, reach), y + self._rng.uniform(-reach, reach)) for x, y in corners]
            self._draw.line(again, fill=(*ink, 190), width=max(1, self._line // 2), joint="curve")
