"""The bench's S3 from a folder and the distance in front of it do what the figures rest on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

import pyarrow.fs as arrow_fs  # noqa: TID251
import pytest
from tests.bench.distance import Distance, Traffic
from tests.bench.origin import Origin
from tests.support.rounds import dependent

from bucketlens.errors import Conflict, Exists, NotFound, Rejected, Retryable
from bucketlens.store.protocol import ByteRange
from bucketlens.store.s3 import S3Store, connect

BODY = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    folder = tmp_path_factory.mktemp("origin")
    (folder / "bucket").mkdir()
    (folder / "bucket" / "whole").write_bytes(BODY)
    with Origin(folder) as origin:
        yield origin


@pytest.fixture
def distance(origin: Origin) -> Iterator[Distance]:
    with Distance(origin.url, latency_s=0.03) as distance:
        yield distance


def store(url: str) -> S3Store:
    return S3Store("bucket", connect(url, 16, credentials=("id", "secret")))


def test_reads_are_whole_or_by_range_and_say_what_is_missing(origin: Origin) -> None:
    ours = store(origin.url)
    assert ours.get("whole").body == BODY
    assert ours.get("whole", ByteRange(1_000, 2_000)).body == BODY[1_000:2_000]
    assert ours.get("whole", ByteRange(len(BODY) - 5, len(BODY) + 5)).body == BODY[-5:]
    assert ours.get("whole", ByteRange(len(BODY), len(BODY) + 5)).body == b""
    for missing in ("none", "whole/none"):
        with pytest.raises(NotFound):
            ours.get(missing)
    with pytest.raises(Rejected):
        ours.get("../../../../etc/hostname")


def test_writes_are_conditional(origin: Origin) -> None:
    ours = store(origin.url)
    first = ours.create("ä b/c+d", b"1")
    with pytest.raises(Exists):
        ours.create("ä b/c+d", b"2")
    second = ours.swap("ä b/c+d", b"3", first)
    with pytest.raises(Conflict):
        ours.swap("ä b/c+d", b"4", first)
    assert (ours.get("ä b/c+d").body, ours.get("ä b/c+d").etag) == (b"3", second)
    ours.delete("ä b/c+d")
    with pytest.raises(NotFound):
        ours.get("ä b/c+d")


def test_a_listing_of_several_pages_is_whole_and_sorted(origin: Origin) -> None:
    ours = store(origin.url)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: ours.create(f"many/{n % 7}/{n}", b""), range(1_100)))
    keys = [entry.key for entry in ours.list("many/")]
    assert keys == sorted(f"many/{n % 7}/{n}" for n in range(1_100))
    assert [entry.key for entry in ours.list("many/3/1")] == [key for key in keys if key.startswith("many/3/1")]


def test_arrows_own_s3_client_reads_through_the_distance(distance: Distance) -> None:
    files = arrow_fs.S3FileSystem(
        access_key="id",
        secret_key="s",  # noqa: S106
        endpoint_override=distance.url,
        scheme="http",
        region="us-east-1",
    )
    assert files.open_input_file("bucket/whole").read_at(10, 100) == BODY[100:110]
    (info,) = [one for one in files.get_file_info(arrow_fs.FileSelector("bucket")) if one.base_name == "whole"]
    assert info.size == len(BODY)


def test_what_it_cannot_do_is_refused(origin: Origin) -> None:
    with pytest.raises(OSError, match="501"):
        urlopen(Request(f"{origin.url}/bucket/whole?uploads", method="POST"), timeout=10)


def test_the_distance_counts_requests_bytes_and_rounds(distance: Distance) -> None:
    ours = store(distance.url)
    assert distance.reset() == Traffic({}, 0, 0, 0)
    ours.get("whole")
    ours.get("whole", ByteRange(0, 1_000))
    list(ours.list("none"))
    passed = distance.reset()
    assert passed.requests == {"GET": 3}
    assert (passed.rounds, passed.bytes_up) == (3, 0)
    assert 0 < passed.bytes_down - len(BODY) - 1_000 < 500, "the listing"
    ours.create("up", b"12345")
    assert (distance.read().requests, distance.read().bytes_up) == ({"PUT": 1}, 5)


def test_requests_asked_before_any_is_answered_are_one_round() -> None:
    together = threading.Barrier(8, timeout=30)

    class Patient(BaseHTTPRequestHandler):
        """Answers when all eight have asked, however late one of them comes."""

        def do_GET(self) -> None:
            together.wait()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *told: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Patient)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with (
            Distance(f"http://127.0.0.1:{server.server_port}", latency_s=0) as distance,
            ThreadPoolExecutor(8) as pool,
        ):
            for _ in range(2):
                list(pool.map(lambda _: urlopen(distance.url, timeout=60).close(), range(8)))
            assert distance.read() == Traffic({"GET": 16}, 0, 0, 2)
    finally:
        server.shutdown()
        server.server_close()


def test_a_distance_without_an_endpoint_is_an_error_of_the_environment() -> None:
    with Distance("http://127.0.0.1:9", latency_s=0) as distance, pytest.raises(Retryable):
        store(distance.url).get("a")


@pytest.mark.parametrize(
    ("requests", "rounds"),
    [
        ([], 0),
        ([(0, 1), (0, 1), (0.5, 2)], 1),
        ([(0, 1), (1, 2), (2, 3)], 3),
        ([(0, 10), (0, 1), (1, 2)], 2),
        ([(0, 3), (1, 2), (2.5, 4), (4, 5)], 3),
    ],
)
def test_a_round_is_what_was_asked_before_anything_of_it_was_answered(
    requests: list[tuple[float, float]], rounds: int
) -> None:
    assert dependent(requests) == rounds
