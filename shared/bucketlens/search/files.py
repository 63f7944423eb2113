"""Index objects on the local disk: fetched once, verified, kept up to a budget."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from shutil import disk_usage
from typing import BinaryIO, Protocol, TypeVar
from weakref import WeakSet

from bucketlens.errors import Corrupt, NotFound, Retryable
from bucketlens.search.meter import Metered, in_parallel
from bucketlens.store.protocol import ByteRange, Store
from bucketlens.table.manifest import ObjectRef

T = TypeVar("T")

DISK = "disk"
"""The code of what the local disk refused."""

_CHUNK, _AHEAD = 4 * 2**20, 8
"""Bytes of a file that are fetched in one request, and requests at once: as many as fill the line. From 30 ms away at
90 MB/s a connection 278 MB come in 1.3 to 1.6 s so, and 75 MB stay with the allocator; in chunks of 16 MiB, four at
once, it is 2.0 to 2.2 s and 200 MB."""
_TURNS = 256
"""Objects that may be fetched at the same time; one object is never fetched twice at once."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TRIES = 3
"""Of a file for which others were removed: what else fills the disk meanwhile is not ours to remove."""
_blake = partial(hashlib.blake2b, digest_size=16)


class SnapshotGone(Retryable):
    """An object of the snapshot was swept meanwhile: take a new snapshot and start again."""

    default_code = "snapshot_gone"


class DiskFull(Retryable):
    """The local disk has no room for something, whatever else of ours is removed from it."""

    default_code = DISK


def refused_by_disk(what: str, value: str, error: OSError) -> Retryable:
    """What to raise (``disk``) when the local disk has no room for something, or fails."""
    return Retryable(
        f"The local disk refused {what}: {error.strerror or error}.",
        code=DISK,
        value=value,
        remedy="Lower CACHE_BYTES or give the function more ephemeral storage.",
    )


class User(Protocol):
    """Who maps files."""

    def let_go(self) -> None:
        """Map them no longer."""
        ...


