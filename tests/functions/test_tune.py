"""``bucketlens tune`` against a running product: better answers, no interruption, nothing embedded again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from tests.support.bundle import make_bundle
from tests.support.pictures import encoded

from bucketlens.local.dev import BUCKET, Dev, DevOptions
from bucketlens.local.s3server import S3Server
from bucketlens.model.bundle import Bundle
from bucketlens.store.s3 import S3Store, connect
from bucketlens.table.commit import commit
from bucketlens.table.generation import Begin

Image = pytest.importorskip("PIL.Image")


def labelled_picture(label: int, seed: int) -> bytes:
    """A faint mark in the label's place, under noise of no meaning."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (8, 8, 3))
    cells[0, 2 * label : 2 * label + 2] = 230
    pixels = cells.repeat(4, axis=0).repeat(4, axis=1)
    return encoded(Image.fromarray(pixels.astype(np.uint8)), "PNG")


def said(seed: int) -> dict[str, str]:
    """The kind shows in the picture, the lot does not."""
    return {"kind": f"k{seed % 4}", "lot": f"l{seed // 4 % 4}"}


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> object:
    """160 images of four labels, compacted."""
    model = make_bundle(tmp_path_factory.mktemp("model") / "tiny")
    with Dev(DevOptions(compact_every_s=0, environ={"MODEL_URI": str(model)})) as running:
        client = connect(running.s3.url, credentials=S3Server.credentials)
        for seed in range(160):
            body = labelled_picture(seed % 4, seed)
            client.put_object(Bucket=BUCKET, Key=f"images/{seed}.png", Body=body, Metadata=said(seed))
        assert running.feeder.drain(60)
        running.compact()
        yield running, model


def tune(dev: Dev, model: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {
        **os.environ,
        "BUCKET": BUCKET,
        "AWS_ENDPOINT_URL": dev.s3.url,
        "MODEL_URI": str(model),
        **dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), S3Server.credentials, strict=True)),
        "CACHE_DIR": str(model.parent / "cache"),
    }
    command = [sys.executable, "-m", "bucketlens", "tune", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)


def precision(dev: Dev) -> float:
    """Share of the nine nearest others with the same label, over every tenth image."""
    shares = []
    for seed in range(0, 160, 10):
        url = f"{dev.api.url}/collections/default/search?key=images/{seed}.png&k=10&consistency=strong"
        with urllib.request.urlopen(url) as response:
            hits = json.load(response)["hits"]
        shares.append(
            np.mean([hit["metadata"]["kind"] == f"k{seed % 4}" for hit in hits if hit["key"] != f"images/{seed}.png"])
        )
    return float(np.mean(shares))


def test_labels_that_teach_nothing_are_refused_and_change_nothing(dev: tuple[Dev, Path], tmp_path: Path) -> None:
    running, model = dev
    done = tune(running, model, "--labels", "format", "--into", str(tmp_path / "new"))
    assert done.returncode == 1
    assert "labels" in done.stderr
    assert not (tmp_path / "new").exists()


def test_labels_that_do_not_show_are_refused_in_words(dev: tuple[Dev, Path], tmp_path: Path) -> None:
    running, model = dev
    done = tune(running, model, "--labels", "lot", "--into", str(tmp_path / "new"))
    assert done.returncode == 1, done.stdout
    assert re.search(r"give or take 0\.\d+\. Refused: .*\nNothing was written\.", done.stdout)
    assert not (tmp_path / "new").exists()


def test_a_dry_run_says_what_would_be_gained_and_writes_nothing(dev: tuple[Dev, Path], tmp_path: Path) -> None:
    running, model = dev
    done = tune(running, model, "--labels", "kind", "--into", str(tmp_path / "new"), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"Average precision on 160 images, .* before, .* after: \+0\.\d+, give or take 0\.\d+\.", done.stdout
    )
    assert not (tmp_path / "new").exists()


def test_pairs_teach_as_labels_do_and_a_bad_line_is_named(dev: tuple[Dev, Path], tmp_path: Path) -> None:
    running, model = dev
    four = [range(16 * block + kind, 16 * block + 16, 4) for block in range(10) for kind in range(4)]
    same = [(one, other, "same") for group in four for one, other in combinations(group, 2)]
    different = [(seed, seed + step, "different") for step in range(1, 40) if step % 4 for seed in range(160 - step)]
    lines = [f"images/{one}.png,images/{other}.png,{kind}" for one, other, kind in (*same, *different)]
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("\n".join([*lines, "", "images/0.png,images/gone.png,same"]), encoding="utf-8")
    done = tune(running, model, "--pairs", str(pairs), "--into", str(tmp_path / "new"), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "1 pairs name a key that is no image" in done.stdout
    before, after = (float(number) for number in re.findall(r"([\d.]+) (?:before|after)", done.stdout))
    assert after > before
    pairs.write_text("images/0.png,images/4.png,same\nimages/0.png,images/1.png,other\n", encoding="utf-8")
    refused = tune(running, model, "--pairs", str(pairs), "--into", str(tmp_path / "new"))
    assert refused.returncode == 1
    assert "line 2" in refused.stderr
    assert not (tmp_path / "new").exists()


def test_an_unfinished_change_is_abandoned_by_a_command(dev: tuple[Dev, Path], tmp_path: Path) -> None:
    running, model = dev
    assert "Nothing to abandon" in tune(running, model, "--abandon").stdout
    store = S3Store(BUCKET, connect(running.s3.url, credentials=S3Server.credentials))
    commit(store, "default", Begin("0" * 12, "gone"))
    refused = tune(running, model, "--labels", "kind", "--into", str(tmp_path / "new"))
    assert refused.returncode == 1
    assert "--abandon" in refused.stderr
    done = tune(running, model, "--abandon")
    assert (done.returncode, "keeps its model" in done.stdout) == (0, True)
    assert "Nothing to abandon" in tune(running, model, "--abandon").stdout


def test_tuning_improves_the_answers_of_functions_that_still_run_the_earlier_model(
    dev: tuple[Dev, Path], tmp_path: Path
) -> None:
    running, model = dev
    before = precision(running)
    done = tune(running, model, "--labels", "kind", "--into", str(tmp_path / "new"))
    assert done.returncode == 0, done.stderr
    assert precision(running) > before + 0.1
    with urllib.request.urlopen(f"{running.api.url}/collections/default") as response:
        described = json.load(response)
    assert described["model"]["id"] == "tiny-0+kind"
    assert described["model"]["checksum"] == Bundle.open(tmp_path / "new").identity.checksum

    client = connect(running.s3.url, credentials=S3Server.credentials)
    client.put_object(Bucket=BUCKET, Key="images/later.png", Body=labelled_picture(1, 900))
    assert running.feeder.drain(60)
    url = f"{running.api.url}/collections/default/search/image?k=1&consistency=strong"
    request = urllib.request.Request(url, labelled_picture(1, 900), {"content-type": "image/png"})
    with urllib.request.urlopen(request) as response:
        hit = json.load(response)["hits"][0]
    assert hit["key"] == "images/later.png"
    assert hit["score"] > 0.99

    again = tune(running, model, "--into", str(tmp_path / "new"), "--resume")
    assert again.returncode == 0, again.stderr
    assert "0 shards projected" in again.stdout
