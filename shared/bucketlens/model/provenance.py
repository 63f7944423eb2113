"""``bundle.json``: where a bundle is from, and the checksum of each of its files.

    {"format": 1, "source": {"repository": ..., "revision": ..., ...}, "variant": "int8",
     "files": {"config.json": {"size": 471, "sha256": "..."}, ...}}

It decides no vector, so it is no part of the model's own checksum.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bucketlens.errors import Corrupt

NAME = "bundle.json"
NEEDED = ("config.json", "preprocessor_config.json", "tokenizer.json")
OPTIONAL = ("tokenizer_config.json",)
TOWERS = ("vision", "text")
_TOWER = re.compile(r"onnx/(?P<tower>vision|text)_model(?:_(?P<variant>[^/]*?))?\.onnx(?P<data>[^/]*)")
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Provenance:
    """``source`` says in words where the bundle is from; ``files`` maps each file to its size and SHA-256."""

    source: Mapping[str, str]
    variant: str
    files: Mapping[str, tuple[int, str]]

    @classmethod
    def of(cls, folder: Path, source: Mapping[str, str], variant: str = "") -> Provenance:
        """What the files of ``folder`` are now; reads them all."""
        names = bundle_files(folder)
        return cls(source, variant, {name: _measured(folder / name) for name in names})

    @classmethod
    def read(cls, folder: Path) -> Provenance | None:
        """What ``bundle.json`` says, or None without one. Raises Corrupt when it cannot be understood."""
        path = folder / NAME
        if not path.is_file():
            return None
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            if value["format"] != _FORMAT:
                raise ValueError(f"format {value['format']!r} is not known here")
            files = {str(name): (int(fact["size"]), str(fact["sha256"])) for name, fact in value["files"].items()}
            source = {str(name): str(said) for name, said in value["source"].items()}
            return cls(source, str(value["variant"]), files)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise Corrupt(
                "The bundle's record of its files cannot be read.",
                value=f"{path}: {type(error).__name__}: {error}",
                remedy="Pull the bundle again, or delete this file when the bundle is known to be good.",
            ) from error

    def write(self, folder: Path) -> None:
        """Write ``bundle.json``."""
        value = {
            "format": _FORMAT,
            "source": dict(self.source),
            "variant": self.variant,
            "files": {name: {"size": size, "sha256": sha} for name, (size, sha) in self.files.items()},
        }
        (folder / NAME).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")

    def check(self, folder: Path) -> None:
        """Read every file again. Raises Corrupt, naming each that is missing, changed or not recorded."""
        there = set(bundle_files(folder))
        wrong = [f"{name} is missing" for name in sorted(set(self.files) - there)]
        wrong += [f"{name} is not recorded" for name in sorted(there - set(self.files))]
        wrong += [
            f"{name} has changed"
            for name in sorted(there & set(self.files))
            if _measured(folder / name) != self.files[name]
        ]
        if wrong:
            raise _refusal(folder, wrong)

    def check_part(self, folder: Path, names: Iterable[str]) -> None:
        """Read these files again, as far as they are recorded. Raises Corrupt, naming each that has changed."""
        recorded = sorted(set(names) & set(self.files))
        wrong = [f"{name} has changed" for name in recorded if _measured(folder / name) != self.files[name]]
        if wrong:
            raise _refusal(folder, wrong)


def tower_of(path: str) -> tuple[str, str] | None:
    """(tower, variant) that a path inside a bundle belongs to, external data included; None for any other file."""
    match = _TOWER.fullmatch(path)
    return (match["tower"], match["variant"] or "") if match else None


def variant_of(graph: Path) -> str:
    """The variant that an ONNX file of a bundle is of."""
    found = tower_of(f"onnx/{graph.name}")
    return found[1] if found else ""


def is_graph(path: str) -> bool:
    """Whether a path inside a bundle is the graph of a tower, not its external data."""
    match = _TOWER.fullmatch(path)
    return match is not None and not match["data"]


def variants(paths: Iterable[str]) -> list[str]:
    """The variants of which both towers are there, sorted; "" is the one without suffix."""
    graphs = {tower_of(path) for path in paths if is_graph(path)}
    return sorted({found[1] for found in graphs if found and all((tower, found[1]) in graphs for tower in TOWERS)})


def bundle_files(folder: Path, variant: str | None = None) -> list[str]:
    """Paths of the files in ``folder`` that belong to a bundle, sorted; of one variant only, if one is given."""
    found = [name for name in (*NEEDED, *OPTIONAL) if (folder / name).is_file()]
    for path in sorted((folder / "onnx").glob("*")):
        name = f"onnx/{path.name}"
        tower = tower_of(name)
        if tower and path.is_file() and variant in (None, tower[1]):
            found.append(name)
    return sorted(found)


def _refusal(folder: Path, wrong: Iterable[str]) -> Corrupt:
    return Corrupt(
        "The bundle is not what its bundle.json records.",
        code="checksum_mismatch",
        value=f"{folder}: {', '.join(wrong)}",
        remedy="Pull it again, or delete bundle.json when you changed it on purpose.",
    )


def _measured(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
