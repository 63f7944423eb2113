"""The last phase: the words and the shared space, on pictures that no longer change.

Seeing is the costly part of a step. Once the image tower is done, its features are computed once; the text tower and
the projection learn from many pictures a step at little cost.
"""

import math
import time

import numpy as np
import numpy.typing as npt
import torch
from lessons import Lessons, augment
from losses import kinship, parts_of_loss
from network import MEAN, STD, TwoTowers
from pictures import SIDE
from tokenizers import Tokenizer
from torch import Tensor, nn

_PHOTOS, _DRAWINGS, _CHUNK = 1200, 96, 250
_LOOKING = 0.45  # share of the time for computing features
_RATE = 1e-3
_KINSHIP = 0.7  # weight of picture against picture, which only large batches can teach


def polish(
    model: TwoTowers, lessons: Lessons, tokenizer: Tokenizer, rows: npt.NDArray[np.int64], minutes: float
) -> None:
    """Train `model`'s text tower and projection in place; everything before the projection stays as it is."""
    model.eval()
    drawn, looked, photos = _features(model, lessons, np.random.default_rng(0).permutation(rows), minutes * _LOOKING)
    place = np.full(rows.max() + 1, -1)
    place[looked] = np.arange(len(looked))
    lessons.keep_to(looked)
    model.text.train()
    learners = [
        *model.text.parameters(),
        *model.image.project.parameters(),
        model.class_sharpness,
        model.match_sharpness,
    ]
    tool = torch.optim.AdamW(learners, lr=_RATE, weight_decay=0.02, betas=(0.9, 0.98))
    began, step, budget = time.monotonic(), 0, minutes * (1 - _LOOKING) * 60
    while (spent := time.monotonic() - began) < budget:
        tool.param_groups[0]["lr"] = _RATE * min(1.0, (step + 1) / 20) * 0.5 * (1 + math.cos(math.pi * spent / budget))
        lesson = lessons.step(min(_PHOTOS, len(looked)), _DRAWINGS, photo_captions=96)
        features = torch.cat([photos[torch.from_numpy(place[lesson.rows])], drawn[torch.tensor(lesson.drawn)]])
        alike = kinship(model, features[: len(lesson.labels)], lesson.labels)
        parts = (*parts_of_loss(model, features, lesson, tokenizer), _KINSHIP * alike)
        tool.zero_grad(set_to_none=True)
        sum(parts).backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_(model.text.parameters(), 1.0)
        tool.step()
        step += 1
        if step % 50 == 1:
            shown = ", ".join(f"{float(part.detach()):.3f}" for part in parts)
            print(f"polish {spent / 60:5.2f} min  step {step}  photographs {len(looked)}  loss {shown}", flush=True)
    model.eval()


@torch.no_grad()
def _features(
    model: TwoTowers, lessons: Lessons, order: npt.NDArray[np.int64], minutes: float
) -> tuple[Tensor, npt.NDArray[np.int64], Tensor]:
    """Features of all drawings; rows of photographs and their features, as many as the minutes allow."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    began = time.monotonic()
    drawn = [model.image.pooled(augment(part, SIDE, 0.8, mean, std)) for part in lessons.drawings().split(_CHUNK)]
    photos: list[Tensor] = []
    for start in range(0, len(order), _CHUNK):
        if photos and time.monotonic() - began > minutes * 60:
            break
        part = lessons.photographs(order[start : start + _CHUNK])
        photos.append(model.image.pooled(augment(part, SIDE, 0.7, mean, std)))
    seen = torch.cat(photos)
    return torch.cat(drawn), order[: len(seen)], seen
