"""More rows than k-means takes at once: divided coarsely, then clustered part by part."""

from __future__ import annotations

import numpy as np
import pytest

from bucketlens.index import clusters
from bucketlens.index.clusters import cluster, unit


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_WHOLE", 3_000)
    monkeypatch.setattr(clusters, "_PART", 1_500)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("alike", [False, True])
def test_every_row_is_in_one_cluster_none_is_empty_and_rows_keep_their_order_in_each(alike: bool) -> None:
    rng = np.random.default_rng(3)
    rows = np.ones((9_000, 8)) if alike else rng.standard_normal((9_000, 8))
    found = cluster(unit(rows.astype(np.float32)).astype(np.float16), seed=1)
    assert np.array_equal(np.sort(found.order), np.arange(9_000))
    assert found.firsts[0] == 0
    assert found.firsts[-1] == 9_000
    assert (np.diff(found.firsts) > 0).all()
    for first, end in zip(found.firsts[:-1], found.firsts[1:], strict=True):
        assert (np.diff(found.order[first:end]) > 0).all()


@pytest.mark.usefixtures("small_parts")
def test_clusters_of_parts_are_nearly_as_tight_as_those_of_all_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    centres = unit(rng.standard_normal((40, 16)).astype(np.float32))
    rows = unit(centres[rng.integers(0, 40, 9_000)] + 0.3 * rng.standard_normal((9_000, 16)).astype(np.float32))
    in_parts = tightness(rows)
    monkeypatch.setattr(clusters, "_WHOLE", 10_000)
    assert in_parts > 0.96 * tightness(rows)


def tightness(rows: np.ndarray) -> float:
    """Mean cosine of a row to the centroid of its cluster."""
    found = cluster(rows.astype(np.float16), seed=1)
    standing = rows[found.order]
    centroids = unit(clusters.centroids_of(standing.astype(np.float16), found.firsts))
    return float((standing * np.repeat(centroids, np.diff(found.firsts), axis=0)).sum(axis=1).mean())
