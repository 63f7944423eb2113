"""Ingest beside ONNX Runtime alone, on the same pictures, in turns: whatever else the machine does meets both."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter

import numpy as np

from bucketlens.errors import BucketlensError
from bucketlens.local.drawings import KINDS
from bucketlens.model.bundle import Bundle
from bucketlens.model.encode import Encoder
from bucketlens.model.optimise import bare_run
from bucketlens.model.prepare import prepare
from bucketlens.pipelines.append import Ingest
from bucketlens.pipelines.ingest import ingest
from bucketlens.records import Change, Notice, Sequencer
from bucketlens.search.files import LocalFiles
from bucketlens.search.view import Views
from bucketlens.settings import Settings
from bucketlens.store.memory import MemoryImages, MemoryStore

ROUNDS = 5
_BUCKET = "bench"
_MOST_PIXELS = Settings(_BUCKET).max_image_pixels


@dataclass(frozen=True, slots=True)
class Pace:
    """Milliseconds of one image or text, medians of ``ROUNDS``.

    ``prepare`` (decode and resize), ``embed`` and ``text`` are measured one after the other, ``bare`` is ONNX Runtime
    alone on pixels that are ready, ``whole`` is ingest: bytes in memory -> decode -> embed -> segment. ``ratio`` is
    the median of bare / whole, round by round.
    """

    prepare: float
    embed: float
    text: float
    bare: float
    whole: float
    ratio: float


def pace(bundle: Bundle, bodies: Sequence[bytes], threads: int) -> Pace:
    """How fast a bundle takes these pictures with so many threads of ONNX Runtime.

    Raises Retryable, naming the reason, when one of them cannot be ingested.
    """
    encoder, bare = Encoder(bundle, threads), bare_run(bundle, threads)
    ready = [prepare(body, bundle.recipe, max_pixels=_MOST_PIXELS).pixels for body in bodies]
    words = [f"a picture of a {word}" for word in sorted(KINDS)]
    bare(ready[0][np.newaxis])
    encoder.embed(ready[0])
    encoder.text("warm")
    steps: dict[str, tuple[Callable[[], object], int]] = {}
    spent: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        steps["bare"] = (lambda: [bare(each[np.newaxis]) for each in ready], len(ready))
        steps["whole"] = (lambda: _ingest(encoder, bodies, Path(folder), threads), len(bodies))
        steps["embed"] = (lambda: [encoder.embed(each) for each in ready], len(ready))
        steps["prepare"] = (
            lambda: [prepare(body, bundle.recipe, max_pixels=_MOST_PIXELS) for body in bodies],
            len(bodies),
        )
        steps["text"] = (lambda: [encoder.text(word) for word in words], len(words))
        for _ in range(ROUNDS):
            for name, (step, count) in steps.items():
                began = perf_counter()
                step()
                spent.setdefault(name, []).append(1e3 * (perf_counter() - began) / count)
    ratio = median(alone / whole for alone, whole in zip(spent["bare"], spent["whole"], strict=True))
    return Pace(**{name: median(each) for name, each in spent.items()}, ratio=ratio)


def _ingest(encoder: Encoder, bodies: Sequence[bytes], folder: Path, threads: int) -> None:
    """One batch of the ingest function into an empty bucket; only the network is not there."""
    images, store = MemoryImages(), MemoryStore()
    settings = Settings(_BUCKET, model_threads=threads)
    notices = []
    for number, body in enumerate(bodies):
        images.put(f"images/{number}", body)
        notices.append(
            Notice(_BUCKET, f"images/{number}", Sequencer(f"{number + 1:016X}"), Change.CREATED, str(number))
        )
    views = Views(store, LocalFiles(store, folder, 10**8), threads=2, max_staleness_s=0.0, clock=monotonic)
    report = ingest(notices, Ingest(store, images, encoder, views, settings))
    if report.images != len(bodies):
        reasons = {*report.failed.values(), *report.rejected.values()}
        raise BucketlensError("Not every picture could be ingested.", value=sorted(reasons), remedy="Leave those out.")
