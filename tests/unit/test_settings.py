"""Settings: read once, every problem named at once."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from bucketlens.errors import Misconfigured
from bucketlens.local.dev import settings_of
from bucketlens.settings import Settings, read_settings


def problems(**environ: str) -> str:
    with pytest.raises(Misconfigured) as caught:
        read_settings(environ)
    assert caught.value.code == "bad_settings"
    return str(caught.value)


def test_a_bucket_is_enough() -> None:
    assert read_settings({"BUCKET": "b"}) == Settings("b")


def test_every_setting_is_taken_from_the_variable_of_its_name() -> None:
    given = {
        "BUCKET": "b",
        "COLLECTIONS": "images/=default, products/ = shop ,products/new/=shop.new",
        "MODEL_URI": "s3://b/models/x/",
        "CACHE_DIR": "/var/cache",
        "CACHE_BYTES": "1000",
        "HYDRATE": "no",
        "MAX_IMAGE_BYTES": "2000",
        "MAX_IMAGE_PIXELS": "3000",
        "OBJECT_TAGS": "TRUE",
        "MAX_STALENESS_S": "0",
        "SWEEP_GRACE_S": "1.5",
        "TOMBSTONE_TTL_S": "60",
        "LINK_TTL_S": "5",
        "THREADS": "2",
        "MODEL_THREADS": "3",
    }
    assert set(given) == {field.name.upper() for field in fields(Settings)}, "a setting has no test"
    settings = read_settings({**given, "COLLECTIONS": "images/=default,products/=shop,products/new/=shop.new"})
    assert settings == Settings(
        bucket="b",
        collections=(("products/new/", "shop.new"), ("products/", "shop"), ("images/", "default")),
        model_uri="s3://b/models/x/",
        cache_dir=Path("/var/cache"),
        cache_bytes=1000,
        hydrate=False,
        max_image_bytes=2000,
        max_image_pixels=3000,
        object_tags=True,
        max_staleness_s=0.0,
        sweep_grace_s=1.5,
        tombstone_ttl_s=60.0,
        link_ttl_s=5,
        threads=2,
        model_threads=3,
    )


def test_every_bad_variable_is_named_at_once_with_its_value_and_what_it_must_be() -> None:
    bad = {
        "COLLECTIONS": "images/",
        "CACHE_BYTES": "-5",
        "MAX_IMAGE_BYTES": "many",
        "MAX_IMAGE_PIXELS": "0",
        "OBJECT_TAGS": "perhaps",
        "MAX_STALENESS_S": "-1",
        "SWEEP_GRACE_S": "nan",
        "TOMBSTONE_TTL_S": "inf",
        "LINK_TTL_S": "1.5",
        "THREADS": "0",
        "MODEL_THREADS": "two",
    }
    told = problems(**bad)
    assert "BUCKET is not set" in told
    for name, value in bad.items():
        assert f"{name}={value!r}" in told


@pytest.mark.parametrize(
    ("collections", "reason"),
    [
        ("images/=Bad Name", "not a collection name"),
        ("=default", "not prefix=collection"),
        ("index/x/=default", "would feed the index to itself"),
        ("i=default", "would feed the index to itself"),
        ("models/=default", "does not cover index/ or models/"),
        ("images/=a,images/=b", "given twice"),
        (" , ", "no prefix=collection pair"),
    ],
)
def test_a_map_of_prefixes_that_cannot_work_is_refused(collections: str, reason: str) -> None:
    assert reason in problems(BUCKET="b", COLLECTIONS=collections)


def test_the_longest_prefix_says_where_a_key_belongs() -> None:
    settings = read_settings({"BUCKET": "b", "COLLECTIONS": "images/=default,images/shop/=shop,photos/=default"})
    wanted = {"images/a": "default", "images/shop/a": "shop", "photos/a": "default", "other/a": None, "index/a": None}
    assert {key: settings.collection_of(key) for key in wanted} == wanted
    assert settings.collection_names() == ("default", "shop")


@limits(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from([field.name.upper() for field in fields(Settings)]), st.text(max_size=12)))
def test_any_environment_gives_settings_or_names_its_problems(environ: dict[str, str]) -> None:
    try:
        settings = read_settings(environ)
    except Misconfigured:
        return
    assert settings.bucket
    assert min(settings.threads, settings.model_threads, settings.cache_bytes, settings.link_ttl_s) > 0


def test_the_local_server_takes_every_setting_but_those_that_are_its_own() -> None:
    environ = {"BUCKET": "b", "CACHE_DIR": "/c", "AWS_ENDPOINT_URL": "u", "HOME": "/", "MODEL_URI": "m", "THREADS": ""}
    assert settings_of({**environ, "OBJECT_TAGS": "1", "MODEL_VARIANT": "int8"}) == {
        "MODEL_URI": "m",
        "MODEL_VARIANT": "int8",
        "OBJECT_TAGS": "1",
    }
