"""A function under Lambda's own runtime interface emulator: one execution environment, as AWS runs it.

The emulator is the binary that the SAM CLI ships; it starts the runtime client (awslambdaric) in the function's folder,
enforces the timeout and restarts the runtime after one. Memory is not enforced; it takes one event at a time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[2]
BINARY = "samcli/local/rapid/aws-lambda-rie-x86_64"
PATIENCE = 60.0
"""Seconds that starting, ending and answering may take before the test gives up."""


class NoEmulatorError(Exception):
    """The emulator cannot run here; the message says what is missing and how to get it."""


class Emulator:
    """One function, ready for events. Use it as a context manager: every process it starts ends with it."""

    def __init__(self, function: str, environ: Mapping[str, str], *, timeout_s: int = 30) -> None:
        self._folder = ROOT / "functions" / function
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "PYTHONPATH": str(ROOT / "shared"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_LAMBDA_FUNCTION_NAME": function,
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout_s),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local-secret",
            **environ,
        }
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._lines: list[str] = []
        self._port = 0

    def __enter__(self) -> Emulator:
        binary = find_binary()
        self._port, runtime_port = free_ports(2)
        self._process = subprocess.Popen(
            [
                str(binary),
                *("--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"),
                *("--runtime-api-address", f"127.0.0.1:{runtime_port}"),
                *("--log-level", "info"),
                *(sys.executable, "-m", "awslambdaric", "app.handler"),
            ],
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        try:
            self._wait_for_port()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the emulator and the runtime it started. A second stop does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        runtimes = _children(process.pid)
        for pid in (-process.pid, *runtimes):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(PATIENCE)
        if self._reader:
            self._reader.join(PATIENCE)
        if process.stdout:
            process.stdout.close()

    def invoke(self, event: object, timeout: float = PATIENCE) -> Any:
        """The function's answer, parsed; plain text where it is no JSON (``Task timed out after ...``).

        ``timeout`` bounds the wait in seconds, on top of the function's own.
        """
        body = json.dumps(event).encode()
        url = f"http://127.0.0.1:{self._port}/2015-03-31/functions/function/invocations"
        with urlopen(Request(url, data=body), timeout=timeout) as response:
            text = response.read().decode()
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text

    @property
    def log(self) -> str:
        """Everything the function and the emulator have printed so far."""
        return "".join(self._lines)

    @property
    def inits(self) -> int:
        """How often the runtime has been started from scratch."""
        return self.log.count("INIT START(")

    def init_reports(self, expected: int) -> list[float]:
        """Milliseconds of each initialisation; waits (bounded) until there are ``expected`` of them."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = [float(text) for text in re.findall(r"INIT REPORT\(durationMs: ([\d.]+)", self.log)]
            if len(found) >= expected or time.monotonic() > deadline:
                return found
            time.sleep(0.02)

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            self._lines.append(line)

    def _wait_for_port(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise NoEmulatorError(f"the emulator ended while starting:\n{self.log}")
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return
            time.sleep(0.02)
        raise NoEmulatorError(f"the emulator did not open its port in {PATIENCE} seconds:\n{self.log}")


def find_binary() -> Path:
    """The emulator of an installed SAM CLI, or one out of its wheel, in ``build/rie``. Raises NoEmulatorError."""
    if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":
        raise NoEmulatorError("the runtime interface emulator runs on Linux, x86_64")
    cached = ROOT / "build" / "rie" / Path(BINARY).name
    commands = (os.environ.get("SAM"), str(ROOT / ".venv-sam/bin/sam"), shutil.which("sam"))
    for command in filter(None, commands):
        for found in Path(command).resolve().parents[1].glob(f"lib/python*/site-packages/{BINARY}"):
            return _executable(found, cached)
    return cached if cached.exists() else _download(cached)


def free_ports(count: int) -> list[int]:
    """That many ports nobody listens on at this moment, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [held.getsockname()[1] for held in sockets]
    finally:
        for held in sockets:
            held.close()


def _executable(found: Path, cached: Path) -> Path:
    """``found`` itself, or a copy where an installer has dropped the permission to run it."""
    return found if os.access(found, os.X_OK) else _place(found.read_bytes(), cached)


def _download(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [*_pip(), "download", "--quiet", "--no-deps", "--dest", str(target.parent), "aws-sam-cli>=1.170,<2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=5 * PATIENCE, check=False)
    wheels = sorted(target.parent.glob("aws_sam_cli-*.whl"))
    if done.returncode or not wheels:
        raise NoEmulatorError(
            f"no SAM CLI is installed ('make sam' does) and its wheel could not be had: {done.stderr}"
        )
    with zipfile.ZipFile(wheels[-1]) as wheel:
        placed = _place(wheel.read(BINARY), target)
    for path in wheels:
        path.unlink(missing_ok=True)
    return placed


def _pip() -> list[str]:
    probe = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    return [sys.executable if probe.returncode == 0 else "python3", "-m", "pip"]


def _place(body: bytes, target: Path) -> Path:
    """Written beside and renamed, so that tests running at the same time never see half a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}")
    part.write_bytes(body)
    part.chmod(0o755)
    part.replace(target)
    return target


def _children(pid: int) -> list[int]:
    """Processes that ``pid`` has started and not yet buried; each of its threads has a list of its own."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(text) for text in path.read_text().split()]
    return found
