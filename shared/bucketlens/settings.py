"""Configuration, read once from a mapping someone hands in, into a frozen value. A bad one lists every problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bucketlens.errors import InvalidRequest, Misconfigured
from bucketlens.keys import check_collection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the functions can be told. Each field is set by the environment variable of its name in capitals."""

    bucket: str
    """Bucket that holds the images and the index."""
    collections: tuple[tuple[str, str], ...] = (("images/", "default"),)
    """Prefix -> collection, longest prefix first. ``COLLECTIONS`` is ``images/=default,products/=shop``."""
    model_uri: str = ""
    """Folder or ``s3://bucket/prefix`` of the model bundle; empty means the embedded default."""
    cache_dir: Path = Path("/tmp/bucketlens")  # noqa: S108  (Lambda's only writable folder)
    """Where shards and bundles are kept local."""
    cache_bytes: int = 400_000_000
    """Disk budget for local shards, bytes."""
    hydrate: bool = True
    """Whether shards that were searched by ranged reads are brought local in the background."""
    max_image_bytes: int = 50_000_000
    """Larger objects are rejected before they are read."""
    max_image_pixels: int = 100_000_000
    """Images with more pixels are rejected before they are decoded."""
    object_tags: bool = False
    """Whether object tags become metadata (``tag.<name>``), one more request per image."""
    max_staleness_s: float = 5.0
    """How old a snapshot may be for a query with ``consistency: "eventual"``, seconds."""
    sweep_grace_s: float = 3600.0
    """How long garbage is kept, seconds; longer than any request or compaction lasts."""
    tombstone_ttl_s: float = 14 * 86400.0
    """How long a deletion is remembered, seconds; longer than the longest redelivery."""
    link_ttl_s: int = 900
    """How long the presigned URL of a hit works, seconds."""
    threads: int = 8
    """Parallel requests to S3 in one invocation."""
    model_threads: int = 1
    """ONNX Runtime threads."""

    def collection_of(self, key: str) -> str | None:
        """The collection an object key feeds (longest prefix wins), or None when it is not an image of ours."""
        return next((name for prefix, name in self.collections if key.startswith(prefix)), None)

    def collection_names(self) -> tuple[str, ...]:
        """Every collection that settings name, sorted, each once."""
        return tuple(sorted({name for _, name in self.collections}))


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from environment variables. Raises Misconfigured, naming every bad variable at once."""
    problems: list[str] = []

    def take(name: str, default: T, parse: Callable[[str], T]) -> T:
        text = environ.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except (ValueError, InvalidRequest) as error:
            problems.append(f"{name}={text!r}: {error}")
            return default

    bucket = environ.get("BUCKET", "").strip()
    if not bucket:
        problems.append("BUCKET is not set: name the bucket that holds the images and the index")
    defaults = Settings(bucket=bucket)
    settings = Settings(
        bucket=bucket,
        collections=take("COLLECTIONS", defaults.collections, _prefix_map),
        model_uri=take("MODEL_URI", defaults.model_uri, str),
        cache_dir=take("CACHE_DIR", defaults.cache_dir, Path),
        cache_bytes=take("CACHE_BYTES", defaults.cache_bytes, _positive(int)),
        hydrate=take("HYDRATE", defaults.hydrate, _flag),
        max_image_bytes=take("MAX_IMAGE_BYTES", defaults.max_image_bytes, _positive(int)),
        max_image_pixels=take("MAX_IMAGE_PIXELS", defaults.max_image_pixels, _positive(int)),
        object_tags=take("OBJECT_TAGS", defaults.object_tags, _flag),
        max_staleness_s=take("MAX_STALENESS_S", defaults.max_staleness_s, _not_negative),
        sweep_grace_s=take("SWEEP_GRACE_S", defaults.sweep_grace_s, _not_negative),
        tombstone_ttl_s=take("TOMBSTONE_TTL_S", defaults.tombstone_ttl_s, _not_negative),
        link_ttl_s=take("LINK_TTL_S", defaults.link_ttl_s, _positive(int)),
        threads=take("THREADS", defaults.threads, _positive(int)),
        model_threads=take("MODEL_THREADS", defaults.model_threads, _positive(int)),
    )
    if problems:
        raise Misconfigured("The settings have problems: " + "; ".join(problems), code="bad_settings")
    return settings


def _prefix_map(text: str) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        prefix, separator, name = pair.rpartition("=")
        if not separator or not prefix:
            raise ValueError(f"{pair!r} is not prefix=collection, such as images/=default")
        if any(prefix.startswith(own) or own.startswith(prefix) for own in ("index/", "models/")):
            raise ValueError(
                f"prefix {prefix!r} would feed the index to itself; choose one that does not cover index/ or models/"
            )
        if prefix in found:
            raise ValueError(f"prefix {prefix!r} is given twice")
        found[prefix] = check_collection(name)
    if not found:
        raise ValueError("no prefix=collection pair is given")
    return tuple(sorted(found.items(), key=lambda item: (-len(item[0]), item[0])))


def _positive(kind: Callable[[str], T]) -> Callable[[str], T]:
    def parse(text: str) -> T:
        number = kind(text)
        if not number > 0:  # type: ignore[operator]
            raise ValueError("must be greater than zero")
        return number

    return parse


def _not_negative(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError("must be zero or more, in seconds")
    return number


def _flag(text: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in words:
        raise ValueError("must be true or false")
    return words[text.lower()]
