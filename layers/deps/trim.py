"""Bring an installed tree under Lambda's 250 MB: refuse wheels of other platforms, drop what no handler imports, strip.

Usage: ``python3.13 trim.py TREE``. What may go was found by removing it and running ``smoke.py``, which the build does
again after every trim.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

NEWEST_GLIBC = 28
"""Minor version of the newest glibc a wheel may ask for. The python3.13 runtime (Amazon Linux 2023) has 2.34."""

PLATFORM = re.compile(r"any|manylinux_2_(?P<glibc>\d+)_x86_64|manylinux2014_x86_64")

AWS_SERVICES = ("s3", "sts")
"""The service models of boto3 that stay: everything else a handler needs comes to it as an event."""

UNUSED = Path(__file__).with_name("unused.txt")
"""What goes, one glob a line."""


def main(tree: Path) -> None:
    """Trim ``tree`` in place. Exits with a sentence when a wheel is not made for Lambda."""
    check_wheels(tree)
    for pattern in UNUSED.read_text().splitlines():
        if pattern and not pattern.startswith("#"):
            for path in sorted(tree.glob(pattern)):
                remove(path)
    for path in [*tree.glob("boto3/data/*/"), *tree.glob("botocore/data/*/")]:
        if path.is_dir() and path.name not in AWS_SERVICES:
            remove(path)
    for path in tree.rglob("*.so*"):
        if not path.parent.name.endswith(".libs"):  # strip misaligns what auditwheel has patched
            subprocess.run(["strip", "--strip-unneeded", str(path)], check=True)


def check_wheels(tree: Path) -> None:
    """Exits unless every wheel's tags promise Python 3.13 on x86_64 with a glibc that Lambda has."""
    for wheel in sorted(tree.glob("*.dist-info/WHEEL")):
        tags = re.findall(r"^Tag: (\S+)$", wheel.read_text(), re.MULTILINE)
        if not any(runs_in_lambda(tag) for tag in tags):
            newest = f"manylinux_2_{NEWEST_GLIBC}_x86_64"
            sys.exit(f"{wheel.parent.name} is built for {', '.join(tags)}: Lambda needs {newest} or older")


def runs_in_lambda(tag: str) -> bool:
    """Whether a wheel with this tag, such as ``cp313-cp313-manylinux_2_28_x86_64``, loads in the python3.13 runtime."""
    python, abi, platform = tag.split("-")
    match = PLATFORM.fullmatch(platform)
    if match is None or int(match["glibc"] or 0) > NEWEST_GLIBC:
        return False
    return python in ("cp313", "py3", "py2.py3") or abi == "abi3"


def remove(path: Path) -> None:
    """Delete a file or a folder; one that went with its parent is no surprise."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
