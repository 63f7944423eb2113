"""Touched pages are there when they are read."""

from __future__ import annotations

import mmap
import resource
from pathlib import Path

import numpy as np
import pytest

from bucketlens.index import touch as touching
from bucketlens.index.touch import LEAST, SHARE, touch

SIZE = 16 * 2**20


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def test_who_reads_a_mapped_file_that_was_touched_waits_for_no_page(tmp_path: Path) -> None:
    (tmp_path / "held").write_bytes(bytes(SIZE))
    mapped = [np.memmap(tmp_path / "held", np.uint8, "r") for _ in range(2)]
    waited = list[int]()
    for array, touched in zip(mapped, (False, True), strict=True):
        thread = touch(array.reshape(-1, 64)) if touched else None
        assert (thread is not None) is touched
        if thread is not None:
            thread.join(10)
        before = faults()
        array[:: mmap.PAGESIZE].max()
        waited.append(faults() - before)
    assert waited[1] < waited[0] / 4


def test_little_is_not_touched_and_neither_is_what_may_not_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert touch() is None
    assert touch(np.zeros(0), np.zeros(LEAST - 1, np.uint8)) is None
    monkeypatch.setattr(touching, "_memory", lambda: SHARE * SIZE - 1)
    assert touch(np.zeros(SIZE, np.uint8)) is None
