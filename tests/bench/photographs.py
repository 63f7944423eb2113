"""Real rows: the embedded model over photographs, prepared as ingest prepares them.

The photographs are shuffled; the first 2,000 (at most half) are held out and become the queries, uncropped. The rest
are the rows: in the first round whole, in every later round a random crop (0.6 to 1 of each side) that is turned left
to right half of the time. So rows beyond the number of photographs have near neighbours of their own picture, as in a
collection with bursts and edits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq  # noqa: TID251
from PIL import Image  # noqa: TID251

from bucketlens.model.bundle import Bundle, embedded_bundle
from bucketlens.model.decode import decode
from bucketlens.model.encode import Encoder
from bucketlens.model.preprocess import pixels
from tests.bench.mixture import Floats

HELD_OUT = 2_000
_SMALLEST_CROP = 0.6
_MOST_PIXELS = 100_000_000


@dataclass(frozen=True)
class Photographs:
    """Photographs of a parquet file: its column ``image`` holds the bytes of encoded pictures."""

    parquet: Path
    seed: int = 0
    processes: int = 2

    @cached_property
    def id(self) -> str:
        """Names the rows: which photographs, which model."""
        facts = f"{self.parquet.name} {self.parquet.stat().st_size} {self._bundle.identity.checksum}"
        return f"photographs-{hashlib.blake2b(facts.encode(), digest_size=6).hexdigest()}-{self.seed}"

    @property
    def says(self) -> str:
        """What the rows are, for a reader."""
        return (
            f"real: {self.count - self.held_out:,} photographs of {self.parquet.name} embedded by "
            f"{self._bundle.identity.id}, then random crops and flips of them; "
            f"queries are {self.held_out:,} other photographs"
        )

    @property
    def dimension(self) -> int:
        """That of the embedded model."""
        return self._bundle.identity.dimension

    @cached_property
    def count(self) -> int:
        """Photographs in the file."""
        return int(pq.ParquetFile(self.parquet).metadata.num_rows)

    @property
    def held_out(self) -> int:
        """Photographs that are queries, never rows."""
        return min(HELD_OUT, self.count // 2)

    def pieces(self, numbers: list[int], rows: int) -> Iterator[tuple[int, Floats]]:
        """These pieces of ``rows`` rows each, with their numbers, made by ``processes`` processes."""
        with ProcessPoolExecutor(self.processes, get_context("spawn"), _open, (self.parquet,)) as pool:
            made = pool.map(partial(_piece, self.seed, self.held_out, rows), numbers)
            yield from zip(numbers, made, strict=True)

    def queries(self, count: int) -> Floats:
        """The vectors of held-out photographs."""
        if count > self.held_out:
            raise SystemExit(f"--queries {count}: {self.parquet.name} leaves {self.held_out} photographs for queries.")
        _open(self.parquet)
        order = _order(self.seed, self.count)
        return np.stack([_embed(int(at), None) for at in order[:count]])

    @cached_property
    def _bundle(self) -> Bundle:
        return Bundle.open(embedded_bundle())


class _Opened:
    """What a worker holds: encoded pictures and the model."""

    pictures: object
    encoder: Encoder


def _open(parquet: Path) -> None:
    _Opened.pictures = pq.read_table(parquet, columns=["image"]).column("image")
    _Opened.encoder = Encoder(Bundle.open(embedded_bundle()), threads=1)


def _piece(seed: int, held_out: int, rows: int, number: int) -> Floats:
    order = _order(seed, len(_Opened.pictures))[held_out:]  # type: ignore[arg-type]
    made = []
    for row in range(number * rows, (number + 1) * rows):
        again, place = divmod(row, len(order))
        made.append(_embed(int(order[place]), np.random.default_rng([seed, row]) if again else None))
    return np.stack(made)


def _order(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(count)


def _embed(at: int, rng: np.random.Generator | None) -> np.ndarray:
    body = _Opened.pictures[at].as_py()  # type: ignore[index]
    image, encoder = decode(body, max_pixels=_MOST_PIXELS).image, _Opened.encoder
    return encoder.embed(pixels(_changed(image, rng) if rng else image, encoder.recipe))


def _changed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    sides = [max(1, round(side * rng.uniform(_SMALLEST_CROP, 1))) for side in image.size]
    left, top = (int(rng.integers(0, whole - side + 1)) for whole, side in zip(image.size, sides, strict=True))
    cut = image.crop((left, top, left + sides[0], top + sides[1]))
    return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else cut
