"""Bundles are brought from a store, complete or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.bundle import edit, make_bundle, rename

from bucketlens.errors import Corrupt, Misconfigured, Retryable
from bucketlens.model.bundle import Bundle, fetch_bundle
from bucketlens.model.provenance import Provenance
from bucketlens.store.memory import MemoryStore
from bucketlens.store.protocol import Blob, ByteRange, Entry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "tiny", dimension=24)


def uploaded(folder: Path, prefix: str = "models/tiny/") -> MemoryStore:
    store = MemoryStore()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.create(prefix + path.relative_to(folder).as_posix(), path.read_bytes())
    return store


class Counting(MemoryStore):
    """A memory store that counts what is read."""

    def __init__(self, other: MemoryStore) -> None:
        super().__init__()
        self.reads = 0
        for entry in other.list(""):
            self.create(entry.key, other.get(entry.key).body)

    def get(self, key: str, span: ByteRange | None = None) -> Blob:
        self.reads += 1
        return super().get(key, span)


@pytest.mark.parametrize(
    ("name", "suffix"), [("fp32", ""), ("q8", "_quantized"), ("quantized", "_quantized"), ("fp16", "_fp16")]
)
def test_a_variant_goes_by_its_suffix_or_by_the_name_transformers_js_gives_it(
    folder: Path, tmp_path: Path, name: str, suffix: str
) -> None:
    rename(folder, "_quantized", copy=True)
    rename(folder, "_fp16", copy=True)
    assert Bundle.open(folder, name).text.name == f"text_model{suffix}.onnx"
    fetched = fetch_bundle(uploaded(folder), "models/tiny/", tmp_path / "cache", name)
    assert sorted(path.name for path in (fetched / "onnx").iterdir()) == [
        f"text_model{suffix}.onnx", f"vision_model{suffix}.onnx",
    ]  # fmt: skip


def test_of_many_precisions_in_a_store_only_the_one_that_would_be_opened_is_fetched(
    folder: Path, tmp_path: Path
) -> None:
    rename(folder, "_int8", copy=True)
    rename(folder, "_fp16", copy=True)
    fetched = fetch_bundle(uploaded(folder), "models/tiny/", tmp_path / "cache")
    assert sorted(path.name for path in (fetched / "onnx").iterdir()) == ["text_model.onnx", "vision_model.onnx"]
    edit(folder, "config.json", bucketlens={"variant": "int8"})
    fetched = fetch_bundle(uploaded(folder), "models/tiny/", tmp_path / "cache")
    assert Bundle.open(fetched).vision.name == "vision_model_int8.onnx"
    assert len(list((fetched / "onnx").iterdir())) == 2


def test_an_open_choice_between_precisions_in_a_store_fetches_nothing(folder: Path, tmp_path: Path) -> None:
    rename(folder, "_int8", copy=True)
    rename(folder, "_fp16")
    with pytest.raises(Misconfigured, match="fp16, int8"):
        fetch_bundle(uploaded(folder), "models/tiny/", tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_a_fetched_bundle_is_the_one_that_was_uploaded(folder: Path, tmp_path: Path) -> None:
    fetched = fetch_bundle(uploaded(folder), "models/tiny", tmp_path / "cache")
    assert Bundle.open(fetched).identity == Bundle.open(folder).identity


def test_a_bundle_is_fetched_once_and_again_when_it_changed(folder: Path, tmp_path: Path) -> None:
    store = Counting(uploaded(folder))
    first = fetch_bundle(store, "models/tiny/", tmp_path)
    assert store.reads == 5
    assert fetch_bundle(store, "models/tiny/", tmp_path) == first
    assert store.reads == 5
    entry = next(iter(store.list("models/tiny/config.json")))
    store.swap(entry.key, b'{"changed": true}', entry.etag)
    assert fetch_bundle(store, "models/tiny/", tmp_path) != first


def test_only_the_files_of_a_bundle_and_of_the_variant_are_fetched(folder: Path, tmp_path: Path) -> None:
    rename(folder, "_int8", copy=True)
    (folder / "onnx" / "vision_model_int8.onnx_data").write_bytes(b"weights")
    (folder / "pytorch_model.bin").write_bytes(b"not ours")
    fetched = fetch_bundle(uploaded(folder), "models/tiny/", tmp_path / "cache", "int8")
    assert sorted(path.name for path in (fetched / "onnx").iterdir()) == [
        "text_model_int8.onnx", "vision_model_int8.onnx", "vision_model_int8.onnx_data",
    ]  # fmt: skip
    assert not (fetched / "pytorch_model.bin").exists()


def test_fetching_at_once_ends_in_one_complete_folder_and_no_leftovers(folder: Path, tmp_path: Path) -> None:
    store = uploaded(folder)
    with ThreadPoolExecutor(6) as pool:
        found = set(pool.map(lambda _: fetch_bundle(store, "models/tiny/", tmp_path / "cache"), range(6)))
    assert len(found) == 1
    assert list((tmp_path / "cache").iterdir()) == list(found)
    assert Bundle.open(found.pop()).identity == Bundle.open(folder).identity


class Stale(MemoryStore):
    """A memory store whose objects change right after they were listed."""

    def list(self, prefix: str) -> Iterator[Entry]:
        entries = list(super().list(prefix))
        for entry in entries:
            self.swap(entry.key, b"another", entry.etag)
        return iter(entries)


def test_a_bundle_that_changes_underway_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Stale()
    store.create("m/config.json", b"{}")
    with pytest.raises(Retryable, match=r"m/config\.json"):
        fetch_bundle(store, "m/", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_prefix_without_a_bundle_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="models/none/"):
        fetch_bundle(MemoryStore(), "models/none", tmp_path)


LARGE = 40 * 2**20
"""Bytes: more than one request brings."""
WEIGHTS = "onnx/vision_model.onnx_data"


class Measured(Counting):
    """A memory store that keeps the longest body it gave, and may cut one short, or break off, or change an object."""

    longest = 0
    short = broken = changed = False

    def get(self, key: str, span: ByteRange | None = None) -> Blob:
        blob = super().get(key, span)
        self.longest = max(self.longest, len(blob.body))
        last = span is not None and span.end == LARGE
        if last and self.broken:
            raise Retryable("The line broke.")
        if last and self.changed:
            return Blob(blob.body, '"another"', blob.size)
        return Blob(blob.body[:-1], blob.etag, blob.size) if last and self.short else blob


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    folder = make_bundle(tmp_path_factory.mktemp("large") / "tiny", dimension=24)
    (folder / WEIGHTS).write_bytes(bytes(range(256)) * (LARGE // 256))
    Provenance.of(folder, {}).write(folder)
    return Measured(uploaded(folder))


def test_a_large_file_comes_in_pieces_and_is_the_one_that_was_uploaded(large: Measured, tmp_path: Path) -> None:
    fetched = fetch_bundle(large, "models/tiny/", tmp_path)
    assert (fetched / WEIGHTS).read_bytes() == bytes(range(256)) * (LARGE // 256)
    assert large.longest == 16 * 2**20


@pytest.mark.parametrize("trouble", ["short", "broken", "changed"])
def test_a_piece_that_is_not_the_one_asked_for_leaves_nothing_and_what_was_fetched_before(
    folder: Path, large: Measured, tmp_path: Path, trouble: str
) -> None:
    before = fetch_bundle(uploaded(folder), "models/tiny/", tmp_path / "cache")
    store = Measured(large)
    setattr(store, trouble, True)
    with pytest.raises(Retryable):
        fetch_bundle(store, "models/tiny/", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == [before]
    assert Bundle.open(before).identity == Bundle.open(folder).identity


def test_a_file_that_is_not_the_recorded_one_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    Provenance.of(folder, {}).write(folder)
    edit(folder, "config.json", projection_dim=24, architectures=["Other"])
    with pytest.raises(Corrupt, match=r"config\.json has changed"):
        fetch_bundle(uploaded(folder), "models/tiny/", tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_what_bundle_json_records_of_other_precisions_is_not_asked_for(folder: Path, tmp_path: Path) -> None:
    rename(folder, "_int8", copy=True)
    Provenance.of(folder, {}).write(folder)
    fetched = fetch_bundle(uploaded(folder), "models/tiny/", tmp_path / "cache", "int8")
    assert sorted(path.name for path in (fetched / "onnx").iterdir()) == [
        "text_model_int8.onnx", "vision_model_int8.onnx",
    ]  # fmt: skip
