"""A bundle under a prefix of the store, brought to a local folder."""

from __future__ import annotations

import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bucketlens import keys
from bucketlens.errors import Misconfigured, NotFound, Retryable

if TYPE_CHECKING:
    from bucketlens.store.protocol import Entry, Store

_THREADS = 4  # whole objects, so this many lie in memory at once: a bundle has two large ones
_FILES = re.compile(
    r"(?:preprocessor_|tokenizer_)?config\.json|tokenizer\.json|onnx/(?:vision|text)_model(?P<rest>[^/]*\.onnx[^/]*)"
)


def fetch_bundle(store: Store, prefix: str, into: Path, variant: str = "") -> Path:
    """The local folder of the bundle under ``prefix``, one LIST when it is there already.

    The folder lies in ``into`` and is named after the listing, so a bundle replaced in the store is fetched anew. It
    appears complete or not at all, and processes that fetch at once share it. ``variant`` limits the towers fetched
    to those with this suffix. Raises Misconfigured when nothing lies under the prefix, Retryable when an object
    changed underway.
    """
    root = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    wanted = [
        (entry.key[len(root) :], entry) for entry in store.list(root) if _belongs(entry.key[len(root) :], variant)
    ]
    if not wanted:
        raise Misconfigured(
            "No model bundle lies under this prefix.",
            code="incomplete_bundle",
            value=root,
            remedy="Upload a bundle there, or correct MODEL_URI.",
        )
    listing = "".join(f"{name} {entry.etag} {entry.size}\n" for name, entry in wanted)
    target = into / f"bundle-{keys.digest(listing.encode())}"
    if target.is_dir():
        return target
    into.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".fetching-", dir=into))
    try:
        _bring(store, wanted, partial)
        with suppress(OSError):  # somebody else was faster: theirs is the same
            partial.rename(target)
        if not target.is_dir():
            raise Retryable(
                "The bundle could not be put in place.", value=str(target), remedy="Check the disk's space."
            )
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _belongs(name: str, variant: str) -> bool:
    match = _FILES.fullmatch(name)
    if match is None or match["rest"] is None:
        return match is not None
    return not variant or match["rest"].partition(".onnx")[0] == f"_{variant}"


def _bring(store: Store, wanted: list[tuple[str, Entry]], folder: Path) -> None:
    (folder / "onnx").mkdir()
    with ThreadPoolExecutor(_THREADS) as pool:
        for done in [pool.submit(_file, store, entry, folder / name) for name, entry in wanted]:
            done.result()


def _file(store: Store, entry: Entry, path: Path) -> None:
    try:
        blob = store.get(entry.key)
    except NotFound as error:
        raise _changed(entry) from error
    if blob.etag != entry.etag:
        raise _changed(entry)
    path.write_bytes(blob.body)


def _changed(entry: Entry) -> Retryable:
    return Retryable("The model bundle changed while it was fetched.", value=entry.key, remedy="Try again.")
