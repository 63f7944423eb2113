"""A bundle into the store, under a name that never changes its meaning: what ``fetch_bundle`` reads back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bucketlens.errors import Exists, Misconfigured
from bucketlens.model import provenance
from bucketlens.model.hub import Tell

if TYPE_CHECKING:
    from bucketlens.store.protocol import Store

_LAST = "config.json"
_TARGET = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,62})/(?P<prefix>models/[A-Za-z0-9_-][A-Za-z0-9._/-]*)")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a bundle goes: ``prefix`` ends with a slash."""

    bucket: str
    prefix: str

    @property
    def uri(self) -> str:
        """What ``MODEL_URI`` must be to use the bundle."""
        return f"s3://{self.bucket}/{self.prefix}"


def read_target(text: str) -> Target:
    """The target that ``s3://bucket/models/name`` names. Raises Misconfigured for anything else."""
    match = _TARGET.fullmatch(text)
    if match is None or {"", ".", ".."} & set(match["prefix"].rstrip("/").split("/")):
        raise Misconfigured(
            "This is no place for a bundle.",
            code="bad_target",
            value=text,
            remedy="Write s3://bucket/models/name: the functions may read models only there.",
        )
    return Target(match["bucket"], match["prefix"].rstrip("/") + "/")


def push(store: Store, folder: Path, prefix: str, tell: Tell = lambda path, size: None) -> list[str]:
    """Write the bundle in ``folder`` under ``prefix`` (which ends with a slash); returns the names of what was new.

    config.json comes last, so a bundle is seen complete or cannot be opened, and a push that was cut off is finished by
    the next. Objects that are there already are compared byte for byte. Raises Exists, before anything is written, when
    the name holds a different bundle. One file is held in memory at a time.
    """
    names = sorted(provenance.bundle_files(folder), key=lambda name: (name == _LAST, name))
    if (folder / provenance.NAME).is_file():
        names.insert(0, provenance.NAME)
    standing = {entry.key.removeprefix(prefix): entry.size for entry in store.list(prefix)}
    _check_standing(store, folder, prefix, names, standing)
    written: list[str] = []
    for name in names:
        body = (folder / name).read_bytes()
        if name not in standing and _create(store, prefix + name, body):
            written.append(name)
        tell(name, len(body))
    return written


def _check_standing(store: Store, folder: Path, prefix: str, names: list[str], standing: Mapping[str, int]) -> None:
    different = [name for name in standing if name not in names and name != provenance.NAME]
    for name in names:
        if name == provenance.NAME or name not in standing:
            continue  # where a copy is from decides no vector
        path = folder / name
        if standing[name] != path.stat().st_size or store.get(prefix + name).body != path.read_bytes():
            different.append(name)
    if different:
        raise _taken(prefix, different)


def _create(store: Store, key: str, body: bytes) -> bool:
    try:
        store.create(key, body)
        return True
    except Exists:  # somebody pushes at the same time, or the reply of this very write was lost
        if store.get(key).body != body:
            raise _taken(key, [key]) from None
        return False


def _taken(prefix: str, different: list[str]) -> Exists:
    return Exists(
        "Another bundle has this name, and names are never given anew: an index would lose its model.",
        code="bundle_exists",
        value=f"{prefix}: {', '.join(sorted(different))}",
        remedy="Push under a new name.",
    )
