"""Question: how long does building take, how large is it, how much memory do building and searching need?"""

from __future__ import annotations

from rich.progress import track

from tests.bench.peers.registry import WHOLE
from tests.bench.setup import Bench, Found
from tests.bench.worker import Failed, Worker

_QUERIES = 50


def measure(bench: Bench) -> list[Found]:
    """A row for each engine. Memory is what its process has beyond its imports; mapped files are told apart."""
    found: list[Found] = []
    for name in track([name for name in bench.peers if name != WHOLE], "Building", console=bench.console):
        try:
            record = bench.built(name)
            with Worker(name, bench.spec, bench.folder(name)) as worker:
                about = worker.about()
                opened = worker.open()
                worker.ask(about["sweep"][-1], range(min(_QUERIES, bench.spec.queries)))
                memory = worker.memory()
        except Failed as failed:
            found.append({"peer": name, "failed": str(failed)})
            continue
        found.append(
            {
                "peer": about["name"],
                "says": about["says"],
                "build_s": record["build_s"],
                "steps": {step: seconds for step, seconds in record.items() if step.endswith(", s")},
                "size_mb": record["size_mb"],
                "build_private_mb": record["build_mb"].get("private"),
                "open_s": opened,
                "search_private_mb": memory.get("private"),
                "search_mapped_mb": memory.get("mapped"),
            }
        )
    return found
