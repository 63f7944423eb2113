"""Print the parity table, one line for each architecture; or export bundles to measure: ``--export FOLDER``.

The exports are CLIP B/32 and B/16 at full depth with random weights, in single precision and int8: 1.5 GB.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.parity.exports import make
from tests.parity.measure import measure, texts_of
from tests.parity.precisions import add_int8
from tests.parity.shapes import SHAPES

COLUMNS = "{:<18} {:>10} {:>12} {:>8} {:>10} {:>10} {:>8}"
WHOLE = {"clip-b32": "CLIP B/32", "clip-b16": "CLIP B/16"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("--export", type=Path, metavar="FOLDER", help="write bundles there instead of comparing")
    folder: Path | None = parser.parse_args().export
    if folder is None:
        compare()
    else:
        export(folder)


def export(folder: Path) -> None:
    """The towers of the published checkpoints, layer for layer; only what they have learned is missing."""
    depth = {"num_hidden_layers": 12}
    shapes = {shape.name: shape for shape in SHAPES}
    for name, shape in ((name, shapes[said]) for name, said in WHOLE.items()):
        text = {**shape.text, **depth, "vocab_size": 49408}
        make(replace(shape, vision={**shape.vision, **depth}, text=text), folder / name)
        add_int8(folder / name)
        print(folder / name, flush=True)  # noqa: T201


def compare() -> None:
    print(COLUMNS.format("architecture", "pixels", "scaled JPEG", "tokens", "images", "texts", "spread"))  # noqa: T201
    for shape in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            export = make(shape, Path(folder) / "bundle")
            found = measure(export)
        texts = len(texts_of(export))
        tokens = f"{texts - len(found.tokens)}/{texts}"
        numbers = [f"{number:.1e}" for number in (found.pixels, found.scaled, found.images, found.texts)]
        print(COLUMNS.format(shape.name, *numbers[:2], tokens, *numbers[2:], f"{found.spread:.2f}"), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
