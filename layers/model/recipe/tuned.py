"""What `bucketlens tune` adds on related classes: `python tuned.py --bundle FOLDER --data PARQUET --cache FOLDER`.

A matrix is learned from some photographs of a few related classes, by their labels or by pairs drawn from them, and
judged on others, which neither the model nor the matrix has seen: the share of the ten nearest that are of the same
class. Two collections: one of photographs that the model was trained on, one of photographs it has never seen.
"""

import numpy as np
import numpy.typing as npt
from evaluate import Bundle, asking
from pictures import Photographs, photographs, split

from bucketlens.model.adapter import learn
from bucketlens.model.pairs import Pair, learn_pairs

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
GROUPS = {
    "dogs": (
        "Chihuahua",
        "Yorkshire terrier",
        "golden retriever",
        "Labrador retriever",
        "German shepherd",
        "standard poodle",
    ),
    "cats": ("tabby", "Persian cat", "Egyptian cat", "cougar", "lion"),
    "spiders and kin": ("black widow", "tarantula", "scorpion", "centipede", "trilobite"),
    "road vehicles": (
        "convertible",
        "sports car",
        "limousine",
        "beach wagon",
        "police van",
        "moving van",
        "school bus",
        "trolleybus",
    ),
}
UNSEEN_LEARNED = 25  # of 45 a class


def main() -> None:
    given = asking().parse_args()
    bundle, photos = Bundle(given.bundle), photographs(given.data, given.cache)
    training, held = split(photos.labels, given.seed)
    print("precision@10 on photographs that nothing was learned from: as shipped -> labels -> pairs")
    for name, wanted in GROUPS.items():
        classes = members(photos, wanted)
        known, unseen = (rows[np.isin(photos.labels[rows], classes)] for rows in (training, held))
        some = np.concatenate([unseen[photos.labels[unseen] == label][:UNSEEN_LEARNED] for label in classes])
        vectors = bundle.images(photos.pixels[np.concatenate([known, unseen])])
        of = dict(zip(np.concatenate([known, unseen]).tolist(), vectors, strict=True))
        for what, learned, judged in (
            ("trained on", known, unseen),
            ("never seen", some, np.setdiff1d(unseen, some)),
        ):
            print(
                f"{name:16} {len(classes)} classes, {what}: {len(learned):5} learned from, {len(judged):3} judged  ",
                end="",
            )
            print(_gain(of, photos.labels, learned, judged, given.seed), flush=True)


def _gain(of: dict[int, Floats], labels: npt.NDArray[np.int64], learned: Rows, judged: Rows, seed: int) -> str:
    mine, others = (np.stack([of[row] for row in rows.tolist()]) for rows in (learned, judged))
    by_labels = learn(mine, [str(label) for label in labels[learned]], seed=seed)
    by_pairs = learn_pairs(mine, drawn_pairs(labels[learned], seed), seed=seed)
    eye = np.eye(mine.shape[1], dtype=np.float32)
    found = [precision(others @ matrix, labels[judged]) for matrix in (eye, by_labels.matrix, by_pairs.matrix)]
    told = [
        f"{each:.3f}{'' if one.better else ' (refused)'}"
        for each, one in zip(found[1:], (by_labels, by_pairs), strict=True)
    ]
    return f"{found[0]:.3f} -> {' -> '.join(told)}"


def drawn_pairs(labels: npt.NDArray[np.int64], seed: int) -> list[Pair]:
    """Each image in one pair: half of every class with another of it, the rest with others, by chance."""
    order = np.random.default_rng(seed).permutation(len(labels))
    same: list[Pair] = []
    rest: list[int] = []
    for label in np.unique(labels):
        rows = order[labels[order] == label].tolist()
        count = len(rows) // 4
        same += [Pair(one, other, True) for one, other in zip(rows[:count], rows[count : 2 * count], strict=True)]
        rest += rows[2 * count :]
    rest = [rest[at] for at in np.random.default_rng(seed).permutation(len(rest))]
    apart = zip(rest[::2], rest[1::2], strict=False)
    return [*same, *(Pair(one, other, False) for one, other in apart if labels[one] != labels[other])]


def precision(vectors: Floats, labels: npt.NDArray[np.int64]) -> float:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = unit @ unit.T
    np.fill_diagonal(alike, -2)
    near = np.argsort(-alike, axis=1)[:, :10]
    return float(np.mean(labels[near] == labels[:, None]))


def members(photos: Photographs, wanted: tuple[str, ...]) -> list[int]:
    found = [
        number
        for number, wnid in enumerate(photos.wnids)
        if any(one.lower() in photos.names[wnid].lower().split(", ") for one in wanted)
    ]
    if len(found) < 2:
        raise SystemExit(f"The photographs have fewer than two of these classes: {', '.join(wanted)}.")
    return found


if __name__ == "__main__":
    main()
