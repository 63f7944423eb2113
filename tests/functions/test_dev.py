"""``bucketlens dev`` from outside: a process, plain boto3, plain HTTP, and nothing of this package."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import boto3  # noqa: TID251
import numpy as np
import pytest
from tests.support.bundle import make_bundle
from tests.support.product import PATIENCE_S, ROOT, Product, picture, running

COUNT = 60


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def product(bundle: Path) -> Iterator[Product]:
    with running(bundle) as found:
        yield found


@pytest.fixture(scope="module")
def pictures() -> dict[str, bytes]:
    """Pictures by key, no two alike: noise in four by four cells, and a shape."""
    return {f"images/set {n % 7}/{n:02}+é.png": picture(n) for n in range(COUNT)}


@pytest.fixture(scope="module")
def filled(product: Product, pictures: dict[str, bytes]) -> Product:
    for key, body in pictures.items():
        product.put(key, body, ContentType="image/png", Metadata={"number": str(int(key[-8:-6], 10))})
    product.settle()
    return product


def test_every_upload_is_listed_and_finds_itself_first_by_key(filled: Product, pictures: dict[str, bytes]) -> None:
    assert filled.describe()["rows"] == COUNT
    for key in pictures:
        first = filled.search(key=key, k=1)["hits"][0]
        assert first["key"] == key
        assert first["score"] > 0.99


def test_an_upload_is_found_by_its_own_picture_as_a_body_and_in_json(
    filled: Product, pictures: dict[str, bytes]
) -> None:
    for key, body in list(pictures.items())[::6]:
        by_body = filled.ask(f"{filled.base}/search/image?k=3&consistency=strong", body)["hits"]
        by_json = filled.search(image=base64.b64encode(body).decode(), k=3)["hits"]
        assert [(hit["key"], hit["score"]) for hit in by_body] == [(hit["key"], hit["score"]) for hit in by_json]
        assert by_body[0]["key"] == key
        assert by_body[0]["score"] > 0.99


def test_a_hit_brings_its_facts_and_a_link_that_downloads_the_picture(
    filled: Product, pictures: dict[str, bytes]
) -> None:
    key = next(iter(pictures))
    hit = filled.search(key=key, k=1)["hits"][0]
    with urllib.request.urlopen(hit["url"]) as response:
        assert response.read() == pictures[key]
    facts = hit["metadata"]
    assert (facts["width"], facts["format"], facts["number"]) == (48, "png", 0)
    image = filled.ask(f"{filled.base}/images/{quote(key)}?consistency=strong")
    assert (image["key"], image["status"], image["metadata"]) == (key, "indexed", facts)


def test_the_number_of_hits_the_fields_and_the_filter_are_kept_in_both_spellings(filled: Product) -> None:
    everything = filled.keys(text="red", k=1000)
    assert len(everything) == COUNT
    assert filled.keys(text="red", k=7) == everything[:7]
    condition = {"number": {"$lt": 5}, "folder": {"$ne": "images/set 0"}}
    posted = filled.search(text="red", filter=condition, fields=["number"], k=50)["hits"]
    asked = {"q": "red", "filter": json.dumps(condition), "fields": "number", "k": 50, "consistency": "strong"}
    got = filled.ask(f"{filled.base}/search?{urlencode(asked)}")["hits"]
    assert sorted(hit["metadata"]["number"] for hit in posted) == [1, 2, 3, 4]
    assert [hit["metadata"] for hit in got] == [hit["metadata"] for hit in posted]
    best = filled.search(text="red", k=5)["hits"]
    cut = filled.search(text="red", k=5, min_score=best[2]["score"])["hits"]
    assert [hit["key"] for hit in cut] == [hit["key"] for hit in best[:3]]


def test_compaction_changes_the_files_and_no_answer(filled: Product, pictures: dict[str, bytes]) -> None:
    keys = list(pictures)[::10]
    before, answers = filled.describe(), [filled.search(key=key, k=COUNT)["hits"] for key in keys]
    assert before["log_segments"] > 0
    report = filled.ask("/dev/compact", method="POST")["collections"][0]
    after = filled.describe()
    assert (after["log_segments"], after["shards"], after["rows"]) == (0, before["shards"] + 1, before["rows"])
    assert report["rows_written"] == sum(shard["rows"] for shard in after["shard_rows"]) == COUNT
    for key, hits in zip(keys, answers, strict=True):
        again = filled.search(key=key, k=COUNT)["hits"]
        assert [hit["key"] for hit in again] == [hit["key"] for hit in hits]
        assert [hit["metadata"] for hit in again] == [hit["metadata"] for hit in hits]
        assert np.allclose([hit["score"] for hit in again], [hit["score"] for hit in hits], atol=1e-6)


def test_an_overwrite_and_a_deletion_are_seen_by_the_next_strong_query(product: Product) -> None:
    product.put("images/x/kept.png", picture(1001))
    product.put("images/x/gone.png", picture(1002))
    product.settle()
    product.put("images/x/kept.png", picture(1003))
    product.delete("images/x/gone.png")
    product.settle()
    like_new = product.ask(f"{product.base}/search/image?k=1&consistency=strong", picture(1003))["hits"][0]
    assert like_new["key"] == "images/x/kept.png"
    assert like_new["score"] > 0.99
    assert "images/x/gone.png" not in product.keys(text="red", k=1000)
    with pytest.raises(urllib.error.HTTPError) as caught:
        product.search(key="images/x/gone.png")
    assert caught.value.code == 404
    product.delete("images/x/kept.png")
    product.settle()


def test_what_is_no_image_is_listed_with_the_reason(product: Product) -> None:
    product.put("images/y/notes.jpg", b"These are notes, not a picture.")
    product.put("images/y/empty.png", b"")
    product.settle()
    rejected = {one["key"]: one for one in product.describe()["rejected"]}
    assert rejected["images/y/notes.jpg"]["code"] == "not_an_image"
    assert "not an image" in rejected["images/y/notes.jpg"]["reason"]
    assert rejected["images/y/empty.png"]["code"] == "empty"
    assert not {"images/y/notes.jpg", "images/y/empty.png"} & set(product.keys(text="red", k=1000))
    image = product.ask(f"{product.base}/images/images/y/notes.jpg?consistency=strong")
    assert (image["status"], image["rejection"]["code"]) == ("rejected", "not_an_image")
    for key in rejected:
        product.delete(key)
    product.settle()
    assert product.describe()["rejected"] == []


def test_a_body_that_lambda_would_not_take_is_refused_and_the_next_request_is_answered(product: Product) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        product.ask(f"{product.base}/search/image", bytes(8 * 2**20))
    assert caught.value.code == 413
    assert product.ask("/health")["status"] == "ok"


def test_requests_from_many_clients_at_once_are_all_answered(filled: Product, pictures: dict[str, bytes]) -> None:
    wrong: list[str] = []

    def ask(number: int) -> None:
        key = list(pictures)[number]
        hits = filled.search(key=key, k=1)["hits"] if number % 2 else filled.search(text="blue", k=5)["hits"]
        if len(hits) != (1 if number % 2 else 5):
            wrong.append(key)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not wrong


def test_duplicated_delayed_and_reordered_events_end_in_the_same_state(bundle: Path) -> None:
    rng = random.Random(5)
    truth: dict[str, bytes] = {}
    with running(bundle, "--duplicate", "0.5", "--reorder", "--delay", "0.2", "--seed", "7") as product:
        for _ in range(80):
            key = f"images/{rng.randrange(15)}.png"
            if rng.random() < 0.3:
                product.delete(key)
                truth.pop(key, None)
            else:
                truth[key] = picture(rng.randrange(500))
                product.put(key, truth[key])
            if rng.random() < 0.05:
                product.ask("/dev/compact", method="POST")
        product.settle()
        assert sorted(product.keys(text="red", k=1000)) == sorted(truth)
        for key, body in truth.items():
            found = product.ask(f"{product.base}/search/image?k=15&consistency=strong", body)["hits"]
            assert found[0]["score"] > 0.99
            assert key in {hit["key"] for hit in found if hit["score"] > 0.99}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_one_line_said_and_both_ports_free(bundle: Path, number: signal.Signals) -> None:
    with running(bundle) as product:
        product.put("images/a.png", picture(1))
        product.search(text="red")
        product.process.send_signal(number)
        rest, errors = product.process.communicate(timeout=60)
        assert (product.process.returncode, rest, errors) == (0, "", "")
        for name in ("api", "s3"):
            port = urlsplit(product.where[name]).port
            with socket.create_server(("127.0.0.1", port or 0)):
                pass


def test_a_port_that_is_taken_is_named_with_the_way_out(bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = command("dev", "--port", port, "--json", MODEL_URI=str(bundle))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert port in ended.stderr
    assert "another port" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_bad_setting_of_the_environment_is_named(bundle: Path) -> None:
    ended = command("dev", "--port", "0", "--json", MODEL_URI=str(bundle), THREADS="many", OBJECT_TAGS="perhaps")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "THREADS" in ended.stderr
    assert "OBJECT_TAGS" in ended.stderr


@pytest.mark.parametrize(
    "flags", [("--duplicate", "2"), ("--delay", "-1"), ("--port", "70000"), ("--compact-every", "nan")]
)
def test_a_flag_out_of_range_is_refused(flags: tuple[str, str]) -> None:
    ended = command("dev", *flags)
    assert ended.returncode == 2
    assert flags[0] in ended.stderr


def command(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "shared"), **settings}
    return subprocess.run(
        [sys.executable, "-m", "bucketlens", *words],
        env=environ, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def test_collections_of_the_settings_are_fed_by_their_own_prefixes_and_no_thread_outlives_the_server(
    bundle: Path,
) -> None:
    from bucketlens.local.dev import Dev, DevOptions

    before = set(threading.enumerate())
    settings = {"MODEL_URI": str(bundle), "COLLECTIONS": "images/=default,products/=shop"}
    with Dev(DevOptions(compact_every_s=0.05, environ=settings)) as dev:
        where = dev.describe()
        s3 = boto3.session.Session("any", "any").client("s3", endpoint_url=where["s3"], region_name="us-east-1")
        s3.put_object(Bucket=where["bucket"], Key="products/a.png", Body=picture(1))
        assert dev.feeder.drain(PATIENCE_S)
        with urllib.request.urlopen(f"{where['api']}/collections/shop/search?q=red&consistency=strong") as response:
            assert [hit["key"] for hit in json.load(response)["hits"]] == ["products/a.png"]
        with urllib.request.urlopen(f"{where['api']}/collections/default") as response:
            assert json.load(response)["rows"] == 0
    give_up = time.monotonic() + 10
    while time.monotonic() < give_up and (left := set(threading.enumerate()) - before):
        time.sleep(0.02)
    assert not left
