"""GETs that botocore does not make: signed as it would, and handed back to it when anything is out of the ordinary."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3 import connection_from_url

from bucketlens.errors import Misconfigured, NotFound, Retryable
from bucketlens.search.meter import Metered, metered
from bucketlens.store.protocol import ByteRange
from bucketlens.store.quick import _quoted, signed
from bucketlens.store.s3 import S3Store, connect

AT = datetime(2026, 11, 22, 18, 0, 5, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@settings(max_examples=80, deadline=None)
@given(key=TEXT, ranged=st.booleans(), token=st.sampled_from([None, "token/+=="]), port=st.sampled_from(["", ":9000"]))
def test_the_signature_is_botocores(key: str, ranged: bool, token: str | None, port: str) -> None:
    url = f"https://store.example{port}/base/bucket/{_quoted(key)}"
    credentials = Credentials("AKID", "secret/+", token)
    stated = {"host": f"store.example{port}", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    stated |= {"range": "bytes=1-9"} if ranged else {}
    theirs = AWSRequest("GET", url, headers={**stated, "x-amz-date": "20261122T180005Z"})
    auth = S3SigV4Auth(credentials, "s3", "eu-central-1")
    theirs.context["timestamp"] = "20261122T180005Z"
    if token:
        stated["x-amz-security-token"] = token
        theirs.headers["x-amz-security-token"] = token
    canonical = auth.canonical_request(theirs)
    signature = auth.signature(auth.string_to_sign(theirs, canonical), theirs)
    ours = signed(url, stated, "eu-central-1", "s3", credentials, AT)
    assert ours["authorization"].endswith(f"Signature={signature}")


@dataclass
class Script:
    """A server that gives these answers in turn (status, body, bytes announced), the last for ever."""

    answers: list[tuple[int, bytes, int | None]]
    asked: list[dict[str, str]] = field(default_factory=list)


OK = (200, b"body", None)


def refusal(code: str) -> bytes:
    return f"<Error><Code>{code}</Code></Error>".encode()


@contextmanager
def answering(script: Script, certificate: Path | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            script.asked.append({"path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
            status, body, announced = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if announced is None else announced))
            self.send_header("ETag", '"etag"')
            self.end_headers()
            self.wfile.write(body)
            if announced is not None:
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def quick(one: dict[str, str]) -> bool:
    """Whether the request was made without botocore, which says who it is."""
    return "Botocore" not in one.get("user-agent", "")


def store(url: str) -> S3Store:
    return S3Store("bucket", connect(url, 4, credentials=("id", "secret")))


def test_botocore_makes_the_first_get_and_none_after_it() -> None:
    script = Script([OK])
    with answering(script) as url:
        ours = store(url)
        for key in ("a b/ü", "a b/ü", "c"):
            assert ours.get(key).body == b"body"
    assert [quick(one) for one in script.asked] == [False, True, True]
    assert script.asked[0]["path"] == script.asked[1]["path"]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ((404, refusal("NoSuchKey"), None), NotFound),
        ((404, refusal("NoSuchBucket"), None), Misconfigured),
        ((403, refusal("AccessDenied"), None), Misconfigured),
        ((503, refusal("SlowDown"), None), Retryable),
        ((200, b"half", 100), Retryable),
    ],
)
def test_errors_mean_the_same_after_the_first_get(bad: Any, error: type[Exception]) -> None:
    with answering(Script([OK, bad])) as url:
        ours = store(url)
        ours.get("a")
        with pytest.raises(error):
            ours.get("a")


def test_a_passing_failure_is_tried_again_by_botocore() -> None:
    script = Script([OK, (503, refusal("SlowDown"), None), OK])
    with answering(script) as url:
        ours = store(url)
        assert [ours.get("a").body for _ in range(3)] == [b"body"] * 3
    assert [quick(one) for one in script.asked] == [False, True, False, True]


def test_every_get_is_counted_also_those_that_had_to_be_made_again() -> None:
    slow = (503, refusal("SlowDown"), None)
    script = Script([slow, OK, slow, slow, slow, OK, (200, b"half", 100), OK, OK])
    with answering(script) as url:
        metered_store = Metered(store(url))
        for expected in (2, 4, 2, 1):
            before = len(script.asked)
            with metered() as spent:
                assert metered_store.get("a").body == b"body"
            assert spent.gets == len(script.asked) - before == expected
            assert spent.bytes == len(b"body")


def test_an_answer_that_breaks_off_is_asked_for_again_three_times() -> None:
    half = (200, b"half", 100)
    script = Script([half, half, half, OK, OK, half, half, half, half, half])
    with answering(script) as url:
        metered_store = Metered(store(url))
        for expected in (4, 1):
            with metered() as spent:
                assert metered_store.get("a").body == b"body"
            assert spent.gets == expected
        with pytest.raises(Retryable):
            metered_store.get("a")
        assert len(script.asked) == 9


def test_a_range_that_is_answered_with_the_whole_object_is_not_taken_for_the_range() -> None:
    script = Script([OK])
    with answering(script) as url:
        ours = store(url)
        ours.get("a")
        ours.get("a", ByteRange(0, 2))
    assert [quick(one) for one in script.asked] == [False, True, False]


def test_every_get_is_signed_with_the_credentials_of_its_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "first")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    script = Script([OK])
    with answering(script) as url:
        client = connect(url, 4)
        ours = S3Store("bucket", client)
        ours.get("a")
        held: Any = client._get_credentials() if hasattr(client, "_get_credentials") else None
        ours.get("a")
        assert held is not None
        held.access_key, held.token = "second", "other"
        ours.get("a")
    assert [one["authorization"].split("Credential=")[1].split("/")[0] for one in script.asked] == [
        *("first", "first", "second"),
    ]
    assert [one["x-amz-security-token"] for one in script.asked] == ["token", "token", "other"]


def test_the_server_must_have_a_trusted_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = tmp_path / "both.pem"
    certificate.write_bytes(self_signed())
    script = Script([OK])
    with answering(script, certificate) as url:
        with pytest.raises(Retryable):
            store(url).get("a")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        ours = store(url)
        assert [ours.get("a").body for _ in range(2)] == [b"body"] * 2
        assert [quick(one) for one in script.asked] == [False, True]
        ours._quick._way = replace(ours._quick._way, pool=connection_from_url(url))  # type: ignore[type-var]
        assert [ours.get("a").body for _ in range(2)] == [b"body"] * 2
        assert not any(quick(one) for one in script.asked[2:]), "what is not trusted here is left to botocore for good"


def self_signed() -> bytes:
    """A key and a certificate for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return secret + made.public_bytes(Encoding.PEM)


def test_a_signature_of_another_form_stays_with_botocore() -> None:
    script = Script([OK])
    with answering(script) as url:
        client: Any = connect(url, 4, credentials=("id", "secret"))
        client.meta.events.register_first("choose-signer.s3.GetObject", lambda **_: "s3v4-other-form")
        ours = S3Store("bucket", client)
        with pytest.raises(Misconfigured):
            ours.get("a")
        assert ours._quick._way is None
