"""Results as tables: on the terminal, and as Markdown for the README."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as Printed

from tests.bench.latency import FAIR, GOOD, fastest, reaches
from tests.bench.machine import in_words
from tests.bench.peers.registry import OUR_TITLE
from tests.bench.selective import KINDS
from tests.bench.setup import Found

Cells = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Shown:
    """A table ready to print: a title, names of columns, cells."""

    title: str
    columns: Sequence[str]
    cells: Cells
    says: str = ""


def tables(question: str, found: Sequence[Found]) -> list[Shown]:
    """The tables that answer a question."""
    if not found:
        return []
    return _TABLES[question](found) if question in _TABLES else [_plain(question, found)]


def print_tables(console: Console, question: str, found: Sequence[Found]) -> None:
    """On the terminal."""
    for shown in tables(question, found):
        printed = Printed(*shown.columns, title=shown.title, caption=shown.says or None)
        for column in printed.columns[1:]:
            column.justify = "right"
        for row in shown.cells:
            printed.add_row(*row)
        console.print(printed)


def markdown(results: Sequence[Found]) -> str:
    """Sections for the README, of results as they stand in the JSON files."""
    parts = []
    for result in results:
        for shown in tables(result["question"], result["rows"]):
            parts += [f"**{shown.title}.** {shown.says}".strip(), _markdown(shown)]
    said = list(
        dict.fromkeys(
            f"{each['data']['says']}; {each['data']['rows']:,} x {each['data']['dimension']}" for each in results
        )
    )
    commands = [f"{each['command']}  # {each['machine']['commit']}" for each in results]
    machines = list(dict.fromkeys(in_words(each["machine"]) for each in results))
    head = [f"Data: {text}." for text in said] + [f"Machine: {text}." for text in machines]
    return "\n\n".join(["```sh\n" + "\n".join(commands) + "\n```", *head, *parts]) + "\n"


def _markdown(shown: Shown) -> str:
    rule = ["---"] + ["--:"] * (len(shown.columns) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (shown.columns, rule, *shown.cells))


def _warm(found: Sequence[Found]) -> list[Shown]:
    cells = []
    for name in _names(found):
        row = fastest([row for row in found if row["peer"] == name], GOOD, FAIR)
        if row is None:
            continue
        reached = row["recall"]
        remark = "" if reached >= GOOD else f"never {GOOD}" if reached >= FAIR else f"never {FAIR}"
        remark = "; ".join(filter(None, [remark, "suspected error" if "suspected" in row else ""]))
        cells.append((row["p50_ms"], [
            name, row["setting"], f"{reached:.3f}", _ms(row["p50_ms"]), _ms(row["p95_ms"]), str(row["queries"]), remark,
        ]))  # fmt: skip
    columns = ("engine", "setting", "recall@10", "p50 ms", "p95 ms", "queries", "")
    return [Shown(
        f"Warm, one thread: the fastest setting with recall {GOOD}", columns,
        [line for _, line in sorted(cells, key=lambda cell: float(cell[0]))],
        f"Where {GOOD} is never reached: the fastest with {FAIR}, else the best. LanceDB chooses its own threads.",
    )]  # fmt: skip


def _filtered(found: Sequence[Found]) -> list[Shown]:
    ours = [kind for kind in KINDS if any((row["peer"], row["kind"]) == (OUR_TITLE, kind) for row in found)]
    return [_as_good(found, kind) for kind in KINDS] + [_as_ours(found, kind) for kind in ours]


def _as_good(found: Sequence[Found], kind: str) -> Shown:
    cells = [[name, *(_cell(fastest(rows, GOOD)) for rows in each)] for name, each in _by_share(found, kind).items()]
    title = f"Filtered, matching rows {kind}: recall@10 / p50 ms"
    return Shown(title, ("engine", *_shares(found)), cells, _starred(cells))


def _as_ours(found: Sequence[Found], kind: str) -> Shown:
    """What every engine takes to find as much as ours does there."""
    by_share = _by_share(found, kind)
    targets = [fastest(rows, GOOD) for rows in by_share[OUR_TITLE]]
    cells = [
        [name, *(_reaching(rows, target) for rows, target in zip(each, targets, strict=True))]
        for name, each in by_share.items()
    ]
    title = f"Filtered, matching rows {kind}: p50 ms at the same recall"
    says = f"In brackets: the best recall of an engine that never finds as much as {OUR_TITLE}."
    return Shown(title, ("engine", *_shares(found)), cells, f"{says} {_starred(cells)}".strip())


def _starred(cells: Cells) -> str:
    starred = any("*" in cell for line in cells for cell in line)
    return "* fewer hits than match, in some answers." if starred else ""


def _by_share(found: Sequence[Found], kind: str) -> dict[str, list[list[Found]]]:
    """Of each engine its rows for each share."""
    shares = sorted({row["share"] for row in found})
    own = {name: [row for row in found if (row["peer"], row["kind"]) == (name, kind)] for name in _names(found)}
    return {name: [[row for row in rows if row["share"] == share] for share in shares] for name, rows in own.items()}


def _names(found: Sequence[Found]) -> list[str]:
    return list(dict.fromkeys(row["peer"] for row in found))


def _shares(found: Sequence[Found]) -> list[str]:
    return [f"{share:.2%}" for share in sorted({row["share"] for row in found})]


def _cell(row: Found | None) -> str:
    if row is None:
        return "-"
    return f"{row['recall']:.3f} / {_ms(row['p50_ms'])}" + _marks(row)


def _reaching(rows: Sequence[Found], target: Found | None) -> str:
    row = fastest(rows, target["recall"]) if target else None
    if row is None or target is None:
        return "-"
    reached = reaches(row, target["recall"])
    return (_ms(row["p50_ms"]) if reached else f"({row['recall']:.3f})") + _marks(row)


def _marks(row: Found) -> str:
    return ("*" if row["short"] else "") + (" WRONG" if row["wrong"] else "")


def _building(found: Sequence[Found]) -> list[Shown]:
    def line(row: Found) -> list[str]:
        if "failed" in row:
            return [row["peer"], "-", "-", "-", "-", "-", row["failed"]]
        steps = ", ".join(f"{step.removesuffix(', s')} {seconds:.0f} s" for step, seconds in row["steps"].items())
        return [
            row["peer"], f"{row['build_s']:.1f}", f"{row['size_mb']:.0f}", _mb(row["build_private_mb"]),
            _mb(row["search_private_mb"]), _mb(row["search_mapped_mb"]), "; ".join(filter(None, [row["says"], steps])),
        ]  # fmt: skip

    columns = ("engine", "build s", "disk MB", "MB to build", "MB to search", "of files mapped", "")
    says = "Two threads to build. Memory beyond imports. Ours, LanceDB and sqlite-vec hold the rows' numbers as well."
    return [Shown("Build time, size, memory", columns, [line(row) for row in found], says)]


def _cold(found: Sequence[Found]) -> list[Shown]:
    columns = ("engine", "setting", "recall@10", "open, s", "first query, s",
               "both", "most", "requests", "most", "MB", "rounds",
               "second query, s", "requests")  # fmt: skip
    cells = [
        [
            row["peer"], row["setting"], f"{row['recall']:.3f}", f"{row['open_s']:.2f}", f"{row['first_s']:.2f}",
            f"{row['total_s']:.2f}", f"{row['most_s']:.2f}",
            f"{row['requests']:.0f}", str(row["most_requests"]), f"{row['mb']:.1f}", f"{row['rounds']:.0f}",
            f"{row['second_s']:.2f}", f"{row['second_requests']:.0f}",
        ]
        for row in found
    ]  # fmt: skip
    says = (f"{found[0]['latency_ms']:.0f} ms a request, {found[0]['mb_per_s']:.0f} MB/s a connection; medians of "
            f"{found[0]['queries']} queries, each in a fresh process with an empty disk.")  # fmt: skip
    return [Shown("Cold, from a stand-in for S3", columns, cells, says)]


def _scaling(found: Sequence[Found]) -> list[Shown]:
    def line(row: Found) -> list[str]:
        if row["rows"] == "exponent":
            return [
                row["peer"],
                "fitted exponent",
                "",
                *(f"{row[name]:.2f}" for name in ("p50_ms", "build_s", "size_mb")),
            ]
        return [row["peer"], f"{row['rows']:,}", f"{row['recall']:.3f}", _ms(row["p50_ms"]), f"{row['build_s']:.1f}",
                f"{row['size_mb']:.0f}"]  # fmt: skip

    ordered = [row for name in _names(found) for row in found if row["peer"] == name]
    columns = ("engine", "rows", "recall@10", "p50 ms", "build s", "disk MB")
    return [Shown("Growth with the rows", columns, [line(row) for row in ordered])]


def _plain(question: str, found: Sequence[Found]) -> Shown:
    names = list(dict.fromkeys(name for row in found for name in row))
    cells = [[_any(row.get(name, "")) for name in names] for row in found]
    return Shown(f"bucketlens alone: {question.removeprefix('ours-')}", names, cells)


def _any(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _mb(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


_TABLES: dict[str, Callable[[Sequence[Found]], list[Shown]]] = {
    "warm": _warm,
    "filtered": _filtered,
    "building": _building,
    "cold": _cold,
    "scaling": _scaling,
}
