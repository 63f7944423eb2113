"""The command line: ``bucketlens dev``, ``bucketlens demo``, ``bucketlens model``, ``bucketlens tune``."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from bucketlens import __version__
from bucketlens.commands import model, tune
from bucketlens.errors import BucketlensError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 failed, 2 not understood, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BucketlensError as error:
        print(f"bucketlens: {error}", file=sys.stderr)
    except ImportError as error:
        print(f"bucketlens: {error}. Install it with: pip install 'bucketlens[local]'", file=sys.stderr)
    except OSError as error:
        print(f"bucketlens: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("bucketlens: interrupted", file=sys.stderr)
        return 130  # 128 and the number of SIGINT, as shells have it
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bucketlens", description="Image similarity search that lives in an S3 bucket."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    dev = commands.add_parser(
        "dev",
        help="run bucket, events, functions and API on this machine until stopped",
        epilog="MODEL_URI and the other settings of the functions are taken from the environment.",
    )
    dev.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    dev.add_argument(
        "--port", type=_port, default=8080, help="port of the API, 0 for a free one (default: %(default)s)"
    )
    dev.add_argument("--s3-port", type=_port, default=0, help="port of the S3 endpoint, 0 for a free one (default)")
    dev.add_argument("--json", action="store_true", help="print one line of JSON once ready, and no log")
    dev.add_argument(
        "--compact-every", type=_seconds, default=60.0, metavar="S", help="seconds between compactions; 0: never"
    )
    dev.add_argument("--duplicate", type=_share, default=0.0, metavar="P", help="share of events delivered twice")
    dev.add_argument("--reorder", action="store_true", help="let later events overtake earlier ones")
    dev.add_argument("--delay", type=_seconds, default=0.0, metavar="S", help="seconds that events are held back")
    dev.add_argument("--seed", type=int, default=0, help="seed of the three above")
    dev.set_defaults(run=_dev)

    demo = commands.add_parser(
        "demo",
        help="index a folder, or 120 drawn pictures, and show searches over them",
        epilog="MODEL_URI in the environment chooses another model than the embedded one.",
    )
    demo.add_argument("--images", type=Path, metavar="FOLDER", help="your own pictures (default: drawn ones)")
    demo.add_argument(
        "--sheet", type=Path, default=Path("out/demo.png"), help="contact sheet to write (default: %(default)s)"
    )
    demo.add_argument("--query", action="append", metavar="TEXT", help="words to search for; may be repeated")
    demo.set_defaults(run=_demo)

    model.register(commands)
    tune.register(commands)
    return parser


def _port(text: str) -> int:
    return int(_between(text, 0, 65_535))


def _share(text: str) -> float:
    return _between(text, 0, 1)


def _seconds(text: str) -> float:
    return _between(text, 0, 86_400)


def _between(text: str, least: float, most: float) -> float:
    number = float(text)
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text} is not between {least} and {most}")
    return number


def _dev(options: argparse.Namespace) -> int:
    from bucketlens.local.dev import Dev, DevOptions, settings_of
    from bucketlens.local.feeder import Chaos

    chaos = Chaos(options.duplicate, options.reorder, options.delay, options.seed)
    wanted = DevOptions(
        options.host, options.port, options.s3_port, options.compact_every, chaos, settings_of(os.environ)
    )
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    with Dev(wanted, log=(lambda line: None) if options.json else lambda line: print(line, flush=True)) as dev:
        where = dev.describe()
        if options.json:
            print(json.dumps(where), flush=True)
        else:
            print(
                f"API      {where['api']}\nS3       {where['s3']}\nbucket   {where['bucket']}   (images/ is indexed)",
                flush=True,
            )
        while not ending.wait(0.2):  # a signal that another thread took does not wake this one
            pass
    return 0


def _demo(options: argparse.Namespace) -> int:
    from bucketlens.local.demo import run

    return run(options.images, options.sheet, options.query, os.environ)
