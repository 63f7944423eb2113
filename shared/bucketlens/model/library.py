"""Bundles on this machine, each in a folder of its own under one root, and what makes a folder a good bundle."""

from __future__ import annotations

import re
import shutil
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bucketlens.errors import Exists, Misconfigured, NotFound
from bucketlens.model.bundle import Bundle, embedded_bundle
from bucketlens.model.decode import Picture, decode
from bucketlens.model.encode import Encoder
from bucketlens.model.provenance import Provenance, bundle_files
from bucketlens.model.vet import vet
from bucketlens.records import Vector

EMBEDDED = "embedded"
_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,200}")
_SIDE = 48


class Library:
    """The local model store."""

    def __init__(self, root: Path) -> None:
        """Touches nothing: the folder is made by the first bundle."""
        self.root = root

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Library:
        """Where ``BUCKETLENS_MODELS`` says, by default in ``~/.cache/bucketlens/models``."""
        named = environ.get("BUCKETLENS_MODELS", "").strip()
        return cls(Path(named or "~/.cache/bucketlens/models").expanduser())

    def names(self) -> list[str]:
        """The bundles there, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if (path / "config.json").is_file() and _fits(path))

    def path(self, name: str) -> Path:
        """The folder of a name, whether it exists or not. Raises Misconfigured for what is no name."""
        if not _NAME.fullmatch(name) or name == EMBEDDED:
            raise Misconfigured(
                "This is no name for a bundle.",
                code="bad_bundle_name",
                value=name,
                remedy="Use letters, digits, dot, underscore and hyphen, no dot first.",
            )
        return self.root / name

    def find(self, what: str) -> Path:
        """The folder of "embedded", of a name in the library, or of a path. Raises NotFound, saying what there is."""
        if what == EMBEDDED:
            return embedded_bundle()
        if _NAME.fullmatch(what) and (self.root / what / "config.json").is_file():
            return self.root / what
        if (Path(what) / "config.json").is_file():
            return Path(what)
        raise NotFound(
            "This is neither a bundle in the library nor the folder of one.",
            code="no_bundle",
            value=what,
            remedy=f"The library ({self.root}) has: {', '.join([*self.names(), EMBEDDED])}.",
        )

    def add(self, folder: Path, name: str = "") -> Bundle:
        """Check the bundle in ``folder`` and copy it here, by default under the folder's name.

        A bundle of that name with the same files is left as it is; raises Exists when it has others. A bundle without
        ``bundle.json`` gets one. Raises what ``check`` raises.
        """
        if not folder.is_dir():
            raise NotFound("This is not a folder.", value=str(folder), remedy="Name the folder of a bundle.")
        target = self.path(name or folder.resolve().name)
        checked = check(folder)
        facts = Provenance.read(folder) or Provenance.of(folder, {"folder": folder.resolve().name})
        if target.exists():
            standing = Provenance.read(target) or Provenance.of(target, {})
            if standing.files != facts.files:
                raise Exists(
                    "The library has another bundle of this name.",
                    value=str(target),
                    remedy="Choose a name with --as, or delete that folder.",
                )
            return Bundle.open(target)
        self.root.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".adding-", dir=self.root))
        try:
            for path in bundle_files(folder):
                (staging / path).parent.mkdir(exist_ok=True)
                shutil.copyfile(folder / path, staging / path)
            facts.write(staging)
            facts.check(staging)
            if Bundle.open(staging).identity.checksum != checked.identity.checksum:
                raise Misconfigured(
                    "The bundle changed while it was copied.", value=str(folder), remedy="Add it again."
                )
            staging.chmod(0o755)
            staging.rename(target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return Bundle.open(target)


def check(folder: Path, variant: str = "") -> Bundle:
    """The bundle in ``folder``, once it has proved good: its files are those ``bundle.json`` records (where there is
    one), it opens, and both towers give a finite vector of unit length. Costs loading both towers.

    Raises Corrupt and Misconfigured, naming the file or field at fault.
    """
    facts = Provenance.read(folder)
    if facts is not None:
        facts.check(folder)
    bundle = Bundle.open(folder, variant or (facts.variant if facts else ""))
    _check_weights(bundle)
    encoder = Encoder(bundle)
    vectors = {"vision": encoder.image(sample()), "text": encoder.text("a red car")}
    for tower, vector in vectors.items():
        if not _is_unit(vector):
            raise Misconfigured(
                f"The {tower} tower gives no finite vector of unit length.",
                code="bad_model",
                value=str(folder),
                remedy="Use another export; half precision may overflow where single does not.",
            )
    return bundle


def _check_weights(bundle: Bundle) -> None:
    """What is copied, pushed and fetched goes by name, so weights under other names would be left behind."""
    known = {bundle.folder.resolve() / name for name in bundle_files(bundle.folder)}
    for graph in (bundle.vision, bundle.text):
        strays = [weights for weights in vet(graph, bundle.folder) if weights.resolve() not in known]
        if strays:
            raise Misconfigured(
                "The model keeps weights under a name that bundles do not use.",
                code="bad_bundle",
                value=str(strays[0]),
                remedy=f"Export it with external data in {graph.name}_data beside {graph.name}.",
            )


def sample() -> Picture:
    """A small picture that has every hue."""
    return decode(_gradient(), max_pixels=_SIDE * _SIDE)


def _fits(path: Path) -> bool:
    return _NAME.fullmatch(path.name) is not None


def _is_unit(vector: Vector) -> bool:
    return bool(np.isfinite(vector).all()) and abs(float(np.linalg.norm(vector)) - 1) < 1e-3


def _gradient() -> bytes:
    """An uncompressed BMP, written by hand."""
    steps = np.linspace(0, 255, _SIDE).astype(np.uint8)
    blue, red = np.meshgrid(steps, steps)
    rows = np.stack([blue, red[::-1], red], axis=-1).tobytes()
    head = struct.pack("<IHHI", 54 + len(rows), 0, 0, 54)
    return b"BM" + head + struct.pack("<IiiHHIIiiII", 40, _SIDE, _SIDE, 1, 24, 0, len(rows), 2835, 2835, 0, 0) + rows
