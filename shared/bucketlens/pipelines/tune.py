"""Tune: view -> labelled or paired vectors -> matrix. Nothing is embedded again and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bucketlens.errors import InvalidRequest
from bucketlens.index.block import metadata_at
from bucketlens.model.adapter import learn
from bucketlens.model.learned import Learned
from bucketlens.model.pairs import Pair, learn_pairs
from bucketlens.search.view import View


def tune(view: View, field: str, *, seed: int) -> Learned:
    """What the images' own labels teach: a matrix, and average precision on held-out images before and after.

    Labels are the values of a metadata field (text, numbers or booleans); images without one are left out. Raises
    InvalidRequest when too few are labelled.
    """
    vectors, labels = labelled(view, field)
    if not labels:
        raise InvalidRequest(
            "No image has this field.",
            code="too_few_labels",
            value=field,
            remedy="Name a metadata field that says what an image shows, such as folder.",
        )
    return learn(vectors, labels, seed=seed)


def tune_pairs(view: View, pairs: Sequence[tuple[str, str, bool]], *, seed: int) -> tuple[Learned, int]:
    """What pairs of keys teach that are the same (true) or different, and how many pairs name a key that is no image.

    Raises InvalidRequest when too few are left.
    """
    numbers: dict[str, int] = {}
    vectors: list[npt.NDArray[np.float16]] = []
    for key in dict.fromkeys(key for pair in pairs for key in pair[:2]):
        found = view.find(key)
        if found is not None and found[2] is not None:
            numbers[key] = len(vectors)
            vectors.append(found[2][found[1]])
    known = [Pair(numbers[one], numbers[other], same) for one, other, same in pairs if {one, other} <= numbers.keys()]
    dimension = view.model.dimension if view.model else 1
    wide = np.stack(vectors).astype(np.float32) if vectors else np.zeros((0, dimension), np.float32)
    return learn_pairs(wide, known, seed=seed), len(pairs) - len(known)


def labelled(view: View, field: str) -> tuple[npt.NDArray[np.float32], list[str]]:
    """(n, dimension) vectors of the images that have the field, and its value as text, in the order of the parts."""
    vectors: list[npt.NDArray[np.float16]] = []
    labels: list[str] = []
    for part in view.parts:
        live = np.flatnonzero(part.live).tolist()
        found = [metadata.get(field) for metadata in metadata_at(part.source.rows, live, (field,))]
        having = [(row, value) for row, value in zip(live, found, strict=True) if isinstance(value, str | int | float)]
        vectors.append(part.source.vectors[[row for row, _ in having]])
        labels += [str(value) for _, value in having]
    dimension = view.model.dimension if view.model else 1
    wide = np.concatenate(vectors).astype(np.float32) if vectors else np.zeros((0, dimension), np.float32)
    return wide, labels
