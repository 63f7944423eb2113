"""A bundle from a hub to a folder: only the files one variant needs, complete and checked or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from bucketlens import keys
from bucketlens.errors import Misconfigured, NotFound
from bucketlens.model.bundle import Bundle
from bucketlens.model.hub import Hub, Remote, Tell
from bucketlens.model.library import check
from bucketlens.model.provenance import NEEDED, OPTIONAL, TOWERS, Provenance, bundle_files, tower_of, variants
from bucketlens.model.variant import tower_suffix

_SHOWN = 20


def plan(files: Iterable[Remote], repository: str, variant: str = "") -> tuple[str, list[Remote]]:
    """The variant and the files a bundle of it needs, small ones first.

    A variant is a suffix, or a precision by its name in transformers.js. Without one: the towers without suffix, else
    the only variant there is. Raises NotFound (``no_bundle``), naming what is missing and what there is.
    """
    there = {file.path: file for file in files}
    offered = variants(there)
    if variant:
        chosen = tower_suffix((path.removeprefix("onnx/") for path in there), variant, repository).removeprefix("_")
    else:
        chosen = "" if "" in offered or len(offered) != 1 else offered[0]
    suffix = f"_{chosen}" if chosen else ""
    graphs = [f"onnx/{tower}_model{suffix}.onnx" for tower in TOWERS]
    missing = [name for name in (*NEEDED, *graphs) if name not in there]
    if missing:
        raise _no_bundle(repository, missing, sorted(there), offered)
    wanted = [file for path, file in there.items() if path in (*NEEDED, *OPTIONAL) or _is_of(path, chosen)]
    return chosen, sorted(wanted, key=lambda file: (file.size, file.path))


def pull(
    hub: Hub,
    repository: str,
    into: Path,
    *,
    revision: str = "main",
    variant: str = "",
    tell: Tell = lambda path, size: None,
    planned: tuple[str, Sequence[Remote]] | None = None,
) -> Bundle:
    """Bring a bundle into the folder ``into``, which must be empty, missing, or hold the result of this same pull.

    Files gather in a hidden folder beside it, whose name tells pulls apart; another call goes on with them. Before the
    folder takes its place each file is checked against the hub, and the model makes a vector of a picture and of a
    text. ``planned`` is the result of ``plan``, for those who asked already.
    """
    chosen, files = planned or plan(hub.files(repository, revision), repository, variant)
    source = {"hub": hub.endpoint, "repository": repository, "revision": revision}
    if into.exists() and any(into.iterdir() if into.is_dir() else [into]):
        standing = _standing(into, source, chosen)
        for file in files:
            tell(file.path, file.size)
        return standing
    which = keys.digest(json.dumps([*source.values(), chosen]).encode())[:12]
    staging = into.parent / f".{into.name}.{which}.part"
    for file in files:
        if not _is_here(staging / file.path, file):
            hub.download(repository, revision, file, staging / file.path, tell)
        tell(file.path, file.size)
    for stale in {*bundle_files(staging)} - {file.path for file in files}:
        (staging / stale).unlink()
    _name_it(staging, repository)
    Provenance.of(staging, source, chosen).write(staging)
    check(staging, chosen)
    staging.rename(into)
    return Bundle.open(into, chosen)


def folder_name(repository: str, variant: str) -> str:
    """The name a pulled bundle has in the library: ``owner--name`` or ``owner--name--variant``."""
    return "--".join(filter(None, (*repository.split("/"), variant)))


def _is_of(path: str, variant: str) -> bool:
    found = tower_of(path)
    return found is not None and found[1] == variant


def _is_here(path: Path, file: Remote) -> bool:
    """Without a checksum nobody knows whether the hub's file has changed since; those are small."""
    if not file.sha256 or not path.is_file():
        return False
    with path.open("rb") as body:
        return hashlib.file_digest(body, "sha256").hexdigest() == file.sha256


def _standing(into: Path, source: dict[str, str], variant: str) -> Bundle:
    known = Provenance.read(into) if into.is_dir() else None
    if known is None or dict(known.source) != source or known.variant != variant:
        raise Misconfigured(
            "The folder is not empty.",
            code="folder_in_use",
            value=str(into),
            remedy="Name another one with --into, or delete it.",
        )
    known.check(into)
    return Bundle.open(into, variant)


def _name_it(folder: Path, repository: str) -> None:
    """A model's id is part of its identity, so it must not depend on the folder that a copy happens to lie in."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return  # opening the bundle says what is wrong with it
    if not isinstance(config, dict) or config.get("_name_or_path"):
        return
    ours = config.get("bucketlens")
    ours = ours if isinstance(ours, dict) else {}
    if not ours.get("id"):
        path.write_text(json.dumps({**config, "bucketlens": {**ours, "id": repository}}, indent=2), encoding="utf-8")


def _no_bundle(repository: str, missing: list[str], there: list[str], offered: list[str]) -> NotFound:
    shown = [path for path in there if path.endswith(".onnx")] or there
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    has = f"It has {', '.join(shown[:_SHOWN])}{more}." if shown else "It is empty."
    choices = ", ".join(f"--variant {name}" if name else "no --variant" for name in offered)
    return NotFound(
        f"The repository is no bundle of this variant: it lacks {', '.join(missing)}.",
        code="no_bundle",
        value=repository,
        remedy=f"{has} "
        + (f"Complete: {choices}." if choices else "Use a repository in the layout of transformers.js."),
    )
