"""How fast a bundle is on this machine, and what optimising it offline saves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.progress import track
from rich.table import Table

from bucketlens.commands.cold import Cold, cold
from bucketlens.commands.show import console, line
from bucketlens.local.drawings import KINDS, collection, encode
from bucketlens.model.bundle import Bundle
from bucketlens.model.decode import decode
from bucketlens.model.encode import Encoder
from bucketlens.model.optimise import bare_run
from bucketlens.model.optimise import optimise as optimise_bundle
from bucketlens.model.preprocess import pixels
from bucketlens.model.provenance import bundle_files, tower_of, variant_of

_MOST_PIXELS = 100_000_000
_TOWERS = ("vision", "text")


def bench(folder: Path, images: int, threads: int) -> int:
    """Measure and print one table. One picture after the other, as ingest does it; nothing runs beside it here."""
    bundle = Bundle.open(folder)
    bodies = [encode(drawing) for drawing in collection(images)]
    spent = _Spent()
    encoder, bare = Encoder(bundle, threads), bare_run(bundle, threads)
    words = sorted(KINDS)
    warm = decode(bodies[0], max_pixels=_MOST_PIXELS)
    encoder.image(warm)
    encoder.text("warm")
    bare(pixels(warm.image, bundle.recipe)[np.newaxis])
    for body in track(bodies, "Measuring", console=console(), transient=True):
        with spent("decode"):
            picture = decode(body, max_pixels=_MOST_PIXELS, at_least=encoder.recipe.at_least)
        with spent("embed"):
            encoder.image(picture)
        prepared = pixels(picture.image, bundle.recipe)[np.newaxis]
        with spent("bare"):
            bare(prepared)
    for number in range(images):
        with spent("text"):
            encoder.text(f"a picture of a {words[number % len(words)]}")
    colds = {tower: cold(folder, variant_of(bundle.vision), tower, threads) for tower in _TOWERS}
    console().print(_table(bundle, spent.mean(), colds, images, threads))
    return 0


def optimise(folder: Path, into: Path) -> int:
    """Write the optimised bundle, prove it, and print what it saves."""
    bundle = Bundle.open(folder)
    pictures = [decode(encode(drawing), max_pixels=_MOST_PIXELS) for drawing in collection(8)]
    texts = ["a red car", "two boats at night", "x", " ".join(sorted(KINDS))]
    made = optimise_bundle(bundle, into, pictures, texts)
    table = Table("", "before", "after", title=f"{bundle.identity.id}, optimised offline")
    variant = variant_of(bundle.vision)
    for tower in _TOWERS:
        before, after = (cold(place, variant, tower) for place in (folder, into))
        table.add_row(f"{tower}: ms to the first vector", f"{before.first_ms:.0f}", f"{after.first_ms:.0f}")
        table.add_row(f"{tower}: MB in memory for it", f"{_grown(before):.0f}", f"{_grown(after):.0f}")
    table.add_row("size of the towers, MB", *(f"{_size(place, variant) / 1e6:.1f}" for place in (folder, into)))
    console().print(table)
    line(f"Vectors differ by at most {made.difference:.1e} in a component ({made.tolerance:.0e} is allowed).")
    line(f"To an index it is another model: {made.bundle.identity.checksum}")
    line(f"It is in {into}")
    return 0


class _Spent:
    """Seconds spent per name."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._seconds.setdefault(name, []).append(time.perf_counter() - began)

    def mean(self) -> dict[str, float]:
        """Mean milliseconds per name."""
        return {name: 1e3 * sum(each) / len(each) for name, each in self._seconds.items()}


def _table(bundle: Bundle, ms: dict[str, float], colds: dict[str, Cold], images: int, threads: int) -> Table:
    title = f"{bundle.identity.id}: {images} drawn pictures, {threads} thread{'s' if threads > 1 else ''}"
    table = Table("", "ms", "per s", "MB", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    whole = ms["decode"] + ms["embed"]
    rows = {
        "image: decode and embed, the ingest loop": whole,
        "image: embed only": ms["embed"],
        "image: decode only": ms["decode"],
        "image: ONNX Runtime alone": ms["bare"],
        "text": ms["text"],
    }
    for name, mean in rows.items():
        table.add_row(name, f"{mean:.2f}", f"{1e3 / mean:.1f}", "")
    table.add_row("ingest loop / ONNX Runtime alone", "", f"{ms['bare'] / whole:.2f}", "", end_section=True)
    for tower, found in colds.items():
        table.add_row(f"fresh process, {tower}: imports", f"{found.imports_ms:.0f}", "", "")
        table.add_row(f"fresh process, {tower}: open the bundle", f"{found.open_ms:.0f}", "", f"{found.before_mb:.0f}")
        table.add_row(
            f"fresh process, {tower}: to the first vector", f"{found.first_ms:.0f}", "", f"{found.after_mb:.0f}"
        )
    return table


def _grown(found: Cold) -> float:
    return found.after_mb - found.before_mb


def _size(folder: Path, variant: str) -> int:
    return sum((folder / name).stat().st_size for name in bundle_files(folder, variant) if tower_of(name))
