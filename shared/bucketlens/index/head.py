"""The head of a shard: one small file after which every other file can be read by ranges, or need not be read at all.

    first     uint32                    the first row of each cluster
    centroid  fixed_size_list<int8>     the mean of its rows, scaled to the full int8 range: only the direction counts

Everything else (row count, the coding's mean and scale, byte offsets, column statistics) is JSON under
``bucketlens.head`` in the schema's metadata: kilobytes, and of a million rows tens of them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # noqa: TID251

from bucketlens.errors import Corrupt
from bucketlens.index import arrow
from bucketlens.index.arrow import ROWS_PER_BATCH, Span
from bucketlens.index.codes import Coding
from bucketlens.index.effort import Effort
from bucketlens.index.fields import Place
from bucketlens.index.rounded import Asked, Rounding
from bucketlens.index.segment import model_facts
from bucketlens.index.stats import Column
from bucketlens.index.vectors import products
from bucketlens.records import ModelIdentity, Sequencer

_HASH_BYTES, _ROW_BYTES, _HALF_BYTES = 8, 4, 2
_LUCK = 8
"""Standard deviations around a hash's expected place that are read: the chance to miss is below 1e-14."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What a head says of rows and keys, which a change of model does not touch.

    ``firsts`` (clusters + 1,) and ``batches`` (record batches + 1,) are row numbers, the last is the number of rows;
    ``spans`` are the bytes of each record batch in rows.arrow, ``hashes_at`` and ``numbers_at`` where the hashes and
    the row numbers begin in keys.arrow, ``fields`` where each metadata column is in columns.arrow. ``newest`` is the
    newest version of any row: what the log says of a key with a version not older is not outdone by this shard.
    """

    firsts: npt.NDArray[np.int64]
    batches: npt.NDArray[np.int64]
    spans: Sequence[Span]
    schema: bytes
    hashes_at: int
    numbers_at: int
    columns: Mapping[str, Column]
    fields: Sequence[Place]
    newest: Sequencer

    @property
    def rows(self) -> int:
        """Rows of the shard."""
        return int(self.firsts[-1])

    def batch_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The record batch of rows.arrow each of these rows is in."""
        return np.searchsorted(self.batches, rows, side="right") - 1

    def places_near(self, hashed: int) -> tuple[int, int]:
        """Places in keys.arrow, first and behind the last, among which the hash is if the shard has it.

        Hashes are uniform, so hash number i of n is near i / n of the range, within a binomial's deviation.
        """
        share = hashed / 2**64
        slack = _LUCK * (np.sqrt(self.rows * share * (1 - share)) + 1)
        expected = share * self.rows
        return max(0, int(expected - slack)), min(self.rows, int(expected + slack) + 1)

    def hash_span(self, places: tuple[int, int]) -> Span:
        """Bytes of keys.arrow that hold the hashes at these places."""
        return self.hashes_at + places[0] * _HASH_BYTES, self.hashes_at + places[1] * _HASH_BYTES

    def number_span(self, places: tuple[int, int]) -> Span:
        """Bytes of keys.arrow that hold the row numbers at these places."""
        return self.numbers_at + places[0] * _ROW_BYTES, self.numbers_at + places[1] * _ROW_BYTES


