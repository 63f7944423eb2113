"""The main job, shown: upload -> events -> shards -> search -> answers, on drawn pictures or a folder of one's own."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.progress import track
from rich.table import Table

from bucketlens.errors import Misconfigured, Retryable
from bucketlens.local.dev import BUCKET, COLLECTION, Dev, DevOptions
from bucketlens.local.drawings import collection, encode
from bucketlens.local.s3server import S3Server
from bucketlens.local.sheet import Line, Shown, write_sheet
from bucketlens.store.s3 import connect

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})
MOST = 5_000
"""Files of a folder that the demo takes at most."""
SHOWN = 6
_PATIENCE_S = 600.0

DRAWN_QUERIES = ("a red car", "a sunset over the sea", "two boats at night", "a yellow bee", "a green apple")
DRAWN_FILTERS: tuple[tuple[dict[str, object], str], ...] = (
    ({"light": "night"}, "a car"),
    ({"taken_at": {"$gte": "2024-01-01"}}, "a house"),
)
FOLDER_QUERIES = ("a dog", "a red car", "people at the beach", "a flower", "a building")


@dataclass(frozen=True, slots=True)
class Upload:
    """One picture to upload: object key, file bytes, user metadata."""

    key: str
    body: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)


def run(images: Path | None, sheet: Path, queries: Sequence[str] | None, environ: Mapping[str, str]) -> int:
    """The whole demo; returns 0, or 1 when nothing is found, or a deleted image still is.

    Raises Retryable when the images do not become searchable in time.
    ``MODEL_URI`` and ``MODEL_VARIANT`` of ``environ`` choose the model; nothing else of it is used.
    """
    console = Console()
    uploads = list(_folder(images) if images else _drawings())
    words = tuple(queries or (FOLDER_QUERIES if images else DRAWN_QUERIES))
    model = {name: environ[name] for name in ("MODEL_URI", "MODEL_VARIANT") if environ.get(name)}
    with Dev(DevOptions(compact_every_s=0, environ=model)) as dev:
        stage = _Stage(dev, console)
        stage.upload(uploads)
        stage.wait(len(uploads))
        stage.compact()
        filters = () if images else DRAWN_FILTERS
        lines = stage.ask(words, uploads, filters)
        write_sheet(lines, sheet, f"bucketlens: {len(uploads)} images, {stage.model()}")
        console.print(f"\nContact sheet: [bold]{sheet}[/]")
        best = stage.search({"text": words[0], "k": 1})["hits"]
        return stage.delete(best[0]["key"]) if best else 1


class _Stage:
    """A running product, used from outside: plain S3 and plain HTTP."""

    def __init__(self, dev: Dev, console: Console) -> None:
        self._dev = dev
        self._console = console
        self._where = dev.describe()
        self._s3 = connect(self._where["s3"], credentials=S3Server.credentials)
        self._collection = f"{self._where['api']}/collections/{COLLECTION}"

    def upload(self, uploads: Sequence[Upload]) -> None:
        for upload in track(uploads, "Uploading ", console=self._console):
            self._s3.put_object(Bucket=BUCKET, Key=upload.key, Body=upload.body, Metadata=dict(upload.metadata))

    def wait(self, expected: int) -> None:
        began = time.monotonic()
        for _ in track(self._arrivals(expected), "Indexing  ", total=expected, console=self._console):
            if time.monotonic() - began > _PATIENCE_S:
                raise Retryable("The images did not become searchable in time.", value=_PATIENCE_S)
        state = _get(self._collection)
        self._console.print(
            f"{state['rows']} images searchable {time.monotonic() - began:.1f} s after the last upload, "
            f"{state['rejected_count']} rejected, in {state['log_segments']} log segments"
        )
        for refused in state["rejected"]:
            self._console.print(f"  rejected: {refused['key']}: {refused['reason']}")

    def model(self) -> str:
        return str(_get(self._collection)["model"]["id"])

    def compact(self) -> None:
        before = self.search({"text": "a house", "k": 20})
        self._dev.compact()
        state, after = _get(self._collection), self.search({"text": "a house", "k": 20})
        same = [hit["key"] for hit in before["hits"]] == [hit["key"] for hit in after["hits"]]
        self._console.print(
            f"Compacted: {state['rows']} rows in {state['shards']} shard(s) and {state['log_segments']} log segments; "
            f"the same query gives {'the same' if same else 'DIFFERENT'} hits"
        )

    def search(self, body: Mapping[str, object]) -> dict[str, Any]:
        return _post(f"{self._collection}/search", {"consistency": "strong", **body})

    def ask(
        self, words: Sequence[str], uploads: Sequence[Upload], filters: Sequence[tuple[dict[str, object], str]]
    ) -> list[Line]:
        lines = [self._line(f'"{text}"', {"text": text}) for text in words]
        for position in (len(uploads) // 3, 2 * len(uploads) // 3):
            asked = uploads[position]
            lines.append(self._line("like this image", {"key": asked.key}, asked.body))
        for condition, text in filters:
            lines.append(self._line(f'"{text}"', {"text": text, "filter": condition}))
        return lines

    def delete(self, key: str) -> int:
        self._s3.delete_object(Bucket=BUCKET, Key=key)
        began = time.monotonic()
        while time.monotonic() - began < _PATIENCE_S:
            hits = self.search({"text": "anything", "k": 1000, "filter": {"key": key}})["hits"]
            if not hits:
                self._console.print(f"Deleted {key}: gone from the answers {time.monotonic() - began:.1f} s later")
                return 0
            time.sleep(0.1)
        self._console.print(f"[red]Deleted {key}, but it is still found[/]")
        return 1

    def _arrivals(self, expected: int) -> Iterator[None]:
        seen = 0
        while seen < expected:
            state = _get(self._collection)
            now = min(expected, state["rows"] + state["rejected_count"])
            yield from (None for _ in range(now - seen))
            seen = max(seen, now)
            if seen < expected:
                time.sleep(0.2)

    def _line(self, title: str, body: Mapping[str, object], asked: bytes | None = None) -> Line:
        answer = self.search({"k": SHOWN, **body})
        facts = answer["search"]
        note = f"filter {json.dumps(body['filter'])}" if "filter" in body else ""
        table = Table("score", "key", "facts", title=f"{title} {note}", title_justify="left", show_edge=False)
        for hit in answer["hits"]:
            table.add_row(f"{hit['score']:.3f}", hit["key"], _facts(hit["metadata"]))
        self._console.print()
        self._console.print(table)
        self._console.print(
            f"  {facts['mode']}, {facts['rows_matched']} rows matched, {sum(facts['ms'].values()):.1f} ms", style="dim"
        )
        shown = [
            Shown(_read(hit["url"]), hit["key"].rpartition("/")[2], f"{hit['score']:.3f}") for hit in answer["hits"]
        ]
        return Line(title, note, asked, shown)


def _drawings() -> Iterator[Upload]:
    for drawing in collection():
        facts = {"kind": drawing.kind, "place": drawing.place, "light": drawing.light, "count": str(drawing.count)}
        yield Upload(f"images/{drawing.kind}/{drawing.name}".replace(" ", "-"), encode(drawing), facts)


def _folder(folder: Path) -> Iterator[Upload]:
    if not folder.is_dir():
        raise Misconfigured("This is not a folder.", value=str(folder), remedy="Name a folder of images.")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise Misconfigured(
            "The folder holds no images.", value=str(folder), remedy=f"Known: {' '.join(sorted(SUFFIXES))}."
        )
    for file in files[:MOST]:
        yield Upload(f"images/{file.relative_to(folder).as_posix()}", file.read_bytes())


def _facts(metadata: Mapping[str, object]) -> str:
    return ", ".join(str(metadata[name])[:10] for name in ("light", "place", "taken_at") if name in metadata)


def _get(url: str) -> dict[str, Any]:
    return dict(json.loads(_read(quote(url, safe=":/?&=%"))))


def _post(url: str, body: Mapping[str, object]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request) as response:  # noqa: S310  (the server this process started)
        return dict(json.load(response))


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url) as response:  # noqa: S310  (the server this process started)
        return bytes(response.read())
