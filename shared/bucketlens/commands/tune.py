"""``bucketlens tune``: teach the model what counts in the user's own images, and move the index along."""

from __future__ import annotations

import argparse
import csv
import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bucketlens.errors import InvalidRequest, Misconfigured

if TYPE_CHECKING:
    from bucketlens.handlers.wiring import Wiring
    from bucketlens.model.bundle import Bundle
    from bucketlens.model.learned import Learned
    from bucketlens.projection import Matrix

_MATRIX = "adapter.npy"


def register(commands: Any) -> None:
    """Add ``tune`` to the subparsers of the command line. Imports nothing heavy."""
    tune = commands.add_parser(
        "tune",
        help="learn from labels of your own images, and move the index to the better model",
        description="Learns a matrix from the stored vectors of labelled images, checks it on images it has not seen, "
        "and refuses to go on when it is not surely better. Writes a new model that ends in the matrix and re-projects "
        "the index without embedding anything again; queries go on throughout. Deploy the new model afterwards.",
        epilog="BUCKET, AWS_ENDPOINT_URL, MODEL_URI and the other settings are taken from the environment.",
    )
    source = tune.add_mutually_exclusive_group()
    source.add_argument("--labels", metavar="FIELD", default="folder", help="metadata field (default: %(default)s)")
    source.add_argument("--pairs", type=Path, metavar="FILE", help="CSV instead: key,key,same or key,key,different")
    goal = tune.add_mutually_exclusive_group(required=True)
    goal.add_argument("--into", type=Path, metavar="FOLDER", help="where the new model is written")
    goal.add_argument("--abandon", action="store_true", help="end a model change that is not finished")
    tune.add_argument("--collection", default="default", metavar="NAME", help="default: %(default)s")
    tune.add_argument("--seed", type=int, default=0, help="decides which are held out together (default: %(default)s)")
    tune.add_argument("--dry-run", action="store_true", help="learn and judge only: write nothing")
    tune.add_argument("--resume", action="store_true", help="finish moving the index to the model in FOLDER")
    tune.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Learn, judge, write, move. Returns 1 when the matrix was not surely better and nothing was done."""
    from bucketlens.handlers.wiring import Wiring

    wiring = Wiring.of(os.environ)
    if options.abandon:
        return _abandon(options.collection, wiring)
    if options.resume:
        bundle, matrix = _written(options.into, options.collection, wiring)
    else:
        learned = _learn(options, wiring)
        if not learned.better or options.dry_run:
            print("Nothing was written.")
            return 0 if learned.better else 1
        bundle, matrix = _write(options, learned, wiring), learned.matrix
    _move(options.collection, bundle, matrix, wiring)
    print(f"Deploy it with MODEL_URI={options.into.resolve()}, or upload it first: bucketlens model push.")
    return 0


def _abandon(collection: str, wiring: Wiring) -> int:
    from bucketlens.pipelines.reproject import abandon

    if abandon(collection, wiring.store):
        print(f"Collection {collection!r} keeps its model. What was written for the other one is swept later.")
    else:
        print(f"Nothing to abandon: collection {collection!r} is not being moved to another model.")
    return 0


def _learn(options: argparse.Namespace, wiring: Wiring) -> Learned:
    from bucketlens.pipelines.tune import tune, tune_pairs

    view = wiring.views.view(options.collection, strong=True)
    if options.pairs:
        learned, unknown = tune_pairs(view, _read_pairs(options.pairs), seed=options.seed)
        if unknown:
            print(f"{unknown} pairs name a key that is no image of collection {options.collection!r}: left out.")
        print(f"Learned from {learned.learned_from} pairs in {options.pairs}.")
        what = "pairs of images"
    else:
        learned = tune(view, options.labels, seed=options.seed)
        print(f"Learned from {learned.learned_from} images with {learned.labels} labels in {options.labels!r}.")
        what = "images"
    print(f"{learned.measure.capitalize()} on {learned.held_out} {what}, held out in turn: {learned.verdict}")
    return learned


def _read_pairs(path: Path) -> list[tuple[str, str, bool]]:
    """Every line of a CSV file. Raises InvalidRequest, naming the line, for one that is not key,key,same|different."""
    pairs: list[tuple[str, str, bool]] = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        for row in rows:
            if not row:
                continue
            if len(row) != 3 or row[2].strip() not in ("same", "different") or row[0] == row[1]:
                raise InvalidRequest(
                    f"{path}, line {rows.line_num}: this is no pair.",
                    code="bad_pairs",
                    value=",".join(row),
                    remedy="Write two different keys and then same or different, separated by commas.",
                )
            pairs.append((row[0], row[1], row[2].strip() == "same"))
    return pairs


def _write(options: argparse.Namespace, learned: Learned, wiring: Wiring) -> Bundle:
    import numpy as np

    from bucketlens.model.graft import graft

    base = wiring.encoder.identity
    manifest = wiring.views.view(options.collection, strong=True).snapshot.manifest
    if manifest.model is None:
        raise InvalidRequest("The collection has no shards yet.", code="nothing_to_project", remedy="Compact it first.")
    if manifest.model != base:
        raise Misconfigured(
            f"Collection {options.collection!r} is of model {manifest.model.id}, MODEL_URI names {base.id}.",
            code="model_mismatch",
            remedy="Set MODEL_URI to the collection's model.",
        )
    taught_by = options.pairs.stem if options.pairs else options.labels
    bundle = graft(wiring.bundle, learned.matrix, options.into, f"{base.id}+{taught_by}")
    np.save(options.into / _MATRIX, learned.matrix)
    facts = {"from": base.checksum, "taught_by": taught_by, "measure": learned.measure}
    facts |= {"before": learned.before, "after": learned.after, "error": learned.error}
    (options.into / "adapter.json").write_text(json.dumps(facts, indent=2), "utf-8")
    return bundle


def _written(folder: Path, collection: str, wiring: Wiring) -> tuple[Bundle, Matrix]:
    import numpy as np

    from bucketlens.model.bundle import Bundle

    try:
        origin = json.loads((folder / "adapter.json").read_text("utf-8"))["from"]
        matrix = np.asarray(np.load(folder / _MATRIX), dtype=np.float32)
    except (OSError, ValueError, KeyError) as error:
        raise Misconfigured(
            "This folder holds no tuned model.", value=str(folder), remedy="Tune without --resume."
        ) from error
    bundle = Bundle.open(folder)
    present = wiring.views.view(collection, strong=True).snapshot.manifest.model
    if present is not None and present.checksum not in (origin, bundle.identity.checksum):
        raise Misconfigured(
            f"Collection {collection!r} has moved to model {present.id} since this one was made.",
            code="model_mismatch",
            value=str(folder),
            remedy="Tune it again.",
        )
    return bundle, matrix


def _move(collection: str, bundle: Bundle, matrix: Matrix, wiring: Wiring) -> None:
    from rich.progress import Progress

    from bucketlens.pipelines.reproject import reproject

    with Progress() as progress:
        task = progress.add_task("Re-projecting shards")
        report = reproject(
            collection,
            matrix,
            bundle.identity,
            wiring.compact(),
            now=datetime.now(UTC),
            nonce=secrets.token_hex(4),
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    print(
        f"Collection {collection!r} is now of model {report.model.id}: {report.built} shards projected, "
        f"{report.reused} found from an earlier run, manifest version {report.manifest_version}."
    )
