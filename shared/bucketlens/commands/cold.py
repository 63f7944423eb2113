"""What a tower costs a process that has not seen it: run in a fresh interpreter, told in plain numbers."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bucketlens.model.encode import Tower


@dataclass(frozen=True, slots=True)
class Cold:
    """Milliseconds to import the runtime, to open the bundle, to load the tower, and from there to its first vector;
    resident memory in MB before the tower was loaded, and after its first vector."""

    imports_ms: float
    open_ms: float
    load_ms: float
    first_ms: float
    before_mb: float
    after_mb: float


def cold(folder: Path, variant: str, tower: Tower, threads: int = 1) -> Cold:
    """The costs of ``tower`` in a process of its own, files already in the page cache."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure, folder, variant, tower, threads).result()


def _measure(folder: Path, variant: str, tower: Tower, threads: int) -> Cold:
    began = time.perf_counter()
    from bucketlens.model.bundle import Bundle
    from bucketlens.model.encode import Encoder
    from bucketlens.model.library import sample
    from bucketlens.model.optimise import start_runtime

    start_runtime()
    imported = time.perf_counter()
    bundle = Bundle.open(folder, variant)
    opened, before = time.perf_counter(), _memory_mb()
    encoder = Encoder(bundle, threads)
    encoder.load(tower)
    loaded = time.perf_counter()
    _ = encoder.image(sample()) if tower == "vision" else encoder.text("a red car")
    done = time.perf_counter()
    imports, opening, loading, first = (
        1e3 * (end - at) for at, end in pairwise((began, imported, opened, loaded, done))
    )
    return Cold(imports, opening, loading, first, before, _memory_mb())


def _memory_mb() -> float:
    """Resident memory now; where the system has no /proc, the most it ever was."""
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        found = next((text.split()[1] for text in lines if text.startswith("VmRSS")), None)
        if found:
            return int(found) / 1024
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage / 2**20 if sys.platform == "darwin" else usage / 1024
