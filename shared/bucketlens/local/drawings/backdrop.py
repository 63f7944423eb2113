"""What is behind the drawn things: a setting in a light."""

import random
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .palette import Colour, blend, shade, vary

_SKY: Mapping[str, tuple[Colour, Colour]] = {
    "day": ((118, 186, 236), (214, 236, 248)),
    "night": ((12, 16, 44), (40, 50, 96)),
    "dusk": ((92, 66, 130), (250, 170, 110)),
    "fog": ((196, 204, 210), (222, 226, 228)),
}
_TINT: Mapping[str, tuple[Colour, float]] = {
    "day": ((255, 255, 255), 0.0),
    "night": ((14, 18, 52), 0.66),
    "dusk": ((120, 60, 90), 0.34),
    "fog": ((206, 212, 216), 0.5),
}
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "car": ("road", "road", "meadow"),
    "house": ("meadow", "meadow", "snow"),
    "tree": ("meadow", "snow", "meadow"),
    "flower": ("meadow", "plain"),
    "fish": ("underwater",),
    "bird": ("meadow", "plain"),
    "cat": ("room", "plain"),
    "boat": ("sea",),
    "cup": ("table", "room"),
    "balloon": ("sky",),
    "star": ("sky", "plain"),
    "heart": ("plain",),
    "umbrella": ("rain", "beach"),
    "apple": ("table", "plain"),
    "mushroom": ("meadow", "forest"),
    "butterfly": ("sky", "meadow"),
    "robot": ("room", "plain"),
    "train": ("meadow", "road"),
    "bicycle": ("road", "meadow"),
    "snowman": ("snow",),
    "rocket": ("space", "sky"),
    "cactus": ("desert", "desert", "room"),
    "lighthouse": ("sea",),
    "bee": ("sky", "meadow"),
    "teapot": ("table", "room"),
    "ice cream": ("plain", "beach"),
}
_GROUND: Mapping[str, Colour] = {
    "meadow": (122, 182, 92),
    "road": (132, 134, 140),
    "snow": (234, 240, 246),
    "desert": (228, 194, 134),
    "beach": (238, 216, 164),
    "forest": (92, 128, 70),
    "table": (186, 138, 92),
    "room": (204, 182, 154),
    "sea": (52, 124, 168),
    "rain": (146, 152, 160),
}
HORIZON = 0.62


def paint(size: tuple[int, int], setting: str, light: str, rng: random.Random) -> Image.Image:
    """An RGB backdrop of `size`; everything random comes from `rng`."""
    top, low = (vary(c, rng, 10) for c in _SKY[light])
    if setting in ("plain", "room", "table"):
        wall = vary(
            rng.choice(((246, 238, 222), (226, 236, 240), (240, 226, 230), (228, 238, 222), (236, 232, 244))), rng, 6
        )
        top, low = (_lit(shade(wall, f), light) for f in (0.97, 1.2))
    elif setting == "underwater":
        top, low = _lit((96, 190, 214), light), _lit((20, 84, 134), light)
    elif setting == "space":
        top, low = (14, 14, 40), (44, 34, 88)
    elif setting == "rain" and light == "day":
        top, low = (150, 164, 180), (206, 214, 222)
    image = _gradient(size, top, low)
    draw = ImageDraw.Draw(image)
    if (light == "night" and setting not in ("room", "table", "underwater")) or setting == "space":
        _stars(draw, size, rng)
    if setting not in ("room", "table", "underwater", "plain", "space", "rain"):
        _heaven(draw, size, light, rng)
    if setting in _GROUND:
        _ground(draw, size, setting, light, rng)
    extra: Callable[..., None] | None = {"underwater": _bubbles, "rain": _drops, "snow": _flakes}.get(setting)
    if extra:
        extra(draw, size, rng)
    return image


