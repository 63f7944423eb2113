"""Buildings and things of the house, each drawn by a pen in its unit square."""

import math

from .palette import GLASS, INK, WHITE, WOOD, Colour, blend, shade
from .pen import Pen


def house(pen: Pen, colour: Colour) -> None:
    roof = (150, 66, 48) if colour[0] < 190 or colour[1] > 150 else (92, 74, 70)
    pen.box(0.66, 0.08, 0.76, 0.4, shade(roof, 0.8))
    pen.box(0.14, 0.42, 0.86, 0.98, colour)
    pen.polygon([(0.04, 0.46), (0.5, 0.06), (0.96, 0.46)], roof)
    pen.box(0.43, 0.66, 0.57, 0.98, WOOD)
    pen.disc(0.545, 0.83, 0.014, (240, 206, 90), ink=False)
    for x in (0.21, 0.65):
        pen.box(x, 0.56, x + 0.15, 0.74, (255, 238, 170) if x > 0.5 else GLASS)
        pen.line([(x + 0.075, 0.56), (x + 0.075, 0.74)], 0.012, WHITE)
        pen.line([(x, 0.65), (x + 0.15, 0.65)], 0.012, WHITE)
    pen.disc(0.5, 0.3, 0.06, GLASS)


def lighthouse(pen: Pen, colour: Colour) -> None:
    pen.polygon([(0.36, 0.27), (0.64, 0.27), (0.74, 0.95), (0.26, 0.95)], WHITE)
    for i in range(3):
        top, low = 0.33 + i * 0.22, 0.44 + i * 0.22
        wide_top, wide_low = 0.14 + (top - 0.27) * 0.147, 0.14 + (low - 0.27) * 0.147
        pen.polygon(
            [(0.5 - wide_top, top), (0.5 + wide_top, top), (0.5 + wide_low, low), (0.5 - wide_low, low)],
            colour,
            ink=False,
        )
    pen.box(0.3, 0.24, 0.7, 0.28, INK)
    pen.box(0.39, 0.12, 0.61, 0.24, (255, 240, 150))
    pen.polygon([(0.34, 0.12), (0.5, 0.02), (0.66, 0.12)], colour)
    pen.box(0.45, 0.84, 0.55, 0.95, INK, 0.03)
    pen.polygon([(0.1, 0.99), (0.2, 0.93), (0.8, 0.93), (0.92, 0.99)], (120, 116, 112))


def cup(pen: Pen, colour: Colour) -> None:
    pen.ring(0.8, 0.56, 0.15, 0.06, shade(colour, 0.85))
    pen.oval(0.47, 0.9, 0.44, 0.07, (222, 220, 214))
    pen.polygon([(0.14, 0.34), (0.8, 0.34), (0.75, 0.78), (0.64, 0.89), (0.3, 0.89), (0.19, 0.78)], colour)
    pen.oval(0.47, 0.34, 0.33, 0.085, shade(colour, 1.3))
    pen.oval(0.47, 0.35, 0.28, 0.06, (92, 58, 36), ink=False)
    for x in (0.38, 0.54):
        pen.line([(x + 0.025 * math.sin(t * 1.3), 0.26 - t * 0.04) for t in range(6)], 0.016, (212, 214, 220))


def teapot(pen: Pen, colour: Colour) -> None:
    pen.ring(0.2, 0.55, 0.2, 0.06, shade(colour, 0.8))
    pen.polygon(
        [(0.7, 0.72), (0.74, 0.5), (0.88, 0.34), (0.98, 0.3), (0.97, 0.38), (0.9, 0.46), (0.84, 0.74)],
        shade(colour, 0.88),
    )
    pen.oval(0.5, 0.6, 0.31, 0.33, colour)
    pen.box(0.34, 0.87, 0.66, 0.95, shade(colour, 0.75), 0.02)
    pen.oval(0.5, 0.3, 0.17, 0.06, shade(colour, 1.25))
    pen.disc(0.5, 0.2, 0.06, shade(colour, 0.8))
    pen.oval(0.38, 0.5, 0.05, 0.12, shade(colour, 1.5), ink=False, turn=20)


def umbrella(pen: Pen, colour: Colour) -> None:
    pen.line([(0.5, 0.08), (0.5, 0.86), (0.47, 0.94), (0.4, 0.95), (0.36, 0.88)], 0.03, WOOD)
    dome = [(0.5 + 0.48 * math.cos(a), 0.56 - 0.46 * math.sin(a)) for a in (i * math.pi / 30 for i in range(31))]
    hem = []
    for i in range(4):
        left = 0.02 + i * 0.24
        hem += [(left + 0.24 * t, 0.56 - 0.055 * math.sin(math.pi * t)) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
    pen.polygon([*dome, *hem], colour)
    darker = shade(colour, 0.8) if sum(colour) > 200 else shade(colour, 1.25)
    for low, high in ((0.26, 0.5), (0.74, 0.98)):
        middle = (low + high) / 2
        arc = [(low + (high - low) * t, 0.56 - 0.055 * math.sin(math.pi * t)) for t in (0.0, 0.3, 0.5, 0.7, 1.0)]
        top = (0.5, 0.1)
        pull = [(0.5 + (high - 0.5) * 0.75, 0.3)] if middle > 0.5 else [(0.5, 0.3)]
        back = [(0.5 + (low - 0.5) * 0.75, 0.3)]
        pen.polygon([*arc, *pull, top, *back], darker, ink=False)
    pen.line([(0.5, 0.1), (0.5, 0.03)], 0.025, INK)


def mountain_ridge(pen: Pen, colour: Colour) -> None:
    far = blend(colour, (200, 214, 230), 0.5)
    pen.polygon(
        [(0.0, 1.0), (0.0, 0.6), (0.18, 0.36), (0.4, 0.68), (0.6, 0.44), (0.84, 0.7), (1.0, 0.5), (1.0, 1.0)], far
    )
    for left, top, right, peak in ((0.02, 0.14, 0.72, 0.38), (0.44, 0.3, 1.06, 0.76)):
        pen.polygon([(left, 1.0), (peak, top), (right, 1.0)], colour)
        pen.polygon([(peak, top), (right, 1.0), (peak + 0.06, 1.0), (peak + 0.02, 0.62)], shade(colour, 0.8), ink=False)
        reach = (1.0 - top) * 0.3
        a, b = (peak - left) * 0.3, (right - peak) * 0.3
        snow = [(peak, top), (peak + b, top + reach), (peak + b * 0.5, top + reach * 0.78), (peak, top + reach * 1.1)]
        pen.polygon([*snow, (peak - a * 0.5, top + reach * 0.8), (peak - a, top + reach)], WHITE)
