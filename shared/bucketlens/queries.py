"""What is asked and what is answered: the values between a request and its response."""

from __future__ import annotations

from dataclasses import dataclass

from bucketlens.filters import ALWAYS, Filter
from bucketlens.records import Metadata

MAX_K = 1_000


@dataclass(frozen=True, slots=True)
class ByText:
    """Nearest images to words."""

    text: str


@dataclass(frozen=True, slots=True)
class ByImage:
    """Nearest images to a picture, given as the bytes of an image file."""

    body: bytes


@dataclass(frozen=True, slots=True)
class ByKey:
    """Nearest images to a stored image, by its full object key. The image itself is among the hits."""

    key: str


@dataclass(frozen=True, slots=True)
class ByVector:
    """Nearest images to a raw vector of the collection's model; any length but zero."""

    vector: tuple[float, ...]


Subject = ByText | ByImage | ByKey | ByVector


@dataclass(frozen=True, slots=True)
class Query:
    """One search. ``k`` is 1 to 1,000; ``min_score`` a cosine in [-1, 1]; ``fields`` None returns all metadata.

    ``strong`` answers from a snapshot taken after the request arrived; otherwise it may be ``max_staleness_s`` old.
    ``exact`` forbids approximate search. ``explain`` adds to the certificate how each part was searched.
    """

    collection: str
    subject: Subject
    filter: Filter = ALWAYS
    k: int = 10
    min_score: float | None = None
    fields: tuple[str, ...] | None = None
    strong: bool = False
    exact: bool = False
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer: the full object key, the cosine to the query (higher is closer), metadata, and a presigned URL."""

    key: str
    score: float
    metadata: Metadata
    url: str = ""
