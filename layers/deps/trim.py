"""Bring an installed tree under Lambda's 250 MB: refuse wheels of another platform, drop what no handler imports, strip symbols.

    python3.13 trim.py TREE

What may go was found by removing it and running ``smoke.py``, which the build does again after every trim.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

PLATFORM = re.compile(r"any|manylinux_2_(?P<glibc>\d+)_x86_64|manylinux2014_x86_64")
NEWEST_GLIBC = 28
"""Minor version of the newest glibc a wheel may ask for. The python3.13 runtime (Amazon Linux 2023) has 2.34."""

ANYWHERE = ("tests", "__pycache__", "*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.h", "*.hpp", "*.lib", "*.a")
BY_PACKAGE = {
    ".": ("bin", "share", "include"),
    "boto3": ("examples",),
    "numpy": ("f2py", "_pyinstaller", "doc", "_core/_simd.*", "_core/_multiarray_tests.*", "_core/include"),
    "onnxruntime": (
        "capi/libonnxruntime.so.*",
        "transformers",
        "tools",
        "quantization",
        "datasets",
        "backend",
        "*.txt",
        "*.md",
    ),
    "PIL": ("_imagingtk.*", "ImageTk.py", "ImageQt.py", "_tkinter_finder.py"),
    "pyarrow": (
        *("include", "includes", "src", "*.cmake", "conftest.py", "benchmark.py", "jvm.py", "cuda.py"),
        *("libarrow_flight*", "libarrow_python_flight*", "libarrow_s3*", "libarrow_python_parquet_encryption*"),
        *("libarrow_python.so", "libarrow_python.so.*.*.*"),
        *(
            "_flight.*",
            "_s3fs.*",
            "_azurefs.*",
            "_gcsfs.*",
            "_hdfs.*",
            "_orc.*",
            "_dataset_orc.*",
            "_pyarrow_cpp_tests.*",
        ),
        *("_dataset_parquet_encryption.*", "_parquet_encryption.*", "flight.py", "orc.py"),
    ),
    "tqdm": ("contrib", "completion.sh", "tqdm.1"),
    "usearch": ("server.py", "client.py"),
}
AWS_SERVICES = ("s3", "sts")
"""The service models of botocore that stay: everything else a handler needs comes to it as an event."""


def main(tree: Path) -> None:
    """Trim ``tree`` in place and say what is left. Exits with a sentence when a wheel is not made for Lambda."""
    check_wheels(tree)
    for pattern in ANYWHERE:
        for path in sorted(tree.rglob(pattern)):
            remove(path)
    for package, patterns in BY_PACKAGE.items():
        for pattern in patterns:
            for path in sorted((tree / package).glob(pattern)):
                remove(path)
    for package in ("boto3", "botocore"):
        for path in (tree / package / "data").iterdir():
            if path.is_dir() and path.name not in AWS_SERVICES:
                remove(path)
    for path in tree.rglob("*.so*"):
        if path.is_file() and not path.parent.name.endswith(".libs"):  # strip misaligns what auditwheel has patched
            subprocess.run(["strip", "--strip-unneeded", str(path)], check=True)


def check_wheels(tree: Path) -> None:
    """Exits unless every wheel's tags promise Python 3.13 on x86_64 with a glibc that Lambda has."""
    for wheel in sorted(tree.glob("*.dist-info/WHEEL")):
        tags = re.findall(r"^Tag: (\S+)$", wheel.read_text(), re.MULTILINE)
        if not any(runs_in_lambda(tag) for tag in tags):
            sys.exit(
                f"{wheel.parent.name} is built for {', '.join(tags)}: Lambda needs manylinux_2_{NEWEST_GLIBC}_x86_64 or older"
            )


def runs_in_lambda(tag: str) -> bool:
    """Whether a wheel with this tag, such as ``cp313-cp313-manylinux_2_28_x86_64``, loads in the python3.13 runtime."""
    python, _, platform = tag.split("-")
    match = PLATFORM.fullmatch(platform)
    if match is None or int(match["glibc"] or 0) > NEWEST_GLIBC:
        return False
    return python in ("cp313", "py3", "py2.py3") or tag.split("-")[1] == "abi3"


def remove(path: Path) -> None:
    """Delete a file or a folder; one that went with its parent is no surprise."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
