"""What a style does to a drawn layer, and what style and light do to the whole picture."""

import random
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Floats = npt.NDArray[np.floating[Any]]


def layer(image: Image.Image, style: str, light: str, rng: random.Random) -> Image.Image:
    """An RGBA layer as the style paints it and the light shows it; its shape stays."""
    pixels = np.asarray(image, np.float32).copy()
    height = pixels.shape[0]
    if style == "gradient":
        pixels[..., :3] *= np.linspace(1.16, 0.78, height, dtype=np.float32)[:, None, None]
    elif style == "watercolour":
        wash = _noise(pixels.shape[:2], rng, 9)[..., None]
        pixels[..., :3] = pixels[..., :3] * (0.82 + 0.3 * wash) + 255 * 0.1 * (1 - wash)
        pixels[..., 3] *= 0.88
    elif style == "sketch":
        pixels[..., :3] = pixels[..., :3] * 0.86 + 255 * 0.1
    if light == "night":
        pixels[..., :3] *= np.asarray([0.74, 0.74, 0.84], np.float32)
    elif light == "dusk":
        pixels[..., :3] *= np.asarray([0.98, 0.88, 0.86], np.float32)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGBA")


def picture(image: Image.Image, style: str, light: str, rng: random.Random) -> Image.Image:
    """The whole RGB picture with the fog, the paper or the strokes that light and style ask for."""
    pixels: Floats = np.asarray(image, np.float32)
    height, width = pixels.shape[:2]
    if light == "fog":
        thinner: Floats = np.linspace(1.2, 0.7, height).astype(np.float32)[:, None]
        veil: Floats = (0.24 + 0.26 * _noise((height, width), rng, 4) * thinner)[..., None]
        pixels = pixels * (1 - veil) + np.asarray([214, 219, 222], np.float32) * veil
    if style == "watercolour":
        pixels = _displace(pixels, rng, height * 0.012)
        grain = _noise((height, width), rng, 60)[..., None]
        pixels = pixels * (0.95 + 0.1 * grain) * 0.93 + 255 * 0.06
    elif style == "sketch":
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        waves = np.sin((x + y * 1.3 + 6 * _noise((height, width), rng, 12)) * (2.1 * 320 / height))
        hatch = (waves > 0.75).astype(np.float32)[..., None]
        pixels = pixels * (1 - 0.06 * hatch)
        pixels = pixels * 0.93 + np.asarray([252, 248, 238], np.float32) * 0.07
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGB")


def shadow(image: Image.Image, strength: float) -> Image.Image:
    """A soft dark copy of a layer's shape."""
    alpha = image.getchannel("A").filter(ImageFilter.GaussianBlur(max(1.0, image.height * 0.02)))
    dark = Image.new("RGBA", image.size, (20, 20, 34, 0))
    dark.putalpha(alpha.point(lambda value: round(value * strength)))
    return dark


def _noise(shape: tuple[int, int], rng: random.Random, cells: int) -> Floats:
    """Smooth noise in 0..1 with about `cells` bumps along an edge."""
    source = np.random.default_rng(rng.randrange(2**32)).random((cells, cells), np.float32)
    small = Image.fromarray((source * 255).astype(np.uint8))
    smooth: Floats = np.asarray(small.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), np.float32) / np.float32(
        255
    )
    return smooth


def _displace(pixels: Floats, rng: random.Random, reach: float) -> Floats:
    height, width = pixels.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    across = (_noise((height, width), rng, 22) - 0.5) * 2 * reach
    down = (_noise((height, width), rng, 22) - 0.5) * 2 * reach
    moved: Floats = pixels[np.clip(y + down, 0, height - 1).astype(int), np.clip(x + across, 0, width - 1).astype(int)]
    return moved
