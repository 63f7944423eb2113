"""Collaborators built from the environment, once per process. Nothing here touches the network until it is used."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from bucketlens.errors import Misconfigured
from bucketlens.model.bundle import Bundle, embedded_bundle
from bucketlens.model.encode import Encoder
from bucketlens.model.fetch import fetch_bundle
from bucketlens.pipelines.append import Ingest
from bucketlens.pipelines.compact import Compact
from bucketlens.pipelines.query import QueryTools
from bucketlens.search.files import LocalFiles
from bucketlens.search.ranges import READERS
from bucketlens.search.view import Views
from bucketlens.settings import Settings, read_settings
from bucketlens.store.s3 import S3Images, S3Store, connect

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")


@dataclass(frozen=True)
class Wiring:
    """Everything a handler may need, each made when first asked for."""

    settings: Settings
    endpoint_url: str | None = None
    public_endpoint_url: str | None = None
    variant: str = ""
    credentials: tuple[str, str] | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str], credentials: tuple[str, str] | None = None) -> Wiring:
        """From environment variables: the settings, ``AWS_ENDPOINT_URL`` for any S3-compatible store,
        ``PUBLIC_ENDPOINT_URL`` when clients reach that store under another address, and ``MODEL_VARIANT``.

        ``credentials`` (id, secret) go before those of the environment. Raises Misconfigured.
        """
        endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None
        public = environ.get("PUBLIC_ENDPOINT_URL") or endpoint
        return cls(read_settings(environ), endpoint, public, environ.get("MODEL_VARIANT", ""), credentials)

    @cached_property
    def store(self) -> S3Store:
        """The index's objects."""
        return S3Store(self.settings.bucket, self._client)

    @cached_property
    def images(self) -> S3Images:
        """The user's images."""
        return S3Images(self.settings.bucket, self._client)

    @cached_property
    def shown_images(self) -> S3Images:
        """The user's images, linked under the address that clients use."""
        same = self.public_endpoint_url == self.endpoint_url
        return self.images if same else S3Images(self.settings.bucket, self._connect(self.public_endpoint_url))

    @cached_property
    def views(self) -> Views:
        """Snapshots, with local copies under ``CACHE_DIR``."""
        settings = self.settings
        files = LocalFiles(self.store, settings.cache_dir / "index", settings.cache_bytes)
        return Views(
            self.store,
            files,
            threads=settings.threads,
            max_staleness_s=settings.max_staleness_s,
            clock=monotonic,
            hydrate=settings.hydrate,
        )

    @cached_property
    def encoder(self) -> Encoder:
        """The model: the embedded default, a folder, or a bundle in S3. Raises Misconfigured."""
        return Encoder(self.bundle, threads=self.settings.model_threads)

    @cached_property
    def bundle(self) -> Bundle:
        """The files of the model. Raises Misconfigured."""
        return Bundle.open(self._bundle_folder(), variant=self.variant)

    def ingest(self) -> Ingest:
        """What the ingest function works with."""
        return Ingest(self.store, self.images, self.encoder, self.views, self.settings)

    def query(self) -> QueryTools:
        """What the query function works with; the model is opened by the first query that needs it."""
        return QueryTools(self.views, self.shown_images, once(lambda: self.encoder), self.settings)

    def compact(self) -> Compact:
        """What the compact function works with."""
        return Compact(self.store, self.views, self.settings, threads=os.cpu_count() or 1)

    @cached_property
    def _client(self) -> S3Client:
        """One for all: to make one takes a tenth of a second of a cold start."""
        return self._connect(self.endpoint_url)

    def _connect(self, endpoint_url: str | None) -> S3Client:
        return connect(endpoint_url, max(self.settings.threads, READERS), credentials=self.credentials)

    def _bundle_folder(self) -> Path:
        uri = self.settings.model_uri
        if not uri:
            return embedded_bundle()
        if not uri.startswith("s3://"):
            return Path(uri)
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        if not bucket or not prefix.strip("/"):
            raise Misconfigured("MODEL_URI names no folder.", value=uri, remedy="Write s3://bucket/models/<model id>/.")
        store = S3Store(bucket, self._client)
        return fetch_bundle(store, prefix.strip("/") + "/", self.settings.cache_dir / "models", self.variant)


def once(make: Callable[[], T]) -> Callable[[], T]:
    """``make`` called by the first caller only, also when several threads call at once; a failure is not remembered."""
    made: list[T] = []
    lock = threading.Lock()

    def get() -> T:
        if not made:
            with lock:
                if not made:
                    made.append(make())
        return made[0]

    return get
