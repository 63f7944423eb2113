"""``bucketlens dev`` as a process, seen as its users see it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3  # noqa: TID251
import numpy as np
from PIL import Image, ImageDraw  # noqa: TID251

ROOT = Path(__file__).parents[2]


PATIENCE_S = 120.0
"""Seconds to wait for what must happen; nothing depends on how long it takes."""


class Product:
    """A running ``bucketlens dev`` as its users see it."""

    def __init__(self, process: subprocess.Popen[str], line: str) -> None:
        self.process = process
        self.where: dict[str, str] = json.loads(line)
        self.api, self.bucket = self.where["api"], self.where["bucket"]
        self.base = f"/collections/{self.where['collection']}"
        self.s3 = boto3.session.Session("any", "any").client(
            "s3", endpoint_url=self.where["s3"], region_name="us-east-1"
        )

    def ask(self, path: str, body: object = None, method: str | None = None) -> Any:
        """The JSON answer; an error status raises HTTPError."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        kind = "image/png" if isinstance(body, bytes) else "application/json"
        request = urllib.request.Request(self.api + path, data, {"content-type": kind}, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return json.load(response)

    def search(self, **body: object) -> Any:
        return self.ask(f"{self.base}/search", {"consistency": "strong", **body})

    def keys(self, **body: object) -> list[str]:
        return [hit["key"] for hit in self.search(**body)["hits"]]

    def put(self, key: str, body: bytes, **options: object) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **options)

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=key)

    def settle(self) -> None:
        """Wait until every event was delivered."""
        give_up = time.monotonic() + PATIENCE_S
        while self.ask("/dev/events")["pending"]:
            assert time.monotonic() < give_up, "events are still pending"
            time.sleep(0.02)
        assert self.ask("/dev/events")["dead_letters"] == []

    def describe(self) -> Any:
        return self.ask(self.base)


@contextmanager
def running(bundle: Path, *flags: str) -> Iterator[Product]:
    """``python -m bucketlens dev`` until the block ends; ends politely."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "shared"), "MODEL_URI": str(bundle)}
    command = [sys.executable, "-m", "bucketlens", "dev", "--port", "0", "--json", "--compact-every", "0", *flags]
    with subprocess.Popen(
        command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            yield Product(process, line)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def picture(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((48, 48), Image.Resampling.NEAREST)
    left, top = rng.integers(0, 24, 2).tolist()
    ImageDraw.Draw(image).ellipse((left, top, left + 20, top + 20), fill=tuple(rng.integers(0, 256, 3).tolist()))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
