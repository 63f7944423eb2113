"""Where a hub may lead, and what it may say of what it has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.bundle import make_bundle
from tests.support.hub import REPOSITORY, HubServer

from bucketlens.errors import Corrupt, Misconfigured
from bucketlens.model.hub import Hub
from bucketlens.model.provenance import Provenance


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer(make_bundle(tmp_path / "origin")) as running:
        running.moods.page = 2
        yield running


def hub(server: HubServer) -> Hub:
    return Hub(server.url, pause=lambda seconds: None)


@pytest.mark.parametrize("spelling", [f"/api/models/{REPOSITORY}/tree/main?cursor={{cursor}}", "?cursor={cursor}"])
def test_the_next_page_may_be_named_in_relation_to_this_one(server: HubServer, spelling: str) -> None:
    server.moods.following = spelling
    assert {file.path for file in hub(server).files(REPOSITORY)} == set(server.files)


@pytest.mark.parametrize("elsewhere", ["ftp://127.0.0.1/x", "http://[", "data:text/plain,[]"])
def test_a_next_page_away_from_http_is_refused(server: HubServer, elsewhere: str) -> None:
    server.moods.following = elsewhere
    with pytest.raises(Misconfigured, match="leads to"):
        hub(server).files(REPOSITORY)


def test_a_next_page_on_this_machine_s_disk_is_not_opened(server: HubServer, tmp_path: Path) -> None:
    listed = tmp_path / "listing.json"
    listed.write_text('[{"type": "file", "path": "stolen", "size": 1}]', encoding="utf-8")
    server.moods.following = listed.as_uri()
    with pytest.raises(Misconfigured, match="not safe"):
        hub(server).files(REPOSITORY)


def test_a_redirect_to_what_is_no_address_is_refused(server: HubServer, tmp_path: Path) -> None:
    server.moods.redirect = "http://["
    (remote, *_) = hub(server).files(REPOSITORY)
    with pytest.raises(Misconfigured, match="no address"):
        hub(server).download(REPOSITORY, "main", remote, tmp_path / "here", lambda path, size: None)


def test_what_is_nested_too_deeply_is_no_listing_and_no_record(server: HubServer, tmp_path: Path) -> None:
    server.moods.listing = b"[" * 100_000
    with pytest.raises(Misconfigured, match="listing"):
        hub(server).files(REPOSITORY)
    (tmp_path / "bundle.json").write_bytes(server.moods.listing)
    with pytest.raises(Corrupt, match="record"):
        Provenance.read(tmp_path)


def test_an_endpoint_that_cannot_be_taken_apart_is_refused() -> None:
    with pytest.raises(Misconfigured, match="huggingface"):
        Hub("http://[")
