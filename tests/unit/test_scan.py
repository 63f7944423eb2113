"""Local parts searched together: the log by its codes, after the shards."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.test_codes import around, piled

from bucketlens.filters import ALWAYS
from bucketlens.index.block import Block
from bucketlens.index.pile import Pile
from bucketlens.search.part import HeldRows, Part
from bucketlens.search.plan import EXACT_BELOW, Path
from bucketlens.search.scan import search_parts

K = 10
LOGGED = 3 * EXACT_BELOW // 2


@pytest.fixture(scope="module")
def log() -> Pile:
    return piled([around(LOGGED, 512, seed=5)])


def held(rows: np.ndarray) -> Part:
    block = Block(piled([rows]).rows, rows)
    return Part("shard", HeldRows(block), np.ones(len(rows), bool))


@pytest.mark.parametrize("beside", [0, 5, 3_000])
@pytest.mark.parametrize("alive", [1.0, 0.7])
def test_a_log_is_found_by_its_codes_whatever_there_is_beside_it(log: Pile, beside: int, alive: float) -> None:
    others = around(beside, 512, seed=6)
    live = np.random.default_rng(1).random(LOGGED) < alive
    live[:1_000] = True
    parts = [Part("log", log, live, log.near), *([held(others)] if beside else [])]
    right = 0
    for query in around(40, 512, seed=7).astype(np.float32):
        found = search_parts(parts, query, ALWAYS, K, exact=False)
        assert [one.part for one in found] == parts, "in their order"
        assert found[0].choice.path is Path.CODES
        assert live[found[0].rows].all()
        cosines = np.concatenate(
            [np.where(live, log.vectors.astype(np.float32) @ query, -1), others.astype(np.float32) @ query]
        )
        least = np.sort(cosines)[-K]
        right += sum(int(np.count_nonzero(one.scores >= least - 1e-3)) for one in found)
    assert right >= 0.95 * K * 40
