"""Errors become status codes, answers JSON, and every request one log line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.requests import JSON, SEARCH, event, refusal

from bucketlens.edge.http import (
    answer,
    failure,
)  # fmt: skip
from bucketlens.edge.report import log_line
from bucketlens.errors import (
    BucketlensError,
    Conflict,
    Corrupt,
    Exists,
    InvalidRequest,
    Misconfigured,
    NotFound,
    Rejected,
    Retryable,
    UnreadableObject,
)  # fmt: skip


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidRequest("m"), 400, "invalid_request"), (InvalidRequest("m", code="too_large"), 413, "too_large"),
        (Rejected("m"), 400, "rejected"), (UnreadableObject("m"), 422, "unreadable_object"),
        (NotFound("m", code="unknown_collection"), 404, "unknown_collection"), (Conflict("m"), 409, "conflict"),
        (Exists("m"), 409, "exists"), (Retryable("m"), 503, "try_again"), (Corrupt("m"), 500, "corrupt"),
        (Misconfigured("m"), 500, "misconfigured"), (BucketlensError("m"), 500, "internal"),
        (KeyError("secret"), 500, "internal"), (RecursionError(), 500, "internal"),
    ],
)  # fmt: skip
def test_every_error_has_its_status_code(error: BaseException, status: int, code: str) -> None:
    response: Any = failure(error, "request-1")
    told = json.loads(response["body"])["error"]
    assert response["statusCode"] == status
    assert told["code"] == code
    assert told["request_id"] == "request-1"
    assert set(told) == {"code", "message", "value", "remedy", "request_id"}
    assert ("retry-after" in response["headers"]) is (status == 503)


def test_what_the_caller_cannot_change_is_told_without_internals() -> None:
    for error in (
        Corrupt("secret", value="secret", remedy="secret"),
        Retryable("secret", value="secret"),
        OSError("secret"),
    ):
        assert "secret" not in str(failure(error, "r"))


def test_a_refusal_names_the_offending_value_and_the_remedy() -> None:
    response: Any = failure(InvalidRequest("No.", value="\ud800x", remedy="Do."), "r")
    assert json.loads(response["body"])["error"] | {"request_id": ""} == {
        "code": "invalid_request", "message": "No.", "value": "?x", "remedy": "Do.", "request_id": "",
    }  # fmt: skip
    response["body"].encode()


def test_a_request_over_six_megabytes_is_too_large() -> None:
    error = refusal(event("POST", SEARCH, body="x" * (6 * 1024 * 1024 + 1)))
    assert failure(error, "r")["statusCode"] == 413


@dataclass
class Shown:
    when: datetime
    score: np.float32


def test_an_answer_is_json_that_every_client_can_read() -> None:
    body = {
        "nan": float("nan"), "inf": [-np.inf], "tuple": (1, True), "names": {"b", "a"}, "é": np.arange(2),
        "hit": Shown(datetime(2024, 5, 1, tzinfo=UTC), np.float32(0.5)), "kind": np.int64(3),
    }  # fmt: skip
    response: Any = answer(200, body)
    assert response["headers"]["cache-control"] == "no-store"
    assert response["isBase64Encoded"] is False
    assert json.loads(response["body"]) == {
        "nan": None, "inf": [None], "tuple": [1, True], "names": ["a", "b"], "é": [0, 1],
        "hit": {"when": "2024-05-01T00:00:00+00:00", "score": 0.5}, "kind": 3,
    }  # fmt: skip
    with pytest.raises(TypeError):
        answer(200, {"x": object()})


def test_an_answer_too_large_for_lambda_is_the_callers_to_shrink() -> None:
    for body in ({"x": "é" * 3_200_000}, {"x": '"' * 1_600_000}, {"x": ["a"] * 1_300_000}):
        with pytest.raises(InvalidRequest) as refused:
            answer(200, body)
        assert refused.value.code == "answer_too_large"
    for body in ({"x": "é" * 3_100_000}, {"x": '"' * 1_500_000}):
        assert len(json.dumps(answer(200, body), ensure_ascii=False).encode()) <= 6 * 2**20


def test_a_log_line_is_one_line_of_json_without_secrets() -> None:
    line = log_line(
        event="query", ms=1.5, nan=float("nan"), text="a\nb", headers={"Authorization": "Bearer x", "Host": "h"},
        body="image bytes", image=b"12345", link="https://b/k?X-Amz-Signature=abc&x=1", none=None,
        error=NotFound("No.", value="v"), other=OSError("broken"), many=list(range(100)), long="x" * 600,
    )  # fmt: skip
    assert "\n" not in line
    found = json.loads(line)
    assert list(found)[:2] == ["event", "ms"]
    assert found["headers"] == {"Authorization": "(redacted)", "Host": "h"}
    assert found["body"] == "(redacted)"
    assert found["image"] == "(5 bytes)"
    assert found["link"] == "https://b/k?X-Amz-Signature=(redacted)&x=1"
    assert found["error"] == {"type": "NotFound", "code": "not_found", "message": "No.", "value": "v"}
    assert found["other"] == {"type": "OSError", "message": "broken"}
    assert found["many"][-1] == "(50 more)"
    assert len(found["long"]) < 600
    assert "none" not in found


class Unshowable:
    def __str__(self) -> str:
        raise ValueError("no")


@given(st.dictionaries(st.text(), JSON | st.binary() | st.sets(st.text()) | st.builds(Unshowable) | st.builds(object)))
def test_no_fact_breaks_the_log_line(facts: dict[str, object]) -> None:
    json.loads(log_line(**facts, huge=10**5000, surrogate="\ud800", cyclic=cyclic()))


def cyclic() -> list[object]:
    found: list[object] = []
    found.append(found)
    return found
