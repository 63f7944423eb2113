"""Muon for the matrices, AdamW for the rest.

Muon (Jordan et al., 2024): momentum, then the nearest orthogonal matrix by Newton-Schulz iterations, so that every
direction of a weight matrix learns at the same speed. In a run of few epochs that is worth its cost.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Muon(torch.optim.Optimizer):
    """`params` are weights of two or more dimensions; the first is the output. `lr` is the size of a step relative to
    an orthogonal matrix, `weight_decay` shrinks weights by lr * weight_decay a step."""

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # hundreds of small products: on a busy machine threads wait for each other
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                kept = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                kept.lerp_(weight.grad, 1 - group["momentum"])
                direction = weight.grad.lerp(kept, group["momentum"]).reshape(len(weight), -1)
                rows, columns = direction.shape
                update = _orthogonal(direction) * max(1.0, rows / columns) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update.view_as(weight), alpha=-group["lr"])
        torch.set_num_threads(threads)


def optimisers(model: nn.Module, matrix_rate: float = 0.03, other_rate: float = 2e-3) -> list[torch.optim.Optimizer]:
    """The optimisers of a model; each group keeps its full rate as `peak`, for the schedule to scale."""
    matrices, plain, still = [], [], []
    for name, weight in model.named_parameters():
        if weight.ndim >= 2 and not any(
            part in name for part in ("embed", "place", "project", "classify", "features.0.")
        ):
            matrices.append(weight)
        elif weight.ndim >= 2:
            plain.append(weight)
        else:
            still.append(weight)
    muon = Muon(matrices, matrix_rate, weight_decay=0.05)
    adam = torch.optim.AdamW(
        [{"params": plain, "weight_decay": 0.02}, {"params": still, "weight_decay": 0.0}],
        lr=other_rate,
        betas=(0.9, 0.98),
    )
    for optimiser in (muon, adam):
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return [muon, adam]


def _orthogonal(matrix: Tensor, rounds: int = 4) -> Tensor:
    """The nearest (semi-)orthogonal matrix, roughly: singular values end between about 0.7 and 1.2.

    Every round multiplies by a polynomial of the Gram matrix, and all of these commute: the rounds run on the small
    square Gram matrix, and the wide matrix is touched twice in all.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T
    one = torch.eye(len(gram), dtype=gram.dtype)
    total = one
    a, b, c = 3.4445, -4.7750, 2.0315
    for _ in range(rounds):
        factor = a * one + b * gram + c * (gram @ gram)
        total = factor @ total
        gram = factor @ gram @ factor
    x = total @ x
    return x.T if tall else x
