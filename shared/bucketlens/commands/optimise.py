"""Optimising a bundle offline: prove it, and show what it saves."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from bucketlens.commands.cold import Cold, cold
from bucketlens.commands.show import console, line
from bucketlens.local.drawings import KINDS, collection, encode
from bucketlens.model.bundle import Bundle
from bucketlens.model.decode import decode
from bucketlens.model.optimise import optimise as optimise_bundle
from bucketlens.model.provenance import bundle_files, tower_of, variant_of

_MOST_PIXELS = 100_000_000


def optimise(folder: Path, variant: str, into: Path) -> int:
    """Write the optimised bundle of a variant (empty: the bundle's own), prove it, and print what it saves."""
    bundle = Bundle.open(folder, variant)
    pictures = [decode(encode(drawing), max_pixels=_MOST_PIXELS) for drawing in collection(8)]
    texts = ["a red car", "two boats at night", "x", " ".join(sorted(KINDS))]
    made = optimise_bundle(bundle, into, pictures, texts)
    table = Table("", "before", "after", title=f"{bundle.identity.id}, optimised offline")
    used = variant_of(bundle.vision)
    for tower in ("vision", "text"):
        before, after = (cold(place, used, tower) for place in (folder, into))
        table.add_row(f"{tower}: ms to load", f"{before.load_ms:.0f}", f"{after.load_ms:.0f}")
        table.add_row(f"{tower}: ms to the first vector", f"{_to_first(before):.0f}", f"{_to_first(after):.0f}")
        table.add_row(f"{tower}: MB in memory for it", f"{_grown(before):.0f}", f"{_grown(after):.0f}")
    table.add_row("size of the towers, MB", *(f"{_size(place, used) / 1e6:.1f}" for place in (folder, into)))
    console().print(table)
    line(f"Vectors differ by at most {made.difference:.1e} in a component ({made.tolerance:.0e} is allowed).")
    line(f"To an index it is another model: {made.bundle.identity.checksum}")
    line(f"It is in {into}")
    return 0


def _to_first(found: Cold) -> float:
    return found.load_ms + found.first_ms


def _grown(found: Cold) -> float:
    return found.after_mb - found.before_mb


def _size(folder: Path, variant: str) -> int:
    return sum((folder / name).stat().st_size for name in bundle_files(folder, variant) if tower_of(name))
