"""The commands of ``bucketlens model``, from the hub to the bucket and back, as a person runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: TID251
from tests.support.bundle import make_bundle
from tests.support.hub import REPOSITORY, HubServer
from tests.support.pictures import drawing, encoded

from bucketlens.cli import main
from bucketlens.errors import Misconfigured
from bucketlens.local.s3server import S3Server
from bucketlens.model.bundle import Bundle, fetch_bundle
from bucketlens.model.decode import decode
from bucketlens.model.encode import Encoder
from bucketlens.model.provenance import Provenance
from bucketlens.records import Vector
from bucketlens.store.s3 import S3Store, connect

BUCKET = "bucketlens-local"
TARGET = f"s3://{BUCKET}/models/tiny"


SLOW_PULL = """
import sys, time
from pathlib import Path
from bucketlens.model.hub import Hub
from bucketlens.model.pull import pull

def tell(path, size):
    if path == "onnx/vision_model.onnx" and size >= 20_000:
        print("halfway", flush=True)
        time.sleep(60)

pull(Hub(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), tell=tell)
"""


class Desk:
    """A hub, a library, a bucket, and the command line between them."""

    def __init__(
        self, hub: HubServer, s3: S3Server, written: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.written = written
        self.hub, self.folder, self.library = hub, folder, folder / "library"
        self.origin = folder / "origin"
        self.store = S3Store(BUCKET, connect(s3.url, credentials=s3.credentials))
        self._capsys = capsys

    def run(self, *words: str | Path) -> str:
        """What the command printed; it must have succeeded."""
        assert main(["model", *map(str, words)]) == 0
        return self._capsys.readouterr().out

    def refuse(self, *words: str | Path) -> str:
        """What the command complained about; it must have failed."""
        assert main(["model", *map(str, words)]) == 1
        return self._capsys.readouterr().err

    def keys(self) -> list[str]:
        return [entry.key for entry in self.store.list("models/")]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    make_bundle(tmp_path / "origin", dimension=48)
    written: list[str] = []
    server = S3Server((BUCKET,), watch=lambda change: written.append(change.key))
    with HubServer(tmp_path / "origin") as hub, server as s3:
        monkeypatch.setenv("BUCKETLENS_MODELS", str(tmp_path / "library"))
        monkeypatch.setenv("BUCKETLENS_HUB", hub.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.credentials[0])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.credentials[1])
        yield Desk(hub, s3, written, tmp_path, capsys)


def vectors(folder: Path) -> list[Vector]:
    encoder = Encoder(Bundle.open(folder))
    picture = decode(encoded(drawing()), max_pixels=10_000_000)
    return [encoder.image(picture), encoder.text("a red boat")]


def test_a_model_keeps_its_vectors_from_the_hub_through_the_bucket_to_a_function(desk: Desk) -> None:
    pulled = desk.folder / "pulled"
    assert "complete" in desk.run("pull", REPOSITORY, "--into", pulled)
    assert "in the library" in desk.run("add", pulled, "--as", "mine")
    printed = desk.run("push", "mine", TARGET)
    assert f"MODEL_URI={TARGET}/\n" in printed
    fetched = fetch_bundle(desk.store, "models/tiny", desk.folder / "cache")
    for one, other in zip(vectors(desk.origin), vectors(fetched), strict=True):
        np.testing.assert_array_equal(one, other)
    assert Bundle.open(fetched).identity == Bundle.open(desk.origin).identity


def test_a_pull_without_a_folder_goes_into_the_library_under_the_repository_s_name(desk: Desk) -> None:
    desk.run("pull", REPOSITORY)
    assert REPOSITORY in desk.run("info", "somebody--tiny-clip")


def test_a_pull_whose_process_was_killed_leaves_nothing_complete_and_is_resumed(desk: Desk) -> None:
    desk.hub.moods.break_after, desk.hub.moods.breaks = 20_000, 1
    into = desk.folder / "here"
    words = [sys.executable, "-c", SLOW_PULL, desk.hub.url, REPOSITORY, str(into)]
    paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"halfway\n"
        process.kill()
    assert not into.exists()
    desk.run("pull", REPOSITORY, "--into", into)
    assert ("onnx/vision_model.onnx", "bytes=20000-") in [(path, wanted) for path, wanted, _ in desk.hub.asked]
    assert desk.hub.sent["onnx/vision_model.onnx"] == len(desk.hub.files["onnx/vision_model.onnx"])
    assert [path.name for path in desk.folder.iterdir() if path.name.startswith(".")] == []


def test_an_endpoint_on_the_command_line_goes_before_the_environment(desk: Desk) -> None:
    assert "web address" in desk.refuse("pull", REPOSITORY, "--endpoint", "nowhere")
    desk.run("pull", REPOSITORY, "--endpoint", f"{desk.hub.url}/")


def test_config_json_is_uploaded_last_so_an_unfinished_push_is_never_opened(desk: Desk) -> None:
    desk.run("push", desk.origin, TARGET)
    assert len(desk.written) == len(desk.keys()) >= 5
    assert desk.written[-1] == "models/tiny/config.json"
    desk.store.delete("models/tiny/config.json")
    with pytest.raises(Misconfigured, match=r"config\.json"):
        Bundle.open(fetch_bundle(desk.store, "models/tiny", desk.folder / "cache"))
    assert "1 objects written" in desk.run("push", desk.origin, TARGET)
    fetch_bundle(desk.store, "models/tiny", desk.folder / "again")


def test_the_same_bundle_may_be_pushed_again_and_another_never_takes_its_name(desk: Desk) -> None:
    desk.run("push", desk.origin, TARGET)
    assert "0 objects written" in desk.run("push", desk.origin, TARGET)
    before = {entry.key: entry.etag for entry in desk.store.list("models/")}
    other = make_bundle(desk.folder / "other", dimension=48, seed=3)
    said = desk.refuse("push", other, TARGET)
    assert "onnx/vision_model.onnx" in said
    assert "new name" in said
    assert {entry.key: entry.etag for entry in desk.store.list("models/")} == before


def test_a_bundle_is_not_pushed_between_the_files_of_a_larger_one(desk: Desk) -> None:
    for tower in ("vision", "text"):
        graph = desk.origin / "onnx" / f"{tower}_model.onnx"
        graph.with_name(f"{tower}_model_int8.onnx").write_bytes(graph.read_bytes())
    assert "MODEL_VARIANT=" in desk.run("push", desk.origin, TARGET)
    smaller = make_bundle(desk.folder / "smaller", dimension=48)
    assert "vision_model_int8.onnx" in desk.refuse("push", smaller, TARGET)


@pytest.mark.parametrize(
    "target", ["models/x", "s3://b", "s3://bucket/images/x", "s3://bucket/models/../index", "s3://B/models/x"]
)
def test_a_target_that_functions_could_not_read_is_refused(desk: Desk, target: str) -> None:
    assert "s3://bucket/models/name" in desk.refuse("push", desk.origin, target)
    assert desk.keys() == []


def test_a_damaged_bundle_is_neither_added_nor_pushed(desk: Desk) -> None:
    pulled = desk.folder / "pulled"
    desk.run("pull", REPOSITORY, "--into", pulled)
    body = bytearray((pulled / "tokenizer.json").read_bytes())
    body[-1] ^= 1
    (pulled / "tokenizer.json").write_bytes(body)
    assert "tokenizer.json has changed" in desk.refuse("add", pulled)
    assert "tokenizer.json has changed" in desk.refuse("push", pulled, TARGET)
    assert desk.keys() == []
    assert not list(desk.library.glob("*"))


def test_a_model_that_gives_no_finite_vector_is_not_added(desk: Desk) -> None:
    path = desk.origin / "onnx" / "vision_model.onnx"
    model = onnx.load(path)
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "projection")
    weights.CopyFrom(onnx.numpy_helper.from_array(np.full(tuple(weights.dims), np.nan, np.float32), "projection"))
    onnx.save(model, path)
    assert "no direction" in desk.refuse("add", desk.origin)


def test_weights_under_a_name_that_would_not_travel_are_refused(desk: Desk) -> None:
    path = desk.origin / "onnx" / "vision_model.onnx"
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert "vision_model.onnx_data" in desk.refuse("add", desk.origin)
    assert "vision_model.onnx_data" in desk.refuse("push", desk.origin, TARGET)


def test_adding_again_changes_nothing_and_another_bundle_needs_another_name(desk: Desk) -> None:
    desk.run("add", desk.origin)
    desk.run("add", desk.origin)
    other = make_bundle(desk.folder / "other", dimension=48, seed=3)
    assert "--as" in desk.refuse("add", other, "--as", "origin")
    for name in ("../x", ".x", "embedded", "a/b"):
        assert "name" in desk.refuse("add", other, "--as", name)
    assert [path.name for path in desk.library.iterdir()] == ["origin"]


def test_info_says_everything_that_decides_whether_a_model_fits(desk: Desk) -> None:
    desk.run("pull", REPOSITORY)
    printed = desk.run("info", "somebody--tiny-clip")
    bundle = Bundle.open(desk.origin)
    for fact in ("tiny-0", bundle.identity.checksum, "48", "32 x 32", "16", "vision", "text", "bicubic", desk.hub.url):
        assert fact in printed


def test_a_name_that_is_not_known_is_answered_with_those_that_are(desk: Desk) -> None:
    desk.run("add", desk.origin, "--as", "mine")
    said = desk.refuse("info", "yours")
    assert "mine, embedded" in said


def test_an_optimised_bundle_has_the_same_vectors_external_weights_and_says_what_it_was_made_from(desk: Desk) -> None:
    printed = desk.run("optimise", desk.origin, "--into", desk.folder / "fast")
    assert "differ by at most" in printed
    for one, other in zip(vectors(desk.origin), vectors(desk.folder / "fast"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert Bundle.open(desk.folder / "fast").optimized
    assert json.loads((desk.folder / "fast" / "config.json").read_text())["bucketlens"]["optimized"] is True
    assert (desk.folder / "fast" / "onnx" / "vision_model.onnx_data").stat().st_size > 10_000
    facts = Provenance.read(desk.folder / "fast")
    assert facts is not None
    assert facts.source["optimised_from"] == Bundle.open(desk.origin).identity.checksum
    assert "already" in desk.refuse("optimise", desk.folder / "fast")
    assert "--into" in desk.refuse("optimise", desk.origin, "--into", desk.folder / "fast")


def test_a_quantised_bundle_keeps_its_variant_when_it_is_optimised(desk: Desk) -> None:
    for tower in ("vision", "text"):
        graph = desk.origin / "onnx" / f"{tower}_model.onnx"
        quantize_dynamic(graph, graph.with_name(f"{tower}_model_int8.onnx"), weight_type=QuantType.QInt8)
        graph.unlink()
    desk.run("optimise", desk.origin, "--into", desk.folder / "fast")
    assert Bundle.open(desk.folder / "fast").vision.name == "vision_model_int8.onnx"
    for one, other in zip(vectors(desk.origin), vectors(desk.folder / "fast"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_an_optimised_bundle_travels_through_the_bucket(desk: Desk) -> None:
    desk.run("optimise", desk.origin, "--into", desk.folder / "fast")
    desk.run("push", desk.folder / "fast", TARGET)
    fetched = fetch_bundle(desk.store, "models/tiny", desk.folder / "cache")
    for one, other in zip(vectors(desk.folder / "fast"), vectors(fetched), strict=True):
        np.testing.assert_array_equal(one, other)


def test_bench_has_a_row_for_each_bundle_and_precision_and_compares_ingest_with_onnx_runtime(desk: Desk) -> None:
    for tower in ("vision", "text"):
        graph = desk.origin / "onnx" / f"{tower}_model.onnx"
        quantize_dynamic(graph, graph.with_name(f"{tower}_model_int8.onnx"), weight_type=QuantType.QInt8)
    desk.run("optimise", desk.origin, "--into", desk.folder / "fast")
    words = ("--variants", "fp32,int8", "--images", "3", "--megapixels", "0.1")
    printed = desk.run("bench", desk.origin, *words)
    assert [line.split()[3] for line in printed.splitlines() if "tiny-0" in line] == ["fp32", "int8"]
    for column in ("load", "first", "image", "text", "ingest", "alone", "ratio", "filled", "share", "limit"):
        assert column in printed
    assert "optimised" in desk.run("bench", desk.folder / "fast", "--images", "2")


def test_bench_takes_your_own_pictures_and_refuses_a_folder_without_any(desk: Desk) -> None:
    (desk.folder / "pictures" / "inner").mkdir(parents=True)
    (desk.folder / "pictures" / "notes.txt").write_text("no picture")
    assert "no pictures" in desk.refuse("bench", desk.origin, "--pictures", desk.folder / "pictures")
    for name, kind in (("a.jpg", "JPEG"), ("inner/b.webp", "WEBP")):
        (desk.folder / "pictures" / name).write_bytes(encoded(drawing(), kind))
    assert "2 pictures" in desk.run("bench", desk.origin, "--pictures", desk.folder / "pictures")


@pytest.mark.parametrize("size", ["-1", "0", "nan", "1e9", "large"])
def test_pictures_of_no_size_are_not_drawn(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["model", "bench", "--megapixels", size])
    assert ended.value.code == 2
    assert "--megapixels" in capsys.readouterr().err
