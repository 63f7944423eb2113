"""Results as pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.bench.latency import GOOD, fastest
from tests.bench.peers.registry import OUR_TITLE
from tests.bench.selective import KINDS
from tests.bench.setup import Found

_LEAST_RECALL = 0.7


def plot(question: str, found: Sequence[Found], file: Path) -> bool:
    """Write a PNG for a question that has one. False where it has none, or matplotlib is not installed."""
    if question not in _PLOTS or not found:
        return False
    try:
        import matplotlib  # part of the extra "bench", which a bench of ours alone does without
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = _PLOTS[question](pyplot, found)
    figure.savefig(file, dpi=120)
    pyplot.close(figure)
    return True


def _warm(pyplot: Any, found: Sequence[Found]) -> Any:
    figure, axes = pyplot.subplots(figsize=(9, 6), layout="constrained")
    for name, own in _by_peer(found):
        line = _front(own)
        axes.plot([row["recall"] for row in line], [row["p50_ms"] for row in line], label=name, **_style(name, found))
        axes.scatter([row["recall"] for row in own], [row["p50_ms"] for row in own], s=6, color=_colour(name, found))
    axes.set_xlim(_LEAST_RECALL, 1.003)
    axes.set_yscale("log")
    axes.axvline(GOOD, color="grey", linestyle=":", linewidth=1)
    axes.set(xlabel="recall@10", ylabel="median latency, ms (log)", title="Warm, one thread: right and down is better")
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(fontsize=8)
    return figure


def _filtered(pyplot: Any, found: Sequence[Found]) -> Any:
    figure, grid = pyplot.subplots(2, len(KINDS), figsize=(14, 9), sharex=True, sharey="row", layout="constrained")
    for column, kind in enumerate(KINDS):
        for name, own in _by_peer([row for row in found if row["kind"] == kind]):
            shares = sorted({row["share"] for row in own})
            best = (fastest([row for row in own if row["share"] == share], GOOD) for share in shares)
            line = [row for row in best if row is not None]
            grid[0][column].plot(shares, [row["recall"] for row in line], label=name, **_style(name, found))
            grid[1][column].plot(shares, [row["p50_ms"] for row in line], **_style(name, found))
        grid[0][column].set(title=f"matching rows {kind}", xscale="log")
        grid[1][column].set(xlabel="share of rows that match (log)", yscale="log")
    grid[0][0].set_ylabel("recall@10")
    grid[1][0].set_ylabel("median latency, ms (log)")
    for axes in grid.flat:
        axes.grid(visible=True, which="both", alpha=0.25)
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7)
    return figure


def _building(pyplot: Any, found: Sequence[Found]) -> Any:
    return _bars(pyplot, [row for row in found if "failed" not in row], [
        ("build_s", "build time, s"), ("size_mb", "on disk, MB"),
        ("build_private_mb", "memory to build, MB"), ("search_private_mb", "memory to search, MB"),
    ])  # fmt: skip


def _cold(pyplot: Any, found: Sequence[Found]) -> Any:
    named = [{**row, "peer": f"{row['peer']}: {row['setting']}\nrecall@10 {row['recall']:.2f}"} for row in found]
    return _bars(pyplot, named, [("total_s", "open and first query, s"), ("requests", "requests"), ("mb", "MB read")])


def _bars(pyplot: Any, found: Sequence[Found], measures: Sequence[tuple[str, str]]) -> Any:
    size = (4 * len(measures), 1.5 + 0.45 * len(found))
    figure, grid = pyplot.subplots(1, len(measures), figsize=size, sharey=True, layout="constrained")
    names = [row["peer"] for row in found]
    for axes, (measure, title) in zip(grid, measures, strict=True):
        values = [row[measure] or 0 for row in found]
        colours = ["black" if name.startswith(OUR_TITLE) else "tab:blue" for name in names]
        axes.barh(names, values, color=colours)
        for at, value in enumerate(values):
            axes.text(value, at, f" {value:.3g}", va="center", fontsize=8)
        axes.set(title=title)
        axes.margins(x=0.25)
        axes.grid(visible=True, axis="x", alpha=0.25)
    grid[0].invert_yaxis()
    return figure


def _scaling(pyplot: Any, found: Sequence[Found]) -> Any:
    measures = (("p50_ms", "median latency, ms"), ("build_s", "build time, s"), ("size_mb", "on disk, MB"))
    figure, grid = pyplot.subplots(1, 3, figsize=(14, 5), layout="constrained")
    for axes, (measure, title) in zip(grid, measures, strict=True):
        for name, own in _by_peer(found):
            fitted = next(row for row in own if row["rows"] == "exponent")
            sized = [row for row in own if row is not fitted]
            axes.plot(
                [row["rows"] for row in sized],
                [row[measure] for row in sized],
                label=f"{name}: rows^{fitted[measure]:.2f}",
                **_style(name, found),
            )
        axes.set(xscale="log", yscale="log", xlabel="rows (log)", ylabel=f"{title} (log)")
        sizes = sorted({row["rows"] for row in found if row["rows"] != "exponent"})
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.grid(visible=True, which="both", alpha=0.25)
        axes.legend(fontsize=8)
    return figure


def _by_peer(found: Sequence[Found]) -> list[tuple[str, list[Found]]]:
    return [
        (name, [row for row in found if row["peer"] == name]) for name in dict.fromkeys(row["peer"] for row in found)
    ]


def _front(own: Sequence[Found]) -> list[Found]:
    """The settings that no other setting of the engine beats in both recall and latency, by recall."""
    front: list[Found] = []
    for row in sorted(own, key=lambda row: (-float(row["recall"]), float(row["p50_ms"]))):
        if not front or row["p50_ms"] < front[-1]["p50_ms"]:
            front.append(row)
    return front[::-1]


def _style(name: str, found: Sequence[Found]) -> dict[str, Any]:
    ours = name.startswith(OUR_TITLE)
    return {
        "marker": "o",
        "markersize": 7 if ours else 4,
        "linewidth": 2.5 if ours else 1.2,
        "color": _colour(name, found),
        "zorder": 3 if ours else 2,
    }


def _colour(name: str, found: Sequence[Found]) -> str:
    """The same for an engine throughout a picture."""
    if name.startswith(OUR_TITLE):
        return "black" if name == OUR_TITLE else "dimgrey"
    others = [each for each in dict.fromkeys(row["peer"] for row in found) if not each.startswith(OUR_TITLE)]
    return f"C{others.index(name)}"


_PLOTS: dict[str, Callable[[Any, Sequence[Found]], Any]] = {
    "warm": _warm,
    "filtered": _filtered,
    "building": _building,
    "cold": _cold,
    "scaling": _scaling,
}
