"""Exports are made once for all tests of a file, and removed with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.parity.shapes import SHAPES

if TYPE_CHECKING:
    from tests.parity.exports import Export

Exports = Callable[[str], "Export"]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exports]:
    """The export of an architecture by its name, made when first asked for."""
    for package in ("torch", "transformers", "sentencepiece"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install -e '.[train]'")
    from tests.parity.exports import make

    shapes = {shape.name: shape for shape in SHAPES}
    folders: list[Path] = []

    @cache
    def export(name: str) -> Export:
        folders.append(tmp_path_factory.mktemp("export"))
        return make(shapes[name], folders[-1] / "bundle")

    yield export
    for folder in folders:  # half a gigabyte each: pytest would keep those of the last three runs
        for path in folder.rglob("*.onnx"):
            path.unlink()
