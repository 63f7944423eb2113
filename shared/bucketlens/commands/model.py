"""``bucketlens model``: bring, keep, deploy, inspect, measure and optimise models."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bucketlens.model.library import Library

_DEFAULT = "default: embedded, the model that is part of this package"

# Handlers import what they need: the parser is built for every command, and must cost nothing.


def register(commands: Any) -> None:
    """Add ``model`` and its subcommands to the subparsers of the command line. Imports nothing heavy."""
    model = commands.add_parser(
        "model",
        help="bring, keep, deploy, inspect, measure and optimise models",
        epilog="BUCKETLENS_MODELS: folder of the library (default: ~/.cache/bucketlens/models). "
        "BUCKETLENS_HUB: address of the hub (default: https://huggingface.co).",
    )
    verbs = model.add_subparsers(required=True, metavar="VERB")

    pull = _verb(verbs, "pull", "download a bundle from a hub into the library; run again to resume", _pull)
    pull.add_argument("repo", metavar="REPO", help="owner/name on the hub, ONNX in the layout of transformers.js")
    pull.add_argument("--variant", default="", metavar="V", help="precision, such as int8, fp16, quantized")
    pull.add_argument("--revision", default="main", metavar="R", help="branch, tag or commit (default: %(default)s)")
    pull.add_argument("--endpoint", metavar="URL", help="address of the hub (default: BUCKETLENS_HUB)")
    pull.add_argument("--into", type=Path, metavar="FOLDER", help="a folder of its own instead of the library")

    add = _verb(verbs, "add", "check a bundle in a folder and copy it into the library", _add)
    add.add_argument("folder", type=Path, metavar="FOLDER")
    add.add_argument("--as", dest="name", default="", metavar="NAME", help="default: the folder's name")

    push = _verb(verbs, "push", "upload a bundle and print the MODEL_URI to deploy with", _push)
    push.add_argument("what", metavar="NAME|FOLDER")
    push.add_argument("target", metavar="s3://BUCKET/models/NAME")

    info = _verb(verbs, "info", "say what a bundle is and where it is from", _info)
    info.add_argument("what", nargs="?", default="embedded", metavar="NAME|FOLDER", help=_DEFAULT)

    bench = _verb(verbs, "bench", "measure loading, vectors and ingest of bundles on this machine", _bench)
    bench.add_argument("what", nargs="*", default=["embedded"], metavar="NAME|FOLDER", help=_DEFAULT)
    bench.add_argument("--variants", type=_names, default=[""], metavar="V,V", help="precisions, such as fp32,int8")
    bench.add_argument("--images", type=_count, default=40, metavar="N", help="pictures (default: %(default)s)")
    bench.add_argument("--pictures", type=Path, metavar="FOLDER", help="your own pictures (default: drawn ones)")
    bench.add_argument(
        "--megapixels", type=_megapixels, metavar="M", help="draw JPEGs of this size (default: 0.1 to 0.4)"
    )
    bench.add_argument("--threads", type=_count, default=1, metavar="T", help="of ONNX Runtime (default: %(default)s)")

    optimise = _verb(verbs, "optimise", "optimise the graphs offline: a cold start then maps them", _optimise)
    optimise.add_argument("what", nargs="?", default="embedded", metavar="NAME|FOLDER", help=_DEFAULT)
    optimise.add_argument("--variant", default="", metavar="V", help="precision (default: the bundle's own)")
    optimise.add_argument("--into", type=Path, metavar="FOLDER", help="default: NAME--optimised in the library")


def _verb(verbs: Any, name: str, does: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")
    parser.set_defaults(run=run)
    return parser


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 10000")
    return number


def _megapixels(text: str) -> float:
    number = float(text)
    if not 0.01 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.01 and 100")
    return number


def _names(text: str) -> list[str]:
    return text.split(",")


def _library() -> Library:
    from bucketlens.model.library import Library

    return Library.of(os.environ)


def _pull(options: argparse.Namespace) -> int:
    from bucketlens.commands.transfer import pull

    return pull(options, _library(), options.endpoint or os.environ.get("BUCKETLENS_HUB"))


def _add(options: argparse.Namespace) -> int:
    from bucketlens.commands.show import line

    added = _library().add(options.folder, options.name)
    line(f"{added.identity.id} is now in the library: {added.folder}")
    return 0


def _push(options: argparse.Namespace) -> int:
    from bucketlens.commands.transfer import push

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return push(_library().find(options.what), options.target, endpoint)


def _info(options: argparse.Namespace) -> int:
    from bucketlens.commands.show import info

    return info(_library().find(options.what))


def _bench(options: argparse.Namespace) -> int:
    from bucketlens.commands.bench import bench, drawn, read

    library = _library()
    targets = [(library.find(what), variant) for what in options.what for variant in options.variants]
    pictures = read(options.pictures, options.images) if options.pictures else drawn(options.images, options.megapixels)
    return bench(targets, pictures, options.threads)


def _optimise(options: argparse.Namespace) -> int:
    from bucketlens.commands.optimise import optimise

    library = _library()
    folder = library.find(options.what)
    name = folder.name if options.what != "embedded" else "embedded"
    return optimise(folder, options.variant, options.into or library.root / f"{name}--optimised")
