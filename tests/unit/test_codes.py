"""Rows compared by their codes: what is near, within a mask, and the same however the rows came together."""

from __future__ import annotations

import numpy as np
import pytest

from bucketlens.index import codes as codes_module
from bucketlens.index.block import Block
from bucketlens.index.coded import Coded
from bucketlens.index.codes import bits_apart, encode, signs, width, words_of
from bucketlens.index.pile import Pile


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def around(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Rows around 40 directions, all of them to one side."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).standard_normal((40, dimension)) + 1
    return unit(centres[rng.integers(0, 40, count)] + 0.7 * rng.standard_normal((count, dimension))).astype(np.float16)


def piled(pieces: list[np.ndarray]) -> Pile:
    pile = Pile.empty(pieces[0].shape[1])
    for piece in pieces:
        table = Block.of((), 1).table
        empty = {name: [None] * len(piece) for name in table.column_names}
        pile = pile.plus([Block(table.from_pydict(empty, schema=table.schema), piece)])
    return pile


@pytest.mark.parametrize("dimension", [16, 20, 512, 700])
def test_signs_are_the_codes_that_shards_have(dimension: int) -> None:
    rows = around(300, dimension)
    codes, coding = encode(rows)
    assert codes.shape == (300, width(dimension))
    assert np.array_equal(signs(rows, coding.mean), codes)


@pytest.mark.parametrize("dimension", [1, 20, 64, 100, 512, 700])
def test_the_nearest_by_code_differ_in_the_fewest_bits(dimension: int) -> None:
    rows, query = around(9_000, dimension), around(1, dimension, seed=4)[0].astype(np.float32)
    codes, coding = encode(rows)
    differing = np.unpackbits(codes ^ signs(query[None, :], coding.mean), axis=1).sum(axis=1)
    mask = np.random.default_rng(1).random(9_000) < 0.5
    for wanted in (None, mask):
        among = differing if wanted is None else differing[wanted]
        near = Coded(words_of(codes), coding.mean).nearest(query, wanted, 200)
        within = differing <= np.partition(among, 199)[199]
        assert np.array_equal(near, np.flatnonzero(within if wanted is None else within & wanted))


@pytest.mark.parametrize("dimension", [1, 20, 32, 100, 192, 256, 512, 700])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 1.0])
def test_bits_are_counted_of_the_rows_that_are_asked_for(
    dimension: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes_module, "AT_ONCE", 1_000)
    rows, query = around(2_500, dimension), around(1, dimension, seed=4)[0].astype(np.float32)
    codes, coding = encode(rows)
    codes.flags.writeable = False
    mask = np.random.default_rng(1).random(2_500) < share
    differing = np.unpackbits(codes ^ signs(query[None, :], coding.mean), axis=1).sum(axis=1)
    assert np.array_equal(bits_apart(query, codes, coding, np.flatnonzero(mask)), differing[mask])


def test_nearly_all_true_neighbours_are_among_the_nearest_by_code_and_only_rows_of_the_mask() -> None:
    rows = around(8_000, 128)
    mask = np.random.default_rng(1).random(8_000) < 0.8
    codes, coding = encode(rows)
    held, found = rows.astype(np.float32), 0
    for query in around(30, 128, seed=2).astype(np.float32):
        near = Coded(words_of(codes), coding.mean).nearest(query, mask, 250)
        assert len(near) >= 250
        assert mask[near].all()
        assert (np.diff(near) > 0).all()
        right = np.argsort(np.where(mask, -(held @ query), np.inf), kind="stable")[:10]
        found += len(set(near.tolist()) & set(right.tolist()))
    assert found >= 0.97 * 300


@pytest.mark.parametrize("count", [0, 3, 9, 50])
def test_fewer_matching_rows_than_asked_for_are_all_found(count: int) -> None:
    rows, mask = around(50, 16), np.arange(50) < count
    codes, coding = encode(rows)
    near = Coded(words_of(codes), coding.mean).nearest(rows[0].astype(np.float32), mask, 10)
    assert set(near.tolist()) <= set(range(count))
    assert len(near) >= min(10, count)


def test_a_pile_that_grew_finds_what_one_made_at_once_finds_while_the_one_before_it_stays() -> None:
    rows, query = around(6_000, 64), around(1, 64, seed=3)[0].astype(np.float32)
    before = piled([rows[:2_000]])
    first = before.near(query, np.ones(2_000, bool), 100)
    for ends in ([2_500, 3_900, 6_000], [2_100, 6_000]):
        pile = before
        for start, end in zip([2_000, *ends], ends, strict=False):
            pile = pile.plus([Block(piled([rows[start:end]]).rows, rows[start:end])])
            near = pile.near(query, np.ones(end, bool), 250)
            right = np.argsort(-(rows[:end].astype(np.float32) @ query), kind="stable")[:10]
            assert len(set(near.tolist()) & set(right.tolist())) >= 9
    assert np.array_equal(before.near(query, np.ones(2_000, bool), 100), first)


