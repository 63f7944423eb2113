"""The last phase: the words and the shared space, on pictures that no longer change.

Seeing is the costly part of a step. Once the features are learned, they are computed once, for two views of each
picture; the text tower and the projection then learn from many pictures a step at little cost.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from lessons import Lessons, augment
from losses import encode, kinship, parts_of_loss, sameness
from network import MEAN, STD, TwoTowers
from pictures import SIDE
from tokenizers import Tokenizer
from torch import Tensor, nn

_PHOTOS, _DRAWINGS, _CHUNK = 1200, 96, 250
_LOOKING = 0.45  # share of the time for computing features
_RATE = 1e-3
_STEPS = 240  # at most: more does not help
_KINSHIP = 1.0  # weight of picture against picture, which only large batches can teach
_SAMENESS = 2.0  # weight of a picture against another view of itself
_RECOGNISED = 1.0  # what the concepts weigh at first, against the linear part
_SURENESS = 1.6  # how much sharper concepts are recognised than the smoothed labels of the first phases taught
_VIEWS = (0.7, 0.45)  # least share of a picture's area in each view


@dataclass(frozen=True, slots=True)
class Seen:
    """Features of all drawings [d, width], and of the photographs `rows` [n] in two views [2, n, width]."""

    drawings: Tensor
    rows: npt.NDArray[np.int64]
    photographs: Tensor


def polish(
    model: TwoTowers,
    lessons: Lessons,
    tokenizer: Tokenizer,
    names: Sequence[str],
    rows: npt.NDArray[np.int64],
    minutes: float,
) -> None:
    """Train `model`'s text tower and projection in place; what leads to the features stays as it is.

    `names` are sentences that name the classes, in order: what they mean is where the concepts begin.
    """
    model.eval()
    seen = look(model, lessons, np.random.default_rng(0).permutation(rows), minutes * 60 * _LOOKING)
    lessons.keep_to(seen.rows)
    place = np.full(rows.max() + 1, -1)
    place[seen.rows] = np.arange(len(seen.rows))
    with torch.no_grad():
        length = model.image.project(seen.photographs[0]).norm(dim=1).mean()
        model.grow(model.text(*encode(tokenizer, list(names))) * length * _RECOGNISED)
        model.sharpen(_SURENESS)
    model.text.train()
    learners = [
        *model.text.parameters(),
        *model.image.project.parameters(),
        model.class_sharpness,
        model.match_sharpness,
    ]
    tool = torch.optim.AdamW(learners, lr=_RATE, weight_decay=0.02, betas=(0.9, 0.98))
    began, budget, share = time.monotonic(), minutes * 60 * (1 - _LOOKING), 0.0
    for step in range(_STEPS):
        share = max(step / _STEPS, (time.monotonic() - began) / budget)
        if share >= 1:
            break
        tool.param_groups[0]["lr"] = _RATE * min(1.0, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * share))
        lesson = lessons.step(min(_PHOTOS, len(seen.rows)), _DRAWINGS, photo_captions=96)
        first, second = seen.photographs[:, torch.from_numpy(place[lesson.rows])]
        features = torch.cat([first, seen.drawings[torch.tensor(lesson.drawn)]])
        parts = (
            *parts_of_loss(model, features, lesson, tokenizer),
            _KINSHIP * kinship(model, first, lesson.labels),
            _SAMENESS * sameness(model, first, second),
        )
        tool.zero_grad(set_to_none=True)
        sum(parts).backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_(model.text.parameters(), 1.0)
        tool.step()
        if step % 40 == 0:
            shown = ", ".join(f"{float(part.detach()):.3f}" for part in parts)
            print(f"polish step {step}  photographs {len(seen.rows)}  loss {shown}", flush=True)
    model.eval()


@torch.no_grad()
def look(model: TwoTowers, lessons: Lessons, order: npt.NDArray[np.int64], seconds: float) -> Seen:
    """Features of the drawings and, in this order, of as many photographs as the seconds allow."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    began = time.monotonic()
    drawn = [model.image.seen(augment(part, SIDE, 0.8, mean, std)) for part in lessons.drawings().split(_CHUNK)]
    photos: list[Tensor] = []
    for start in range(0, len(order), _CHUNK):
        if photos and time.monotonic() - began > seconds:
            break
        part = lessons.photographs(order[start : start + _CHUNK])
        photos.append(torch.stack([model.image.seen(augment(part, SIDE, area, mean, std)) for area in _VIEWS]))
    seen = torch.cat(photos, 1)
    return Seen(torch.cat(drawn), order[: seen.shape[1]], seen)
