"""How often `bucketlens tune` keeps a matrix, and a worse one: `python chance.py --bundle F --data PARQUET --cache F`.

Some images of a few related classes are drawn again and again, a matrix is learned from them, and judged on other
images of these classes by the share of the ten nearest that are of the same class. Once with their labels (or pairs
drawn from them), and once with the same labels shuffled, which teach nothing.
"""

from dataclasses import dataclass

import numpy as np
from evaluate import Bundle, asking
from pictures import photographs, split
from tuned import GROUPS, Floats, Rows, drawn_pairs, members, precision

from bucketlens.model.adapter import learn
from bucketlens.model.learned import Learned
from bucketlens.model.pairs import learn_pairs

JUDGED = 100  # a class, or what is left of it
DRAWS = (("trained on", 10), ("trained on", 25), ("trained on", 50), ("trained on", 100), ("never seen", 25))


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether tune kept a matrix, and what it gains on the other images, kept or not."""

    kept: bool
    gain: float


def main() -> None:
    ask = asking()
    ask.add_argument("--draws", type=int, default=10)
    given = ask.parse_args()
    bundle, photos = Bundle(given.bundle), photographs(given.data, given.cache)
    groups = [members(photos, wanted) for wanted in GROUPS.values()]
    pools = dict(zip(("trained on", "never seen"), split(photos.labels, given.seed), strict=True))
    pools = {name: rows[np.isin(photos.labels[rows], np.concatenate(groups))] for name, rows in pools.items()}
    vectors = {name: bundle.images(photos.pixels[rows]) for name, rows in pools.items()}
    print(
        f"{given.draws} draws of {len(groups)} groups of classes: kept, kept though worse, gain of all, of those kept"
    )
    for teach, draws in (("labels", DRAWS), ("pairs", DRAWS[1:])):
        for name, each in draws:
            for shuffled in (False, True):
                outcomes = [
                    _outcome(vectors[name], photos.labels[pools[name]], chosen, teach, each, seed, shuffled)
                    for seed in range(given.draws)
                    for chosen in groups
                ]
                what = f"{teach}{', shuffled' if shuffled else ''}"
                print(f"{what:16} {each:3} a class, {name}:  {_told(outcomes)}", flush=True)


def _outcome(
    vectors: Floats, labels: Rows, chosen: list[int], teach: str, each: int, seed: int, shuffled: bool
) -> Outcome:
    rng = np.random.default_rng([seed, each])
    drawn = [rng.permutation(np.flatnonzero(labels == label)) for label in chosen]
    mine = np.concatenate([rows[:each] for rows in drawn])
    others = np.concatenate([rows[each : each + JUDGED] for rows in drawn])
    said = rng.permutation(labels[mine]) if shuffled else labels[mine]
    learned = _learned(vectors[mine], said, teach, seed)
    gain = precision(vectors[others] @ learned.matrix, labels[others]) - precision(vectors[others], labels[others])
    return Outcome(learned.better, gain)


def _learned(vectors: Floats, labels: Rows, teach: str, seed: int) -> Learned:
    if teach == "pairs":
        return learn_pairs(vectors, drawn_pairs(labels, seed), seed=seed)
    return learn(vectors, [str(label) for label in labels], seed=seed)


def _told(outcomes: list[Outcome]) -> str:
    kept = np.array([one.kept for one in outcomes])
    gains = np.array([one.gain for one in outcomes])
    return f"{kept.mean():.2f}  {(kept & (gains < 0)).mean():.2f}  {gains.mean():+.3f}  {(gains * kept).mean():+.3f}"


if __name__ == "__main__":
    main()
