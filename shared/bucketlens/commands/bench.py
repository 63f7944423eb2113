"""How fast bundles are on this machine: loading, one vector, and ingest beside ONNX Runtime alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.progress import track
from rich.table import Table

from bucketlens.commands.cold import cold
from bucketlens.commands.pace import ROUNDS, pace
from bucketlens.commands.show import console, line
from bucketlens.errors import InvalidRequest
from bucketlens.local.drawings import collection, encode
from bucketlens.model.bundle import Bundle
from bucketlens.model.provenance import bundle_files, tower_of, variant_of
from bucketlens.model.signature import SUPPORTED, recognise

_COLUMNS = (
    "model", "precision", "MB", "load", "first", "image", "load", "first", "text",
    "prepare", "ingest", "alone", "ratio", "filled", "share", "limit",
)  # fmt: skip
_LEGEND = (
    "MB: both towers. load: ms in a fresh process, files in the page cache, until a tower can run (image | text);",
    "first: ms from there to its first vector; image, text: ms for one more, decoding excluded.",
    "prepare: ms of decoding and resizing. ingest: pictures/s on all cores: bytes -> decode -> embed -> segment.",
    "alone: pictures/s of ONNX Runtime alone on pixels that are ready, one run at a time; ratio: ingest / alone.",
    "filled: the same with a run on every core; share: ingest / filled. Decoding takes cores too: limit is the share",
    "when none is ever idle, from CPU times. A busy machine lowers ratio and share.",
)


def bench(targets: Sequence[tuple[Path, str]], bodies: Sequence[bytes], threads: int) -> int:
    """Measure bundles, each a folder and a variant (empty: the bundle's own), and print one table."""
    mean = sum(map(len, bodies)) / len(bodies) / 1e3
    title = f"{len(bodies)} pictures of {mean:.0f} KB, medians of {ROUNDS} rounds, ONNX Runtime threads: {threads}"
    table = Table(*_COLUMNS, title=title)
    for column in table.columns[2:]:
        column.justify = "right"
    for folder, variant in track(targets, "Measuring", console=console(), transient=True):
        table.add_row(*_row(Bundle.open(folder, variant), bodies, threads))
    console().print(table)
    for text in _LEGEND:
        line(text)
    return 0


def drawn(count: int, megapixels: float | None) -> list[bytes]:
    """Files of drawn pictures; all JPEG, and of so many megapixels, when a number is given."""
    files = []
    for one in collection(count):
        if megapixels is not None:
            times = (megapixels * 1e6 / (one.image.width * one.image.height)) ** 0.5
            image = one.image.resize((round(one.image.width * times), round(one.image.height * times)))
            one = replace(one, image=image, name="large.jpg")
        files.append(encode(one))
    return files


def read(folder: Path, count: int) -> list[bytes]:
    """The first pictures of a folder, in order of their names. Raises InvalidRequest when it has none."""
    found: list[bytes] = []
    for path in sorted(folder.rglob("*")):
        if len(found) < count and path.is_file() and recognise(path.read_bytes()) in SUPPORTED:
            found.append(path.read_bytes())
    if not found:
        raise InvalidRequest("This folder has no pictures.", value=str(folder), remedy="Name another one.")
    return found


def _row(bundle: Bundle, bodies: Sequence[bytes], threads: int) -> list[str]:
    variant = variant_of(bundle.vision)
    vision, text = (cold(bundle.folder, variant, tower, threads) for tower in ("vision", "text"))
    found = pace(bundle, bodies, threads)
    size = sum((bundle.folder / name).stat().st_size for name in bundle_files(bundle.folder, variant) if tower_of(name))
    precision = f"{variant or 'fp32'}{', optimised' if bundle.optimized else ''}"
    return [
        *(bundle.identity.id, precision, f"{size / 1e6:.1f}"),
        *(f"{vision.load_ms:.0f}", f"{vision.first_ms:.0f}", f"{found.embed:.1f}"),
        *(f"{text.load_ms:.0f}", f"{text.first_ms:.0f}", f"{found.text:.1f}"),
        *(f"{found.prepare:.1f}", f"{1e3 / found.whole:.1f}"),
        *(f"{1e3 / found.alone:.1f}", f"{found.ratio:.2f}"),
        *(f"{1e3 / found.filled:.1f}", f"{found.share:.2f}", f"{found.limit:.2f}"),
    ]
