"""Object names: one grammar, both directions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketlens import keys
from bucketlens.errors import Corrupt, InvalidRequest

LETTERS = "abcxyz0189"
NAMES = st.text(f"{LETTERS}AZ._-", min_size=1, max_size=40)
COLLECTIONS = st.builds("{}{}".format, st.sampled_from(LETTERS), st.text(f"{LETTERS}._-", max_size=62))
ALL = st.one_of(
    st.builds(keys.Manifest, COLLECTIONS),
    st.builds(keys.Segment, COLLECTIONS, NAMES),
    st.builds(keys.Marks, COLLECTIONS, NAMES),
    st.builds(keys.Merged, COLLECTIONS, NAMES),
    st.builds(keys.Adapter, COLLECTIONS, NAMES),
    st.builds(keys.ShardPart, COLLECTIONS, NAMES, NAMES),
)


@settings(max_examples=60, deadline=None)
@given(ALL)
def test_a_name_that_was_rendered_is_parsed_to_itself(name: keys.Name) -> None:
    assert keys.parse(keys.render(name)) == name


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"index/[a-z]{1,3}/(log|marks|merged)/[\w/.+\n-]{0,20}", fullmatch=True))
def test_a_key_that_is_parsed_is_rendered_to_itself_and_everything_else_is_not_ours(key: str) -> None:
    name = keys.parse(key)
    assert name is None or keys.render(name) == key


@pytest.mark.parametrize(
    "key",
    [
        "images/a.jpg",
        "index/default/manifest.json.bak",
        "index/default/manifest.json\n",
        "index/Default/manifest.json",
        "index/default/log/a/b.arrow",
        "index/default/log/.arrow/",
        "index/default/shards/a",
        "index/default/shards/a/b/c",
        "xindex/default/manifest.json",
        "",
    ],
)
def test_what_only_looks_like_a_name_is_not_one(key: str) -> None:
    assert keys.parse(key) is None


@settings(max_examples=60, deadline=None)
@given(ALL)
def test_every_name_of_a_collection_lies_under_its_root_and_under_no_other(name: keys.Name) -> None:
    key = keys.render(name)
    assert key.startswith(keys.root(name.collection))
    assert not key.startswith(keys.root(name.collection[:62] + "x"))
    assert key.startswith(keys.log_prefix(name.collection)) == isinstance(name, keys.Segment)


@pytest.mark.parametrize("name", ["", "A", "a" * 64, "-a", ".a", "a/b", "a b", "ä", "a\n", "../a"])
def test_a_bad_collection_name_is_refused_with_the_rule(name: str) -> None:
    for use in (keys.check_collection, keys.root, lambda name: keys.render(keys.Manifest(name))):
        with pytest.raises(InvalidRequest, match="Use 1 to 63") as caught:
            use(name)
        assert caught.value.code == "bad_collection_name"


@settings(max_examples=60, deadline=None)
@given(st.text("0123456789ABCDEF", max_size=30), st.binary(max_size=50), st.binary(max_size=50))
def test_a_segment_proves_its_own_bytes(sequencer: str, body: bytes, other: bytes) -> None:
    id = keys.segment_id(sequencer, body)
    assert keys.parse(keys.render(keys.Segment("c", id))) == keys.Segment("c", id)
    assert keys.check_segment(id, body) == body
    assert keys.segment_id(sequencer, body) == id
    if other != body:
        with pytest.raises(Corrupt, match="do not match its name"):
            keys.check_segment(id, other)
