"""The bench: ``python -m tests.bench [questions] [--rows N] [--data real|synthetic] ...``.

``make bench`` runs it with the peers installed. Each question becomes a table here, a JSON file and a plot under
``--out``. ``--readme`` prints the tables of the JSON files that are there as Markdown, and measures nothing. Indexes
are kept in ``--cache``, so that questions can be asked one by one.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from inspect import signature
from pathlib import Path
from time import perf_counter

from rich.console import Console

from tests.bench import building, distant, latency, scaling, selective
from tests.bench.checks import HarnessError, check_truth
from tests.bench.data import CACHE, Spec
from tests.bench.machine import in_words, machine
from tests.bench.peers.registry import NAMES
from tests.bench.plots import plot
from tests.bench.report import markdown, print_tables
from tests.bench.setup import Bench, Found

COMPARED: dict[str, Callable[[Bench], list[Found]]] = {
    "building": building.measure,
    "warm": latency.measure,
    "filtered": selective.measure,
    "cold": distant.measure,
    "scaling": scaling.measure,
}
ALONE = ("log", "compaction", "deletes", "warm", "filtered", "cold")
"""Modules of this package that measure bucketlens alone, each by ``measure``; asked for as ``ours-<name>``."""
_WIDTH = 150
QUESTIONS = (*COMPARED, *(f"ours-{name}" for name in ALONE))


def main() -> int:
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    if options.readme:
        files = [options.out / f"{question}.json" for question in QUESTIONS]
        print(markdown([json.loads(file.read_text()) for file in files if file.exists()]))  # noqa: T201
        return 0
    bench = Bench(_spec(options), tuple(options.peers), options.out, options.quick, console)
    options.out.mkdir(parents=True, exist_ok=True)
    console.print(f"{bench.data.says}\n{options.rows:,} rows, {options.queries} queries\n{in_words(machine())}")
    asked = options.questions or QUESTIONS
    try:
        # Ours alone come first: the peak of a child's memory begins at what its parent had, and comparing takes much.
        for question in asked:
            if question not in COMPARED:
                _answer(question, bench, options, partial(_alone, question))
        if COMPARED.keys() & set(asked):
            check_truth(bench)
        for question in asked:
            if question in COMPARED:
                _answer(question, bench, options, COMPARED[question])
    except HarnessError as error:
        console.print(f"[red]{error}[/red]")
        return 1
    return 0


def _answer(question: str, bench: Bench, options: argparse.Namespace, measure: Callable[[Bench], list[Found]]) -> None:
    """Measure, and leave JSON, plot and table. Raises HarnessError."""
    began = perf_counter()
    found = measure(bench)
    if not found:
        return
    took = perf_counter() - began
    result = {
        "question": question,
        "data": bench.described,
        "machine": machine(),
        "command": _command(question, options),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(took, 1),
        "rows": found,
    }
    (bench.out / f"{question}.json").write_text(json.dumps(result, indent=1))
    plot(question, found, bench.out / f"{question}.png")
    print_tables(bench.console, question, found)
    bench.console.print(f"{question}: {took:.0f} s")


def _alone(question: str, bench: Bench) -> list[Found]:
    """What a module that measures bucketlens alone finds; nothing when this checkout has no such module."""
    name = f"tests.bench.{question.removeprefix('ours-')}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return []
    measure = getattr(module, "measure", None)
    if measure is None:
        return []
    offered = {
        "rows": bench.spec.rows,
        "dimension": bench.data.dimension,
        "photographs": bench.spec.photographs,
        "cache": bench.spec.cache,
    }
    taken = {name: value for name, value in offered.items() if name in signature(measure).parameters}
    return list(measure(**taken))


def _command(question: str, options: argparse.Namespace) -> str:
    """What to type for this result on another machine."""
    words = ["python", "-m", "tests.bench", question, "--rows", str(options.rows), "--queries", str(options.queries)]
    if options.photographs and options.data != "synthetic":
        words += ["--photographs", options.photographs.name]
    else:
        words += ["--dimension", str(options.dimension)]
    return shlex.join(words + ["--quick"] * options.quick)


def _spec(options: argparse.Namespace) -> Spec:
    photographs = options.photographs if options.data != "synthetic" else None
    if options.data == "real" and photographs is None:
        raise SystemExit("--data real needs --photographs PARQUET: a file whose column `image` holds encoded pictures.")
    return Spec(options.rows, options.queries, photographs, options.dimension, options.cache)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("questions", nargs="*", type=_question, help=f"of {', '.join(QUESTIONS)}; without any, all")
    parser.add_argument("--rows", type=int, default=65_536)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--data", choices=("real", "synthetic"), help="default: real where --photographs is given")
    parser.add_argument("--photographs", type=Path, help="a parquet file; its column `image` holds encoded pictures")
    parser.add_argument("--dimension", type=int, default=512, help="of synthetic rows")
    parser.add_argument("--peers", type=_peers, default=NAMES, help=f"comma-separated, of {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, default=Path("tests/bench/out"))
    parser.add_argument("--cache", type=Path, default=CACHE, help="rows, ground truth and indexes")
    parser.add_argument("--quick", action="store_true", help="fewer queries of what is slow")
    parser.add_argument("--readme", action="store_true", help="print the results there are as Markdown")
    return parser.parse_args()


def _question(text: str) -> str:
    if text not in QUESTIONS:
        raise argparse.ArgumentTypeError(f"{text!r} is no question: {', '.join(QUESTIONS)}")
    return text


def _peers(text: str) -> Sequence[str]:
    wanted = [name.strip() for name in text.split(",")]
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no engine is called {', '.join(unknown)}: {', '.join(NAMES)}")
    return wanted


if __name__ == "__main__":
    sys.exit(main())
