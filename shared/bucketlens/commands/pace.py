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
from bucketlens.pipelines.each import abreast
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

    ``prepare`` (decode and resize), ``embed`` and ``text`` are measured one after the other. ``whole`` is ingest on all
    cores: bytes in memory -> decode -> embed -> segment. It is compared with ONNX Runtime alone, with its default
    options, on pixels that are ready, twice:

    ``alone`` is one run at a time, which leaves the other cores idle. ``ratio`` is the median of alone / whole, round
    by round: 1 where all decoding is hidden behind such runs, and more where the other cores had time to embed as well.
    ``filled`` is a run on every core at once, the most that ONNX Runtime does here (it was never slower than one run
    on all cores). ``share`` is the median of filled / whole. It cannot be 1, since decoding needs the same cores:
    ``limit`` is the share if no core were ever idle, CPU time of alone / CPU time of whole.

    A busy machine lowers ratio and share, and hardly the limit.
    """

    prepare: float
    embed: float
    text: float
    alone: float
    filled: float
    whole: float
    ratio: float
    share: float
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
    inputs = {str(number): each[np.newaxis] for number, each in enumerate(ready)}
    at_once = max(1, cores_here() // threads)
    words = [f"a picture of a {word}" for word in sorted(KINDS)]
    images, notices = _uploaded(bodies)
    with tempfile.TemporaryDirectory() as folder:
        steps: dict[str, tuple[Callable[[], object], int]] = {
            "alone": (lambda: [bare(each) for each in inputs.values()], len(ready)),
            "whole": (lambda: _ingest(encoder, images, notices, Path(folder), threads), len(bodies)),
            "filled": (lambda: abreast(at_once, lambda key: bare(inputs[key]), inputs, {}), len(ready)),
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
    rounds = list(zip(spent["alone"], spent["filled"], spent["whole"], strict=True))
    ratio = median(alone.wall / whole.wall for alone, _, whole in rounds)
    share = median(filled.wall / whole.wall for _, filled, whole in rounds)
    limit = median(alone.cpu / whole.cpu for alone, _, whole in rounds)
    medians = {name: median(one.wall for one in each) for name, each in spent.items()}
    return Pace(**medians, ratio=ratio, share=share, limit=min(1.0, limit))


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
