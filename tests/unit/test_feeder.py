"""The local event path: what is delivered, how often, in which order, and what happens to failures."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import pytest
from tests.support.inbox import BUCKET, NOON, PATIENCE, Inbox, created, feeder, removed

from bucketlens.edge.events import failures
from bucketlens.local.changes import Change
from bucketlens.local.feeder import Chaos, Feeder
from bucketlens.local.messages import encode_key
from bucketlens.records import Change as Happened
from bucketlens.records import Notice, Sequencer


def test_every_change_arrives_once_after_a_test_event() -> None:
    inbox = Inbox()
    with feeder(inbox) as queue:
        for number in range(25):
            queue.hear(created(f"images/{number}.jpg"))
        assert queue.drain(PATIENCE)
    assert Counter(notice.key for notice in inbox.notices) == Counter(f"images/{number}.jpg" for number in range(25))
    assert inbox.tests == 1
    assert queue.pending() == 0
    assert queue.dead_letters() == ()


def test_a_batch_holds_at_most_ten_messages() -> None:
    inbox = Inbox()
    queue = feeder(inbox)
    for number in range(35):
        queue.hear(created(f"images/{number}.jpg"))
    with queue:
        assert queue.drain(PATIENCE)
    assert max(len(event["Records"]) for event in inbox.events) == 10
    assert sum(len(event["Records"]) for event in inbox.events) == 36


def test_other_buckets_and_prefixes_are_not_heard() -> None:
    inbox = Inbox()
    with feeder(inbox, prefixes=("images/", "shop/")) as queue:
        queue.hear(Change("ObjectCreated:Put", "another", "images/a.jpg"))
        queue.hear(created("index/default/manifest.json"))
        queue.hear(created("shop/a.jpg"))
        assert queue.drain(PATIENCE)
    assert [notice.key for notice in inbox.notices] == ["shop/a.jpg"]


def test_sequencers_are_long_capital_hexadecimal_numbers_that_only_grow() -> None:
    inbox = Inbox()
    with feeder(inbox, workers=1) as queue:
        for change in (created(), removed(), created(), created("images/b.jpg"), removed()):
            queue.hear(change)
        assert queue.drain(PATIENCE)
    bases = [notice.sequencer.base for notice in inbox.notices]
    assert sorted(set(bases)) == bases
    assert all(len(base) >= 18 and base == f"{int(base, 16):018X}" for base in bases)


def test_sequencers_go_on_growing_across_restarts_when_time_does() -> None:
    def newest(at: datetime) -> Sequencer:
        inbox = Inbox()
        with Feeder(inbox, window_s=0.005, clock=lambda: at) as queue:
            queue.hear(created())
            assert queue.drain(PATIENCE)
        return inbox.notices[0].sequencer

    assert newest(NOON) < newest(NOON.replace(microsecond=1))


def test_an_event_is_worded_as_s3_words_it() -> None:
    inbox = Inbox()
    with feeder(inbox) as queue:
        queue.hear(created("images/red car+(1) ~ä%.jpg", size=7, etag="abc", version_id="v1"))
        assert queue.drain(PATIENCE)
    bodies = [json.loads(record["body"]) for event in inbox.events for record in event["Records"]]
    assert next(body for body in bodies if "Event" in body)["Event"] == "s3:TestEvent"
    (record,) = next(body for body in bodies if "Records" in body)["Records"]
    assert record["eventVersion"].startswith("2.")
    assert (record["eventSource"], record["eventName"]) == ("aws:s3", "ObjectCreated:Put")
    assert record["eventTime"] == "2026-11-22T12:00:00.000Z"
    assert record["s3"]["bucket"]["name"] == BUCKET
    thing = record["s3"]["object"]
    assert thing["key"] == "images/red+car%2B%281%29+%7E%C3%A4%25.jpg"
    assert (thing["size"], thing["eTag"], thing["versionId"]) == (7, "abc", "v1")
    assert inbox.notices[0].key == "images/red car+(1) ~ä%.jpg"


def test_a_removal_has_neither_size_nor_etag() -> None:
    inbox = Inbox()
    with feeder(inbox) as queue:
        queue.hear(removed())
        assert queue.drain(PATIENCE)
    assert inbox.notices[0].change is Happened.REMOVED
    bodies = "".join(record["body"] for event in inbox.events for record in event["Records"])
    assert "eTag" not in bodies
    assert '"size"' not in bodies


def test_a_slash_stays_and_everything_a_form_would_encode_is_encoded() -> None:
    assert encode_key("a/b c*d&e=f") == "a/b+c*d%26e%3Df"


def test_a_message_named_as_failed_comes_back_alone_until_it_succeeds() -> None:
    seen: Counter[str] = Counter()

    def answer(notices: Sequence[Notice]) -> object:
        seen.update(notice.key for notice in notices)
        bad = [n.message for n in notices if n.key == "images/bad.jpg" and seen[n.key] < 3]
        return failures([id for id in bad if id])

    inbox = Inbox(answer)
    queue = feeder(inbox, workers=1)
    for key in ("images/good.jpg", "images/bad.jpg"):
        queue.hear(created(key))
    with queue:
        assert queue.drain(PATIENCE)
    assert seen == {"images/good.jpg": 1, "images/bad.jpg": 3}
    assert queue.dead_letters() == ()
    assert len({notice.message for notice in inbox.notices}) == 2
    receives = [record["attributes"]["ApproximateReceiveCount"] for record in inbox.events[-1]["Records"]]  # type: ignore[index]
    assert receives == ["3"]


def test_a_message_that_always_fails_becomes_a_dead_letter_and_holds_up_no_other() -> None:
    def answer(notices: Sequence[Notice]) -> object:
        return failures([n.message for n in notices if n.key == "images/bad.jpg" and n.message])

    inbox = Inbox(answer)
    with feeder(inbox, attempts=4) as queue:
        for key in ("images/bad.jpg", "images/good.jpg"):
            queue.hear(created(key))
        assert queue.drain(PATIENCE)
    (letter,) = queue.dead_letters()
    assert letter.attempts == 4
    assert "images/bad.jpg" in letter.body
    assert Counter(notice.key for notice in inbox.notices) == {"images/bad.jpg": 4, "images/good.jpg": 1}


@pytest.mark.parametrize(
    "answer",
    [
        {"batchItemFailures": [{"itemIdentifier": "nobody"}]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"wrong": "name"}]},
        {"batchItemFailures": "text"},
        "text",
    ],
)
def test_an_answer_that_makes_no_sense_fails_the_whole_batch(answer: object) -> None:
    with feeder(Inbox(lambda notices: answer), attempts=2) as queue:
        queue.hear(created())
        assert queue.drain(PATIENCE)
    assert {letter.attempts for letter in queue.dead_letters()} == {2}
    assert len(queue.dead_letters()) == 2


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_an_empty_answer_is_success(answer: object) -> None:
    with feeder(Inbox(lambda notices: answer)) as queue:
        queue.hear(created())
        assert queue.drain(PATIENCE)
    assert queue.dead_letters() == ()


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(1)])
def test_a_handler_that_dies_fails_its_batch_and_the_queue_goes_on(error: BaseException) -> None:
    calls = iter(range(1000))

    def dies_first(event: object) -> object:
        if next(calls) < 2:
            raise error
        return inbox(event)

    inbox = Inbox()
    with feeder(dies_first, workers=1, attempts=5) as queue:
        queue.hear(created())
        assert queue.drain(PATIENCE)
    assert [notice.key for notice in inbox.notices] == ["images/a.jpg"]
    assert queue.dead_letters() == ()


def test_duplicates_happen_as_often_as_asked_and_are_the_same_event_in_another_message() -> None:
    def deliveries(chaos: Chaos) -> list[Notice]:
        inbox = Inbox()
        with feeder(inbox, chaos=chaos) as queue:
            for number in range(200):
                queue.hear(created(f"images/{number}.jpg"))
            assert queue.drain(PATIENCE)
        return inbox.notices

    assert len(deliveries(Chaos())) == 200
    assert len(deliveries(Chaos(duplicate=1.0))) == 400
    some = deliveries(Chaos(duplicate=0.2, seed=1))
    assert 210 < len(some) < 280
    assert len({notice.message for notice in some}) == len(some)
    assert len({(notice.key, notice.sequencer) for notice in some}) == 200


def test_order_is_kept_unless_reordering_is_asked_for() -> None:
    def order(chaos: Chaos) -> list[Sequencer]:
        inbox = Inbox()
        queue = feeder(inbox, workers=1, chaos=chaos)
        for _ in range(50):
            queue.hear(created())
        with queue:
            assert queue.drain(PATIENCE)
        return [notice.sequencer for notice in inbox.notices]

    assert order(Chaos()) == sorted(order(Chaos()))
    assert order(Chaos(delay_s=0.02)) == sorted(order(Chaos(delay_s=0.02)))
    mixed = order(Chaos(reorder=True, delay_s=0.2, seed=1))
    assert mixed != sorted(mixed)
    assert len(set(mixed)) == 50


def test_what_the_handler_has_not_answered_yet_is_pending() -> None:
    entered, release = threading.Event(), threading.Event()

    def slow(event: object) -> object:
        entered.set()
        release.wait(PATIENCE)
        return None

    with feeder(slow) as queue:
        assert entered.wait(PATIENCE)
        assert queue.pending() == 1
        assert not queue.drain(0.0)
        release.set()
        assert queue.drain(PATIENCE)


def test_two_batches_are_under_way_at_once_with_two_workers() -> None:
    together = threading.Barrier(2)

    def waits_for_the_other(event: object) -> object:
        together.wait(PATIENCE)
        return None

    queue = feeder(waits_for_the_other, workers=2, batch=1)
    queue.hear(created())
    with queue:
        assert queue.drain(PATIENCE)
    assert queue.dead_letters() == ()


def test_stopping_ends_the_threads_and_leaves_the_rest_undelivered() -> None:
    before = threading.active_count()
    inbox = Inbox()
    queue = feeder(inbox, chaos=Chaos(delay_s=1000.0))
    with queue:
        queue.hear(created())
    queue.stop()
    assert threading.active_count() == before
    assert inbox.notices == []
    assert queue.pending() == 2
    assert not queue.drain(PATIENCE)
