"""Who is asked when.

In each round every engine answers the same slice of queries at each of its settings while the others wait, so that
whatever else the machine does hits all alike. Right before each setting is timed it answers the slice once untimed, so
that an engine with one setting finds its pages mapped, and in the processor's caches what it reads, as one with many
does, which would answer the same queries many times in a row. So times are of queries answered a moment before; new
ones take longer. Who begins changes with every round. A setting that has used up its seconds leaves the rounds, with
fewer queries than the others; so does one that fails in the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console

from tests.bench.peers.protocol import UNFILTERED, Filters, Knobs
from tests.bench.worker import Failed, Timed, Worker

Asked = tuple[str, Knobs]
"""An engine's short name, and a setting of it."""


def rounds(
    workers: Mapping[str, Worker],
    asked: Sequence[Asked],
    slices: Iterable[range],
    seconds: float,
    console: Console,
    filters: Filters = UNFILTERED,
) -> list[tuple[str, Knobs, list[Timed]]]:
    """What each setting took and found, for those that answered.

    The untimed pass knows nothing of the queries' own filters: those are to be new. To an engine with many settings
    they are new at the first of them only.
    """
    taken: list[tuple[str, Knobs, list[Timed]]] = [(name, knobs, []) for name, knobs in asked]
    shared = Filters(filters.shared)
    for number, queries in enumerate(slices):
        turn = number % len(taken) if taken else 0
        for name, knobs, times in taken[turn:] + taken[:turn]:
            if _goes_on(times, seconds, number) and _answers(workers[name], knobs, queries, shared, console):
                times += _answers(workers[name], knobs, queries, filters, console)
    return [each for each in taken if each[2]]


def sliced(count: int, size: int) -> list[range]:
    """Numbers of so many queries, in slices of that size; the last one may be smaller."""
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def label(knobs: Knobs) -> str:
    """A setting in words."""
    return ", ".join(f"{name} {value}" for name, value in knobs.items()) or "as it is"


def _goes_on(times: Sequence[Timed], seconds: float, number: int) -> bool:
    """Whether a setting takes part in this round."""
    return sum(each.seconds for each in times) < seconds and (bool(times) or not number)


def _answers(worker: Worker, knobs: Knobs, queries: range, filters: Filters, console: Console) -> list[Timed]:
    try:
        return worker.ask(knobs, queries, filters)
    except Failed as failed:
        console.print(f"[yellow]left out: {failed}, at {label(knobs)}[/yellow]")
        return []
