"""Things that move, each drawn by a pen in its unit square."""

import math

from .palette import GLASS, INK, METAL, TYRE, WHITE, WOOD, Colour, blend, shade
from .pen import Pen


def car(pen: Pen, colour: Colour) -> None:
    pen.polygon([(0.22, 0.5), (0.33, 0.2), (0.42, 0.15), (0.62, 0.15), (0.7, 0.2), (0.82, 0.5)], colour)
    pen.polygon([(0.28, 0.48), (0.36, 0.24), (0.5, 0.24), (0.5, 0.48)], GLASS)
    pen.polygon([(0.54, 0.48), (0.54, 0.24), (0.65, 0.24), (0.75, 0.48)], GLASS)
    pen.box(0.03, 0.46, 0.97, 0.8, colour, 0.13)
    pen.box(0.04, 0.66, 0.96, 0.72, shade(colour, 0.75), ink=False)
    pen.box(0.9, 0.52, 0.965, 0.61, (255, 236, 150), 0.04)
    pen.box(0.035, 0.52, 0.09, 0.61, (226, 70, 60), 0.03)
    pen.line([(0.52, 0.5), (0.52, 0.76)], 0.012, shade(colour, 0.6))
    for x in (0.25, 0.76):
        pen.disc(x, 0.8, 0.18, TYRE)
        pen.disc(x, 0.8, 0.09, METAL)


def train(pen: Pen, colour: Colour) -> None:
    pen.box(0.02, 0.72, 0.98, 0.8, shade(INK, 1.1))
    pen.box(0.06, 0.14, 0.36, 0.74, colour)
    pen.box(0.03, 0.08, 0.39, 0.16, shade(colour, 0.65), 0.03)
    pen.box(0.12, 0.24, 0.3, 0.46, GLASS)
    pen.box(0.36, 0.38, 0.86, 0.72, colour, 0.1)
    for x in (0.5, 0.66):
        pen.box(x, 0.38, x + 0.025, 0.72, (238, 200, 80), ink=False)
    pen.box(0.72, 0.16, 0.8, 0.4, TYRE)
    pen.polygon([(0.69, 0.16), (0.72, 0.06), (0.8, 0.06), (0.83, 0.16)], TYRE)
    pen.oval(0.55, 0.37, 0.045, 0.08, (238, 200, 80))
    pen.disc(0.875, 0.5, 0.06, (255, 240, 170))
    pen.polygon([(0.86, 0.72), (0.99, 0.86), (0.86, 0.86)], shade(INK, 1.2))
    for x, r in ((0.15, 0.14), (0.32, 0.14), (0.54, 0.11), (0.76, 0.11)):
        pen.disc(x, 0.96 - r, r, TYRE)
        pen.disc(x, 0.96 - r, r * 0.5, shade(colour, 1.2))


def bicycle(pen: Pen, colour: Colour) -> None:
    back, front, crank, seat, head = (0.22, 0.68), (0.78, 0.68), (0.46, 0.68), (0.38, 0.34), (0.68, 0.32)
    for x, y in (back, front):
        pen.ring(x, y, 0.26, 0.045, TYRE)
        for i in range(6):
            a = i * math.pi / 6
            dx, dy = 0.235 * math.cos(a) / 1.5, 0.235 * math.sin(a)
            pen.line([(x - dx, y - dy), (x + dx, y + dy)], 0.008, METAL)
    for line in ([back, crank, head, seat, back], [seat, crank], [head, front]):
        pen.line(line, 0.055, colour)
    pen.line([seat, (0.36, 0.25)], 0.04, colour)
    pen.box(0.28, 0.2, 0.44, 0.26, INK, 0.03)
    pen.line([head, (0.66, 0.2), (0.74, 0.14), (0.82, 0.17)], 0.04, INK)
    pen.disc(*crank, 0.06, METAL)


def boat(pen: Pen, colour: Colour) -> None:
    pen.box(0.47, 0.04, 0.5, 0.75, WOOD, ink=False)
    pen.polygon([(0.53, 0.06), (0.53, 0.66), (0.92, 0.66)], WHITE)
    pen.polygon([(0.44, 0.14), (0.44, 0.66), (0.12, 0.66)], blend(colour, WHITE, 0.45))
    pen.polygon([(0.5, 0.03), (0.5, 0.1), (0.36, 0.065)], colour)
    pen.polygon([(0.02, 0.71), (0.98, 0.71), (0.84, 0.96), (0.18, 0.96)], colour)
    pen.polygon([(0.02, 0.71), (0.98, 0.71), (0.95, 0.77), (0.05, 0.77)], WHITE)


def rocket(pen: Pen, colour: Colour) -> None:
    accent = (206, 48, 44) if colour[0] > 200 and colour[1] > 200 else shade(colour, 0.75)
    pen.polygon([(0.4, 0.76), (0.5, 1.0), (0.6, 0.76)], (250, 170, 40), ink=False)
    pen.polygon([(0.44, 0.76), (0.5, 0.9), (0.56, 0.76)], (255, 236, 130), ink=False)
    pen.polygon([(0.32, 0.5), (0.1, 0.8), (0.34, 0.74)], accent)
    pen.polygon([(0.68, 0.5), (0.9, 0.8), (0.66, 0.74)], accent)
    side = [
        (0.5 + 0.2 * math.sin(t * math.pi * 0.62) ** 0.8, 0.03 + 0.75 * t)
        for t in (0, 0.04, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)
    ]
    body = side + [(1 - x, y) for x, y in reversed(side)]
    pen.polygon(body, colour)
    nose = [p for p in side if p[1] < 0.2]
    pen.polygon([*nose, *[(1 - x, y) for x, y in reversed(nose)]], accent)
    pen.disc(0.5, 0.38, 0.085, WHITE)
    pen.disc(0.5, 0.38, 0.06, (120, 190, 230))
    pen.box(0.38, 0.75, 0.62, 0.79, TYRE)


def balloon(pen: Pen, colour: Colour) -> None:
    pen.line([(0.5, 0.68), (0.47, 0.78), (0.54, 0.88), (0.5, 0.99)], 0.012, shade(INK, 1.3))
    pen.oval(0.5, 0.36, 0.36, 0.33, colour)
    pen.polygon([(0.5, 0.66), (0.43, 0.73), (0.57, 0.73)], shade(colour, 0.85))
    pen.oval(0.36, 0.22, 0.06, 0.09, shade(colour, 1.6), ink=False, turn=25)
