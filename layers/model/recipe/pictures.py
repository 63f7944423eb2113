"""Pixels for training: photographs and drawings decoded once into arrays on disk, and colours measured from them."""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from captions import COLOURS
from PIL import Image
from tqdm import tqdm

Pixels = npt.NDArray[np.uint8]
Shares = npt.NDArray[np.float32]
SIDE = 64
VALIDATION_PER_CLASS = 45
DRAWING_SEEDS = 1_000_000  # training drawings have seeds from here on, the demo's are far below


@dataclass(frozen=True, slots=True)
class Photographs:
    """`pixels` [n, 64, 64, 3] (mapped), `labels` [n] index into `wnids`, `names` by WordNet id."""

    pixels: Pixels
    labels: npt.NDArray[np.int64]
    wnids: tuple[str, ...]
    names: dict[str, str]


@dataclass(frozen=True, slots=True)
class Drawings:
    """`pixels` [n, 64, 64, 3] and, for each, its kind, colour, count, light and style."""

    pixels: Pixels
    facts: list[tuple[str, str, int, str, str]]


def photographs(parquet: Path, cache: Path) -> Photographs:
    """The photographs of the parquet file (columns image, wnid, names), decoded into `cache` on the first call."""
    pixel_file, label_file = cache / "photographs.npy", cache / "photographs.json"
    if not label_file.exists():
        _decode(parquet, pixel_file, label_file)
    meta = json.loads(label_file.read_text())
    pixels = np.load(pixel_file, mmap_mode="r")
    return Photographs(pixels, np.asarray(meta["labels"], np.int64), tuple(meta["wnids"]), meta["names"])


def drawings(count: int, cache: Path) -> Drawings:
    """`count` drawings of the project's generator, rendered into `cache` on the first call."""
    pixel_file, fact_file = cache / f"drawings-{count}.npy", cache / f"drawings-{count}.json"
    if not fact_file.exists():
        _render(count, pixel_file, fact_file)
    facts = [(str(k), str(c), int(n), str(lt), str(s)) for k, c, n, lt, s in json.loads(fact_file.read_text())]
    return Drawings(np.load(pixel_file), facts)


def split(labels: npt.NDArray[np.int64], seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(training rows, validation rows): 45 of every class are held out, the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    held = [
        rng.choice(np.flatnonzero(labels == c), VALIDATION_PER_CLASS, replace=False) for c in range(labels.max() + 1)
    ]
    validation = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def square(image: Image.Image, side: int = SIDE) -> Pixels:
    """Shortest edge to `side` (bicubic), then the centre: the same as the bundle's preprocessor_config.json says."""
    image = image.convert("RGB")
    width, height = image.size
    scale = side / min(width, height)
    size = (max(side, int(width * scale)), max(side, int(height * scale)))
    if size != image.size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)), np.uint8)


def measure(pixels: Pixels) -> tuple[Shares, Shares, Shares]:
    """Of [n, 64, 64, 3]: shares of each of COLOURS in the whole and in the centre half [n, 11], mean brightness [n]."""
    whole, centre, light = [], [], []
    for start in range(0, len(pixels), 2000):
        part = np.asarray(pixels[start : start + 2000], np.float32) / 255
        small = part.reshape(len(part), 16, 4, 16, 4, 3).mean((2, 4))
        names = _colour_index(small)
        whole.append(_shares(names))
        centre.append(_shares(names[:, 4:12, 4:12]))
        light.append((small @ np.asarray([0.299, 0.587, 0.114], np.float32)).mean((1, 2)))
    return np.concatenate(whole), np.concatenate(centre), np.concatenate(light)


def measured(photos: Photographs, cache: Path) -> tuple[Shares, Shares, Shares]:
    """`measure` of all photographs, kept in `cache`."""
    file = cache / "colours.npz"
    if not file.exists():
        whole, centre, brightness = measure(photos.pixels)
        np.savez(file, whole=whole, centre=centre, brightness=brightness)
    with np.load(file) as kept:
        return kept["whole"], kept["centre"], kept["brightness"]


def _shares(names: npt.NDArray[np.int64]) -> Shares:
    flat = names.reshape(len(names), -1)
    return np.stack([(flat == i).mean(1) for i in range(len(COLOURS))], 1).astype(np.float32)


def _colour_index(rgb: Shares) -> npt.NDArray[np.int64]:
    top, low = rgb.max(-1), rgb.min(-1)
    span = top - low
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    safe = np.where(span == 0, 1, span)
    hue = (
        np.where(
            top == red,
            (green - blue) / safe % 6,
            np.where(top == green, (blue - red) / safe + 2, (red - green) / safe + 4),
        )
        * 60
    )
    saturation = span / np.where(top == 0, 1, top)
    at = {name: i for i, name in enumerate(COLOURS)}
    index = np.full(hue.shape, at["red"], np.int64)
    for name, low_hue, high_hue in (
        ("orange", 14, 42),
        ("yellow", 42, 68),
        ("green", 68, 165),
        ("blue", 165, 258),
        ("purple", 258, 300),
        ("pink", 300, 345),
    ):
        index[(hue >= low_hue) & (hue < high_hue)] = at[name]
    index[(index == at["red"]) & (saturation < 0.5) & (top > 0.7)] = at["pink"]
    index[(hue >= 10) & (hue < 50) & ((top < 0.65) | (saturation < 0.45))] = at["brown"]
    index[(saturation < 0.15) | ((saturation < 0.25) & (top < 0.5))] = at["grey"]
    index[(saturation < 0.15) & (top > 0.8)] = at["white"]
    index[(top < 0.18) | ((top < 0.28) & (saturation < 0.4))] = at["black"]
    return index


def _decode(parquet: Path, pixel_file: Path, label_file: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(parquet, columns=["image", "wnid", "names"])
    ids, names = table["wnid"].to_pylist(), table["names"].to_pylist()
    wnids = sorted(set(ids))
    place = {wnid: i for i, wnid in enumerate(wnids)}
    pixel_file.parent.mkdir(parents=True, exist_ok=True)
    out = np.lib.format.open_memmap(pixel_file, "w+", np.uint8, (len(ids), SIDE, SIDE, 3))
    for row, value in enumerate(tqdm(table["image"], desc="decode", mininterval=10)):
        out[row] = square(Image.open(BytesIO(value.as_py())))
    out.flush()
    meta = {"labels": [place[w] for w in ids], "wnids": wnids, "names": dict(zip(ids, names, strict=True))}
    label_file.write_text(json.dumps(meta))


def _render(count: int, pixel_file: Path, fact_file: Path) -> None:
    out = np.empty((count, SIDE, SIDE, 3), np.uint8)
    facts = []
    with ProcessPoolExecutor() as pool:
        seeds = range(DRAWING_SEEDS, DRAWING_SEEDS + count)
        for row, (pixels, known) in enumerate(
            tqdm(pool.map(_one, seeds, chunksize=50), total=count, desc="draw", mininterval=10)
        ):
            out[row] = pixels
            facts.append(known)
    np.save(pixel_file, out)
    fact_file.write_text(json.dumps(facts))


def _one(seed: int) -> tuple[Pixels, tuple[str, str, int, str, str]]:
    from bucketlens.local.drawings import draw

    drawn = draw(seed)
    return square(drawn.image), (drawn.kind, drawn.colour, drawn.count, drawn.light, drawn.style)
