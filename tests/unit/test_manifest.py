"""The manifest: a value that is written and read back, and refused when it is anything else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketlens.errors import Corrupt
from bucketlens.records import ModelIdentity
from bucketlens.store.memory import MemoryStore
from bucketlens.table.manifest import Manifest, MergedEntry, ObjectRef, ShardEntry, dumps, loads
from bucketlens.table.snapshot import read_manifest

KEY = "index/default/manifest.json"
MODEL = ModelIdentity("m", "0" * 32, 8)
AT = "2026-01-01T00:00:00+00:00"


def ref(name: str) -> ObjectRef:
    return ObjectRef.of(f"index/default/{name}", name.encode())


FULL = Manifest(
    collection="default",
    version=7,
    model=MODEL,
    shards=(
        ShardEntry("s1", 10, {"rows.arrow": ref("s1r"), "head.arrow": ref("s1h")}),
        ShardEntry("s2", 20, {"rows.arrow": ref("s2r")}, 3, ref("s2d")),
    ),
    marks=ref("marks"),
    merged=(MergedEntry(ref("merged"), 9, ("seg2", "seg3"), AT),),
    adapters={"1" * 32: ref("adapter")},
    building="abc",
    absorbed={"seg1": AT},
    retired={"index/default/old": AT},
)

COUNTS = st.integers(1, 1000)
NAMES = st.text(min_size=1, max_size=8)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    shards = []
    for number in range(draw(st.integers(0, 3))):
        rows = draw(COUNTS)
        deleted = draw(st.integers(0, rows - 1))
        deletes = ref(f"{number}d") if deleted else None
        shards.append(ShardEntry(f"s{number}", rows, {"rows.arrow": ref(f"{number}r")}, deleted, deletes))
    return Manifest(
        draw(NAMES),
        draw(st.integers(0, 10**6)),
        MODEL if shards else draw(st.sampled_from([None, MODEL])),
        tuple(shards),
        draw(st.sampled_from([None, ref("marks")])),
        absorbed=draw(st.dictionaries(NAMES, st.just(AT), max_size=3)),
        retired=draw(st.dictionaries(NAMES.map("old/".__add__), st.just(AT), max_size=3)),
    )


@settings(max_examples=40, deadline=None)
@given(manifests())
def test_what_was_written_is_read_back(manifest: Manifest) -> None:
    assert loads(dumps(manifest), KEY) == manifest
    assert dumps(loads(dumps(manifest), KEY)) == dumps(manifest)


def test_a_full_manifest_is_read_back_and_names_every_object_once() -> None:
    assert loads(dumps(FULL), KEY) == FULL
    assert sorted(one.key.rpartition("/")[2] for one in FULL.objects()) == sorted(
        ["s1r", "s1h", "s2r", "s2d", "marks", "merged", "adapter"]
    )


def leaves(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path, *(leaf for name, inner in items for leaf in leaves(inner, (*path, name)))]


DOCUMENT = json.loads(dumps(FULL))


@pytest.mark.parametrize("new", [None, True, -1, 1.5, "x", [], {}, [1], {"a": 1}, "gone"], ids=repr)
def test_a_manifest_with_any_part_replaced_is_read_as_a_sound_one_or_refused(new: Any) -> None:
    refused = 0
    for path in leaves(DOCUMENT)[1:]:
        document = json.loads(dumps(FULL))
        owner = document
        for name in path[:-1]:
            owner = owner[name]
        if new == "gone":
            del owner[path[-1]]
        else:
            owner[path[-1]] = new
        try:
            found = loads(json.dumps(document).encode(), KEY)
        except Corrupt:
            refused += 1
            continue
        assert loads(dumps(found), KEY) == found
    assert refused > 20


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"{}", b'{"format": 1}', b"[" * 100_000])
def test_what_is_no_manifest_is_refused(body: bytes) -> None:
    with pytest.raises(Corrupt, match="cannot be read") as caught:
        loads(body, KEY)
    assert caught.value.value == KEY


def test_an_unknown_format_is_refused_with_both_numbers() -> None:
    with pytest.raises(Corrupt, match=r"format 2, this version reads format 1") as caught:
        loads(json.dumps({**DOCUMENT, "format": 2}).encode(), KEY)
    assert caught.value.code == "unknown_format"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (replace(FULL, model=None), "no model"),
        (replace(FULL, model=None, shards=()), "no model"),
        (replace(FULL, absorbed={"seg2": AT}), "merged twice, or merged and absorbed"),
        (replace(FULL, merged=(*FULL.merged, MergedEntry(ref("m2"), 1, ("seg3",), AT))), "merged twice"),
        (replace(FULL, shards=(FULL.shards[0], FULL.shards[0])), "shard id appears twice"),
        (replace(FULL, marks=FULL.shards[0].parts["rows.arrow"]), "named twice"),
        (replace(FULL, retired={"index/default/marks": AT}), "both named and retired"),
        (replace(FULL, shards=(ShardEntry("s", 5, {}, 5, ref("d")),)), "impossible counts"),
        (replace(FULL, shards=(ShardEntry("s", 5, {}, 1),)), "disagree"),
    ],
)
def test_an_inconsistent_state_is_never_written(broken: Manifest, reason: str) -> None:
    with pytest.raises(Corrupt, match=reason):
        dumps(broken)


def test_a_manifest_copied_from_another_collection_is_refused() -> None:
    store = MemoryStore()
    store.create("index/shop/manifest.json", dumps(FULL))
    with pytest.raises(Corrupt, match="speaks of another one, 'default'"):
        read_manifest(store, "shop")


def test_an_object_is_what_its_reference_says_or_corrupt() -> None:
    assert ref("x").check(b"x") == b"x"
    for other in (b"", b"y", b"xx"):
        with pytest.raises(Corrupt, match="checksum"):
            ref("x").check(other)
