"""Sequencers: the order of a key's versions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bucketlens.records import Sequencer

BASES = st.text("0123456789ABCDEF", max_size=20)
SEQUENCERS = st.builds(Sequencer, BASES | st.sampled_from(["", "0", "1", "10", "1000", "0A", "0A0"]), st.integers(0, 3))


def padded(sequencer: Sequencer) -> tuple[int, int]:
    """The order as S3 documents it: zeros on the right up to a common length, then compare."""
    return int(sequencer.base.ljust(40, "0"), 16), sequencer.revision


@settings(max_examples=60, deadline=None)
@given(SEQUENCERS, SEQUENCERS)
def test_the_order_is_that_of_numbers_padded_on_the_right(one: Sequencer, other: Sequencer) -> None:
    assert (one < other) == (padded(one) < padded(other))
    assert (one <= other) == (padded(one) <= padded(other))
    assert (one > other) == (padded(one) > padded(other))
    assert (one == other) == (padded(one) == padded(other))


@settings(max_examples=60, deadline=None)
@given(SEQUENCERS, SEQUENCERS, SEQUENCERS)
def test_the_order_is_total(one: Sequencer, two: Sequencer, three: Sequencer) -> None:
    assert (one < two) + (one == two) + (one > two) == 1
    assert not (one <= two <= three) or one <= three
    assert sorted([one, two, three], key=padded) == sorted([one, two, three])


@settings(max_examples=60, deadline=None)
@given(SEQUENCERS, st.integers(0, 10))
def test_equal_sequencers_have_one_hash(one: Sequencer, zeros: int) -> None:
    longer = Sequencer(one.base + "0" * zeros, one.revision)
    assert one == longer
    assert hash(one) == hash(longer)
    assert len({one, longer}) == 1


@settings(max_examples=60, deadline=None)
@given(SEQUENCERS, SEQUENCERS)
def test_a_revision_beats_what_it_replaces_and_loses_to_every_later_event(one: Sequencer, other: Sequencer) -> None:
    revised = one.next_revision()
    assert revised > one
    if padded(other)[0] > padded(one)[0]:
        assert one < revised < other


@settings(max_examples=60, deadline=None)
@given(SEQUENCERS)
def test_text_is_parsed_back(one: Sequencer) -> None:
    assert Sequencer.parse(str(one)) == one
    assert str(Sequencer.parse(str(one))) == str(one)
    assert Sequencer.parse(str(one).lower()) == one


@settings(max_examples=60, deadline=None)
@given(SEQUENCERS)
def test_the_empty_sequencer_is_older_than_every_event(one: Sequencer) -> None:
    assert Sequencer() <= one


def test_a_sequencer_equals_nothing_else() -> None:
    assert Sequencer("0A") != "0A"
    assert Sequencer("0A") in {Sequencer("0A00")}


@pytest.mark.parametrize("text", ["0A+", "0A+x", "0A+1+2"])
def test_a_revision_that_is_no_number_is_refused(text: str) -> None:
    if text == "0A+":
        assert Sequencer.parse(text) == Sequencer("0A")
    else:
        with pytest.raises(ValueError, match="invalid literal"):
            Sequencer.parse(text)
