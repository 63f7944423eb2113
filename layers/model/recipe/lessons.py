"""Batches: which pictures and which wordings meet in one step, and which wording is right for which picture."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from captions import COLOURS, Picture, Speaker, Wording
from pictures import Drawings, Photographs, Shares
from torch import Tensor
from torch.nn import functional

from bucketlens.local.drawings.vocabulary import KINDS

Rows = npt.NDArray[np.int64]
_KINDS_A_BATCH = 6  # drawings come in groups of one kind, so that colour and count have to tell them apart


@dataclass(frozen=True, slots=True)
class Step:
    """One step: `rows` of photographs (with `labels`), then numbers of drawings (`drawn`, with `kinds`); together b.

    `right` and `wrong` [texts, b] say for which pictures a text is right or wrong. The slices say which texts name all
    classes, name all kinds of drawings, and are captions of single pictures; `captions` says of which.
    """

    rows: Rows
    drawn: list[int]
    labels: Tensor
    kinds: Tensor
    texts: list[str]
    right: Tensor
    wrong: Tensor
    classes: slice
    kind_texts: slice
    caption_texts: slice
    captions: Tensor


class Lessons:
    """Draws steps from the training rows of the photographs and from the drawings."""

    def __init__(
        self,
        photos: Photographs,
        colours: tuple[Shares, Shares, Shares],
        drawn: Drawings,
        speaker: Speaker,
        rows: Rows,
        seed: int,
    ) -> None:
        self._photos, self._drawn, self._speaker, self._rows = photos, drawn, speaker, rows
        self.restart(seed)
        self._fact = {fact: i for i, fact in enumerate(speaker.facts())}
        self._kinds = tuple(KINDS)
        kind_of = [facts[0] for facts in drawn.facts]
        self._of_kind = [np.asarray([i for i, k in enumerate(kind_of) if k == kind]) for kind in self._kinds]
        whole, centre, brightness = colours
        names = photos.wnids
        self._pictures: list[Picture] = [
            speaker.photograph(
                names[label],
                dict(zip(COLOURS, whole[i].tolist(), strict=True)),
                dict(zip(COLOURS, centre[i].tolist(), strict=True)),
                float(light),
            )
            for i, (label, light) in enumerate(zip(photos.labels, brightness, strict=True))
        ]
        self._sketches = [speaker.drawing(*facts) for facts in drawn.facts]

    def keep_to(self, rows: Rows) -> None:
        """From now on draw photographs from these rows only."""
        self._rows, self._queue = rows, np.empty(0, np.int64)

    def restart(self, seed: int) -> None:
        """Go on as a fresh object with this seed would."""
        self._rng = random.Random(seed)
        self._np = np.random.default_rng(seed)
        self._queue = np.empty(0, np.int64)

    def step(self, photos: int, drawings: int, photo_captions: int = 48, terms: int = 40) -> Step:
        """The next step; a photograph comes back only when all have been seen."""
        rows = self._next_rows(photos)
        kinds = self._rng.sample(range(len(self._kinds)), min(_KINDS_A_BATCH, drawings))
        drawn = [int(self._np.choice(self._of_kind[kinds[i % len(kinds)]])) for i in range(drawings)]
        pictures = [self._pictures[i] for i in rows] + [self._sketches[i] for i in drawn]
        wordings = [self._speaker.of_class(w, self._rng) for w in self._speaker.wnids]
        wordings += [self._speaker.of_kind(k, self._rng) for k in self._kinds]
        wordings += [self._speaker.of_term(t, self._rng) for t in self._rng.sample(sorted(self._speaker.terms), terms)]
        speakers = [*range(photo_captions), *range(photos, photos + drawings)]
        first, second, third = len(self._speaker.wnids), len(self._speaker.wnids) + len(self._kinds), len(wordings)
        wordings += [pictures[i].say(self._rng) for i in speakers]
        right, wrong = self._match(wordings, pictures)
        return Step(
            rows,
            drawn,
            torch.from_numpy(self._photos.labels[rows]),
            torch.tensor([kinds[i % len(kinds)] for i in range(drawings)]),
            [w.text for w in wordings],
            right,
            wrong,
            slice(0, first),
            slice(first, second),
            slice(third, len(wordings)),
            torch.tensor(speakers),
        )

    def pixels(self, step: Step) -> Tensor:
        """Pixels [b, 3, 64, 64] in 0..1 of a step's photographs and drawings."""
        return _floats(np.concatenate([self._photos.pixels[step.rows], self._drawn.pixels[step.drawn]]))

    def photographs(self, rows: Rows) -> Tensor:
        """Pixels [n, 3, 64, 64] in 0..1 of photographs."""
        return _floats(self._photos.pixels[rows])

    def drawings(self) -> Tensor:
        """Pixels [n, 3, 64, 64] in 0..1 of all drawings."""
        return _floats(self._drawn.pixels)

    def _next_rows(self, count: int) -> Rows:
        if len(self._queue) < count:
            self._queue = np.concatenate([self._queue, self._np.permutation(self._rows)])
        rows, self._queue = self._queue[:count], self._queue[count:]
        return rows

    def _match(self, wordings: Sequence[Wording], pictures: Sequence[Picture]) -> tuple[Tensor, Tensor]:
        states = self._hot([w.states for w in wordings])
        need = states.sum(1, keepdim=True)
        right = states @ self._hot([p.holds for p in pictures]).T >= need
        wrong = states @ self._hot([p.may for p in pictures]).T < need
        return right, wrong

    def _hot(self, sets: Sequence[frozenset[str]]) -> Tensor:
        hot = np.zeros((len(sets), len(self._fact)), np.float32)
        for row, facts in enumerate(sets):
            for fact in facts:
                hot[row, self._fact[fact]] = 1
        return torch.from_numpy(hot)


