"""Protocol Buffers' wire format, read in place: fields of a message without a schema and without copying.

https://protobuf.dev/programming-guides/encoding; groups, which protobuf gave up, are refused.
"""

from __future__ import annotations

from collections.abc import Iterator

Span = tuple[int, int]
"""Start and end of a length-delimited field in the buffer."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types."""


def fields(body: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(field, wire type, value, 0) of each number, (field, wire type, start, end) of each length-delimited field.

    Fixed-width numbers are passed over. Raises ValueError or IndexError where the bytes are no message.
    """
    while at < end:
        tag, at = _varint(body, at)
        field, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(body, at)
            yield field, kind, value, 0
        elif kind == BYTES:
            length, at = _varint(body, at)
            if at + length > end:
                raise ValueError("a field reaches beyond its message")
            yield field, kind, at, at + length
            at += length
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} is not protobuf")


def messages(body: memoryview, span: Span, wanted: int) -> Iterator[Span]:
    """The spans of every length-delimited field of this number."""
    return ((at, stop) for field, kind, at, stop in fields(body, *span) if (field, kind) == (wanted, BYTES))


def string(body: memoryview, span: Span, wanted: int) -> str:
    """The last string field of this number, or the empty string; ValueError when it is not UTF-8."""
    found = ""
    for at, stop in messages(body, span, wanted):
        found = bytes(body[at:stop]).decode("utf-8")
    return found


def _varint(body: memoryview, at: int) -> tuple[int, int]:
    value = body[at]
    if value < 0x80:
        return value, at + 1
    value &= 0x7F
    for shift in range(7, 70, 7):
        at += 1
        byte = body[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
    raise ValueError("a number is longer than 64 bit")
