"""Train the embedded model: `python train.py --data PARQUET --out FOLDER --minutes N`.

The run is bounded by time, not by steps: learning rate and picture side follow the share of the minutes that has
passed. A stopped run continues from its last checkpoint; only minutes spent training count. A last phase (polish.py)
teaches words and projection on finished features.
"""

import argparse
import copy
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from captions import Speaker
from lessons import Lessons, augment
from losses import encode, parts_of_loss
from network import MEAN, STD, TwoTowers
from optimiser import optimisers
from pictures import drawings, measured, photographs, split
from polish import polish
from tokenizers import Tokenizer
from torch import Tensor, nn
from words import train_tokenizer

_WARM_UP = 0.02


@dataclass(frozen=True, slots=True)
class Round:
    """One fall of the learning rate. `sides` and `least_area` hold until this share of its time; crops grow milder,
    nearer to whole pictures."""

    peak: float
    sides: tuple[tuple[float, int], ...]
    least_area: tuple[tuple[float, float], ...]


_FIRST = Round(1.0, ((0.55, 32), (0.82, 48), (1.01, 64)), ((0.6, 0.45), (0.85, 0.55), (1.01, 0.7)))
_SECOND = Round(0.5, ((0.6, 48), (1.01, 64)), ((0.6, 0.4), (0.85, 0.5), (1.01, 0.65)))


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line asks for."""

    data: Path
    out: Path
    cache: Path
    minutes: float
    again: float
    seed: int
    threads: int
    drawings: int
    batch: int
    drawn_batch: int
    matrix_rate: float
    stop_after: float
    polish_minutes: float


def main() -> None:
    plan = _plan()
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    random.seed(plan.seed)
    plan.out.mkdir(parents=True, exist_ok=True)
    photos = photographs(plan.data, plan.cache)
    drawn = drawings(plan.drawings, plan.cache)
    speaker = Speaker(photos.names)
    vocabulary = plan.out / "tokenizer.json"
    if not vocabulary.exists():
        train_tokenizer(speaker, seed=plan.seed).save(str(vocabulary))
    tokenizer = Tokenizer.from_file(str(vocabulary))
    rows, validation = split(photos.labels, plan.seed)
    lessons = Lessons(photos, measured(photos, plan.cache), drawn, speaker, rows, plan.seed)
    model = TwoTowers(tokenizer.get_vocab_size(), len(speaker.wnids)).to(memory_format=torch.channels_last)
    held = validation[:: max(1, len(validation) // 1500)]
    check = (
        torch.from_numpy(photos.pixels[held]).permute(0, 3, 1, 2).float() / 255,
        torch.from_numpy(photos.labels[held]),
    )
    names = [f"a photo of a {speaker.first[w]}" for w in speaker.wnids]
    average = _run(plan, model, lessons, tokenizer, check, names)
    if average:
        polish(average, lessons, tokenizer, names, rows, plan.polish_minutes)
        kept = torch.load(plan.out / "checkpoint.pt", weights_only=True)
        torch.save({**kept, "average": average.state_dict()}, plan.out / "model.pt")
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
        print(f"polished      held-out top-1 {_accuracy(average, tokenizer, check, names, mean, std):.4f}", flush=True)


def _run(
    plan: Plan, model: TwoTowers, lessons: Lessons, tokenizer: Tokenizer, check: tuple[Tensor, Tensor], names: list[str]
) -> TwoTowers | None:
    """The moving average of the weights once all minutes are spent; nothing when stopped before."""
    average = copy.deepcopy(model).eval()
    tools = optimisers(model, plan.matrix_rate)
    checkpoint = plan.out / "checkpoint.pt"
    spent, step, seen = 0.0, 0, 0
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(kept["model"])
        average.load_state_dict(kept["average"])
        for tool, state in zip(tools, kept["tools"], strict=True):
            tool.load_state_dict(state)
        spent, step, seen = kept["spent"], kept["step"], kept["seen"]
        lessons.restart(plan.seed + step)
        torch.manual_seed(plan.seed + step)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    first, budget = plan.minutes * 60, (plan.minutes + plan.again) * 60
    said, saved, logged, losses = spent, spent, 0, np.zeros(3)
    while spent < min(budget, plan.stop_after * 60):
        began = time.monotonic()
        now, share = (_FIRST, spent / first) if spent < first else (_SECOND, (spent - first) / (budget - first))
        rate = now.peak * min(1.0, share / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * share)) + 0.002
        for tool in tools:
            for group in tool.param_groups:
                group["lr"] = group["peak"] * rate
        lesson = lessons.step(plan.batch, plan.drawn_batch)
        pixels = augment(lessons.pixels(lesson), _at(now.sides, share), _at(now.least_area, share), mean, std)
        parts = parts_of_loss(model, model.image.pooled(pixels), lesson, tokenizer)
        for tool in tools:
            tool.zero_grad(set_to_none=True)
        sum(parts).backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_(model.text.parameters(), 1.0)
        for tool in tools:
            tool.step()
        with torch.no_grad():
            model.class_sharpness.clamp_(1.0, 3.6)
            model.match_sharpness.clamp_(1.0, 3.6)
        step, seen = step + 1, seen + len(pixels)
        _blend(average, model, min(0.998, (1 + step) / (10 + step)))
        losses, logged = losses * 0.98 + np.asarray([float(p.detach()) for p in parts]) * 0.02, logged + 1
        spent += time.monotonic() - began
        if spent - said > 30:
            said = spent
            print(
                f"{spent / 60:6.2f} min  step {step}  pictures {seen}  side {pixels.shape[-1]}  rate {rate:.3f}  "
                f"loss {np.round(losses / (1 - 0.98 ** max(1, logged)), 3)}  "
                f"sharp {model.class_sharpness.exp():.1f} {model.match_sharpness.exp():.1f}",
                flush=True,
            )
        if spent - saved > 150 or spent >= min(budget, plan.stop_after * 60):
            saved = spent
            _save(checkpoint, model, average, tools, spent, step, seen)
            print(
                f"{spent / 60:6.2f} min  held-out top-1 {_accuracy(average, tokenizer, check, names, mean, std):.4f}",
                flush=True,
            )
    return average if spent >= budget else None


@torch.no_grad()
def _accuracy(
    model: TwoTowers, tokenizer: Tokenizer, check: tuple[Tensor, Tensor], names: list[str], mean: Tensor, std: Tensor
) -> float:
    read = model.text(*encode(tokenizer, names))
    pixels = ((check[0] - mean) / std).contiguous(memory_format=torch.channels_last)
    found = torch.cat([(model.image(part) @ read.T).argmax(1) for part in pixels.split(250)])
    return float((found == check[1]).float().mean())


@torch.no_grad()
def _blend(average: nn.Module, model: nn.Module, keep: float) -> None:
    for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def _save(
    path: Path,
    model: nn.Module,
    average: nn.Module,
    tools: list[torch.optim.Optimizer],
    spent: float,
    step: int,
    seen: int,
) -> None:
    beside = path.with_suffix(".part")
    states = [tool.state_dict() for tool in tools]
    torch.save(
        {
            "model": model.state_dict(),
            "average": average.state_dict(),
            "tools": states,
            "spent": spent,
            "step": step,
            "seen": seen,
        },
        beside,
    )
    beside.replace(path)


def _at(steps: tuple[tuple[float, float], ...], share: float) -> int | float:
    return next(value for until, value in steps if share < until)


def _plan() -> Plan:
    ask = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    ask.add_argument("--data", type=Path, required=True, help="parquet file with columns image, wnid, names")
    ask.add_argument("--out", type=Path, required=True, help="folder for the tokenizer and the checkpoint")
    ask.add_argument("--cache", type=Path, help="folder for decoded pictures (1.3 GB); default: OUT/cache")
    ask.add_argument("--minutes", type=float, default=68)
    ask.add_argument("--again", type=float, default=46, help="minutes of a second round, at half the rate")
    ask.add_argument("--seed", type=int, default=7)
    ask.add_argument("--threads", type=int, default=2)
    ask.add_argument("--drawings", type=int, default=4500)
    ask.add_argument("--batch", type=int, default=232, help="photographs a step")
    ask.add_argument("--drawn-batch", type=int, default=24, help="drawings a step")
    ask.add_argument("--matrix-rate", type=float, default=0.03)
    ask.add_argument(
        "--stop-after", type=float, default=math.inf, help="stop early after so many minutes; a later run goes on"
    )
    ask.add_argument("--polish-minutes", type=float, default=9, help="for words and projection, at most")
    given = ask.parse_args()
    return Plan(**{**vars(given), "cache": given.cache or given.out / "cache"})


if __name__ == "__main__":
    main()
