"""The model of a collection and those before it: whose vectors may meet, and through which matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bucketlens.errors import Misconfigured
from bucketlens.index.block import Block
from bucketlens.index.segment import Contents
from bucketlens.projection import Matrix, project
from bucketlens.records import ModelIdentity, Vector


@dataclass(frozen=True, slots=True)
class Lineage:
    """``model`` is the collection's, None before its first image; ``adapters`` lead to it from others."""

    collection: str
    model: ModelIdentity | None
    adapters: Mapping[str, Matrix] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        collection: str,
        model: ModelIdentity | None,
        adapters: Mapping[str, Matrix],
        contents: Sequence[Contents],
    ) -> Lineage:
        """``model`` is the manifest's; without one, the first segment's. Raises Misconfigured (``model_mismatch``)."""
        lineage = cls(collection, model or next((part.model for part in contents), None), adapters)
        for part in contents:
            lineage.matrix_from(part.model)
        return lineage

    def matrix_from(self, model: ModelIdentity) -> Matrix | None:
        """What turns vectors of ``model`` into the collection's, None for nothing to do.

        Raises Misconfigured (``model_mismatch``) when the two models have nothing to do with each other.
        """
        if self.model is None or model.checksum == self.model.checksum:
            return None
        if model.checksum in self.adapters:
            return self.adapters[model.checksum]
        raise Misconfigured(
            f"Collection {self.collection!r} was made with model {_named(self.model)}; "
            f"these vectors are of model {_named(model)}.",
            code="model_mismatch",
            value=model.id,
            remedy="Deploy the collection's model with every function, or index into a new collection.",
        )

    def vector(self, vector: Vector, model: ModelIdentity) -> Vector:
        """A vector of ``model`` as one of the collection's model. Raises Misconfigured."""
        matrix = self.matrix_from(model)
        return vector if matrix is None else np.asarray(project(vector[np.newaxis], matrix)[0])

    def block(self, contents: Contents) -> Block:
        """The rows of a segment with vectors of the collection's model. Raises Misconfigured."""
        matrix = self.matrix_from(contents.model)
        if matrix is None:
            return contents.block
        return Block(contents.block.table, project(contents.block.vectors, matrix).astype(np.float16))


def _named(model: ModelIdentity) -> str:
    return f"{model.id} ({model.checksum[:8]})"
