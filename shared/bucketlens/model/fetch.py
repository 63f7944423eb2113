"""A bundle under a prefix of the store, brought to a local folder."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bucketlens import keys
from bucketlens.errors import Misconfigured, NotFound, Retryable
from bucketlens.model.variant import tower_suffix

if TYPE_CHECKING:
    from bucketlens.store.protocol import Entry, Store

_THREADS = 4  # whole objects, so this many lie in memory at once: a bundle has two large ones
_FILES = re.compile(
    r"(?:preprocessor_|tokenizer_)?config\.json|tokenizer\.json|onnx/(?:vision|text)_model(?P<rest>[^/]*\.onnx[^/]*)"
)


def fetch_bundle(store: Store, prefix: str, into: Path, variant: str = "") -> Path:
    """The local folder of the bundle under ``prefix``, one LIST when it is there already.

    The folder lies in ``into`` and is named after the listing, so a bundle replaced in the store is fetched anew. It
    appears complete or not at all, and processes that fetch at once share it. ``variant`` chooses the towers as in
    ``Bundle.open``; one pair of towers is fetched, never every precision. Raises Misconfigured when nothing lies under
    the prefix or the choice is open, Retryable when an object changed underway.
    """
    root = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    wanted = {name: entry for entry in store.list(root) if _FILES.fullmatch(name := entry.key[len(root) :])}
    if not wanted:
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
    with ThreadPoolExecutor(_THREADS) as pool:
        _all(pool, store, {name: entry for name, entry in wanted.items() if name not in towers}, folder)
        files = [name.removeprefix("onnx/") for name in towers]
        suffix = tower_suffix(files, variant or _configured(folder), "the bundle in the store")
        _all(pool, store, {name: entry for name, entry in towers.items() if _suffix(name) == suffix}, folder)


def _all(pool: ThreadPoolExecutor, store: Store, wanted: Mapping[str, Entry], folder: Path) -> None:
    for done in [pool.submit(_file, store, entry, folder / name) for name, entry in wanted.items()]:
        done.result()


def _configured(folder: Path) -> str:
    """``bucketlens.variant``, empty where it is not to be had: ``Bundle.open`` says what is wrong with the file."""
    with suppress(OSError, ValueError, AttributeError):
        ours = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("bucketlens")
        return str(ours.get("variant") or "")
    return ""


def _suffix(name: str) -> str:
    match = _FILES.fullmatch(name)
    return (match["rest"] or "").partition(".onnx")[0] if match else ""


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
