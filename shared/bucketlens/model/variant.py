"""Which precision of a bundle is used: the suffixes of its ONNX files."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bucketlens.errors import Misconfigured

# The names transformers.js gives to precisions (its src/utils/dtypes.js), where they are not the suffix itself.
_SUFFIXES = {"fp32": "", "q8": "_quantized"}
_TOWER = re.compile(r"(vision|text)_model([^/.]*)\.onnx")


def tower_suffix(files: Iterable[str], wanted: str, where: str) -> str:
    """What stands between ``vision_model`` and ``.onnx`` in the file to use; the same for both towers.

    ``files`` are names without folders. ``wanted`` is a suffix without its underscore or a name of transformers.js
    (``fp32`` is the file without suffix, ``q8`` is ``_quantized``), and need not be there. Without one, the files
    without suffix are taken, else the only pair. Raises Misconfigured, naming ``where``, when several pairs are left.
    """
    towers = [match for match in map(_TOWER.fullmatch, files) if match is not None]
    seen, read = ({match[2] for match in towers if match[1] == tower} for tower in ("vision", "text"))
    pairs = sorted(seen & read)
    if wanted:
        literal = f"_{wanted}"
        return literal if literal in pairs else _SUFFIXES.get(wanted, literal)
    if "" in pairs or not pairs:
        return ""
    if len(pairs) > 1:
        raise Misconfigured(
            "The model bundle holds several precisions and none is chosen.",
            code="bad_bundle",
            value=where,
            remedy=f"Set MODEL_VARIANT or bucketlens.variant to one of {', '.join(name[1:] for name in pairs)}.",
        )
    return pairs[0]
