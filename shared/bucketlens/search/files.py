"""Index objects on the local disk: fetched once, verified, kept up to a budget."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from pathlib import Path

from bucketlens.errors import Corrupt, NotFound, Retryable
from bucketlens.store.protocol import ByteRange, Store
from bucketlens.table.manifest import ObjectRef

_CHUNK = 16 * 2**20


class SnapshotGone(Retryable):
    """An object of the snapshot was swept meanwhile: take a new snapshot and start again."""

    default_code = "snapshot_gone"


class LocalFiles:
    """A folder of verified copies, named by checksum, the least recently used removed beyond ``budget`` bytes.

    A file that is removed while mapped stays readable through its mapping. Thread-safe; processes may share a folder.
    """

    def __init__(self, store: Store, folder: Path, budget: int) -> None:
        self._store = store
        self._folder = folder
        self._budget = budget
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def path(self, ref: ObjectRef) -> Path:
        """Where the object is, after bringing it local. Raises SnapshotGone, Corrupt, Retryable."""
        name = f"{ref.checksum}-{ref.key.rpartition('/')[2]}"
        target = self._folder / name
        with self._lock:
            if not (target.exists() and target.stat().st_size == ref.size):
                self._make_room(ref.size)
                self._fetch(ref, target)
            self._sizes[name] = ref.size
            self._sizes.move_to_end(name)
        return target

    def _fetch(self, ref: ObjectRef, target: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        checksum = hashlib.blake2b(digest_size=16)
        try:
            with partial.open("wb") as file:
                for start in range(0, ref.size, _CHUNK):
                    body = self._store.get(ref.key, ByteRange(start, min(start + _CHUNK, ref.size))).body
                    checksum.update(body)
                    file.write(body)
                size = file.tell()
            if size != ref.size or checksum.hexdigest() != ref.checksum:
                raise Corrupt(
                    f"An index object has {size} bytes with checksum {checksum.hexdigest()}; "
                    f"the manifest says {ref.size} and {ref.checksum}.",
                    code="checksum_mismatch",
                    value=ref.key,
                    remedy="Restore the object from a backup or rebuild the collection.",
                )
            partial.replace(target)
        except NotFound as error:
            raise SnapshotGone("An index object was swept while it was being read.", value=ref.key) from error
        except OSError as error:
            raise Retryable(
                f"The local disk refused an index object: {error.strerror}.",
                code="disk",
                value=ref.key,
                remedy="Lower CACHE_BYTES or give the function more ephemeral storage.",
            ) from error
        finally:
            partial.unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        while self._sizes and sum(self._sizes.values()) + size > self._budget:
            name, _ = self._sizes.popitem(last=False)
            (self._folder / name).unlink(missing_ok=True)
