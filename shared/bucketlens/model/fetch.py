"""A bundle under a prefix of the store, brought to a local folder."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bucketlens import keys
from bucketlens.errors import Misconfigured, NotFound, Retryable
from bucketlens.model.provenance import NAME, Provenance
from bucketlens.model.variant import tower_suffix
from bucketlens.records import ByteRange

if TYPE_CHECKING:
    from bucketlens.store.protocol import Entry, Store

_THREADS = 4
_PIECE = 16 * 2**20  # bytes of a request; as many as there are threads lie in memory at once
_FILES = re.compile(
    r"(?:preprocessor_|tokenizer_)?config\.json|bundle\.json|tokenizer\.json|onnx/(?:vision|text)_model(?P<rest>[^/]*\.onnx[^/]*)"
)


def fetch_bundle(store: Store, prefix: str, into: Path, variant: str = "") -> Path:
    """The local folder of the bundle under ``prefix``, one LIST when it is there already.

    The folder lies in ``into`` and is named after the listing, so a bundle replaced in the store is fetched anew. It
    appears complete or not at all, and processes that fetch at once share it. ``variant`` chooses the towers as in
    ``Bundle.open``; one pair of towers is fetched, never every precision. Each file is held to what ``bundle.json``
    records of it, where there is one. Memory: 64 MiB, however large the files are. Raises Misconfigured when nothing
    lies under the prefix or the choice is open, Retryable when an object changed or came short, Corrupt when a file is
    not the recorded one.
    """
    root = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    wanted = {name: entry for entry in store.list(root) if _FILES.fullmatch(name := entry.key[len(root) :])}
    if not wanted.keys() - {NAME}:
        raise Misconfigured(
            "No model bundle lies under this prefix.",
            code="incomplete_bundle",
            value=root,
            remedy="Upload a bundle there, or correct MODEL_URI.",
        )
    listing = "".join(f"{name} {entry.etag} {entry.size}\n" for name, entry in wanted.items()) + variant
    target = into / f"bundle-{keys.digest(listing.encode())}"
    if target.is_dir():
        return target
    into.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".fetching-", dir=into))
    try:
        _bring(store, wanted, partial, variant)
        with suppress(OSError):  # somebody else was faster: theirs is the same
            partial.rename(target)
        if not target.is_dir():
            raise Retryable(
                "The bundle could not be put in place.", value=str(target), remedy="Check the disk's space."
            )
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _bring(store: Store, wanted: Mapping[str, Entry], folder: Path, variant: str) -> None:
    """The small files first: config.json may say which towers are meant."""
    (folder / "onnx").mkdir()
    towers = {name: entry for name, entry in wanted.items() if name.startswith("onnx/")}
    chosen = {name: entry for name, entry in wanted.items() if name not in towers}
    with ThreadPoolExecutor(_THREADS) as pool:
        _all(pool, store, chosen, folder)
        files = [name.removeprefix("onnx/") for name in towers]
        suffix = tower_suffix(files, variant or _configured(folder), "the bundle in the store")
        chosen |= {name: entry for name, entry in towers.items() if _suffix(name) == suffix}
        _all(pool, store, {name: chosen[name] for name in towers if name in chosen}, folder)
    recorded = Provenance.read(folder)
    if recorded is not None:
        recorded.check_part(folder, chosen)


def _all(pool: ThreadPoolExecutor, store: Store, wanted: Mapping[str, Entry], folder: Path) -> None:
    """Every file, piece by piece; after the first failure no further piece is begun."""
    for name in wanted:
        (folder / name).touch()
    pieces = [
        pool.submit(_piece, store, entry, span, folder / name)
        for name, entry in wanted.items()
        for span in _spans(entry.size)
    ]
    try:
        for done in pieces:
            done.result()
    finally:
        for left in pieces:
            left.cancel()


def _spans(size: int) -> Iterator[ByteRange]:
    for start in range(0, size, _PIECE):
        yield ByteRange(start, min(start + _PIECE, size))


def _configured(folder: Path) -> str:
    """``bucketlens.variant``, empty where it is not to be had: ``Bundle.open`` says what is wrong with the file."""
    with suppress(OSError, ValueError, AttributeError, RecursionError):
        ours = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("bucketlens")
        return str(ours.get("variant") or "")
    return ""


def _suffix(name: str) -> str:
    match = _FILES.fullmatch(name)
    return (match["rest"] or "").partition(".onnx")[0] if match else ""


def _piece(store: Store, entry: Entry, span: ByteRange, path: Path) -> None:
    try:
        blob = store.get(entry.key, span)
    except NotFound as error:
        raise _changed(entry) from error
    if blob.etag != entry.etag or len(blob.body) != span.end - span.start:
        raise _changed(entry)
    with path.open("r+b") as file:
        file.seek(span.start)
        file.write(blob.body)


def _changed(entry: Entry) -> Retryable:
    message = "The model bundle changed, or came short, while it was fetched."
    return Retryable(message, value=entry.key, remedy="Try again.")
