"""What a bundle is, for people."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from bucketlens.model.bundle import Bundle
from bucketlens.model.preprocess import Recipe
from bucketlens.model.provenance import Provenance, bundle_files, tower_of, variant_of, variants


def console() -> Console:
    """Standard output: as wide as the terminal, and never wrapped when it is a pipe."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=200)


def line(text: str) -> None:
    """One line, exactly as it is: nothing in it is taken for markup, nothing is wrapped."""
    console().print(text, markup=False, soft_wrap=True)


def info(folder: Path) -> int:
    """Print what is known about the bundle in ``folder``."""
    files = bundle_files(folder)
    bundle = Bundle.open(folder)
    facts = Provenance.read(folder)
    chosen = variant_of(bundle.vision)
    table = facts_table()
    table.add_row("id", bundle.identity.id)
    table.add_row("checksum", bundle.identity.checksum)
    table.add_row("dimension", f"{bundle.identity.dimension}, {bundle.identity.metric}")
    for variant in variants(files):
        note = ", the one that is used" if variant == chosen else ""
        table.add_row(f"variant {variant or '(no suffix)'}", _sizes(folder, variant) + note)
    recipe, rule = bundle.recipe, bundle.rule
    table.add_row("image size", f"{recipe.shape[0]} x {recipe.shape[1]}")
    table.add_row("image rule", _rule(recipe))
    table.add_row("token limit", f"{rule.limit}{', always padded to it' if rule.padded else ''}")
    table.add_row("optimised", "offline" if bundle.optimized else "no ('bucketlens model optimise')")
    source = ", ".join(f"{name} {said}" for name, said in facts.source.items()) if facts else "not recorded"
    table.add_row("from", source)
    table.add_row("folder", str(folder.resolve()))
    console().print(table)
    return 0


def facts_table() -> Table:
    """Two columns without heads: a name and what it is."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _rule(recipe: Recipe) -> str:
    if isinstance(recipe.size, int):
        resized = f"shortest edge to {recipe.size}"
    else:
        resized = f"to {recipe.size[0]} x {recipe.size[1]}"
    cropped = f", middle {recipe.crop[0]} x {recipe.crop[1]}" if recipe.crop else ""
    filters = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
    mean, std = (" ".join(f"{value:.4g}" for value in values) for values in (recipe.mean, recipe.std))
    return f"{resized} ({filters[recipe.resample]}){cropped}; times {recipe.scale:.4g}, mean {mean}, std {std}"


def _sizes(folder: Path, variant: str) -> str:
    sizes = {"vision": 0, "text": 0}
    for name in bundle_files(folder):
        found = tower_of(name)
        if found and found[1] == variant:
            sizes[found[0]] += (folder / name).stat().st_size
    return ", ".join(f"{tower} {size / 1e6:.1f} MB" for tower, size in sizes.items())
