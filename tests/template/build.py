"""What `sam build` has left in .aws-sam, and the SAM CLI itself: found, or a sentence on how to get them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.template.template import ROOT

BUILD = ROOT / ".aws-sam" / "build"
NOT_SHIPPED = ("local", "embedded", "commands", "cli.py", "__main__.py", "__pycache__")
"""What of shared/bucketlens stays out of the code layer."""


def sam() -> Path:
    """The SAM CLI. Skips the test where there is none."""
    for command in (os.environ.get("SAM"), str(ROOT / ".venv-sam/bin/sam"), shutil.which("sam")):
        if command and os.access(command, os.X_OK):
            return Path(command)
    pytest.skip("no SAM CLI: run 'make sam'")


def built() -> Path:
    """The folder of built layers. Skips the test where nothing is built, or only older code."""
    if not (BUILD / "template.yaml").exists():
        pytest.skip("nothing is built: run 'make build' (it needs python3.13)")
    if _sources(BUILD / "CodeLayer/python/bucketlens") != _sources(ROOT / "shared/bucketlens"):
        pytest.skip("the build is older than the code: run 'make build'")
    return BUILD


def weight(folder: Path) -> int:
    """Bytes of all files below ``folder``."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _sources(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*.py") if not set(path.relative_to(folder).parts) & set(NOT_SHIPPED))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
