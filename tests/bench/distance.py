"""Distance before an S3 endpoint: ``Distance(url)`` in another program, ``python -m tests.bench.distance URL`` by hand.

A proxy that lets every request wait (30 ms), hands each connection's answers on at most so fast (90 MB/s), and counts:
requests by method, bytes of bodies, and dependent rounds. Connections are opened without delay. Each connection of a
client has one of its own to the endpoint. asyncio, in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from urllib.parse import urlsplit

from tests.bench.child import Child
from tests.support.rounds import dependent

LATENCY_S = 0.030
BYTES_PER_S = 90e6

_CHUNK = 128 * 1024
_PATIENCE_S = 0.001
"""Shorter pauses than this are added up: the timer is no finer."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What passed since the last reset: ``requests`` by method, bytes of bodies, rounds that depend on each other."""

    requests: dict[str, int]
    bytes_down: int
    bytes_up: int
    rounds: int

    @property
    def total(self) -> int:
        """Requests of every kind."""
        return sum(self.requests.values())


class Distance(Child):
    """The proxy before ``origin`` in a process of its own; ``url`` is where it listens."""

    def __init__(self, origin: str, latency_s: float = LATENCY_S, bytes_per_s: float = BYTES_PER_S) -> None:
        super().__init__("tests.bench.distance", origin, f"--latency-s={latency_s}", f"--bytes-per-s={bytes_per_s}")

    def read(self) -> Traffic:
        """What passed since the last reset. A request still under way counts as answered now."""
        return Traffic(**self.ask("read"))

    def reset(self) -> Traffic:
        """The same, and begin anew."""
        return Traffic(**self.ask("reset"))


@dataclass(slots=True)
class _Passed:
    method: str
    asked: float
    answered: float | None = None
    down: int = 0
    up: int = 0


@dataclass(slots=True)
class _Proxy:
    host: str
    port: int
    latency_s: float
    bytes_per_s: float
    passed: list[_Passed] = field(default_factory=list)

    async def serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """One connection of a client, until either side closes it."""
        server: asyncio.StreamWriter | None = None
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            source, server = await asyncio.open_connection(self.host, self.port, limit=2 * _CHUNK)
            while True:
                head = await client.readuntil(b"\r\n\r\n")
                one = _Passed(head.partition(b" ")[0].decode(), perf_counter())
                self.passed.append(one)
                if b"\r\nexpect:" in head.lower():
                    answers.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"expect:"))
                one.up = _length(head)
                body = await client.readexactly(one.up)
                await asyncio.sleep(one.asked + self.latency_s - perf_counter())
                server.write(head + body)
                await self._answer(one, source, answers)
        for writer in (server, answers):
            if writer is not None:
                writer.close()

    async def _answer(self, one: _Passed, source: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        head = await source.readuntil(b"\r\n\r\n")
        bodiless = one.method == "HEAD" or head[9:12] in (b"204", b"304")
        left = 0 if bodiless else _length(head)
        one.down += left
        answers.write(head)
        free = perf_counter()
        while left:
            chunk = await source.read(min(left, _CHUNK))
            if not chunk:
                raise ConnectionError
            left -= len(chunk)
            free += len(chunk) / self.bytes_per_s
            if free - perf_counter() > _PATIENCE_S:
                await asyncio.sleep(free - perf_counter())
            answers.write(chunk)
            await answers.drain()
        one.answered = perf_counter()

    def told(self) -> dict[str, object]:
        """``Traffic`` as JSON."""
        now = perf_counter()
        return {
            "requests": dict(Counter(one.method for one in self.passed)),
            "bytes_down": sum(one.down for one in self.passed),
            "bytes_up": sum(one.up for one in self.passed),
            "rounds": dependent((one.asked, one.answered or now) for one in self.passed),
        }


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0


async def _run(proxy: _Proxy) -> None:
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, backlog=256, limit=2 * _CHUNK)
    host, port = server.sockets[0].getsockname()
    print(json.dumps(f"http://{host}:{port}"), flush=True)  # noqa: T201
    words = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    while word := (await words.readline()).strip():
        told = proxy.told()
        if word == b"reset":
            proxy.passed.clear()
        print(json.dumps(told), flush=True)  # noqa: T201
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("origin")
    parser.add_argument("--latency-s", type=float, default=LATENCY_S)
    parser.add_argument("--bytes-per-s", type=float, default=BYTES_PER_S)
    options = parser.parse_args()
    split = urlsplit(options.origin)
    asyncio.run(_run(_Proxy(split.hostname or "", split.port or 80, options.latency_s, options.bytes_per_s)))


if __name__ == "__main__":
    main()