class LocalFiles:
    """A folder of verified copies, named by checksum, the least recently used removed beyond ``budget`` bytes.

    What an earlier process left there counts too. One object larger than the budget is kept alone. Where the disk is
    full before that, the budget becomes what there is room for. A file that is removed while mapped stays readable
    through its mapping, and takes up the disk until then: its user is told to let go of it. Thread-safe; two processes
    may share a folder.
    """

    def __init__(self, store: Store, folder: Path, budget: int) -> None:
        self._store = Metered(store)
        self._folder = folder
        self.budget = budget
        self._sizes: OrderedDict[str, int] | None = None
        self._whole = set[str]()
        self._users: dict[str, WeakSet[User]] = {}
        self._lock = threading.Lock()
        self._turns = [threading.Lock() for _ in range(_TURNS)]

    def holds(self, refs: Sequence[ObjectRef], *, used: bool = True) -> bool:
        """Whether all of these are local as far as this process knows; if so, they count as ``used``.

        Asks no disk: every search asks this of every shard. What another process removed meanwhile, ``path`` brings.
        """
        named = [_named(ref) for ref in refs]
        with self._lock, suppress(OSError):
            sizes = self._sizes if self._sizes is not None else self._adopt()
            if self._whole.issuperset(named) and all(
                sizes[name] == ref.size for name, ref in zip(named, refs, strict=True)
            ):
                for name in named if used else ():
                    sizes.move_to_end(name)
                return True
        return False

    def path(self, ref: ObjectRef) -> Path:
        """Where the object is, after bringing it local. Raises SnapshotGone, Corrupt, Retryable."""
        name = _named(ref)
        target = self._folder / name
        try:
            with self._turns[hash(name) % _TURNS]:
                if _size(target) != ref.size:
                    self._bring(ref, target)
                self._use(name, ref.size, make_room=False)
        except OSError as error:
            raise refused_by_disk("an index object", ref.key, error) from error
        return target

    def opened(self, ref: ObjectRef, read: Callable[[Path], T]) -> T:
        """What is read of the object's copy. Where that is Corrupt it is read once more, and fetched before that if it
        is no longer what came. Raises like ``path``, and FileNotFoundError when the copy was removed meanwhile."""
        path = self.path(ref)
        try:
            return read(path)
        except Corrupt:
            if _checksum(path) != ref.checksum:
                self._drop(path)
        return read(self.path(ref))  # another thread may have dropped what was read

    def verify(self, ref: ObjectRef) -> None:
        """Read the object and keep nothing. Raises SnapshotGone, Corrupt, Retryable."""
        with Path(os.devnull).open("wb") as nowhere:
            self._copy(ref, nowhere)

    def used_by(self, user: User, refs: Iterable[ObjectRef]) -> None:
        """From now on ``user`` is told when the copy of one of these is removed, as long as it lives."""
        with self._lock:
            self._users = {name: users for name, users in self._users.items() if users}
            for ref in refs:
                self._users.setdefault(_named(ref), WeakSet()).add(user)

    def _bring(self, ref: ObjectRef, target: Path) -> None:
        if ref.size > self.budget:  # else all others would be removed for what may find no room then
            self._room_for(ref)
        try:
            for left in reversed(range(_TRIES)):
                self._use(target.name, ref.size, make_room=True)
                try:
                    self._fetch(ref, target)
                    break
                except OSError as error:
                    if error.errno not in _FULL:
                        raise
                    room = self._room_for(ref)
                    if not left:
                        raise
                    self.budget = min(self.budget, room)
        except BaseException:
            self._drop(target)
            raise

    def _room_for(self, ref: ObjectRef) -> int:
        """Bytes the disk would have for objects if ours were removed. Raises DiskFull if this one has more."""
        with self._lock:
            sizes = self._sizes if self._sizes is not None else self._adopt()
            held = sum(size for name, size in sizes.items() if name in self._whole)
            room = self._free() + held
        if ref.size > room:
            raise DiskFull(
                f"An index object of {ref.size:,} bytes is needed on the local disk, which has room for {room:,}.",
                value=ref.key,
                remedy="Give the function more ephemeral storage and raise CACHE_BYTES, or search without `exact`.",
            )
        return room

    def _fetch(self, ref: ObjectRef, target: Path) -> None:
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with unfinished.open("wb") as file:
                self._copy(ref, file)
            unfinished.replace(target)
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def _copy(self, ref: ObjectRef, file: BinaryIO) -> None:
        checksum, size = _blake(), 0
        try:
            for first in range(0, ref.size, _AHEAD * _CHUNK):
                starts = range(first, min(first + _AHEAD * _CHUNK, ref.size), _CHUNK)
                for body in in_parallel(_AHEAD, lambda start: self._chunk(ref, start), starts):
                    checksum.update(body)
                    size += file.write(body)
        except NotFound as error:
            raise SnapshotGone("An index object was swept while it was being read.", value=ref.key) from error
        if size != ref.size or checksum.hexdigest() != ref.checksum:
            raise Corrupt(
                f"An index object has {size} bytes with checksum {checksum.hexdigest()}; "
                f"the manifest says {ref.size} and {ref.checksum}.",
                code="checksum_mismatch",
                value=ref.key,
                remedy="Restore the object from a backup or rebuild the collection.",
            )

    def _chunk(self, ref: ObjectRef, start: int) -> bytes:
        return self._store.get(ref.key, ByteRange(start, min(start + _CHUNK, ref.size))).body

    def _drop(self, target: Path) -> None:
        """Keep no copy, and count none."""
        with self._lock, suppress(OSError):
            if self._sizes is not None:
                self._sizes.pop(target.name, None)
            self._remove(target.name)

    def _use(self, name: str, size: int, *, make_room: bool) -> None:
        """Count a file that is there as the one used last; or before it is fetched remove others until it fits."""
        with self._lock:
            sizes = self._sizes if self._sizes is not None else self._adopt()
            sizes.pop(name, None)
            self._whole.discard(name)
            while make_room and sizes and sum(sizes.values()) + size > self.budget:
                self._remove(sizes.popitem(last=False)[0])
            sizes[name] = size
            if not make_room:
                self._whole.add(name)

    def _free(self) -> int:
        return disk_usage(self._folder).free

    def _remove(self, name: str) -> None:
        self._whole.discard(name)
        (self._folder / name).unlink(missing_ok=True)
        for user in self._users.get(name, ()):
            user.let_go()

    def _adopt(self) -> OrderedDict[str, int]:
        """What an earlier process left, the oldest first, and before that what it did not finish."""
        self._folder.mkdir(parents=True, exist_ok=True)
        left = sorted(self._left(), key=lambda one: (not one[0].startswith("."), one[1].st_mtime))
        self._sizes = OrderedDict((name, stat.st_size) for name, stat in left)
        self._whole = set(self._sizes)
        return self._sizes

    def _left(self) -> Iterator[tuple[str, os.stat_result]]:
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another process may be at work here
                if path.is_file() and not (path.name.startswith(".") and _at_work(path.suffix[1:])):
                    yield path.name, path.stat()


def _at_work(pid: str) -> bool:
    """Whether that is another process, which lives: what it fetches is no garbage."""
    if not pid.isdecimal() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _named(ref: ObjectRef) -> str:
    return f"{ref.checksum}-{ref.key.rpartition('/')[2]}"


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, _blake).hexdigest()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
