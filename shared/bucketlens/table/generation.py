"""Manifest transitions of a model change: a generation of shards is built beside the present one, then swapped in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bucketlens.errors import Conflict, Misconfigured
from bucketlens.records import ModelIdentity
from bucketlens.table.manifest import Manifest, ObjectRef, ShardEntry


@dataclass(frozen=True, slots=True)
class Begin:
    """Announce a generation, so that the sweep spares what is written for it however long that takes.

    ``model`` says which model it is for, ``nonce`` is of this announcement alone: what was written for a generation
    that was abandoned is never taken for part of a later one, since a sweep may be about to delete it.
    """

    model: str
    nonce: str

    def in_effect(self, manifest: Manifest) -> bool:
        """Whether one for this model is announced: by a run that was interrupted, or still runs. They share work."""
        return manifest.building.startswith(f"{self.model}-")

    def apply(self, manifest: Manifest) -> Manifest:
        """The manifest with the announcement. Raises Misconfigured while another generation is being built."""
        if manifest.building:
            raise Misconfigured(
                f"Collection {manifest.collection!r} is being moved to another model.",
                code="model_change_under_way",
                value=manifest.building,
                remedy="Run that tune again with --resume to finish it, or end it: bucketlens tune --abandon.",
            )
        return replace(manifest, building=f"{self.model}-{self.nonce}")


@dataclass(frozen=True, slots=True)
class Abandon:
    """End a generation that is not finished. What was written for it is garbage; a run still at it cannot switch."""

    tag: str

    def in_effect(self, manifest: Manifest) -> bool:
        """Whether it is not announced, or not any more."""
        return manifest.building != self.tag

    def apply(self, manifest: Manifest) -> Manifest:
        """The manifest without the announcement."""
        return replace(manifest, building="")


@dataclass(frozen=True, slots=True)
class Switch:
    """Make generation ``tag`` count. ``twins`` maps the id of each present shard to its entry in the new model.

    ``origin`` is the model the twins were projected from and ``adapters`` lead from it, and from those before it, to
    ``model``.
    """

    tag: str
    origin: ModelIdentity
    model: ModelIdentity
    twins: Mapping[str, ShardEntry]
    adapters: Mapping[str, ObjectRef]
    at: str

    def in_effect(self, manifest: Manifest) -> bool:
        """Whether the collection has the new model."""
        return manifest.model == self.model

    def apply(self, manifest: Manifest) -> Manifest:
        """The next manifest. Raises Conflict when a shard has no twin yet, or the model is no longer the origin, and
        Misconfigured when the generation was abandoned: what was written for it may be gone."""
        if manifest.building != self.tag:
            raise Misconfigured(
                f"Moving collection {manifest.collection!r} to {self.model.id} was abandoned while it ran.",
                code="model_change_abandoned",
                value=self.tag,
                remedy="Run it again if it is still wanted.",
            )
        if manifest.model != self.origin or any(shard.id not in self.twins for shard in manifest.shards):
            raise Conflict(
                "The collection changed while its new generation was being built.",
                code="lost_race",
                remedy="Build what is missing and try again.",
            )
        shards = tuple(
            replace(self.twins[shard.id], deleted=shard.deleted, deletes=shard.deletes) for shard in manifest.shards
        )
        after = replace(manifest, model=self.model, shards=shards, adapters=self.adapters, building="")
        dropped = {ref.key for ref in manifest.objects()} - {ref.key for ref in after.objects()}
        return replace(after, retired={**manifest.retired, **dict.fromkeys(dropped, self.at)})
