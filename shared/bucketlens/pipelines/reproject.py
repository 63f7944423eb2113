"""Reproject: snapshot -> project every shard -> create twins -> switch the manifest.

A model change without embedding anything again, for a model that is the present one followed by a matrix. Queries go on
throughout: the present generation counts until the switch, and afterwards vectors of the earlier model (log segments
still to come, functions not yet redeployed) are led through the same matrix when they are read.

Resumable: twins are named after the shard and the new model, and those that are there are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bucketlens import keys
from bucketlens.errors import Conflict, Exists, InvalidRequest, Retryable
from bucketlens.index import shard as shards
from bucketlens.index.adapter import pack_matrix
from bucketlens.index.arrays import Halves
from bucketlens.index.shard import Shard
from bucketlens.pipelines.compact import Compact
from bucketlens.pipelines.writer import building, mapped
from bucketlens.projection import Matrix, project
from bucketlens.records import ModelIdentity
from bucketlens.search.view import View
from bucketlens.store.protocol import Body, Store
from bucketlens.table.commit import commit
from bucketlens.table.generation import Abandon, Begin, Switch
from bucketlens.table.manifest import ObjectRef, ShardEntry, stamp
from bucketlens.table.snapshot import read_manifest

_ROUNDS = 8
_TAG_DIGITS = 12


@dataclass(frozen=True, slots=True)
class ReprojectReport:
    """What one run did. ``reused`` shards had been made by a run that was interrupted."""

    collection: str
    model: ModelIdentity
    built: int
    reused: int
    manifest_version: int


def reproject(
    collection: str,
    matrix: Matrix,
    model: ModelIdentity,
    tools: Compact,
    *,
    now: datetime,
    nonce: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ReprojectReport:
    """Move a collection to ``model``, whose vectors are the present ones through ``matrix``. Changes nothing twice.

    ``nonce`` is unique to this run; ``progress`` hears of (shards done, shards in all). Raises InvalidRequest when the
    collection has no shards, Retryable when compaction keeps overtaking, Misconfigured while another model change is
    under way and when this one is abandoned meanwhile.
    """
    tag = ""
    built = reused = 0
    for _ in range(_ROUNDS):
        view = tools.views.view(collection, strong=True)
        manifest = view.snapshot.manifest
        if manifest.model == model:
            return ReprojectReport(collection, model, built, reused, manifest.version)
        origin = _origin(view, matrix)
        tag = tag or commit(tools.store, collection, Begin(model.checksum[:_TAG_DIGITS], nonce)).building
        present = frozenset(entry.key for entry in tools.store.list(keys.root(collection)))
        twins: dict[str, ShardEntry] = {}
        maker = _Maker(tools, collection, matrix, model, tag, present)
        for (shard, _), entry in zip(view.shards, manifest.shards, strict=True):
            twin, fresh = maker.twin(shard, entry)
            twins[entry.id] = twin
            built, reused = built + fresh, reused + (not fresh)
            progress(len(twins), len(manifest.shards))
        step = Switch(tag, origin, model, twins, maker.adapters(origin, view.lineage.adapters), stamp(now))
        tools.views.forget(collection)
        try:
            after = commit(tools.store, collection, step)
        except Conflict:
            continue  # compaction made new shards meanwhile: the next round builds only their twins
        return ReprojectReport(collection, model, built, reused, after.version)
    raise Retryable(
        f"Collection {collection!r} was compacted {_ROUNDS} times while it was being moved to another model.",
        code="contention",
        remedy="Run it again; what was built is kept.",
    )


def abandon(collection: str, store: Store) -> str:
    """End an unfinished model change: the present model stays. Its tag, or nothing where none is under way.

    What was written for it is swept like any garbage. A run that is still at it fails instead of switching.
    """
    manifest, _ = read_manifest(store, collection)
    if manifest.building:
        commit(store, collection, Abandon(manifest.building))
    return manifest.building


def _origin(view: View, matrix: Matrix) -> ModelIdentity:
    origin = view.snapshot.manifest.model
    if origin is None:
        raise InvalidRequest(
            "The collection has no shards yet.", code="nothing_to_project", remedy="Compact it first, then try again."
        )
    if matrix.shape != (origin.dimension, origin.dimension):
        raise InvalidRequest(
            f"The matrix is {matrix.shape}, the collection's vectors have {origin.dimension} components.",
            code="bad_matrix",
            remedy="Learn the matrix from this collection.",
        )
    return origin


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes what a generation consists of, or takes what an interrupted run has made (``present``: keys there are)."""

    tools: Compact
    collection: str
    matrix: Matrix
    model: ModelIdentity
    tag: str
    present: frozenset[str]

    def twin(self, shard: Shard, entry: ShardEntry) -> tuple[ShardEntry, bool]:
        """The shard in the new model, and whether it had to be made."""
        id = f"{entry.id}-{self.tag}"
        parts = shards.changing(entry.rows)
        names = {part: keys.render(keys.ShardPart(self.collection, id, part)) for part in parts}
        fresh = not self.present.issuperset(names.values())
        with building() as folder:
            made: Mapping[str, Path] = {}
            if fresh:
                projected = _Projected(shard.vectors, self.matrix)
                made = shards.rebuild(projected, shard.head.outline, self.model, folder, threads=self.tools.threads)
            refs = {}
            for part, key in names.items():
                with mapped(made[part]) if fresh else nullcontext() as body:
                    refs[part] = self._create_or_take(key, body)
        return replace(entry, id=id, parts={**entry.parts, **refs}), fresh

    def adapters(self, origin: ModelIdentity, earlier: Mapping[str, Matrix]) -> dict[str, ObjectRef]:
        """Matrices to the new model from the present one and from each one before it."""
        chains = {checksum: before @ self.matrix for checksum, before in earlier.items()}
        chains[origin.checksum] = self.matrix
        names = {checksum: f"{self.tag}-{checksum[:_TAG_DIGITS]}" for checksum in chains}
        return {
            checksum: self._create_or_take(
                keys.render(keys.Adapter(self.collection, names[checksum])), pack_matrix(chain)
            )
            for checksum, chain in chains.items()
        }

    def _create_or_take(self, key: str, body: Body | None) -> ObjectRef:
        if body is not None:
            try:
                self.tools.store.create(key, body)
            except Exists:
                body = None
        return ObjectRef.of(key, self.tools.store.get(key).body if body is None else body)


@dataclass(frozen=True, slots=True)
class _Projected:
    """Rows led through a matrix, as far as they are asked for."""

    vectors: Halves
    matrix: Matrix

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, wanted: slice | npt.NDArray[np.int64]) -> Halves:
        return project(self.vectors[wanted], self.matrix).astype(np.float16)