@pytest.mark.parametrize(
    ("sizes", "most"),
    [(np.ones(128), 50), (np.arange(1, 129) ** -0.5, 150), (np.where(np.arange(128) < 16, 1, 0.02), 500)],
)
def test_what_cannot_come_up_to_a_cosine_is_left_out_and_hardly_anything_else(sizes: np.ndarray, most: int) -> None:
    """Also where components differ much in size, so that bits tell less than they should: that was measured."""
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((300, 128))
    drawn = (centres[rng.integers(0, 300, 30_060)] + 0.6 * rng.standard_normal((30_060, 128))) * sizes
    logged, others, queries = np.split(unit(drawn).astype(np.float16), [8_000, 30_000])
    pile = piled([logged])
    held, right, found, left = logged.astype(np.float32), 0, 0, list[int]()
    for query in queries.astype(np.float32):
        least = float(np.sort(others.astype(np.float32) @ query)[-10])
        near = pile.near(query, None, 250, least)
        wanted = np.intersect1d(np.flatnonzero(held @ query >= least), pile.near(query, None, 250))
        right, found = right + len(wanted), found + len(np.intersect1d(near, wanted))
        left.append(len(near))
        mask = np.arange(8_000) % 2 == 0
        assert set(pile.near(query, mask, 250, least).tolist()) <= set(np.flatnonzero(mask).tolist())
    assert found >= 0.97 * right > 0
    assert np.mean(left) < most, "250 and some without it"


def grown(pile: Pile, rows: np.ndarray) -> Pile:
    return pile.plus([Block(piled([rows]).rows, rows)])


def kept(pile: Pile, others: np.ndarray, queries: np.ndarray) -> float:
    """The share of rows that come up to the tenth of the others and are left, of those that codes alone find."""
    right = found = 0
    for query in queries.astype(np.float32):
        least = float(np.sort(others.astype(np.float32) @ query)[-10])
        good = np.flatnonzero(pile.vectors.astype(np.float32) @ query >= least)
        wanted = np.intersect1d(good, pile.near(query, None, 250))
        right += len(wanted)
        found += len(np.intersect1d(pile.near(query, None, 250, least), wanted))
    return found / right


def sized(count: int, power: float, seed: int) -> np.ndarray:
    """Rows anywhere, with components of falling size."""
    rows = np.random.default_rng(seed).standard_normal((count, 128)) * np.arange(1.0, 129) ** power
    return unit(rows).astype(np.float16)


def test_copies_among_the_rows_do_not_make_codes_look_surer_than_they_are() -> None:
    copies = np.repeat(sized(400, -0.3, 1), 12, axis=0)
    pile = piled([copies])
    pile.near(copies[0].astype(np.float32), None, 250)
    assert kept(pile, sized(20_000, -0.3, 3), sized(60, -0.3, 4)) >= 0.95


def test_rows_of_another_kind_that_come_later_are_measured_too() -> None:
    pile = piled([sized(4_000, 0, 1)])
    pile = grown(pile, sized(10, 0, 1))  # into twice the room
    pile.near(pile.vectors[0].astype(np.float32), None, 250)
    room = pile.room
    pile = grown(pile, sized(3_500, -1, 2))
    assert pile.room is room
    assert kept(pile, sized(20_000, -1, 3), sized(60, -1, 4)) >= 0.95


def test_of_codes_that_were_not_measured_no_row_is_left_out() -> None:
    rows = around(2_000, 64)
    codes, coding = encode(rows)
    coded, query = Coded(words_of(codes), coding.mean), rows[0].astype(np.float32)
    assert np.array_equal(coded.nearest(query, None, 100, 0.99), coded.nearest(query, None, 100))


def test_rows_that_are_all_the_same_are_measured_too() -> None:
    pile = piled([np.repeat(around(1, 64), 500, axis=0)])
    assert len(pile.near(pile.vectors[0].astype(np.float32), None, 100, 0.9)) == 500


@pytest.mark.parametrize("dimension", [64, 256, 700])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_how_far_estimates_are_off_is_known_of_rows_without_preferred_directions(dimension: int, shift: float) -> None:
    rng = np.random.default_rng(dimension)
    centre = shift * unit(rng.standard_normal((1, dimension)))
    rows = unit(centre + unit(rng.standard_normal((4_000, dimension)))).astype(np.float16)
    held, coding = encode(rows)
    for query in unit(centre + unit(rng.standard_normal((10, dimension)))):
        off = codes_module.estimates(query, held, coding) - rows.astype(np.float32) @ query
        assert float(off.std()) == pytest.approx(coding.error(query), rel=0.2)
