"""What searches map is touched in the background, and what others map is not."""

from __future__ import annotations

from dataclasses import replace

from tests.support.large import Large, answer
from tests.support.table import COLLECTION

from bucketlens.filters import ALWAYS
from bucketlens.index.shard import GRAPH, Mapped
from bucketlens.search.searched import search_view
from bucketlens.search.touch import Toucher


class Noting(Toucher):
    """Notes how much was to be touched."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[int] = []

    def touch(self, mapped: Mapped) -> None:
        """Only noted."""
        self.noted.append(mapped.nbytes)


def test_a_search_has_graph_and_vectors_touched_once_and_a_look_at_a_key_nothing(large: Large) -> None:
    views = large.table().views(hydrate=True)
    answer(views, large.near(90))
    assert views.reach.hydrator is not None
    assert views.reach.hydrator.wait(60)
    toucher, view = Noting(), views.view(COLLECTION, strong=True)
    view = replace(view, reach=replace(view.reach, toucher=toucher))
    (entry,), (shard, _) = view.snapshot.manifest.shards, *view.shards
    found = view.find(shard.rows.column("key")[7].as_py())
    assert found is not None
    assert not toucher.noted
    for _ in range(2):
        search_view(view, large.near(90), ALWAYS, 10, exact=False)
        assert sorted(toucher.noted) == sorted([entry.parts[GRAPH].size, shard.vectors.nbytes])


def test_where_nothing_is_brought_in_the_background_nothing_is_touched(large: Large) -> None:
    views = large.table().views()
    assert views.reach.toucher is None
    answer(views, large.near(90), exact=True)
    answer(views, large.near(90))
