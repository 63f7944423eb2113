"""A made-up record of where, when and with what a drawing was "taken"."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

_PLACES: tuple[tuple[str, float, float], ...] = (
    ("Lisbon", 38.7223, -9.1393),
    ("Kyoto", 35.0116, 135.7681),
    ("Reykjavik", 64.1466, -21.9426),
    ("Cape Town", -33.9249, 18.4241),
    ("Amsterdam", 52.3676, 4.9041),
    ("Innsbruck", 47.2692, 11.4041),
    ("Vancouver", 49.2827, -123.1207),
    ("Oaxaca", 17.0732, -96.7266),
)
_CAMERAS = ("Bucketlens Pencil One", "Bucketlens Brush 50", "Paperworks Sketch X")
_HOURS: Mapping[str, tuple[int, ...]] = {
    "day": (9, 10, 11, 12, 13, 14, 15, 16),
    "night": (21, 22, 23),
    "dusk": (18, 19),
    "fog": (7, 8, 9),
}
_FIRST_DAY = datetime(2022, 1, 1)  # noqa: DTZ001  cameras write local time without a zone


@dataclass(frozen=True, slots=True)
class Entry:
    """Where (degrees, within a few kilometres of `place`), when (local time) and the camera ("Make Model ...")."""

    place: str
    latitude: float
    longitude: float
    taken_at: datetime
    camera: str


def entry(kind: str, light: str, rng: random.Random) -> Entry:
    """A record that fits: snowmen in winter, night pictures at night."""
    place, latitude, longitude = rng.choice(_PLACES)
    day = _FIRST_DAY + timedelta(days=rng.randrange(4 * 365))
    if kind == "snowman":
        day = day.replace(month=rng.choice((1, 2, 12)), day=min(day.day, 28))
    when = day.replace(hour=rng.choice(_HOURS[light]), minute=rng.randrange(60), second=rng.randrange(60))
    return Entry(
        place,
        round(latitude + rng.uniform(-0.03, 0.03), 5),
        round(longitude + rng.uniform(-0.03, 0.03), 5),
        when,
        rng.choice(_CAMERAS),
    )
