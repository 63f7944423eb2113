"""A file that arrives in pieces, over several connections and several runs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO

from bucketlens.errors import Corrupt


class Part:
    """What has arrived of a file: ``<name>.part``, and in ``<name>.part.etag`` the version it belongs to."""

    def __init__(self, target: Path) -> None:
        """Touches nothing."""
        self._target = target
        self.path = target.with_name(f"{target.name}.part")
        self._etag = target.with_name(f"{target.name}.part.etag")

    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self) -> str | None:
        """The strong etag they came with, if they came with one."""
        return self._etag.read_text(encoding="ascii") if self._etag.is_file() else None

    def writing(self, at: int, etag: str | None) -> IO[bytes]:
        """A file to write from offset ``at``; from 0 on it is another version, whose strong etag is remembered."""
        if at:
            file: IO[bytes] = self.path.open("r+b")
            file.truncate(at)
            file.seek(at)
            return file
        self.discard()
        file = self.path.open("wb")
        if etag and etag.startswith('"') and etag.isascii():
            self._etag.write_text(etag, encoding="ascii")
        return file

    def discard(self) -> None:
        """Forget what has arrived."""
        self.path.unlink(missing_ok=True)
        self._etag.unlink(missing_ok=True)

    def finish(self, size: int, sha256: str | None) -> None:
        """Put the file in place. Raises Corrupt, and forgets it, when it is not of this size and checksum."""
        with self.path.open("rb") as file:
            found, length = hashlib.file_digest(file, "sha256").hexdigest(), self.size()
        if length != size or sha256 not in (None, found):
            self.discard()
            raise Corrupt(
                "A file from the hub is not what the hub announced.",
                code="checksum_mismatch",
                value=f"{self._target.name}: {length} bytes, sha256 {found}; announced {size}, {sha256 or 'no sha256'}",
                remedy="Run the same command again; if it happens again, the hub or a proxy before it is broken.",
            )
        self.path.replace(self._target)
        self._etag.unlink(missing_ok=True)
