"""Queries and their best held-out photographs as one picture: `python sheet.py --bundle ... --out FILE`."""

from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from captions import Speaker
from evaluate import Bundle, asking
from pictures import photographs, split
from PIL import Image

from bucketlens.local.sheet import Line, Shown, write_sheet

_TEXTS = (
    "a photo of a bee",
    "a school bus",
    "goldfish",
    "pizza",
    "an animal in the snow",
    "a dog",
    "vehicle",
    "fruit",
    "red",
    "a dark picture",
)
_ASKING = ("monarch", "king penguin", "black stork", "espresso", "sports car")  # the first picture of each class asks
_ANSWERS = 8


def main() -> None:
    ask = asking()
    ask.add_argument("--out", type=Path, required=True)
    given = ask.parse_args()
    bundle, photos = Bundle(given.bundle), photographs(given.data, given.cache)
    _, held = split(photos.labels, given.seed)
    pixels, labels = photos.pixels[held], photos.labels[held]
    speaker = Speaker(photos.names)
    names = [speaker.first[speaker.wnids[label]] for label in labels]
    seen = bundle.images(pixels)
    lines = [
        Line(text, "words", None, _answers(scores, pixels, names))
        for text, scores in zip(_TEXTS, bundle.texts(list(_TEXTS)) @ seen.T, strict=True)
    ]
    for one in map(names.index, _ASKING):
        scores = seen @ seen[one]
        scores[one] = -2
        lines.append(Line(names[one], "picture", _png(pixels[one]), _answers(scores, pixels, names)))
    write_sheet(lines, given.out, f"The best of {len(held):,} photographs that training never saw")


def _answers(scores: npt.NDArray[np.float32], pixels: npt.NDArray[np.uint8], names: list[str]) -> list[Shown]:
    best = np.argsort(-scores)[:_ANSWERS]
    return [Shown(_png(pixels[i]), names[i], f"{scores[i]:.2f}") for i in best]


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    body = BytesIO()
    Image.fromarray(pixels).save(body, "PNG")
    return body.getvalue()


if __name__ == "__main__":
    main()
