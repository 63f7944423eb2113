"""Building one shard: ``python -m tests.bench.shards [--rows 250000] [--dimension 512]``.

Rows of the mixture with about the metadata that ingest writes become the files of a shard in a process of its own, with
two threads, ``--repeats`` times. Seconds of each stage are those of the fastest repeat; memory is the process's most,
mapped files included.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa  # noqa: TID251

from bucketlens.index import columns, segment, shard
from bucketlens.index.block import Block
from bucketlens.index.gather import Gathered
from bucketlens.records import Kind, ModelIdentity
from tests.bench.command import show, sized
from tests.bench.compaction import peak_mb
from tests.bench.folder import metadata
from tests.bench.mixture import Mixture

_THREADS = 2
_STAGES = (
    ("k-means", "cluster"),
    ("vectors", "arrow.write_vectors"),
    ("codes", "codes.encode"),
    ("graph", "graph.build"),
    ("effort", "measure"),
)


def measure(rows: int = 250_000, dimension: int = 512, repeats: int = 3) -> list[dict[str, object]]:
    """One row: ``seconds`` of the fastest repeat, those of its stages (``graph`` without ``effort``; ``metadata`` is
    the rest), ``peak_mb``, ``base_mb`` before it began, and the ``load`` of the machine."""
    model, context, found = ModelIdentity("bench", "b" * 32, dimension), multiprocessing.get_context("spawn"), []
    with tempfile.TemporaryDirectory(prefix="bench-shards-") as folder:
        source = Path(folder, "source.arrow")
        source.write_bytes(segment.pack(_block(rows, dimension), model))
        for number in range(repeats):
            told: multiprocessing.Queue[dict[str, object]] = context.Queue()
            child = context.Process(target=_built, args=(source, Path(folder, f"shard-{number}"), told))
            child.start()
            found.append(told.get(timeout=3_600))
            child.join()
    return [min(found, key=lambda one: float(str(one["seconds"])))]


def _built(source: Path, files: Path, told: multiprocessing.Queue[dict[str, object]]) -> None:
    files.mkdir()
    held = segment.map_file(source)
    gathered = Gathered.of([(held.block, np.arange(len(held.block)))])
    load, base, spent = os.getloadavg()[0], peak_mb(), Counter[str]()
    began = perf_counter()
    with ExitStack() as stack:
        for stage, name in _STAGES:
            stack.enter_context(_timed(stage, name, spent))
        paths = shard.build(gathered, held.model, files, threads=_THREADS)
    seconds = perf_counter() - began
    spent["graph"] -= spent["effort"]
    told.put(
        {
            "rows": len(gathered),
            "dimension": held.model.dimension,
            "seconds": seconds,
            **spent,
            "metadata": seconds - spent.total(),
            "mb": sum(path.stat().st_size for path in paths.values()) / 1e6,
            "base_mb": base,
            "peak_mb": peak_mb(),
            "load": load,
        }
    )


@contextmanager
def _timed(stage: str, name: str, spent: Counter[str]) -> Iterator[None]:
    """Counts the seconds inside a function that the shard's module calls."""
    owner: Any = shard
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    inner: Callable[..., object] = getattr(owner, last)

    def timed(*args: object, **options: object) -> object:
        began = perf_counter()
        try:
            return inner(*args, **options)
        finally:
            spent[stage] += perf_counter() - began

    with patch.object(owner, last, timed):
        yield


def _block(rows: int, dimension: int) -> Block:
    """The rows as ingest would have written them."""
    ((_, drawn),) = Mixture(dimension).pieces([0], rows)
    system = Block.of((), dimension).table.schema
    fixed = {"sequencer": "1".rjust(16, "0"), "kind": Kind.IMAGE.value}
    filled = {name: pa.array([fixed.get(name)] * rows, system.field(name).type) for name in system.names}
    filled["key"] = pa.array([f"images/{number:08}.jpg" for number in range(rows)])
    table = pa.table(filled, schema=system)
    for name, column in columns.encode([metadata(number) for number in range(rows)]).items():
        table = table.append_column(name, column)
    return Block(table, drawn.astype(np.float16))


def main() -> None:
    parser = sized(__doc__, rows=250_000, dimension=512)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    (found,) = measure(options.rows, options.dimension, options.repeats)
    stages = [*(stage for stage, _ in _STAGES), "metadata"]
    lines = [
        (f"{found['rows']:,} x {found['dimension']}", "{seconds:.1f} s"),
        *((of, f"{{{of}:.1f}} s") for of in stages),
    ]
    lines += [("files", "{mb:,.0f} MB"), ("memory", "{peak_mb:,.0f} MB"), ("before", "{base_mb:,.0f} MB")]
    lines += [("load average", "{load:.1f}")]
    show([{"what": what, "is": form.format(**found)} for what, form in lines], {"what": "{what}", "": "{is}"})


if __name__ == "__main__":
    main()
