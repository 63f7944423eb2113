"""Graphs on disks that have no room for them."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from bucketlens.index import graph
from bucketlens.index.slots import map_bytes

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a file that is always full")
@pytest.mark.parametrize("rows", [10, 600], ids=["nothing beyond usearch's buffer", "more"])
def test_a_disk_that_is_full_is_told_of_also_where_usearch_is_silent(rows: int, tmp_path: Path) -> None:
    path = tmp_path / "graph"
    path.symlink_to(FULL)
    vectors = np.random.default_rng(1).standard_normal((rows, 16)).astype(np.float16)
    with pytest.raises(OSError, match="graph") as caught:
        graph.build(vectors, 1, path, lambda built, strangers: None)
    assert caught.value.errno == errno.ENOSPC


def test_a_graph_that_another_process_removed_is_missing_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "graph"
    with pytest.raises(FileNotFoundError):
        graph.Graph.map(map_bytes(path), 16)
    path.write_bytes(b"no graph")
    with pytest.raises(RuntimeError):
        graph.Graph.map(map_bytes(path), 16)