def augment(pixels: Tensor, side: int, least_area: float, mean: Tensor, std: Tensor) -> Tensor:
    """A random crop of each picture at `side` x `side`, half of them mirrored, mild changes of light, some blurred.

    Colours are facts that the captions state, so hue is left alone. The result is normalised by `mean` and `std`.
    """
    count = len(pixels)
    scale = (least_area + (1 - least_area) * torch.rand(count)).sqrt()
    stretch = torch.exp((torch.rand(count) - 0.5) * 0.4)
    width, height = (scale * stretch).clamp(max=1), (scale / stretch).clamp(max=1)
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = width * mirror, height
    theta[:, 0, 2] = (torch.rand(count) * 2 - 1) * (1 - width)
    theta[:, 1, 2] = (torch.rand(count) * 2 - 1) * (1 - height)
    source = pixels if side > 40 else _softened(pixels)
    grid = functional.affine_grid(theta, [count, 3, side, side], align_corners=False)
    out = functional.grid_sample(source, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    gain = 1 + (torch.rand(count, 1, 1, 1) - 0.5) * 0.4
    centre = out.mean((1, 2, 3), keepdim=True)
    contrast = 1 + (torch.rand(count, 1, 1, 1) - 0.5) * 0.4
    out = ((out - centre) * contrast + centre * gain).clamp_(0, 1)
    blurred = torch.randperm(count)[: count // 12]
    small = functional.interpolate(out[blurred], scale_factor=0.6, mode="bilinear", align_corners=False)
    out[blurred] = functional.interpolate(small, size=(side, side), mode="bilinear", align_corners=False)
    return ((out - mean) / std).contiguous(memory_format=torch.channels_last)


def _softened(pixels: Tensor) -> Tensor:
    """Averaged over 2 x 2 neighbours, the size kept: half the side can then be sampled without ragged edges."""
    return functional.avg_pool2d(functional.pad(pixels, (1, 0, 1, 0), mode="replicate"), 2, 1)


def _floats(pixels: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