@dataclass(frozen=True)
class Head:
    """An outline, and what belongs to the vectors: (clusters, d) int8 centroids, the coding, where values begin, and
    where there is a graph the effort that a search for the nearest rows takes, and how its rows were rounded."""

    outline: Outline
    centroids: npt.NDArray[np.int8]
    coding: Coding
    vectors_at: int
    codes_at: int
    effort: Effort | None = None
    rounding: Rounding | None = None

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return int(self.centroids.shape[1])

    def closeness(self, asked: Asked) -> npt.NDArray[np.float32]:
        """Cosine of the query to each centroid, within about 0.01."""
        found = products(asked.form, self.centroids) * self._inverse_lengths
        return np.asarray(found * np.float32(1 / asked.rounding.scale))

    @cached_property
    def _inverse_lengths(self) -> npt.NDArray[np.float32]:
        lengths = np.linalg.norm(self.centroids.astype(np.float32), axis=1)
        return np.asarray(1 / np.maximum(lengths, 1e-12), dtype=np.float32)

    def near(
        self,
        closeness: npt.NDArray[np.float32],
        enough: int,
        most: int,
        within: Callable[[int, int], int] | None = None,
    ) -> list[Span]:
        """The clusters nearest to a query of this ``closeness``, as many as hold ``enough`` rows, but at most ``most``.

        As spans of rows, ascending; clusters that adjoin are one. ``within`` tells how many of the rows from one up to
        another count; else all do.
        """
        nearness, firsts = closeness.copy(), self.outline.firsts
        spans, held = list[Span](), 0
        while held < enough and len(spans) < min(most, len(nearness)):
            nearest = int(nearness.argmax())  # the best of a thousand, some times, sooner than the order of all
            nearness[nearest] = -np.inf
            first, end = int(firsts[nearest]), int(firsts[nearest + 1])
            spans.append((first, end))
            held += end - first if within is None else within(first, end)
        return _joined(sorted(spans))

    @property
    def vector_width(self) -> int:
        """Bytes of a row in vectors.arrow."""
        return _HALF_BYTES * self.dimension

    def vector_span(self, start: int, end: int) -> Span:
        """Bytes of vectors.arrow that hold these rows."""
        return self.vectors_at + start * self.vector_width, self.vectors_at + end * self.vector_width

    def code_span(self, start: int, end: int) -> Span:
        """Bytes of codes.arrow that hold these rows."""
        return self.codes_at + start * self.coding.width, self.codes_at + end * self.coding.width


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Ascending spans, those that adjoin as one."""
    joined = list[Span]()
    for first, end in spans:
        if joined and joined[-1][1] == first:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((first, end))
    return joined


def batch_ends(firsts: npt.NDArray[np.int64], most: int = ROWS_PER_BATCH) -> Iterator[int]:
    """Rows where record batches of at most ``most`` rows end: at the ends of clusters, as many of them as fit, and
    within a cluster that alone has more."""
    start = 0
    for end, following in zip(firsts[1:].tolist(), [*firsts[2:].tolist(), None], strict=True):
        if following is None or following - start > most:
            yield from range(start + most, end, most)
            yield end
            start = end


def pack(head: Head, model: ModelIdentity) -> bytes:
    """The head's bytes."""
    outline = head.outline
    said = {
        "rows": outline.rows,
        "batches": outline.batches.tolist(),
        "spans": outline.spans,
        "schema": base64.b64encode(outline.schema).decode(),
        "hashes_at": outline.hashes_at,
        "numbers_at": outline.numbers_at,
        "vectors_at": head.vectors_at,
        "codes_at": head.codes_at,
        "mean": [round(component, 7) for component in head.coding.mean.tolist()],
        "scale": head.coding.scale,
        "effort": asdict(head.effort) if head.effort else None,
        "rounding": asdict(head.rounding) if head.rounding else None,
        "fields": outline.fields,
        "newest": str(outline.newest),
        "columns": {name: asdict(column) for name, column in outline.columns.items()},
    }
    centroids = pa.FixedSizeListArray.from_arrays(pa.array(head.centroids.reshape(-1)), head.dimension)
    table = pa.table({"first": outline.firsts[:-1].astype(np.uint32), "centroid": centroids})
    facts = {**model_facts(model), "head": json.dumps(said)}
    return arrow.write(table, facts=facts, rows_per_batch=len(head.centroids))


def map_head(path: Path) -> Head:
    """Inverse of ``pack``, from a local file. Raises Corrupt."""
    table = arrow.map_file(path)
    try:
        said = json.loads(arrow.facts(table)["head"])
        outline = Outline(
            firsts=np.append(table.column("first").to_numpy(), said["rows"]).astype(np.int64),
            batches=np.array(said["batches"], dtype=np.int64),
            spans=[(start, end) for start, end in said["spans"]],
            schema=base64.b64decode(said["schema"]),
            hashes_at=said["hashes_at"],
            numbers_at=said["numbers_at"],
            columns={name: _column(column) for name, column in said["columns"].items()},
            fields=[Place(*place) for place in said["fields"]],
            newest=Sequencer.parse(said["newest"]),
        )
        centroids = table.column("centroid").chunk(0)
        width = centroids.type.list_size
        return Head(
            outline,
            centroids.values.to_numpy().reshape(-1, width),
            Coding(np.array(said["mean"], dtype=np.float32), said["scale"]),
            said["vectors_at"],
            said["codes_at"],
            Effort(**said["effort"]) if said["effort"] else None,
            Rounding(**said["rounding"]) if said["rounding"] else None,
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise bad_head(repr(error), path.name) from error


def bad_head(why: str, name: str) -> Corrupt:
    """What to raise of a head that does not say what it must."""
    return Corrupt(
        f"The head of a shard cannot be read: {why}.",
        code="bad_head",
        value=name,
        remedy="Restore it or rebuild the index.",
    )


def _column(said: Mapping[str, object]) -> Column:
    values = said["values"]
    return Column(
        said["nulls"],  # type: ignore[arg-type]
        said["least"],  # type: ignore[arg-type]
        said["most"],  # type: ignore[arg-type]
        tuple(values) if isinstance(values, list) else None,
    )
