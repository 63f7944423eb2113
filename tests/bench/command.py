"""What the benches that are run by themselves share: options for the size, and a table of what was found."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.data import CACHE

Row = Mapping[str, object]


def sized(doc: str | None, *, rows: int = 40_000, dimension: int = 256) -> argparse.ArgumentParser:
    """A parser that explains itself by ``doc`` and takes ``--rows`` and ``--dimension``."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=rows)
    parser.add_argument("--dimension", type=int, default=dimension)
    return parser


def over_data(doc: str | None, *, queries: int) -> argparse.ArgumentParser:
    """The same for a bench over a data set: also ``--queries``, ``--photographs`` and ``--cache``."""
    parser = sized(doc, rows=65_536, dimension=512)
    parser.add_argument("--queries", type=int, default=queries)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--cache", type=Path, default=CACHE)
    return parser


def show(found: Iterable[Row], columns: Mapping[str, str]) -> None:
    """A table with a column for each of ``columns``, which say in what format a row's values stand there."""
    table = Table(*columns)
    for row in found:
        table.add_row(*(column.format(**row) for column in columns.values()))
    Console().print(table)
