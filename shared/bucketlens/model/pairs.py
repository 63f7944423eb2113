"""Metric learning from pairs of images that are said to show the same, or different, things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bucketlens.errors import InvalidRequest
from bucketlens.model.adapter import Learned
from bucketlens.model.spread import REACHES, Spread
from bucketlens.projection import Matrix, project

MIN_PAIRS = 3
"""Pairs of each kind that fitting, choosing and judging need at least, each of its own images."""
_SPLITS = 20


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rows, and whether they show the same."""

    one: int
    other: int
    same: bool


def learn_pairs(vectors: npt.NDArray[np.floating], pairs: Sequence[Pair], *, seed: int) -> Learned:
    """The best matrix for (n, d) unit vectors with these pairs among them.

    Judged by the share of (same, different) couples of pairs in which the same one is nearer (ties count half), on
    pairs whose images no other pair brought into learning: images joined by same pairs stay on one side, and different
    pairs across are left out. Raises InvalidRequest when that leaves too few.
    """
    wide = np.asarray(vectors, dtype=np.float32)
    groups = _groups(len(wide), pairs)
    rng = np.random.default_rng(seed)
    fitting, choosing, held_out = _split(pairs, groups, rng)
    spread = _spread(wide, fitting)
    scores = [_judge(wide, choosing, spread.matrix(reach)) for reach in REACHES]
    reach = REACHES[int(np.argmax(scores))]
    training = [*fitting, *choosing]
    matrix = _spread(wide, training).matrix(reach)
    return Learned(
        matrix=matrix,
        measure="same before different",
        before=_judge(wide, held_out, np.eye(wide.shape[1], dtype=np.float32)),
        after=_judge(wide, held_out, matrix),
        labels=0,
        learned_from=len(training),
        held_out=len(held_out),
        reach=reach,
    )


def _groups(rows: int, pairs: Sequence[Pair]) -> npt.NDArray[np.int64]:
    """A number for each row, the same for rows that same pairs join (union-find with path halving)."""
    parent = np.arange(rows)

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = int(parent[row])
        return row

    for pair in pairs:
        if pair.same:
            parent[root(pair.one)] = root(pair.other)
    return np.array([root(row) for row in range(rows)], np.int64)


def _split(
    pairs: Sequence[Pair], groups: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Pairs within three sets of groups: about a half, a quarter and a quarter of them. Of some random splits, the
    first with enough pairs of both kinds in each."""
    names = np.unique(groups)
    for _ in range(_SPLITS):
        side = dict(zip(names.tolist(), rng.choice(3, len(names), p=(0.5, 0.25, 0.25)).tolist(), strict=True))
        parts: tuple[list[Pair], list[Pair], list[Pair]] = ([], [], [])
        for pair in pairs:
            here, there = side[int(groups[pair.one])], side[int(groups[pair.other])]
            if here == there:
                parts[here].append(pair)
        if all(min(sum(p.same for p in part), sum(not p.same for p in part)) >= MIN_PAIRS for part in parts):
            return parts
    raise InvalidRequest(
        f"{sum(pair.same for pair in pairs)} same and {sum(not pair.same for pair in pairs)} different pairs of "
        f"{len(names)} unrelated groups of images are too few to learn from and to check it on others.",
        code="too_few_pairs",
        remedy="Give more pairs of both kinds, and of images that other pairs do not name.",
    )


def _apart(vectors: npt.NDArray[np.float32], pairs: Sequence[Pair], same: bool) -> npt.NDArray[np.float32]:
    wanted = [pair for pair in pairs if pair.same == same]
    return vectors[[pair.one for pair in wanted]] - vectors[[pair.other for pair in wanted]]


def _spread(vectors: npt.NDArray[np.float32], pairs: Sequence[Pair]) -> Spread:
    return Spread.of_pairs(_apart(vectors, pairs, True), _apart(vectors, pairs, False))


def _judge(vectors: npt.NDArray[np.float32], pairs: Sequence[Pair], matrix: Matrix) -> float:
    """The area under the ROC curve of cosine similarity, by ranks (Mann and Whitney, 1947)."""
    moved = project(vectors, matrix)
    scores = np.array([float(moved[pair.one] @ moved[pair.other]) for pair in pairs])
    same = np.array([pair.same for pair in pairs])
    above = (scores[same][:, None] > scores[~same]).mean()
    level = (scores[same][:, None] == scores[~same]).mean()
    return float(above + level / 2)
