"""Prove that a trimmed tree still works: import and use each library the way the functions do, from that tree alone.

python3.13 -I -S -B smoke.py TREE
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path


def main(tree: Path) -> None:
    """Raises on the first library that does not do its work."""
    sys.path.insert(0, str(tree))
    with tempfile.TemporaryDirectory() as folder:
        arrow(Path(folder))
        graph(Path(folder))
    kernels()
    pictures()
    network()
    words()
    bucket()
    strays = sorted(
        name
        for name, module in sys.modules.items()
        if "site-packages" in (getattr(module, "__file__", None) or "") and str(tree) not in module.__file__
    )
    if strays:
        sys.exit(f"these came from outside the tree: {', '.join(strays)}")


def arrow(folder: Path) -> None:
    """An Arrow file written, mapped and filtered."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.table({"key": ["a", "b", "c"], "width": [1, 2, 3], "tags": [["x"], [], ["y", "z"]]})
    path = str(folder / "rows.arrow")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pa.memory_map(path) as source:
        mapped = pa.ipc.open_file(source).read_all()
        assert mapped.equals(table)
        assert mapped.filter(pc.greater(mapped["width"], 1))["key"].to_pylist() == ["b", "c"]
        assert pc.sum(mapped["width"]).as_py() == 6
        assert mapped.sort_by([("width", "descending")])["key"][0].as_py() == "c"


def graph(folder: Path) -> None:
    """An HNSW graph built from int8 rows, saved, viewed and searched."""
    import numpy as np
    from usearch.index import Index

    rows = np.random.default_rng(1).integers(-127, 128, (200, 64)).astype(np.int8)
    index = Index(ndim=64, metric="ip", dtype="i8", connectivity=12, expansion_add=40)
    index.add(np.arange(len(rows)), rows)
    path = str(folder / "graph.usearch")
    index.save(path)
    viewed = Index(ndim=64, metric="ip", dtype="i8", path=path, view=True)
    products = rows.astype(int) @ rows[7].astype(int)
    found = viewed.search(rows[7], 1)
    assert (int(found.keys[0]), 1 - float(found.distances[0])) == (int(products.argmax()), float(products.max()))


def kernels() -> None:
    """Cosine distances, products and wider numbers from the SIMD kernels against numpy's."""
    import numkong
    import numpy as np

    rows = np.random.default_rng(2).standard_normal((50, 64)).astype(np.float16)
    got = np.asarray(numkong.cdist(rows[:1], rows, "angular")).ravel()
    wide = rows.astype(np.float32)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    assert np.allclose(got, 1 - wide @ wide[0], atol=1e-2)
    assert np.array_equal(np.asarray(numkong.astype(rows, "float32")), rows.astype(np.float32))
    small = np.random.default_rng(3).integers(-127, 128, (50, 64)).astype(np.int8)
    products = np.asarray(numkong.dots_packed(small, numkong.dots_pack(small[:1])))
    assert np.array_equal(products[:, 0], small.astype(np.int32) @ small[0].astype(np.int32))


def pictures() -> None:
    """Every format that is offered, encoded and decoded."""
    from PIL import Image

    for kind in ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP"):
        stream = io.BytesIO()
        Image.new("RGB", (32, 24), (200, 30, 30)).save(stream, kind)
        assert Image.open(io.BytesIO(stream.getvalue())).convert("RGB").size == (32, 24), kind


def network() -> None:
    """A network of one node, through ONNX Runtime."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(_relu(), providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"x": np.array([-1.0, 2.0], np.float32)})
    assert answer.tolist() == [0.0, 2.0]


def words() -> None:
    """A tokenizer.json loaded and used."""
    from tokenizers import Tokenizer

    model = {"type": "WordLevel", "vocab": {"red": 1, "car": 2, "?": 0}, "unk_token": "?"}
    layout = {"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model": model}
    assert Tokenizer.from_str(json.dumps(layout)).encode("red car").ids == [1, 2]


def bucket() -> None:
    """An S3 client and a presigned link."""
    from botocore.session import Session

    session = Session()
    session.set_credentials("id", "key")
    client = session.create_client("s3", region_name="eu-central-1")
    assert "X-Amz-Signature" in client.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})


def _relu() -> bytes:
    """An ONNX model ``y = relu(x)``, x of shape (2,), written out in protobuf's wire format."""

    def message(number: int, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return bytes([number << 3 | 2, len(body)]) + body

    def number(field: int, value: int) -> bytes:
        return bytes([field << 3, value])

    def tensor(field: int, name: bytes) -> bytes:
        shape = message(2, message(1, number(1, 2)))
        return message(field, message(1, name), message(2, message(1, number(1, 1), shape)))

    node = message(1, message(1, b"x"), message(2, b"y"), message(4, b"Relu"))
    graph = message(7, node, message(2, b"g"), tensor(11, b"x"), tensor(12, b"y"))
    return number(1, 8) + graph + message(8, message(1, b""), number(2, 13))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
