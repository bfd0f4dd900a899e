"""Server-sent events, however they arrive."""

import pytest

from parley.adapters.models.openai_compatible.sse import EventReader, EventTooLong, ServerSentEvent

STREAM = "data: አ\n\n: comment\nevent: x\ndata:1\ndata: 2\nid: 7\n\ndata\n\nretry: 1\n\n"
EVENTS = [("", "አ"), ("x", "1\n2"), ("", "")]


def read(*chunks: bytes, longest: int = 1000) -> list[tuple[str, str]]:
    reader = EventReader(longest=longest)
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return [(event.name, event.data.decode()) for event in events]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_events_are_the_same_wherever_the_stream_is_cut(line_end: str, size: int) -> None:
    stream = STREAM.replace("\n", line_end).encode()

    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]

    assert read(*chunks) == EVENTS
    assert read(b"", *(piece for chunk in chunks for piece in (chunk, b""))) == EVENTS


def test_an_event_that_ends_in_a_return_does_not_wait_for_a_line_feed() -> None:
    assert read(b"data: 1\r\r") == [("", "1")]
    assert read(b"data: 1\r\n\r", b"\ndata: 2\r\n\r\n") == [("", "1"), ("", "2")]


def test_a_byte_order_mark_is_no_part_of_the_first_field() -> None:
    assert read(b"\xef\xbb\xbfdata: 1\n\n") == [("", "1")]


def test_what_the_end_of_the_stream_cut_off_can_be_had() -> None:
    reader = EventReader(longest=1000)

    assert list(reader.feed(b"data: 1\ndata: 2")) == []
    assert reader.rest() == ServerSentEvent("", b"1\n2")
    assert reader.rest() is None


@pytest.mark.parametrize("piece", [b"data: 0123456789", b"data: 0123456789\n"])
def test_an_event_without_an_end_is_given_up(piece: bytes) -> None:
    with pytest.raises(EventTooLong):
        read(piece, piece, piece, longest=25)
