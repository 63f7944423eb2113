"""Named colours as RGB, and simple arithmetic on them."""

import random
from collections.abc import Mapping

Colour = tuple[int, int, int]

NAMED: Mapping[str, Colour] = {
    "red": (212, 46, 42),
    "blue": (44, 98, 206),
    "green": (58, 152, 72),
    "yellow": (247, 206, 50),
    "orange": (242, 134, 38),
    "purple": (130, 72, 176),
    "pink": (242, 138, 176),
    "white": (246, 244, 240),
    "black": (42, 42, 48),
    "brown": (138, 88, 52),
    "grey": (142, 148, 156),
}
INK: Colour = (44, 38, 46)
WHITE: Colour = (250, 250, 248)
GLASS: Colour = (188, 222, 238)
TYRE: Colour = (48, 48, 54)
METAL: Colour = (176, 182, 190)
WOOD: Colour = (122, 82, 50)


def shade(colour: Colour, factor: float) -> Colour:
    """Darker below 1, lighter above 1 (2 is white)."""
    target, share = ((0, 0, 0), 1 - factor) if factor < 1 else ((255, 255, 255), factor - 1)
    return blend(colour, target, share)


def blend(one: Colour, other: Colour, share: float) -> Colour:
    """`one` with `share` (0..1) of `other` mixed in."""
    share = min(1.0, max(0.0, share))
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def vary(colour: Colour, rng: random.Random, reach: int = 14) -> Colour:
    """A colour near `colour`, each channel within `reach`."""
    red, green, blue = (min(255, max(0, value + rng.randint(-reach, reach))) for value in colour)
    return red, green, blue
