"""A store that hands everything on: what lies around another store overrides what it adds to."""

from __future__ import annotations

from collections.abc import Iterator

from bucketlens.store.protocol import Blob, Body, ByteRange, Entry, Store


class Forwarding:
    """A ``Store`` around another."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    def get(self, key: str, span: ByteRange | None = None) -> Blob:
        """See ``Store.get``."""
        return self._inner.get(key, span)

    def create(self, key: str, body: Body) -> str:
        """See ``Store.create``."""
        return self._inner.create(key, body)

    def swap(self, key: str, body: bytes, expected: str) -> str:
        """See ``Store.swap``."""
        return self._inner.swap(key, body, expected)

    def delete(self, key: str) -> None:
        """See ``Store.delete``."""
        self._inner.delete(key)

    def list(self, prefix: str) -> Iterator[Entry]:
        """See ``Store.list``."""
        return self._inner.list(prefix)
