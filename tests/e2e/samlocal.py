"""`sam local` on a real container engine: what it needs, one invocation, a running API. No container is left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from tests.functions.rie import free_ports
from tests.template.build import sam
from tests.template.template import ROOT

IMAGE = "public.ecr.aws/lambda/python:3.13-x86_64"
PATIENCE = 240.0
"""Seconds that building an image, starting and answering may take before the test gives up."""

COMPLETE = 'import ctypes; ctypes.CDLL("libmvec.so.1")'


def require_engine() -> None:
    """Skips the test where no container engine answers or it lacks Lambda's base image."""
    if _docker("version").returncode:
        pytest.skip("no container engine answers: start Docker")
    if _docker("image", "inspect", IMAGE).returncode:
        pytest.skip(f"the engine has no {IMAGE}: docker pull it")
    if _docker("run", "--rm", "--entrypoint", "/var/lang/bin/python3.13", IMAGE, "-c", COMPLETE).returncode:
        pytest.skip(f"{IMAGE} lacks libmvec, which Amazon's own has: run .ci/complete-image")


def invoke(function: str, event: Path, variables: Path) -> Any:
    """What the function answers to the event in this file."""
    with _running([*_command("invoke", variables), function, "--event", str(event)]) as running:
        code = running.process.wait(PATIENCE)
        running.join()
    assert code == 0, running.said
    return json.loads("".join(running.printed))


@contextmanager
def start_api(variables: Path) -> Iterator[tuple[str, list[str]]]:
    """The HTTP API with warm containers: its address, and the lines it prints."""
    (port,) = free_ports(1)
    options = ["--port", str(port), "--warm-containers", "EAGER"]
    with _running([*_command("start-api", variables), *options]) as running:
        _wait_until_it_answers(f"http://127.0.0.1:{port}/health", running)
        yield f"http://127.0.0.1:{port}", running.logged


def variables(folder: Path, **values: str) -> Path:
    """A file that gives every function these environment variables."""
    path = folder / "variables.json"
    path.write_text(json.dumps({"Parameters": values}))
    return path


def _command(verb: str, variables: Path) -> list[str]:
    options = ["--skip-pull-image", "--env-vars", str(variables), "--add-host", "s3host:host-gateway"]
    return [str(sam()), "local", verb, "--region", "us-east-1", *options]


@dataclass
class _Running:
    """A process of SAM, what it prints (the answer of a function) and what it logs besides."""

    process: subprocess.Popen[str]
    printed: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        streams = ((self.process.stdout, self.printed), (self.process.stderr, self.logged))
        self.readers = [Thread(target=lines.extend, args=(stream,), daemon=True) for stream, lines in streams if stream]
        for reader in self.readers:
            reader.start()

    def join(self) -> None:
        """Wait until everything it wrote has been read."""
        for reader in self.readers:
            reader.join(PATIENCE)

    @property
    def said(self) -> str:
        """Everything so far, for a person to read."""
        return "".join([*self.logged, *self.printed])


@contextmanager
def _running(command: list[str]) -> Iterator[_Running]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environ |= {"SAM_CLI_TELEMETRY": "0", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local-secret"}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        running = _Running(process)
        try:
            yield running
        finally:
            _stop(running)


def _stop(running: _Running) -> None:
    """An interrupt lets SAM remove its containers; what is left after that is removed by name."""
    process = running.process
    if process.poll() is None:
        os.kill(process.pid, signal.SIGINT)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)
    running.join()
    containers = re.findall(r"SAM_CONTAINER_ID: (\w+)", running.said)
    if containers:
        _docker("rm", "--force", *containers)


def _wait_until_it_answers(url: str, running: _Running) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and running.process.poll() is None:
        with suppress(URLError, TimeoutError, ConnectionError), urlopen(url, timeout=60):
            return
        time.sleep(0.2)
    raise AssertionError(f"no answer from {url}:\n{running.said}")


def _docker(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["docker", *arguments], capture_output=True, timeout=PATIENCE, check=False)
    except FileNotFoundError:
        pytest.skip("no container engine: install Docker")