def sunset(size: tuple[int, int], colour: Colour, rng: random.Random) -> Image.Image:
    """A sun going down behind the sea, with its path of light on the water."""
    width, height = size
    horizon = round(height * rng.uniform(0.55, 0.66))
    image = _gradient(size, blend(colour, (60, 40, 100), 0.62), blend(colour, (255, 232, 170), 0.55), horizon)
    glow = Image.new("RGB", size, (0, 0, 0))
    x, radius = round(width * rng.uniform(0.42, 0.58)), height * rng.uniform(0.12, 0.17)
    y = horizon - radius * rng.uniform(0.1, 0.7)
    ImageDraw.Draw(glow).ellipse((x - radius * 2, y - radius * 2, x + radius * 2, y + radius * 2), fill=(120, 80, 30))
    pixels = np.asarray(image, np.int16) + np.asarray(glow.filter(ImageFilter.GaussianBlur(radius * 0.8)), np.int16)
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=blend(colour, (255, 240, 150), 0.72))
    for _ in range(rng.randint(1, 4)):
        cx, cy, long = rng.uniform(0, width), rng.uniform(0.1, 0.4) * height, rng.uniform(0.12, 0.3) * width
        draw.ellipse(
            (cx - long, cy - height * 0.014, cx + long, cy + height * 0.014), fill=blend(colour, (255, 210, 190), 0.35)
        )
    sea = _gradient((width, height - horizon), blend(colour, (50, 50, 110), 0.45), (22, 34, 78))
    image.paste(sea, (0, horizon))
    for row in range(horizon + 2, height, max(3, height // 50)):
        spread = radius * (0.5 + (row - horizon) / (height - horizon) * 0.9)
        left, right = x - spread * rng.uniform(0.3, 1), x + spread * rng.uniform(0.3, 1)
        draw.line((left, row, right, row), fill=blend(colour, (255, 228, 150), 0.6), width=max(1, height // 130))
    return image


def _gradient(size: tuple[int, int], top: Colour, low: Colour, until: int | None = None) -> Image.Image:
    share = np.clip(np.linspace(0, size[1] / max(1, until or size[1]), size[1]), 0, 1)[:, None, None]
    column = np.asarray(top) * (1 - share) + np.asarray(low) * share
    return Image.fromarray(np.broadcast_to(column, (size[1], size[0], 3)).round().astype(np.uint8))


def _lit(colour: Colour, light: str) -> Colour:
    tint, share = _TINT[light]
    return blend(colour, tint, share)


def _stars(draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: random.Random) -> None:
    for _ in range(60):
        x, y, r = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.choice((0.6, 0.9, 1.4)) * size[1] / 320
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(236, 236, 220))


def _heaven(draw: ImageDraw.ImageDraw, size: tuple[int, int], light: str, rng: random.Random) -> None:
    width, height = size
    x, y, r = width * rng.choice((0.18, 0.8)), height * rng.uniform(0.12, 0.2), height * 0.07
    if light == "night":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(244, 240, 208))
        draw.ellipse((x - r * 0.4, y - r * 1.1, x + r * 1.5, y + r * 0.8), fill=blend(*_SKY["night"], 0.2))
    elif light == "day":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, 226, 110))
        for _ in range(rng.randint(1, 3)):
            cx, cy, s = (
                rng.uniform(0.1, 0.9) * width,
                rng.uniform(0.08, 0.3) * height,
                height * rng.uniform(0.035, 0.06),
            )
            for dx, dy, k in ((-1.2, 0.2, 0.8), (0, 0, 1.1), (1.2, 0.2, 0.8), (0.5, -0.5, 0.8)):
                draw.ellipse(
                    (cx + (dx - k) * s, cy + (dy - k * 0.8) * s, cx + (dx + k) * s, cy + (dy + k * 0.8) * s),
                    fill=(250, 252, 254),
                )
    elif light == "dusk":
        y = height * HORIZON
        draw.ellipse((x - r * 1.5, y - r * 1.5, x + r * 1.5, y + r * 1.5), fill=(255, 206, 120))


def _ground(draw: ImageDraw.ImageDraw, size: tuple[int, int], setting: str, light: str, rng: random.Random) -> None:
    width, height = size
    horizon = round(height * HORIZON)
    base = _lit(vary(_GROUND[setting], rng, 8), light)
    if setting in ("meadow", "snow", "desert", "forest"):
        hill = _lit(shade(_GROUND[setting], 0.86), light)
        for _ in range(3):
            cx, wide = rng.uniform(0, width), width * rng.uniform(0.25, 0.5)
            draw.ellipse((cx - wide, horizon - height * 0.1, cx + wide, horizon + height * 0.3), fill=hill)
    for row in range(horizon, height):
        draw.line((0, row, width, row), fill=shade(base, 1.04 - 0.22 * (row - horizon) / (height - horizon)))
    _details(draw, size, setting, light, base, rng)


def _details(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], setting: str, light: str, base: Colour, rng: random.Random
) -> None:
    width, height = size
    horizon = round(height * HORIZON)
    if setting == "road":
        for left in range(-20, width, max(30, width // 7)):
            draw.rectangle((left, height * 0.93, left + width // 14, height * 0.945), fill=_lit((240, 236, 214), light))
        draw.rectangle((0, horizon - height * 0.02, width, horizon), fill=_lit((112, 160, 88), light))
    elif setting == "sea":
        for _ in range(26):
            x, y = rng.uniform(0, width), rng.uniform(horizon + 4, height)
            draw.line(
                (x, y, x + width * rng.uniform(0.03, 0.09), y), fill=shade(base, 1.25), width=max(1, height // 160)
            )
    elif setting in ("meadow", "forest", "desert"):
        for _ in range(40):
            x, y, r = rng.uniform(0, width), rng.uniform(horizon + 6, height), height * 0.008
            draw.line((x, y, x + r, y - r * 2), fill=shade(base, rng.choice((0.82, 1.2))), width=max(1, height // 160))
    elif setting == "table":
        for row in range(horizon, height, max(6, height // 18)):
            draw.line((0, row, width, row), fill=shade(base, 0.86), width=1)


def _bubbles(draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: random.Random) -> None:
    width, height = size
    draw.ellipse((-width * 0.2, height * 0.88, width * 1.2, height * 1.3), fill=(196, 178, 128))
    for _ in range(4):
        x = rng.uniform(0, width)
        points = [(x + rng.uniform(-4, 4), height * (0.98 - 0.05 * i)) for i in range(5)]
        draw.line(points, fill=(52, 122, 84), width=max(3, height // 60), joint="curve")
    for _ in range(14):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.006, 0.018) * height
        draw.ellipse((x - r, y - r, x + r, y + r), outline=(212, 238, 246), width=max(1, height // 200))


def _drops(draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: random.Random) -> None:
    for _ in range(70):
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        draw.line((x, y, x - size[1] * 0.012, y + size[1] * 0.04), fill=(184, 204, 224), width=max(1, size[1] // 220))


def _flakes(draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: random.Random) -> None:
    for _ in range(60):
        x, y, r = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(0.003, 0.007) * size[1]
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(250, 252, 255))
