"""What a tower costs a process that has not seen it: run in a fresh interpreter, told in plain numbers."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cold:
    """Milliseconds to import the runtime, to open the bundle, and from there to the first vector; resident memory in
    MB before the tower was loaded, and after its first vector."""

    imports_ms: float
    open_ms: float
    first_ms: float
    before_mb: float
    after_mb: float


def cold(folder: Path, variant: str, tower: str, threads: int = 1) -> Cold:
    """The costs of ``tower`` ("vision" or "text") in a process of its own, files already in the page cache."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measure, folder, variant, tower, threads).result()


def _measure(folder: Path, variant: str, tower: str, threads: int) -> Cold:
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
    _ = encoder.image(sample()) if tower == "vision" else encoder.text("a red car")
    done = time.perf_counter()
    return Cold((imported - began) * 1e3, (opened - imported) * 1e3, (done - opened) * 1e3, before, _memory_mb())


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
