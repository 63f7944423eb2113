"""Touched pages are there when they are read."""

from __future__ import annotations

import mmap
import resource
from pathlib import Path

import numpy as np
import pytest

from bucketlens.search.touch import LEAST, Toucher

SIZE = 16 * 2**20


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def mapped(folder: Path, size: int = SIZE) -> np.ndarray:
    path = folder / f"{len(list(folder.iterdir()))}"
    path.write_bytes(bytes(size))
    return np.memmap(path, np.uint8, "r").reshape(-1, 64).view(np.ndarray)


def test_who_reads_a_mapped_file_that_was_touched_waits_for_no_page(tmp_path: Path) -> None:
    waited = list[int]()
    for touched in (False, True):
        array, toucher = mapped(tmp_path), Toucher()
        if touched:
            toucher.touch(array)
            assert toucher.wait(60)
        before = faults()
        array.reshape(-1)[:: mmap.PAGESIZE].max()
        waited.append(faults() - before)
    if waited[0] < 64:
        pytest.skip("this system maps files in large pages, or does not tell")
    assert waited[1] < waited[0] / 4


def test_little_is_left_alone_and_so_is_what_has_no_room_beside_the_rest(tmp_path: Path) -> None:
    toucher = Toucher(3 * SIZE)
    taken = [mapped(tmp_path, SIZE + number * 64) for number in (0, 64)]
    toucher.touch(mapped(tmp_path, LEAST - 64))
    assert not toucher.taken
    for array in taken:
        toucher.touch(array)
    assert toucher.taken == 2 * SIZE + 64 * 64
    toucher.touch(mapped(tmp_path))
    assert toucher.taken == 2 * SIZE + 64 * 64
    assert toucher.wait(60)
    del array, taken[0]
    assert toucher.taken == SIZE + 64 * 64, "what is mapped no longer makes room"
    another = mapped(tmp_path)
    toucher.touch(another)
    assert toucher.taken == 2 * SIZE + 64 * 64
