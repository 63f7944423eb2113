"""The local S3 server under a real client: which requests become which events, and that it leaves nothing behind."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import boto3  # noqa: TID251
import pytest
from botocore.exceptions import ClientError

from bucketlens.edge.events import parse_ingest
from bucketlens.local.changes import Change
from bucketlens.local.feeder import Chaos, Feeder
from bucketlens.local.s3server import S3Server
from bucketlens.records import Change as Happened
from bucketlens.store.s3 import connect

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "bucketlens-local"
HARD_KEYS = [
    "images/a b.jpg",
    "images/a+b.jpg",
    "images/100%.jpg",
    "images/a%20b.jpg",
    "images/ä/日本.jpg",
    "images/&=?#.jpg",
]
PATIENCE = 20.0


class Desk:
    """A running server, a client of it, and what its watcher heard."""

    def __init__(self, server: S3Server, heard: list[Change]) -> None:
        self.server = server
        self.client: S3Client = connect(server.url, 20, credentials=server.credentials)
        self.heard = heard

    def put(self, key: str = "images/a.jpg", body: bytes = b"pixels", **options: Any) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body, **options)

    def events(self) -> list[tuple[str, str]]:
        return [(change.event, change.key) for change in self.heard]


@pytest.fixture
def desk() -> Iterator[Desk]:
    heard: list[Change] = []
    with S3Server(watch=heard.append) as server:
        yield Desk(server, heard)


@pytest.mark.parametrize("key", HARD_KEYS)
def test_an_upload_is_heard_under_its_own_key_with_size_and_etag(desk: Desk, key: str) -> None:
    desk.put(key)
    etag = desk.client.head_object(Bucket=BUCKET, Key=key)["ETag"].strip('"')
    assert desk.heard == [Change("ObjectCreated:Put", BUCKET, key, None, 6, etag)]


@pytest.mark.parametrize("key", HARD_KEYS)
def test_copies_and_deletions_are_heard_under_their_own_keys(desk: Desk, key: str) -> None:
    desk.put("images/source.jpg")
    desk.client.copy_object(Bucket=BUCKET, Key=key, CopySource={"Bucket": BUCKET, "Key": "images/source.jpg"})
    desk.client.delete_object(Bucket=BUCKET, Key=key)
    assert desk.events()[1:] == [("ObjectCreated:Copy", key), ("ObjectRemoved:Delete", key)]


def test_a_batch_deletion_is_heard_once_for_each_key(desk: Desk) -> None:
    for key in HARD_KEYS:
        desk.put(key)
    desk.heard.clear()
    desk.client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in HARD_KEYS]})
    assert sorted(desk.events()) == sorted(("ObjectRemoved:Delete", key) for key in HARD_KEYS)
    assert "Contents" not in desk.client.list_objects_v2(Bucket=BUCKET)


def test_a_multipart_upload_is_heard_when_it_is_complete_and_not_before(desk: Desk) -> None:
    where: Any = {"Bucket": BUCKET, "Key": "images/big.jpg"}
    upload = desk.client.create_multipart_upload(**where)["UploadId"]
    sizes = (5 << 20, 10)
    parts: list[Any] = []
    for number, size in enumerate(sizes, 1):
        part = desk.client.upload_part(**where, UploadId=upload, PartNumber=number, Body=b"x" * size)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    assert desk.heard == []
    desk.client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
    (change,) = desk.heard
    assert (change.event, change.size) == ("ObjectCreated:CompleteMultipartUpload", sum(sizes))
    assert (change.etag or "").endswith("-2")


def test_an_aborted_upload_is_not_heard(desk: Desk) -> None:
    where: Any = {"Bucket": BUCKET, "Key": "images/big.jpg"}
    upload = desk.client.create_multipart_upload(**where)["UploadId"]
    desk.client.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"x")
    desk.client.abort_multipart_upload(**where, UploadId=upload)
    assert desk.heard == []


def test_a_large_upload_through_the_transfer_manager_arrives_whole(desk: Desk) -> None:
    body = bytes(range(256)) * (40 << 10)
    whole = boto3.session.Session(*S3Server.credentials)
    client = whole.client("s3", endpoint_url=desk.client.meta.endpoint_url, region_name="us-east-1")
    client.upload_fileobj(io.BytesIO(body), BUCKET, "images/big.jpg")
    assert desk.client.get_object(Bucket=BUCKET, Key="images/big.jpg")["Body"].read() == body
    assert [change.size for change in desk.heard] == [len(body)]


@pytest.mark.parametrize(
    ("name", "key"), [("images/a b+ä.jpg", "images/a b+ä.jpg"), ("images/${filename}", "images/x.jpg")]
)
def test_a_form_upload_is_heard_as_a_post(desk: Desk, name: str, key: str) -> None:
    form = desk.client.generate_presigned_post(BUCKET, name)
    fields: list[tuple[str, str | None, bytes]] = [
        (field, None, value.encode()) for field, value in form["fields"].items()
    ] + [("file", "x.jpg", b"\xff\xd8\xff")]
    body = b"".join(
        b'--cut\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        % (field.encode(), f'; filename="{file}"'.encode() if file else b"", value)
        for field, file, value in fields
    )
    headers = {"Content-Type": "multipart/form-data; boundary=cut"}
    with urlopen(Request(form["url"], body + b"--cut--\r\n", headers)) as answer:
        assert answer.status == 204
    assert desk.events() == [("ObjectCreated:Post", key)]
    assert desk.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"\xff\xd8\xff"


def test_presigned_uploads_and_downloads_need_no_credentials(desk: Desk) -> None:
    where = {"Bucket": BUCKET, "Key": "images/a b+ä%.jpg"}
    put = desk.client.generate_presigned_url("put_object", Params=where, ExpiresIn=60)
    with urlopen(Request(put, b"pixels", method="PUT")) as answer:
        assert answer.status == 200
    assert desk.events() == [("ObjectCreated:Put", where["Key"])]
    assert desk.heard[0].size == 6
    get = desk.client.generate_presigned_url("get_object", Params=where, ExpiresIn=60)
    with urlopen(Request(get, headers={"Range": "bytes=1-3"})) as answer:
        assert (answer.status, answer.read(), answer.headers["Content-Range"]) == (206, b"ixe", "bytes 1-3/6")


def test_a_refused_write_and_a_read_are_not_heard(desk: Desk) -> None:
    desk.put()
    with pytest.raises(ClientError):
        desk.put(IfNoneMatch="*")
    with pytest.raises(ClientError):
        desk.client.put_object(Bucket="another", Key="images/a.jpg", Body=b"")
    desk.client.get_object(Bucket=BUCKET, Key="images/a.jpg")
    desk.client.list_objects_v2(Bucket=BUCKET)
    desk.client.put_object_acl(Bucket=BUCKET, Key="images/a.jpg", ACL="public-read")
    assert desk.events() == [("ObjectCreated:Put", "images/a.jpg")]


def test_an_upload_that_breaks_off_stores_nothing_and_is_not_heard(desk: Desk) -> None:
    with socket.create_connection(("127.0.0.1", desk.server.port)) as line:
        line.sendall(b"PUT /bucketlens-local/images/a.jpg HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        line.shutdown(socket.SHUT_WR)
        assert line.recv(100).startswith(b"HTTP/1.1 400")
    assert desk.heard == []
    assert desk.client.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_an_upload_of_unannounced_length_arrives_whole(desk: Desk) -> None:
    with socket.create_connection(("127.0.0.1", desk.server.port)) as line:
        line.sendall(
            b"PUT /bucketlens-local/images/a.jpg HTTP/1.1\r\nHost: x\r\nAuthorization: any\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n3\r\npix\r\n3\r\nels\r\n0\r\n\r\n"
        )
        assert line.recv(100).startswith(b"HTTP/1.1 200")
    assert desk.client.get_object(Bucket=BUCKET, Key="images/a.jpg")["Body"].read() == b"pixels"
    assert desk.heard[0].size == 6


def test_changed_tags_are_heard(desk: Desk) -> None:
    desk.put()
    desk.client.put_object_tagging(
        Bucket=BUCKET, Key="images/a.jpg", Tagging={"TagSet": [{"Key": "colour", "Value": "red"}]}
    )
    desk.client.delete_object_tagging(Bucket=BUCKET, Key="images/a.jpg")
    assert [event for event, _ in desk.events()[1:]] == ["ObjectTagging:Put", "ObjectTagging:Delete"]


def test_in_a_versioned_bucket_versions_are_named_and_deletions_leave_markers(desk: Desk) -> None:
    desk.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    desk.put()
    desk.client.delete_object(Bucket=BUCKET, Key="images/a.jpg")
    desk.client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "images/a.jpg"}]})
    first = desk.heard[0].version_id
    desk.client.delete_object(Bucket=BUCKET, Key="images/a.jpg", VersionId=first or "")
    assert [change.event for change in desk.heard] == [
        "ObjectCreated:Put",
        "ObjectRemoved:DeleteMarkerCreated",
        "ObjectRemoved:DeleteMarkerCreated",
        "ObjectRemoved:Delete",
    ]
    assert all(change.version_id for change in desk.heard)
    assert desk.heard[3].version_id == first


def test_a_ranged_read_agrees_with_the_whole_object(desk: Desk) -> None:
    body = bytes(range(256)) * 10
    desk.put(body=body, Metadata={"title": "car"}, ContentType="image/jpeg")
    whole = desk.client.get_object(Bucket=BUCKET, Key="images/a.jpg")
    for start, end in ((0, 0), (100, 199), (2559, 2559), (2500, 9999), (0, 9999)):
        part = desk.client.get_object(Bucket=BUCKET, Key="images/a.jpg", Range=f"bytes={start}-{end}")
        assert part["Body"].read() == body[start : end + 1]
        assert part["ContentRange"] == f"bytes {start}-{min(end, 2559)}/2560"
        for field in ("ETag", "ContentType", "Metadata", "LastModified"):
            assert part[field] == whole[field]
    with pytest.raises(ClientError):
        desk.client.get_object(Bucket=BUCKET, Key="images/a.jpg", Range="bytes=2560-2561")
    with pytest.raises(ClientError):
        desk.client.get_object(Bucket=BUCKET, Key="images/a.jpg", Range="bytes=0-1", IfMatch='"other"')


def test_changes_are_heard_in_the_order_they_took_effect(desk: Desk) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: desk.put(body=b"%d" % n), range(40)))
    final = desk.client.head_object(Bucket=BUCKET, Key="images/a.jpg")["ETag"].strip('"')
    assert desk.heard[-1].etag == final


def test_two_servers_share_no_objects_though_their_buckets_have_one_name(desk: Desk) -> None:
    desk.put()
    with S3Server() as other:
        client = connect(other.url, 2, credentials=other.credentials)
        assert "Contents" not in client.list_objects_v2(Bucket=BUCKET)
    assert desk.client.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1
    assert desk.client.get_object(Bucket=BUCKET, Key="images/a.jpg")["Body"].read() == b"pixels"


def test_stopping_frees_the_port_ends_the_threads_and_forgets_the_objects() -> None:
    before = threading.active_count()
    server = S3Server().start()
    port = server.port
    client = connect(server.url, 5, credentials=server.credentials)
    client.put_object(Bucket=BUCKET, Key="images/a.jpg", Body=b"pixels")
    idle = socket.create_connection(("127.0.0.1", port))
    server.stop()
    server.stop()
    idle.close()
    assert threading.active_count() == before
    with S3Server(port=port) as again:
        assert again.port == port
        assert connect(again.url, 5, credentials=again.credentials).list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_uploads_reach_a_handler_as_notices_whose_sequencers_order_them() -> None:
    seen: list[tuple[str, Happened, str]] = []
    lock = threading.Lock()

    def handler(event: object) -> object:
        with lock:
            seen.extend((n.key, n.change, n.sequencer.base) for n in parse_ingest(event).notices)
        return None

    chaos = Chaos(duplicate=0.3, reorder=True, delay_s=0.05, seed=3)
    with Feeder(handler, window_s=0.005, chaos=chaos) as queue, S3Server(watch=queue.hear) as server:
        desk = Desk(server, [])
        for key in HARD_KEYS:
            desk.put(key)
            desk.client.delete_object(Bucket=BUCKET, Key=key)
            desk.put(key)
        desk.put("index/default/manifest.json")
        assert queue.drain(PATIENCE)
    in_order = sorted(set(seen), key=lambda event: event[2])
    for key in HARD_KEYS:
        assert [change for name, change, _ in in_order if name == key] == [
            Happened.CREATED,
            Happened.REMOVED,
            Happened.CREATED,
        ]
    assert {name for name, _, _ in seen} == set(HARD_KEYS)
    assert len(seen) > len(in_order)
