"""Bundles over the network, with progress shown: from a hub, and into the bucket."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from bucketlens.commands.show import console, line
from bucketlens.model import push as pushing
from bucketlens.model.hub import HUGGING_FACE, Hub, Tell
from bucketlens.model.library import Library, check
from bucketlens.model.provenance import NAME, bundle_files, variant_of, variants
from bucketlens.model.pull import folder_name, plan
from bucketlens.model.pull import pull as pull_bundle
from bucketlens.store.s3 import S3Store, connect

_INTERRUPTED = 130


def pull(options: argparse.Namespace, library: Library, endpoint: str | None) -> int:
    """Bring a bundle from the hub and say where it is."""
    hub = Hub(endpoint or HUGGING_FACE)
    files = hub.files(options.repo, options.revision)
    variant, wanted = plan(files, options.repo, options.variant)
    into: Path = options.into or library.path(folder_name(options.repo, variant))
    with _progress() as progress:
        try:
            bundle = pull_bundle(
                hub,
                options.repo,
                into,
                revision=options.revision,
                planned=(variant, wanted),
                tell=_teller(progress, {file.path: file.size for file in wanted}),
            )
        except KeyboardInterrupt:
            line("Interrupted. Run the same command again: what has arrived is kept.")
            return _INTERRUPTED
    line(f"{bundle.identity.id} ({bundle.identity.dimension} dimensions) is complete: {bundle.folder}")
    return 0


def push(folder: Path, target: str, endpoint: str | None) -> int:
    """Upload a bundle that is good, and print the ``MODEL_URI`` to deploy with."""
    place = pushing.read_target(target)
    bundle = check(folder)
    store = S3Store(place.bucket, connect(endpoint))
    with _progress() as progress:
        names = [*bundle_files(folder), *([NAME] if (folder / NAME).is_file() else [])]
        sizes = {name: (folder / name).stat().st_size for name in names}
        written = pushing.push(store, folder, place.prefix, tell=_teller(progress, sizes))
    line(f"{len(written)} objects written, {len(names) - len(written)} were there already.")
    line(f"MODEL_URI={place.uri}")
    offered = variants(names)
    if len(offered) > 1:
        others = ", ".join(name or "(no suffix)" for name in offered)
        line(f"MODEL_VARIANT={variant_of(bundle.vision)}   (there are {others})")
    return 0


def _teller(progress: Progress, sizes: Mapping[str, int]) -> Tell:
    """Shows a file from the moment something is known of it."""
    tasks: dict[str, TaskID] = {}

    def tell(path: str, size: int) -> None:
        if path not in tasks:
            tasks[path] = progress.add_task(path, total=sizes[path])
        progress.update(tasks[path], completed=size)

    return tell


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console(),
    )
