"""What every adapter to the user's images promises."""

from __future__ import annotations

from datetime import UTC
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from tests.contract.conftest import Album

from bucketlens.errors import UnreadableObject
from bucketlens.store.s3 import decode_metadata

HARD_NAMES = ["plain.jpg", "a b.jpg", "a+b.jpg", "100%.jpg", "a%20b.jpg", "ä/日本語.jpg", "a&b=c?d#e.jpg", "😀 (1).jpg"]
LIMIT = 1000


@pytest.mark.parametrize("name", HARD_NAMES)
def test_an_image_is_fetched_under_the_key_it_was_uploaded_as(album: Album, name: str) -> None:
    key = album.prefix + name
    album.user.put(key, b"pixels", "image/jpeg", {}, {})
    found = album.images.fetch(key, limit=LIMIT)
    assert found is not None
    assert (found.key, found.body, found.size, found.content_type) == (key, b"pixels", 6, "image/jpeg")
    assert found.etag == album.images.etag(key)
    assert found.modified.tzinfo is UTC


def test_an_image_that_is_gone_is_none(album: Album) -> None:
    key = album.prefix + "a.jpg"
    assert album.images.fetch(key, limit=LIMIT) is None
    assert album.images.fetch(key, limit=LIMIT, tags=True) is None
    assert album.images.etag(key) is None
    album.user.put(key, b"pixels", "image/jpeg", {}, {})
    album.user.remove(key)
    assert album.images.fetch(key, limit=LIMIT) is None
    assert album.images.etag(key) is None


def test_a_replaced_image_has_another_etag(album: Album) -> None:
    key = album.prefix + "a.jpg"
    album.user.put(key, b"old", "image/jpeg", {}, {})
    old = album.images.etag(key)
    album.user.put(key, b"new", "image/jpeg", {}, {})
    assert album.images.etag(key) != old


def test_user_metadata_comes_in_unicode_with_names_in_lower_case(album: Album) -> None:
    key = album.prefix + "a.jpg"
    written = {"Title": "Ein rotes Auto, schön", "place": "東京", "year": "2024", "with-dash": "=not encoded=?"}
    album.user.put(key, b"pixels", "image/jpeg", written, {})
    found = album.images.fetch(key, limit=LIMIT)
    assert found is not None
    assert dict(found.user_metadata) == {name.lower(): value for name, value in written.items()}


def test_tags_come_only_when_asked_for(album: Album) -> None:
    key = album.prefix + "a.jpg"
    album.user.put(key, b"pixels", "image/jpeg", {}, {"colour": "red", "kind of": "car + boat"})
    plain, tagged = album.images.fetch(key, limit=LIMIT), album.images.fetch(key, limit=LIMIT, tags=True)
    assert plain is not None
    assert plain.tags == {}
    assert tagged is not None
    assert tagged.tags == {"colour": "red", "kind of": "car + boat"}


def test_an_image_above_the_limit_is_refused_and_one_at_the_limit_is_read(album: Album) -> None:
    key = album.prefix + "a.jpg"
    album.user.put(key, b"x" * 1001, "image/jpeg", {}, {})
    with pytest.raises(UnreadableObject) as refused:
        album.images.fetch(key, limit=1000)
    assert refused.value.code == "too_large"
    assert refused.value.value == key
    found = album.images.fetch(key, limit=1001)
    assert found is not None
    assert found.size == 1001


@pytest.mark.parametrize("name", HARD_NAMES)
def test_a_link_opens_without_credentials(album: Album, name: str) -> None:
    if not album.has_links:
        pytest.skip("memory has no web server")
    album.user.put(album.prefix + name, b"pixels", "image/jpeg", {}, {})
    with urlopen(album.images.link(album.prefix + name, seconds=60)) as response:
        assert response.read() == b"pixels"
        assert response.headers["Content-Type"] == "image/jpeg"


def test_a_link_to_nothing_opens_nothing(album: Album) -> None:
    if not album.has_links:
        pytest.skip("memory has no web server")
    with pytest.raises(HTTPError) as refused:
        urlopen(album.images.link(album.prefix + "none.jpg", seconds=60))
    assert refused.value.code == 404


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("=?UTF-8?B?w6TDtsO8?=", "äöü"),
        ("=?UTF-8?Q?=C3=A4_and_=C3=B6?=", "ä and ö"),
        ("=?UTF-8?Q?=C3=A4?= =?UTF-8?Q?=C3=B6?=", "äö"),
        ("=?iso-8859-1?q?p=F6stal?=", "pöstal"),
        ("plain", "plain"),
        ("", ""),
        ("a =? b", "a =? b"),
        ("=?no-such-charset?B?w6Q=?=", "=?no-such-charset?B?w6Q=?="),
        ("seen at =?UTF-8?Q?K=C3=B6ln?= today", "seen at Köln today"),
        ("ä".encode().decode("latin-1"), "ä"),
        ("\xe4", "\xe4"),
    ],
)
def test_metadata_is_decoded_where_it_is_encoded_and_kept_where_it_is_not(sent: str, read: str) -> None:
    assert decode_metadata({"X": sent}) == {"x": read}
