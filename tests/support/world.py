"""A user's bucket in memory, the real model code over a tiny bundle, ingest, and what it all must come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import monotonic

from PIL import Image  # noqa: TID251

from bucketlens.index.block import metadata_at
from bucketlens.model.bundle import Bundle
from bucketlens.model.encode import Encoder
from bucketlens.pipelines.append import Ingest
from bucketlens.pipelines.compact import Compact, CompactReport, compact
from bucketlens.pipelines.describe import bare
from bucketlens.pipelines.ingest import IngestReport, ingest
from bucketlens.pipelines.query import Answer, QueryTools, search
from bucketlens.queries import ByText, Query, Subject
from bucketlens.records import Change, Metadata, Notice, Sequencer
from bucketlens.search.files import LocalFiles
from bucketlens.search.view import View, Views
from bucketlens.settings import Settings
from bucketlens.store.memory import MemoryImages, MemoryStore
from bucketlens.store.protocol import Images, Store
from tests.support.pictures import encoded

BUCKET = "pictures"
COLLECTION = "default"
SETTINGS = Settings(BUCKET, threads=2, max_image_bytes=20_000, max_image_pixels=10_000)
RED, GREEN, BLUE = (220, 30, 30), (30, 180, 50), (30, 60, 220)
CORRUPT = b"\x89PNG\r\n\x1a\n" + bytes(40)


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (16, 12), format: str = "PNG") -> bytes:  # noqa: A002
    """The file of a picture of one colour."""
    return encoded(Image.new("RGB", size, colour), format)


def tiny_encoder(folder: Path) -> Encoder:
    """The encoder of a bundle that ``make_bundle`` wrote."""
    return Encoder(Bundle.open(folder))


@dataclass
class World:
    """One bucket with its index. ``put`` and ``remove`` play the user and return the event that S3 would send."""

    folder: Path
    encoder: Encoder
    settings: Settings = SETTINGS
    store: Store = field(default_factory=MemoryStore)
    images: MemoryImages = field(default_factory=MemoryImages)

    def __post_init__(self) -> None:
        self._events = count(0x5A00)
        self._folders = count()

    def put(self, key: str, body: bytes, **options: object) -> Notice:
        """Upload or overwrite."""
        self.images.put(key, body, **options)  # type: ignore[arg-type]
        return self.notice(key)

    def remove(self, key: str) -> Notice:
        """Delete."""
        self.images.remove(key)
        return self.notice(key, Change.REMOVED)

    def notice(self, key: str, change: Change = Change.CREATED) -> Notice:
        """The event of what just happened: sequencers grow, and their lengths differ."""
        number = next(self._events)
        return Notice(BUCKET, key, Sequencer(f"{number:08X}" + "7" * (number * 5 % 7)), change, f"m{number}")

    def views(self, store: Store | None = None) -> Views:
        """A reader that remembers nothing."""
        reading = store or self.store
        files = LocalFiles(reading, self.folder / f"cache{next(self._folders)}", 10**8)
        return Views(reading, files, threads=2, max_staleness_s=0.0, clock=monotonic)

    def view(self) -> View:
        """The index as it is now."""
        return self.views().view(COLLECTION, strong=True)

    def tools(self, store: Store | None = None, images: Images | None = None) -> Ingest:
        """An ingest function that was just started."""
        return Ingest(
            store or self.store, images or self.images, self.encoder, self.views(store or self.store), self.settings
        )

    def ingest(self, *notices: Notice, store: Store | None = None, images: Images | None = None) -> IngestReport:
        """Deliver one batch."""
        return ingest(notices, self.tools(store, images))

    def compact(self, nonce: str, now: datetime | None = None) -> CompactReport:
        """One run of the compactor."""
        tools = Compact(self.store, self.views(), self.settings, threads=1)
        return compact(COLLECTION, tools, now=now or datetime.now(UTC), nonce=nonce)

    def search(self, subject: Subject, **options: object) -> Answer:
        """One search, strongly consistent."""
        tools = QueryTools(self.views(), self.images, lambda: self.encoder, self.settings)
        return search(Query(COLLECTION, subject, strong=True, **options), tools)  # type: ignore[arg-type]

    def found(self, text: str = "red") -> list[str]:
        """Keys of everything searchable, nearest to the text first."""
        return [hit.key for hit in self.search(ByText(text), k=1000).hits]

    def metadata(self, key: str) -> Metadata:
        """What the index says of a key; empty when it says nothing."""
        found = self.view().find(key)
        return metadata_at(found[0], [found[1]])[0] if found else {}

    def rejected(self) -> dict[str, str]:
        """Code by key of everything listed as rejected."""
        return {key: why.code for key, why in self.view().rejections.items()}

    def state(self) -> dict[str, tuple[object, ...]]:
        """What the index says: by key, ("image", etag, sidecar's etag) or ("rejected", etag)."""
        view = self.view()
        said: dict[str, tuple[object, ...]] = {}
        for part in view.parts:
            rows = [row for row, live in enumerate(part.live.tolist()) if live]
            keys = part.source.rows.column("key").to_pylist()
            for row, metadata in zip(rows, metadata_at(part.source.rows, rows), strict=True):
                assert keys[row] not in said, f"{keys[row]} is live twice"
                said[keys[row]] = ("image", metadata["etag"], metadata.get("sidecar_etag"))
        for key in view.rejections:
            assert key not in said
            said[key] = ("rejected", self.metadata(key).get("etag"))
        return said

    def truth(self, unreadable: Sequence[bytes] = (CORRUPT,)) -> Mapping[str, tuple[object, ...]]:
        """What ``state`` must be for the bucket as it is; ``unreadable`` are the bodies that are no images."""
        said: dict[str, tuple[object, ...]] = {}
        for key, source in self.images.objects.items():
            if key.endswith((".json", "/")) or not key.startswith("images/"):
                continue
            sidecar = self.images.objects.get(f"{key}.json")
            if source.body in unreadable:
                said[key] = ("rejected", bare(source.etag))
            else:
                said[key] = ("image", bare(source.etag), bare(sidecar.etag) if sidecar else None)
        return said


class Meddling:
    """A user's bucket in which something happens right after an image was read."""

    def __init__(self, world: World, meddle: Callable[[], None]) -> None:
        self._world = world
        self._meddle: Callable[[], None] | None = meddle

    def fetch(self, key: str, *, limit: int, tags: bool = False) -> object:
        found = self._world.images.fetch(key, limit=limit, tags=tags)
        if not key.endswith(".json") and self._meddle:
            meddle, self._meddle = self._meddle, None
            meddle()
        return found

    def etag(self, key: str) -> str | None:
        return self._world.images.etag(key)

    def link(self, key: str, *, seconds: int) -> str:
        return self._world.images.link(key, seconds=seconds)
