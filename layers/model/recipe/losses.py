"""What a step should learn from: scores of wordings against pictures."""

import torch
from lessons import Step
from network import MAX_TOKENS, TwoTowers
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from words import PAD

_SMOOTHING = 0.1
_SAMENESS_SHARPNESS = 40.0


def parts_of_loss(
    model: TwoTowers, features: Tensor, lesson: Step, tokenizer: Tokenizer
) -> tuple[Tensor, Tensor, Tensor]:
    """Three parts: naming the class or kind, ranking pictures for a wording, ranking wordings for a picture.

    `features` are those of ImageTower.pooled for the pictures of the lesson, in its order.
    """
    seen = functional.normalize(model.image.project(features), dim=-1)
    read = model.text(*encode(tokenizer, lesson.texts))
    cosine = read @ seen.T
    photos = len(lesson.labels)
    sharp, match = model.class_sharpness.exp(), model.match_sharpness.exp()
    by_class = _naming(cosine[lesson.classes, :photos].T * sharp, lesson.labels)
    plainly = _naming(model.classify(features[:photos]), lesson.labels)
    by_kind = _naming(cosine[lesson.kind_texts, photos:].T * sharp, lesson.kinds)
    ranked = _ranking(cosine * match, lesson.right, lesson.wrong)
    place = lesson.caption_texts
    own, right, wrong = ((x[place][:, lesson.captions]).T for x in (cosine * match, lesson.right, lesson.wrong))
    told = _ranking(own, right, wrong)
    return by_class + 0.5 * plainly + 0.15 * by_kind, 0.5 * ranked, 0.3 * told


def kinship(model: TwoTowers, features: Tensor, labels: Tensor) -> Tensor:
    """Pictures of a class should be nearer to each other than to the pictures of all other classes."""
    seen = functional.normalize(model.image.project(features), dim=-1)
    same = labels[:, None] == labels
    itself = torch.eye(len(labels), dtype=torch.bool)
    return _ranking(seen @ seen.T * model.match_sharpness.exp(), same & ~itself, ~same)


def sameness(model: TwoTowers, first: Tensor, second: Tensor) -> Tensor:
    """Each picture should be nearer to another view of itself than to the other views of all other pictures."""
    one, other = (functional.normalize(model.image.project(view), dim=-1) for view in (first, second))
    return functional.cross_entropy(one @ other.T * _SAMENESS_SHARPNESS, torch.arange(len(one)))


def encode(tokenizer: Tokenizer, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Ids and mask of texts, padded to the longest."""
    rows = [e.ids[:MAX_TOKENS] for e in tokenizer.encode_batch(texts)]
    ids = torch.full((len(rows), max(map(len, rows))), tokenizer.token_to_id(PAD))
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids, mask


def _naming(scores: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(scores, labels, label_smoothing=_SMOOTHING)


def _ranking(scores: Tensor, right: Tensor, wrong: Tensor) -> Tensor:
    """For each row: every right column should beat all wrong columns; columns that are neither do not count."""
    against = scores.masked_fill(~wrong, -1e4).logsumexp(1, keepdim=True)
    each = functional.softplus(against - scores) * right
    rows = right.any(1)
    return (each.sum(1)[rows] / right.sum(1)[rows]).mean()
