"""Shards opened where their files lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bucketlens.index.shard import Read

T = TypeVar("T")


def reading(locate: Callable[[str], Path]) -> Read:
    """Parts read from where ``locate`` says they are."""

    def read(part: str, mapped: Callable[[Path], T]) -> T:
        return mapped(locate(part))

    return read
