"""Plants and other things that grow, each drawn by a pen in its unit square."""

import math

from .palette import INK, WHITE, WOOD, Colour, blend, shade
from .pen import Pen

_LEAF: Colour = (70, 150, 66)
_STALK: Colour = (62, 132, 60)


def tree(pen: Pen, colour: Colour) -> None:
    pen.polygon([(0.44, 0.5), (0.56, 0.5), (0.6, 0.99), (0.4, 0.99)], WOOD)
    for x, y, r, tone in (
        (0.3, 0.46, 0.2, 0.85),
        (0.7, 0.46, 0.2, 0.85),
        (0.5, 0.48, 0.2, 0.9),
        (0.38, 0.28, 0.2, 1.0),
        (0.62, 0.28, 0.2, 1.0),
        (0.5, 0.2, 0.18, 1.1),
    ):
        pen.oval(x, y, r * 1.1, r, shade(colour, tone), ink=False)
    for x, y in ((0.36, 0.24), (0.56, 0.16), (0.66, 0.32), (0.42, 0.42)):
        pen.oval(x, y, 0.05, 0.03, shade(colour, 1.35), ink=False)


def flower(pen: Pen, colour: Colour) -> None:
    pen.line([(0.5, 0.4), (0.51, 0.7), (0.5, 0.99)], 0.035, _STALK)
    pen.oval(0.66, 0.78, 0.16, 0.05, _LEAF, turn=-25)
    pen.oval(0.34, 0.84, 0.16, 0.05, _LEAF, turn=25)
    for i in range(7):
        a = i * math.tau / 7 - math.pi / 2
        pen.oval(
            0.5 + 0.24 * math.cos(a),
            0.31 + 0.19 * math.sin(a),
            0.15,
            0.085,
            colour,
            turn=math.degrees(math.atan2(0.19 * math.sin(a), 0.24 * math.cos(a))),
        )
    middle = (250, 206, 60) if colour[2] > 90 or colour[1] < 120 else (130, 80, 40)
    pen.oval(0.5, 0.31, 0.12, 0.09, middle)


def apple(pen: Pen, colour: Colour) -> None:
    pen.oval(0.36, 0.58, 0.3, 0.36, colour)
    pen.oval(0.64, 0.58, 0.3, 0.36, colour)
    pen.oval(0.5, 0.6, 0.3, 0.32, colour, ink=False)
    pen.line([(0.5, 0.32), (0.5, 0.2), (0.55, 0.08)], 0.04, WOOD)
    pen.oval(0.68, 0.16, 0.15, 0.065, _LEAF, turn=-22)
    pen.oval(0.27, 0.46, 0.06, 0.11, shade(colour, 1.55), ink=False, turn=20)


def mushroom(pen: Pen, colour: Colour) -> None:
    pen.polygon([(0.4, 0.5), (0.6, 0.5), (0.66, 0.9), (0.58, 0.97), (0.42, 0.97), (0.34, 0.9)], (240, 230, 212))
    cap = [(0.5 + 0.46 * math.cos(a), 0.56 - 0.48 * math.sin(a)) for a in (i * math.pi / 24 for i in range(25))]
    pen.polygon([*cap, (0.5, 0.62)], colour)
    for x, y, r in ((0.5, 0.24, 0.07), (0.28, 0.38, 0.055), (0.7, 0.36, 0.06), (0.48, 0.45, 0.045), (0.84, 0.5, 0.035)):
        pen.disc(x, y, r, WHITE if sum(colour) < 690 else (210, 170, 140), ink=False)


def cactus(pen: Pen, colour: Colour) -> None:
    dark = shade(colour, 0.75)
    for x, elbow, top in ((0.16, 0.58, 0.36), (0.84, 0.48, 0.24)):
        pen.line([(0.5, elbow), (x, elbow), (x, top)], 0.13, colour)
    pen.box(0.37, 0.06, 0.63, 0.84, colour, 0.16)
    for x in (0.44, 0.5, 0.56):
        pen.line([(x, 0.14), (x, 0.8)], 0.01, dark)
    pen.oval(0.5, 0.06, 0.09, 0.045, (240, 110, 160))
    pen.polygon([(0.24, 0.78), (0.76, 0.78), (0.68, 0.99), (0.32, 0.99)], (196, 104, 62))
    pen.box(0.2, 0.75, 0.8, 0.82, (212, 120, 74))


def heart(pen: Pen, colour: Colour) -> None:
    points = []
    for i in range(60):
        t = i * math.tau / 60
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((0.5 + x / 35, 0.46 - y / 34))
    pen.polygon(points, colour)
    pen.oval(0.27, 0.28, 0.06, 0.09, shade(colour, 1.6), ink=False, turn=30)


def star(pen: Pen, colour: Colour) -> None:
    points = []
    for i in range(10):
        a, r = i * math.pi / 5 - math.pi / 2, 0.49 if i % 2 == 0 else 0.21
        points.append((0.5 + r * math.cos(a), 0.53 + r * math.sin(a)))
    pen.polygon(points, colour)
    inner = [(0.5 + (x - 0.5) * 0.55, 0.53 + (y - 0.53) * 0.55) for x, y in points]
    pen.polygon(inner, shade(colour, 1.3), ink=False)


def ice_cream(pen: Pen, colour: Colour) -> None:
    pen.polygon([(0.26, 0.46), (0.74, 0.46), (0.5, 0.99)], (222, 166, 92))
    for i in range(1, 5):
        y = 0.46 + i * 0.1
        half = 0.24 * (1 - i * 0.1 / 0.53)
        pen.line([(0.5 - half, y), (0.5 + half * 0.6, y - 0.09)], 0.01, (180, 122, 60))
        pen.line([(0.5 + half, y), (0.5 - half * 0.6, y - 0.09)], 0.01, (180, 122, 60))
    pen.oval(0.5, 0.34, 0.29, 0.19, colour)
    for x in (0.27, 0.42, 0.58, 0.73):
        pen.oval(x, 0.45, 0.085, 0.055, colour, ink=False)
    pen.oval(0.5, 0.17, 0.2, 0.14, blend(colour, WHITE, 0.35))
    pen.disc(0.5, 0.05, 0.045, (206, 40, 56))
    for x, y, tone in (
        (0.36, 0.3, (90, 150, 220)),
        (0.6, 0.34, (250, 206, 60)),
        (0.5, 0.27, (90, 180, 90)),
        (0.66, 0.26, INK),
    ):
        pen.line([(x, y), (x + 0.03, y + 0.015)], 0.014, tone)
