"""Bundles come from a hub whole, checked and resumed, whatever the hub and the connection do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from tests.support.bundle import make_bundle
from tests.support.hub import REPOSITORY, HubServer

from bucketlens.errors import BucketlensError, Corrupt, Misconfigured, NotFound, Retryable
from bucketlens.model.bundle import Bundle
from bucketlens.model.hub import Hub
from bucketlens.model.provenance import Provenance
from bucketlens.model.pull import folder_name, pull

VISION = "onnx/vision_model.onnx"
TEXT = "onnx/text_model.onnx"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer(make_bundle(tmp_path / "origin", dimension=48)) as running:
        yield running


def bring(server: HubServer, into: Path, variant: str = "", repository: str = REPOSITORY) -> Bundle:
    return pull(Hub(server.url, pause=lambda seconds: None), repository, into, variant=variant)


def refused(server: HubServer, into: Path, kind: type[BucketlensError], variant: str = "") -> str:
    with pytest.raises(kind) as caught:
        bring(server, into, variant)
    assert not into.exists()
    return str(caught.value)


def add_variant(server: HubServer, name: str) -> None:
    for tower in ("vision", "text"):
        server.files[f"onnx/{tower}_model_{name}.onnx"] = server.files[f"onnx/{tower}_model.onnx"]


def test_a_bundle_arrives_byte_for_byte_and_says_where_it_is_from(server: HubServer, tmp_path: Path) -> None:
    bundle = bring(server, tmp_path / "here")
    assert {name: (bundle.folder / name).read_bytes() for name in server.files} == server.files
    facts = Provenance.read(bundle.folder)
    assert facts is not None
    assert facts.source == {"hub": server.url, "repository": REPOSITORY, "revision": "main"}
    assert set(facts.files) == set(server.files)
    assert bundle.identity == Bundle.open(tmp_path / "origin").identity
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "origin"]


def test_only_the_files_of_the_variant_are_downloaded(server: HubServer, tmp_path: Path) -> None:
    add_variant(server, "int8")
    add_variant(server, "quantized")
    server.files |= {"README.md": b"hello", "model.safetensors": b"large", "onnx/model.onnx": b"both towers"}
    bundle = bring(server, tmp_path / "here", "int8")
    assert bundle.vision.name == "vision_model_int8.onnx"
    assert {path for path, _, _ in server.asked} == {
        "config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "onnx/vision_model_int8.onnx",
        "onnx/text_model_int8.onnx",
    }


def test_a_variant_has_the_names_of_transformers_js_too(server: HubServer, tmp_path: Path) -> None:
    add_variant(server, "quantized")
    assert bring(server, tmp_path / "q8", "q8").vision.name == "vision_model_quantized.onnx"
    assert bring(server, tmp_path / "fp32", "fp32").vision.name == "vision_model.onnx"


def test_external_data_comes_with_its_graph(server: HubServer, tmp_path: Path) -> None:
    origin = tmp_path / "origin" / "onnx"
    model = onnx.load(origin / "vision_model.onnx")
    onnx.save(
        model, origin / "vision_model.onnx", save_as_external_data=True, location="vision_model.onnx_data",
        size_threshold=0,
    )  # fmt: skip
    server.files |= {f"onnx/{path.name}": path.read_bytes() for path in origin.iterdir()}
    bundle = bring(server, tmp_path / "here")
    assert (bundle.folder / "onnx" / "vision_model.onnx_data").stat().st_size > 1000


def test_a_broken_connection_is_resumed_where_it_broke(server: HubServer, tmp_path: Path) -> None:
    server.moods.break_after, server.moods.breaks = 20_000, 2
    bring(server, tmp_path / "here")
    assert server.sent[VISION] == len(server.files[VISION])
    ranges = [(wanted, condition) for path, wanted, condition in server.asked if path == VISION]
    assert [wanted for wanted, _ in ranges] == ["", "bytes=20000-"]
    assert ranges[1][1].startswith('"')


def test_a_pull_that_was_cut_off_is_finished_by_the_next_one(server: HubServer, tmp_path: Path) -> None:
    whole = len(server.files[VISION])
    server.moods.break_after = 3_000
    server.moods.breaks = 1_000_000

    class Cut(Exception):
        pass

    def cut(path: str, size: int) -> None:
        if path == VISION and size >= 9_000:
            raise Cut

    with pytest.raises(Cut):
        pull(Hub(server.url, pause=lambda seconds: None), REPOSITORY, tmp_path / "here", tell=cut)
    assert not (tmp_path / "here").exists()
    with pytest.raises(Misconfigured):
        Bundle.open(tmp_path / "here")
    first = server.sent[VISION]
    assert 9_000 <= first < whole
    server.moods.break_after = None
    bring(server, tmp_path / "here")
    assert server.sent[VISION] <= whole + 3_000
    assert (tmp_path / "here" / VISION).read_bytes() == server.files[VISION]


def test_a_hub_that_always_breaks_off_at_once_is_an_error_that_says_to_run_again(
    server: HubServer, tmp_path: Path
) -> None:
    server.moods.break_after = 0
    said = refused(server, tmp_path / "here", Retryable)
    assert "0 of" in said
    assert "again" in said
    assert len(server.asked) <= 5


def test_a_hub_that_knows_no_ranges_is_asked_for_the_whole_again(server: HubServer, tmp_path: Path) -> None:
    server.moods.ignore_range = True
    server.moods.break_after, server.moods.breaks = 20_000, 1
    bring(server, tmp_path / "here")
    assert server.sent[VISION] == 20_000 + len(server.files[VISION])


def test_a_file_that_changed_since_is_not_patched_together(server: HubServer, tmp_path: Path) -> None:
    server.moods.bare = True
    server.moods.break_after = 20_000
    server.moods.breaks = 1

    def change(path: str, size: int) -> None:
        if path == VISION and size == 20_000:
            server.files[VISION] = (tmp_path / "other" / VISION).read_bytes()

    make_bundle(tmp_path / "other", dimension=48, seed=5)
    assert len((tmp_path / "other" / VISION).read_bytes()) == len(server.files[VISION])
    pull(Hub(server.url, pause=lambda seconds: None), REPOSITORY, tmp_path / "here", tell=change)
    assert (tmp_path / "here" / VISION).read_bytes() == (tmp_path / "other" / VISION).read_bytes()


def test_without_an_etag_and_a_checksum_nothing_is_resumed(server: HubServer, tmp_path: Path) -> None:
    server.moods.bare, server.moods.etags = True, False
    server.moods.break_after, server.moods.breaks = 20_000, 2
    bring(server, tmp_path / "here")
    assert {wanted for _, wanted, _ in server.asked} == {""}


def test_what_has_another_checksum_than_announced_is_thrown_away(server: HubServer, tmp_path: Path) -> None:
    server.moods.wrong_sha256 = VISION
    said = refused(server, tmp_path / "here", Corrupt)
    assert "vision_model.onnx" in said
    assert not [path for path in tmp_path.rglob("vision_model.onnx*") if "origin" not in path.parts]
    server.moods.wrong_sha256 = ""
    bring(server, tmp_path / "here")


@pytest.mark.parametrize("change", [b"", b"longer"])
def test_without_a_checksum_the_size_must_be_as_announced(server: HubServer, tmp_path: Path, change: bytes) -> None:
    true = server.files["tokenizer.json"]
    server.moods.more = [{"type": "file", "path": "tokenizer.json", "size": len(true) + 6 - 2 * len(change)}]
    refused(server, tmp_path / "here", Retryable if not change else Corrupt)


def test_redirects_are_followed_with_the_range(server: HubServer, tmp_path: Path) -> None:
    server.moods.redirect = "/elsewhere"
    server.moods.break_after, server.moods.breaks = 20_000, 1
    bring(server, tmp_path / "here")
    assert sum(server.sent[path] for path in (VISION, TEXT)) == len(server.files[VISION]) + len(server.files[TEXT])
    assert any(wanted == "bytes=20000-" for _, wanted, _ in server.asked)


def test_redirects_away_from_http_are_refused(server: HubServer, tmp_path: Path) -> None:
    server.moods.redirect = "ftp://127.0.0.1"
    assert "ftp://" in refused(server, tmp_path / "here", Misconfigured)


def test_a_busy_hub_is_asked_again(server: HubServer, tmp_path: Path) -> None:
    server.moods.busy = 3
    bring(server, tmp_path / "here")


def test_a_listing_in_pages_is_read_to_its_end(server: HubServer, tmp_path: Path) -> None:
    server.moods.page = 2
    bring(server, tmp_path / "here")


@pytest.mark.parametrize("status", [401, 403])
def test_a_repository_behind_a_login_is_named_with_a_way_round(server: HubServer, tmp_path: Path, status: int) -> None:
    server.moods.status = status
    said = refused(server, tmp_path / "here", Misconfigured)
    assert str(status) in said
    assert REPOSITORY in said
    assert "model add" in said


def test_a_repository_that_is_not_there_is_named_with_what_to_check(server: HubServer, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"nobody/nothing.*RepoNotFound.*--revision"):
        bring(server, tmp_path / "here", repository="nobody/nothing")


def test_a_repository_that_is_no_bundle_says_what_is_missing_and_what_there_is(
    server: HubServer, tmp_path: Path
) -> None:
    server.files = {"config.json": b"{}", "pytorch_model.bin": b"x", "tokenizer.json": b"{}"}
    said = refused(server, tmp_path / "here", NotFound)
    for name in ("preprocessor_config.json", VISION, TEXT, "pytorch_model.bin"):
        assert name in said
    assert not server.asked


def test_a_variant_that_is_not_there_names_those_that_are(server: HubServer, tmp_path: Path) -> None:
    add_variant(server, "int8")
    said = refused(server, tmp_path / "here", NotFound, "q4")
    assert "lacks onnx/vision_model_q4.onnx, onnx/text_model_q4.onnx" in said
    assert "no --variant, --variant int8" in said


@pytest.mark.parametrize(
    "path", ["../evil", "/etc/passwd", "onnx/../../evil", "a//b", "a\\..\\b", "./config.json", "", "/"]
)
def test_a_path_that_leaves_the_folder_is_refused_before_anything_is_downloaded(
    server: HubServer, tmp_path: Path, path: str
) -> None:
    server.moods.more = [{"type": "file", "path": path, "size": 4}]
    assert "outside" in refused(server, tmp_path / "here", Misconfigured)
    assert not server.asked


@pytest.mark.parametrize("name", ["../x", "a/b/c", "a/..", "", "https://x/y", "a b/c"])
def test_what_is_no_name_of_a_repository_is_not_asked_for(server: HubServer, tmp_path: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match="owner/name"):
        bring(server, tmp_path / "here", repository=name)


@pytest.mark.parametrize("endpoint", ["file:///etc", "ftp://x", "huggingface.co", ""])
def test_an_endpoint_that_is_no_web_address_is_refused(endpoint: str) -> None:
    with pytest.raises(Misconfigured, match="huggingface"):
        Hub(endpoint)


def test_a_model_that_cannot_run_never_takes_its_place(server: HubServer, tmp_path: Path) -> None:
    server.files[TEXT] = server.files[VISION]
    refused(server, tmp_path / "here", Misconfigured)


def test_a_second_pull_checks_what_is_there_and_downloads_nothing(server: HubServer, tmp_path: Path) -> None:
    bring(server, tmp_path / "here")
    server.forget()
    bring(server, tmp_path / "here")
    assert not server.asked
    (tmp_path / "here" / "tokenizer.json").write_bytes(b"{}")
    with pytest.raises(Corrupt, match=r"tokenizer\.json has changed"):
        bring(server, tmp_path / "here")


def test_a_folder_that_holds_something_else_is_left_alone(server: HubServer, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(Misconfigured, match="--into"):
        bring(server, tmp_path / "here")
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["mine.txt"]
    assert not server.asked


def test_a_model_without_a_name_is_called_after_its_repository_wherever_it_lies(
    server: HubServer, tmp_path: Path
) -> None:
    config = json.loads(server.files["config.json"])
    del config["bucketlens"]
    server.files["config.json"] = json.dumps(config).encode()
    first, second = bring(server, tmp_path / "here"), bring(server, tmp_path / "there")
    assert first.identity.id == REPOSITORY
    assert first.identity == second.identity


def test_pulled_bundles_have_one_name_for_each_variant() -> None:
    assert folder_name("a/b", "") == "a--b"
    assert folder_name("a/b", "int8") == "a--b--int8"
