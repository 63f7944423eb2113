"""What counts among some of the shards: remembered, but not for every set there ever was."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from tests.support.table import COLLECTION, START, Table, append, image

from bucketlens.pipelines.compact import compact
from bucketlens.search.view import View
from bucketlens.store.memory import MemoryStore


def shards(folder: Path, count: int) -> tuple[Table, View]:
    table = Table(MemoryStore(lambda: START), folder, max_shard_rows=8)
    append(table.store, [image(f"images/{number:03}.jpg", number + 1) for number in range(8 * count)])
    compact(COLLECTION, table.compactor(), now=START, nonce="a")
    append(table.store, [image("images/003.jpg", 999)])
    view = table.view()
    assert len(view.shards) == count
    return table, view


def test_of_many_sets_of_shards_the_last_few_are_remembered(tmp_path: Path) -> None:
    _, view = shards(tmp_path, 5)
    sets = [chosen for size in range(6) for chosen in combinations(range(5), size)]
    for chosen in sets:
        settled, parts = view.among(chosen)
        assert [part.name for part in parts] == ["log", *(view.shards[number][0].id for number in chosen)]
        assert sum(int(dead.sum()) for dead in settled.dead) == (0 in chosen), "the row that the log has anew"
        assert view.among(chosen)[0] is settled
    assert len(view.settlements.last) < 6
    assert list(view.settlements.last)[-1] == sets[-1]


def test_sets_that_share_a_shard_share_what_is_known_of_its_rows(tmp_path: Path) -> None:
    _, view = shards(tmp_path, 3)
    one, other = (view.among(chosen)[1] for chosen in ((0, 1), (1, 2)))
    assert one[2] is other[1]
    assert one[2].name == view.shards[1][0].id
