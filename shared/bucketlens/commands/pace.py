"""Ingest beside ONNX Runtime alone, on the same pictures, in turns: whatever else the machine does meets both."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter, process_time

import numpy as np

from bucketlens.errors import BucketlensError
from bucketlens.local.drawings import KINDS
from bucketlens.model.bundle import Bundle
from bucketlens.model.encode import Encoder
from bucketlens.model.optimise import bare_run
from bucketlens.model.prepare import prepare
from bucketlens.model.room import cores_here
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
    the median of bare / whole, round by round. ``limit`` is what the ratio would be if no core were ever idle or did
    other work: CPU time of bare / (CPU time of whole / cores), at most 1. A busy machine lowers the ratio alone.
    """

    prepare: float
    embed: float
    text: float
    bare: float
    whole: float
    ratio: float
    limit: float


@dataclass(frozen=True, slots=True)
class _Spent:
    """Milliseconds of one picture or text in one round."""

    wall: float
    cpu: float


def pace(bundle: Bundle, bodies: Sequence[bytes], threads: int) -> Pace:
    """How fast a bundle takes these pictures with so many threads of ONNX Runtime.

    Raises Retryable, naming the reason, when one of them cannot be ingested.
    """
    encoder, bare = Encoder(bundle, threads), bare_run(bundle, threads)
    ready = [prepare(body, bundle.recipe, max_pixels=_MOST_PIXELS).pixels for body in bodies]
    words = [f"a picture of a {word}" for word in sorted(KINDS)]
    images, notices = _uploaded(bodies)
    with tempfile.TemporaryDirectory() as folder:
        steps: dict[str, tuple[Callable[[], object], int]] = {
            "bare": (lambda: [bare(each[np.newaxis]) for each in ready], len(ready)),
            "whole": (lambda: _ingest(encoder, images, notices, Path(folder), threads), len(bodies)),
            "embed": (lambda: [encoder.embed(each) for each in ready], len(ready)),
            "prepare": (
                lambda: [prepare(body, bundle.recipe, max_pixels=_MOST_PIXELS) for body in bodies],
                len(bodies),
            ),
            "text": (lambda: [encoder.text(word) for word in words], len(words)),
        }
        spent: dict[str, list[_Spent]] = {name: [] for name in steps}
        for step, count in steps.values():  # what is done once in a process is not what a picture costs
            _timed(step, count)
        for _ in range(ROUNDS):
            for name, (step, count) in steps.items():
                spent[name].append(_timed(step, count))
    rounds = list(zip(spent["bare"], spent["whole"], strict=True))
    ratio = median(alone.wall / whole.wall for alone, whole in rounds)
    limit = median(cores_here() * alone.cpu / whole.cpu for alone, whole in rounds)
    means = {name: median(one.wall for one in each) for name, each in spent.items()}
    return Pace(**means, ratio=ratio, limit=min(1.0, limit))


def _timed(step: Callable[[], object], count: int) -> _Spent:
    began, busy = perf_counter(), process_time()
    step()
    return _Spent(1e3 * (perf_counter() - began) / count, 1e3 * (process_time() - busy) / count)


def _uploaded(bodies: Sequence[bytes]) -> tuple[MemoryImages, list[Notice]]:
    """A bucket with these pictures, and the events that say so."""
    images = MemoryImages()
    for number, body in enumerate(bodies):
        images.put(f"images/{number}", body)
    return images, [
        Notice(_BUCKET, key, Sequencer(f"{number + 1:016X}"), Change.CREATED, str(number))
        for number, key in enumerate(images.objects)
    ]


def _ingest(encoder: Encoder, images: MemoryImages, notices: Sequence[Notice], folder: Path, threads: int) -> None:
    """One batch of the ingest function into an empty index; only the network is not there."""
    store, settings = MemoryStore(), Settings(_BUCKET, model_threads=threads)
    views = Views(store, LocalFiles(store, folder, 10**8), threads=2, max_staleness_s=0.0, clock=monotonic)
    report = ingest(notices, Ingest(store, images, encoder, views, settings))
    if report.images != len(notices):
        reasons = {*report.failed.values(), *report.rejected.values()}
        raise BucketlensError("Not every picture could be ingested.", value=sorted(reasons), remedy="Leave those out.")
