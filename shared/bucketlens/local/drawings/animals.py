"""Animals, each drawn by a pen in its unit square."""

import math

from .palette import INK, WHITE, Colour, blend, shade
from .pen import Pen


def fish(pen: Pen, colour: Colour) -> None:
    fin = shade(colour, 0.75)
    pen.polygon([(0.28, 0.5), (0.03, 0.2), (0.1, 0.5), (0.03, 0.8)], fin)
    pen.polygon([(0.4, 0.24), (0.52, 0.05), (0.7, 0.26)], fin)
    pen.polygon([(0.45, 0.76), (0.5, 0.94), (0.64, 0.75)], fin)
    pen.oval(0.58, 0.5, 0.36, 0.3, colour)
    for x in (0.42, 0.54, 0.66):
        pen.line([(x, 0.36), (x + 0.04, 0.43), (x + 0.04, 0.57), (x, 0.64)], 0.025, shade(colour, 1.45))
    pen.disc(0.81, 0.42, 0.07, WHITE)
    pen.disc(0.82, 0.42, 0.038, INK, ink=False)
    pen.line([(0.93, 0.58), (0.87, 0.62)], 0.02, INK)


def bird(pen: Pen, colour: Colour) -> None:
    pen.polygon([(0.24, 0.56), (0.0, 0.44), (0.02, 0.62)], shade(colour, 0.7))
    for x in (0.44, 0.55):
        pen.line([(x, 0.8), (x, 0.95), (x + 0.06, 0.96)], 0.022, (226, 140, 40))
    pen.oval(0.46, 0.58, 0.3, 0.25, colour)
    pen.oval(0.52, 0.68, 0.18, 0.13, shade(colour, 1.5), ink=False)
    pen.polygon([(0.86, 0.3), (1.0, 0.37), (0.85, 0.43)], (246, 166, 40))
    pen.disc(0.72, 0.35, 0.19, colour)
    pen.polygon([(0.5, 0.48), (0.18, 0.5), (0.1, 0.64), (0.3, 0.72), (0.48, 0.66)], shade(colour, 0.75))
    pen.disc(0.77, 0.31, 0.045, WHITE)
    pen.disc(0.78, 0.31, 0.026, INK, ink=False)


def cat(pen: Pen, colour: Colour) -> None:
    inner = (240, 170, 170)
    for side in (-1, 1):
        pen.polygon([(0.5 + side * 0.12, 0.26), (0.5 + side * 0.4, 0.02), (0.5 + side * 0.43, 0.46)], colour)
        pen.polygon([(0.5 + side * 0.23, 0.25), (0.5 + side * 0.36, 0.13), (0.5 + side * 0.38, 0.34)], inner, ink=False)
    pen.oval(0.5, 0.57, 0.44, 0.38, colour)
    for x in (0.42, 0.5, 0.58):
        pen.line([(x, 0.22), (x, 0.34)], 0.03, shade(colour, 0.7) if sum(colour) > 200 else shade(colour, 1.3))
    for side in (-1, 1):
        x = 0.5 + side * 0.19
        pen.oval(x, 0.5, 0.085, 0.1, (196, 222, 90))
        pen.oval(x, 0.5, 0.028, 0.085, (20, 20, 24), ink=False)
        for rise in (-0.04, 0.02, 0.08):
            pen.line(
                [(0.5 + side * 0.2, 0.71 + rise * 0.4), (0.5 + side * 0.49, 0.68 + rise * 1.4)],
                0.009,
                blend(INK, WHITE, 0.5 if sum(colour) < 200 else 0.1),
            )
    pen.oval(0.41, 0.74, 0.11, 0.08, shade(colour, 1.55), ink=False)
    pen.oval(0.59, 0.74, 0.11, 0.08, shade(colour, 1.55), ink=False)
    pen.polygon([(0.45, 0.64), (0.55, 0.64), (0.5, 0.7)], (226, 120, 130))
    pen.line([(0.41, 0.78), (0.46, 0.79), (0.5, 0.72), (0.54, 0.79), (0.59, 0.78)], 0.012, INK)


def butterfly(pen: Pen, colour: Colour) -> None:
    light, dark = shade(colour, 1.5), shade(colour, 0.7)
    for side in (-1, 1):
        pen.oval(0.5 + side * 0.22, 0.7, 0.17, 0.22, dark, turn=side * -25)
        pen.oval(0.5 + side * 0.26, 0.34, 0.23, 0.27, colour, turn=side * 28)
        pen.oval(0.5 + side * 0.29, 0.3, 0.09, 0.11, light, ink=False, turn=side * 28)
        pen.oval(0.5 + side * 0.22, 0.73, 0.06, 0.08, light, ink=False)
        pen.line([(0.5, 0.22), (0.5 + side * 0.07, 0.08), (0.5 + side * 0.13, 0.04)], 0.014, INK)
    pen.oval(0.5, 0.52, 0.045, 0.3, INK)
    pen.disc(0.5, 0.2, 0.055, INK)


