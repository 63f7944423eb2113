"""The demo's pictures: a fixed choice first, then whatever the seed brings."""

import random
from collections.abc import Iterator

from .drawing import Drawing, Subject, draw_subject
from .vocabulary import COUNTS, KINDS, LIGHTS, STYLES

_FIXED: tuple[tuple[str, str, int, str], ...] = (
    ("car", "red", 1, "day"),
    ("car", "red", 1, "dusk"),
    ("car", "red", 2, "day"),
    ("car", "red", 1, "night"),
    ("car", "blue", 1, "day"),
    ("car", "blue", 3, "day"),
    ("car", "blue", 1, "night"),
    ("car", "green", 1, "day"),
    ("car", "yellow", 1, "fog"),
    ("sunset", "orange", 1, "dusk"),
    ("sunset", "red", 1, "dusk"),
    ("sunset", "pink", 1, "dusk"),
    ("sunset", "purple", 1, "dusk"),
    ("boat", "red", 2, "night"),
    ("boat", "blue", 2, "night"),
    ("boat", "yellow", 1, "day"),
    ("boat", "green", 3, "day"),
    ("bee", "yellow", 1, "day"),
    ("bee", "yellow", 3, "day"),
    ("bee", "orange", 2, "day"),
)


def collection(count: int = 120, seed: int = 7) -> Iterator[Drawing]:
    """`count` drawings, one after the other, with distinct names; the same for the same arguments.

    From 60 on: every kind appears, among them four pictures of red cars, three of blue ones, four sunsets over the sea,
    two pictures of two boats at night and three of bees. With fewer, the first of that list.
    """
    rng = random.Random(seed)
    for number, subject in zip(range(1, count + 1), _subjects(rng), strict=False):
        yield draw_subject(subject, seed * 1000 + number, number)


def _subjects(rng: random.Random) -> Iterator[Subject]:
    for kind, colour, count, light in _FIXED:
        yield Subject(kind, colour, count, rng.choice(STYLES), light)
    while True:
        kinds = list(KINDS)
        rng.shuffle(kinds)
        for kind in kinds:
            noun = KINDS[kind]
            count = 1 if noun.scene else rng.choices(tuple(COUNTS), (55, 18, 17, 5, 5))[0]
            light = "dusk" if kind == "sunset" else rng.choices(LIGHTS, (58, 16, 14, 12))[0]
            yield Subject(kind, rng.choice(noun.colours), count, rng.choice(STYLES), light)
