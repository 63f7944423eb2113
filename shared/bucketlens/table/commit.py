"""The commit protocol: load, apply a pure transition, swap; on a lost race reload and apply again.

A conditional PUT can land and still report failure. So a transition says whether it is *already in effect*, and then
committing it changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from bucketlens import keys
from bucketlens.errors import BucketlensError, Conflict, Exists, Retryable
from bucketlens.store.protocol import Store
from bucketlens.table.manifest import Manifest, dumps
from bucketlens.table.snapshot import read_manifest

ATTEMPTS = 8


class Transition(Protocol):
    """A step from one manifest to the next."""

    def in_effect(self, manifest: Manifest) -> bool:
        """Whether this very step is already part of the manifest."""
        ...

    def apply(self, manifest: Manifest) -> Manifest:
        """The next manifest, its version not yet raised. Raises Conflict when the step no longer fits: abandon it."""
        ...


def commit(store: Store, collection: str, transition: Transition) -> Manifest:
    """The manifest with the transition in effect.

    Raises Conflict when the transition no longer fits, Retryable after 8 lost races.
    """
    key = keys.render(keys.Manifest(collection))
    failure: BucketlensError | None = None
    for _ in range(ATTEMPTS):
        manifest, etag = read_manifest(store, collection)
        if transition.in_effect(manifest):
            return manifest
        proposed = replace(transition.apply(manifest), version=manifest.version + 1)
        body = dumps(proposed)
        try:
            if etag is None:
                store.create(key, body)
            else:
                store.swap(key, body, etag)
        except (Exists, Conflict, Retryable) as error:
            failure = error  # lost the race, or only the reply: the next round tells which
            continue
        return proposed
    raise Retryable(
        f"The manifest of collection {collection!r} could not be replaced in {ATTEMPTS} attempts.",
        code="contention",
        remedy="Run it again.",
    ) from failure
