"""Graphs on disks that have no room for them, and graphs that are none."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from bucketlens.errors import Corrupt
from bucketlens.index import graph

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


def test_a_graph_that_another_process_removed_is_missing_and_a_damaged_one_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "graph"
    with pytest.raises(FileNotFoundError):
        graph.Graph.map(path, 16)
    vectors = np.random.default_rng(1).standard_normal((600, 16)).astype(np.float16)
    graph.build(vectors, 1, path, lambda built, strangers: None)
    whole = path.read_bytes()
    links, rows = graph.Graph.map(path, 16)
    assert (len(links), rows.shape) == (600, (600, 16))
    version = 8 + rows.nbytes + len(b"usearch")
    slots = 8 + rows.nbytes + 64 + 7  # the highest byte of their number
    flipped = [
        whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :] for at in (version, slots, slots + 8, slots + 16)
    ]
    damaged = [b"", b"no graph", whole[:-1], *flipped]
    for number, body in enumerate(damaged):
        (tmp_path / str(number)).write_bytes(body)
        with pytest.raises(Corrupt) as caught:
            graph.Graph.map(tmp_path / str(number), 16)
        assert (caught.value.code, caught.value.value) == ("bad_graph", str(number))
    with pytest.raises(Corrupt):
        graph.Graph.map(path, 8)
