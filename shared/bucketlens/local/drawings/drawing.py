"""A drawing from a seed: the picture and what is true of it."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from PIL import Image

from . import animals, backdrop, finish, nature, things, vehicles
from .journal import Entry, entry
from .palette import NAMED, Colour, vary
from .pen import Pen
from .sayings import captions, tags
from .vocabulary import COUNTS, KINDS, LIGHTS, STYLES

_Artist = Callable[[Pen, Colour], None]
_ARTISTS: Mapping[str, tuple[_Artist, float]] = {  # and width over height
    "car": (vehicles.car, 1.75),
    "house": (things.house, 1.0),
    "tree": (nature.tree, 0.85),
    "flower": (nature.flower, 0.72),
    "fish": (animals.fish, 1.4),
    "bird": (animals.bird, 1.15),
    "cat": (animals.cat, 1.05),
    "boat": (vehicles.boat, 1.0),
    "cup": (things.cup, 1.15),
    "balloon": (vehicles.balloon, 0.75),
    "star": (nature.star, 1.0),
    "heart": (nature.heart, 1.0),
    "umbrella": (things.umbrella, 1.05),
    "apple": (nature.apple, 0.95),
    "mushroom": (nature.mushroom, 1.0),
    "butterfly": (animals.butterfly, 1.15),
    "robot": (animals.robot, 0.85),
    "train": (vehicles.train, 1.7),
    "bicycle": (vehicles.bicycle, 1.5),
    "snowman": (animals.snowman, 0.8),
    "rocket": (vehicles.rocket, 0.7),
    "cactus": (nature.cactus, 0.75),
    "lighthouse": (things.lighthouse, 0.55),
    "bee": (animals.bee, 1.25),
    "teapot": (things.teapot, 1.3),
    "ice cream": (nature.ice_cream, 0.62),
}
_FLOATING = {"fish", "balloon", "star", "heart", "butterfly", "bee", "rocket", "cat", "ice cream"}
_SIZES = ((480, 360), (400, 400), (360, 480), (560, 400), (640, 400), (420, 340), (340, 420), (512, 512), (400, 320))


@dataclass(frozen=True, slots=True)
class Subject:
    """What to draw. `colour` is one of palette.NAMED, `count` 1..5 (1 for scenes)."""

    kind: str
    colour: str
    count: int = 1
    style: str = "flat"
    light: str = "day"


@dataclass(frozen=True, slots=True)
class Drawing:
    """One drawn picture (RGB, sides 320..640 pixels), what it shows, and a made-up record of where and when.

    `name` is a file name whose suffix says the format: .jpg, .png or .webp. `captions` and `tags` are true of the
    picture. `taken_at` is local time without a zone and fits the light.
    """

    name: str
    image: Image.Image
    kind: str
    colour: str
    count: int
    style: str
    light: str
    captions: tuple[str, ...]
    tags: tuple[str, ...]
    place: str
    latitude: float
    longitude: float
    taken_at: datetime
    camera: str


def draw(seed: int) -> Drawing:
    """A drawing chosen by `seed` alone: the same seed gives the same pixels and facts."""
    rng = random.Random(seed)
    kind = rng.choice(tuple(KINDS))
    noun = KINDS[kind]
    count = 1 if noun.scene else rng.choices(tuple(COUNTS), (52, 20, 16, 6, 6))[0]
    light = rng.choices(LIGHTS, (55, 18, 15, 12))[0]
    if kind == "sunset":
        light = "dusk"
    return draw_subject(Subject(kind, rng.choice(noun.colours), count, rng.choice(STYLES), light), seed)


def draw_subject(subject: Subject, seed: int, number: int | None = None) -> Drawing:
    """A drawing of `subject`; the rest is chosen by `seed`. `number` goes into the name (default: from the seed)."""
    rng = random.Random(f"{seed}/{subject}")
    size = rng.choice(_SIZES)
    image = _compose(subject, size, rng)
    seen: Entry = entry(subject.kind, subject.light, rng)
    suffix = rng.choices(("jpg", "png", "webp"), (80, 12, 8))[0]
    stem = "-".join(
        (*([COUNTS[subject.count]] if subject.count > 1 else []), subject.colour, *_spoken(subject).split())
    )
    return Drawing(
        name=f"{stem}-{seed % 100_000 if number is None else number:02d}.{suffix}",
        image=image,
        kind=subject.kind,
        colour=subject.colour,
        count=subject.count,
        style=subject.style,
        light=subject.light,
        captions=captions(subject.kind, subject.colour, subject.count, subject.style, subject.light),
        tags=tags(subject.kind, subject.colour, subject.style, subject.light),
        place=seen.place,
        latitude=seen.latitude,
        longitude=seen.longitude,
        taken_at=seen.taken_at,
        camera=seen.camera,
    )


def _spoken(subject: Subject) -> str:
    return KINDS[subject.kind].plural if subject.count > 1 else subject.kind


def _compose(subject: Subject, size: tuple[int, int], rng: random.Random) -> Image.Image:
    colour = vary(NAMED[subject.colour], rng)
    if subject.kind == "sunset":
        return finish.picture(backdrop.sunset(size, colour, rng), subject.style, "dusk", rng)
    setting = "meadow" if subject.kind == "mountain" else rng.choice(backdrop.SETTINGS[subject.kind])
    image = backdrop.paint(size, setting, subject.light, rng)
    if subject.kind == "mountain":
        pen = Pen(size[0], round(size[1] * 0.6), subject.style, rng)
        things.mountain_ridge(pen, colour)
        ridge = finish.layer(pen.layer(), subject.style, subject.light, rng)
        image.paste(ridge, (0, round(size[1] * (backdrop.HORIZON + 0.06)) - ridge.height), ridge)
    else:
        _place(image, subject, colour, rng)
    return finish.picture(image, subject.style, subject.light, rng)


def _place(image: Image.Image, subject: Subject, colour: Colour, rng: random.Random) -> None:
    artist, ratio = _ARTISTS[subject.kind]
    floating = subject.kind in _FLOATING
    for x, y, tall in _spots(image.size, subject.count, ratio, floating, rng):
        pen = Pen(max(8, round(tall * ratio)), max(8, round(tall)), subject.style, rng)
        artist(pen, vary(colour, rng, 6))
        tilt = rng.uniform(-14, 14) if floating and subject.kind not in ("balloon", "cat") else rng.uniform(-2, 2)
        flip = rng.random() < 0.5 and subject.kind != "rocket"
        drawn = finish.layer(pen.layer(flip, tilt), subject.style, subject.light, rng)
        left, top = round(x - drawn.width / 2), round(y - drawn.height)
        dark = finish.shadow(drawn, 0.14 if floating else 0.22)
        image.paste(dark, (left + round(tall * 0.02), top + round(tall * 0.025)), dark)
        image.paste(drawn, (left, top), drawn)


def _spots(
    size: tuple[int, int], count: int, ratio: float, floating: bool, rng: random.Random
) -> list[tuple[float, float, float]]:
    """Foot point and height of every object, back to front, inside the middle square of the picture."""
    width, height = size
    span = min(width, height * 1.15)
    rows = [count] if count <= 2 or (count == 3 and ratio < 1.2) else [count // 2, count - count // 2]
    spots = []
    for index, many in enumerate(rows):
        room = span * 0.94 / many
        most = height * ((0.62 if floating else 0.56) if len(rows) == 1 else 0.4)
        tall = min(most, room * 0.92 / ratio) * rng.uniform(0.86, 1.0)
        if floating:
            foot = height * (0.5 if len(rows) == 1 else 0.29 + 0.43 * index) + tall / 2
        else:
            foot = height * (rng.uniform(0.86, 0.93) if len(rows) == 1 else 0.6 + 0.34 * index)
        for place in range(many):
            x = width / 2 + (place - (many - 1) / 2) * room + rng.uniform(-0.03, 0.03) * span
            reach = height * (0.03 if floating else 0.012)
            spots.append((x, foot + rng.uniform(-reach, reach), tall * rng.uniform(0.93, 1.0)))
    return spots
