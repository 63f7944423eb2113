"""Local parts searched together: the log by its codes, after the shards."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from tests.support.table import DIMENSION, image
from tests.unit.test_codes import around, piled

from bucketlens.filters import ALWAYS, Filter, parse
from bucketlens.index import shard
from bucketlens.index.block import Block
from bucketlens.index.gather import Gathered
from bucketlens.index.pile import Pile
from bucketlens.index.shard import Shard
from bucketlens.index.vectors import exact_cosines
from bucketlens.records import ModelIdentity
from bucketlens.search import plan, scan
from bucketlens.search.part import HeldRows, Part
from bucketlens.search.plan import EXACT_BELOW, Path
from bucketlens.search.scan import search_parts

K = 10
LOGGED = 3 * EXACT_BELOW // 2


@dataclass(frozen=True)
class Heights:
    """A shard, and the direction along which its rows' metadata ``height`` ascends, from 0 to 1."""

    part: Part
    up: np.ndarray

    def far(self, share: float) -> Filter:
        """What so large a share of the rows matches, at the other end of the direction."""
        return parse({"height": {"$lt": share}})


@pytest.fixture(scope="module", params=[128, 24])
def heights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Heights:
    folder, rows = tmp_path_factory.mktemp("heights"), around(24_000, request.param, seed=1)
    up = np.linalg.svd(rows[:2_000].astype(np.float32), full_matrices=False)[2][1]
    height = np.argsort(np.argsort(rows.astype(np.float32) @ up)) / len(rows)
    images = [image(f"images/{n:05}.jpg", n + 1, {"height": float(height[n])}) for n in range(len(rows))]
    block = Block(Block.of(images, DIMENSION).table, rows)
    model = ModelIdentity("m", "0" * 32, request.param)
    made = shard.build(Gathered.of([(block, np.arange(len(block)))]), model, folder, threads=2)
    opened = Shard("s", made, lambda part: made[part])
    return Heights(Part("s", opened, np.ones(len(rows), bool), opened.near), up)


@pytest.mark.parametrize("deleted", [0.0, 0.2])
def test_where_a_walk_starves_codes_of_all_that_matches_are_compared_if_they_tell_enough(
    heights: Heights, deleted: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (plan, scan):
        monkeypatch.setattr(module, "EXACT_FILTERED_BELOW", 8_000)
    monkeypatch.setattr(plan, "LEAST_SIFTED", 3_000)
    source, right = heights.part.source, 0
    live = np.random.default_rng(0).random(heights.part.count) >= deleted
    part, condition = replace(heights.part, live=live), heights.far(0.7)
    counting = live & source.passing(condition).mask
    codes_tell = source.vectors.shape[1] == 128
    for sideways in around(30, source.vectors.shape[1], seed=3).astype(np.float32):
        query = 3 * heights.up + sideways
        query = np.asarray(query / np.linalg.norm(query), dtype=np.float32)
        (found,) = search_parts([part], query, condition, K, exact=False)
        assert found.choice.path is (Path.CODES if codes_tell else Path.EXACT)
        assert found.scanned == found.matched == np.count_nonzero(counting)
        assert counting[found.rows].all()
        cosines = exact_cosines(query, source.vectors[counting])
        right += int(np.count_nonzero(found.scores[:K] >= np.sort(cosines)[-K]))
    assert right >= (0.8 if codes_tell else 1) * K * 30, "rows so far away lie in no order here"


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