def bee(pen: Pen, colour: Colour) -> None:
    wing = (222, 238, 248)
    pen.oval(0.42, 0.26, 0.13, 0.23, wing, turn=-28)
    pen.oval(0.58, 0.25, 0.13, 0.23, wing, turn=12)
    pen.polygon([(0.1, 0.6), (0.0, 0.64), (0.1, 0.68)], INK)
    pen.oval(0.42, 0.62, 0.34, 0.26, colour)
    for x, half in ((0.22, 0.2), (0.38, 0.255), (0.54, 0.24)):
        pen.polygon(
            [(x - 0.03, 0.62 - half), (x + 0.045, 0.62 - half), (x + 0.045, 0.62 + half), (x - 0.03, 0.62 + half)],
            (34, 30, 34),
            ink=False,
        )
    pen.disc(0.8, 0.58, 0.17, (40, 36, 40))
    pen.disc(0.86, 0.53, 0.05, WHITE, ink=False)
    pen.disc(0.87, 0.53, 0.025, INK, ink=False)
    for x in (0.78, 0.86):
        pen.line([(x, 0.44), (x + 0.05, 0.3)], 0.018, INK)
    for x in (0.32, 0.44, 0.56):
        pen.line([(x, 0.86), (x - 0.02, 0.96)], 0.02, INK)


def snowman(pen: Pen, colour: Colour) -> None:
    snow = (246, 249, 252)
    pen.line([(0.3, 0.5), (0.04, 0.34)], 0.022, (110, 76, 48))
    pen.line([(0.7, 0.5), (0.96, 0.36)], 0.022, (110, 76, 48))
    pen.oval(0.5, 0.78, 0.36, 0.21, snow)
    pen.oval(0.5, 0.52, 0.27, 0.17, snow)
    pen.oval(0.5, 0.31, 0.2, 0.135, snow)
    pen.box(0.3, 0.39, 0.7, 0.45, colour, 0.02)
    pen.polygon([(0.58, 0.43), (0.7, 0.43), (0.74, 0.6), (0.62, 0.6)], colour)
    pen.box(0.24, 0.18, 0.76, 0.215, INK)
    pen.box(0.33, 0.03, 0.67, 0.2, INK)
    pen.box(0.33, 0.14, 0.67, 0.18, colour, ink=False)
    pen.polygon([(0.49, 0.3), (0.49, 0.34), (0.72, 0.34)], (240, 130, 40))
    for x, y in ((0.42, 0.27), (0.57, 0.27), (0.5, 0.52), (0.5, 0.6)):
        pen.disc(x, y, 0.017, INK, ink=False)


def robot(pen: Pen, colour: Colour) -> None:
    dark, light = shade(colour, 0.7), shade(colour, 1.5)
    pen.line([(0.5, 0.12), (0.5, 0.04)], 0.02, dark)
    pen.disc(0.5, 0.04, 0.03, (236, 70, 60))
    for side in (-1, 1):
        pen.box(0.5 + side * 0.36 - 0.06, 0.44, 0.5 + side * 0.36 + 0.06, 0.72, dark, 0.05)
        pen.disc(0.5 + side * 0.36, 0.76, 0.055, light)
        pen.box(0.5 + side * 0.14 - 0.08, 0.78, 0.5 + side * 0.14 + 0.08, 0.97, dark, 0.02)
    pen.box(0.22, 0.42, 0.78, 0.8, colour, 0.05)
    pen.box(0.25, 0.11, 0.75, 0.39, colour, 0.06)
    for x in (0.39, 0.61):
        pen.disc(x, 0.22, 0.06, WHITE)
        pen.disc(x, 0.22, 0.03, (40, 60, 90), ink=False)
    pen.box(0.36, 0.31, 0.64, 0.35, (50, 54, 62), ink=False)
    pen.box(0.32, 0.5, 0.68, 0.7, light, 0.02)
    for i, tone in enumerate(((236, 80, 70), (250, 200, 60), (90, 180, 90))):
        pen.disc(0.4 + i * 0.1, 0.57, 0.025, tone, ink=False)
    points = [(0.37 + i * 0.026, 0.65 + 0.02 * math.sin(i * 1.6)) for i in range(11)]
    pen.line(points, 0.01, dark)
