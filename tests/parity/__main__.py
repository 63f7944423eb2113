"""Print the parity table: one line for each architecture."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.parity.exports import make
from tests.parity.measure import measure, texts_of
from tests.parity.shapes import SHAPES

COLUMNS = "{:<18} {:>10} {:>12} {:>8} {:>10} {:>10} {:>8}"


def main() -> None:
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
