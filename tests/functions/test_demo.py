"""The demo on a person's own folder, as the command runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.bundle import make_bundle

from bucketlens.local.drawings import collection, encode


def demo(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bucketlens", "demo", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, timeout=240, check=False
    )


def test_a_folder_is_indexed_searched_and_shown_with_the_model_that_was_chosen(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    (folder / "sub folder").mkdir(parents=True)
    for drawing in collection(6, seed=3):
        (folder / "sub folder" / drawing.name).write_bytes(encode(drawing))
    (folder / "broken.jpg").write_bytes(b"no image")
    sheet = tmp_path / "out" / "sheet.png"
    model = make_bundle(tmp_path / "model")
    done = demo("--images", str(folder), "--sheet", str(sheet), "--query", "red", MODEL_URI=str(model))
    assert done.returncode == 0, done.stderr
    assert "6 images searchable" in done.stdout
    assert "rejected: images/broken.jpg" in done.stdout
    assert "Deleted images/sub folder/" in done.stdout
    assert "gone from the answers" in done.stdout
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_an_empty_folder_is_refused_with_what_is_known(tmp_path: Path) -> None:
    done = demo("--images", str(tmp_path))
    assert done.returncode == 1
    assert ".jpg" in done.stderr
