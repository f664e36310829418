"""Server-sent events, however the bytes are cut."""

import json

from hypothesis import given
from hypothesis import strategies as st

from llmos.client.events import EventDecoder


def decoded(*chunks: bytes) -> list[str]:
    decoder = EventDecoder()
    return [data for chunk in chunks for data in decoder.feed(chunk)]


def test_an_event_ends_at_an_empty_line() -> None:
    assert decoded(b"data: a\n\ndata:b\n\ndata: c\n") == ["a", "b"]


def test_every_line_ending_of_the_standard_is_one() -> None:
    assert decoded(b"data: a\r\n\r\ndata: b\r\rdata: c\n\n") == ["a", "b", "c"]


def test_lines_of_one_event_are_joined() -> None:
    assert decoded(b"data: a\ndata:\ndata:  b\n\n") == ["a\n\n b"]


def test_comments_and_other_fields_say_nothing() -> None:
    assert decoded(b": still here\n\nevent: x\nid: 1\nretry: 5\n\ndata: a\nevent: y\n\n") == ["a"]


def test_unicode_line_separators_are_text() -> None:
    assert decoded("data: a\u2028b\u0085c\x0bd\n\n".encode()) == ["a\u2028b\u0085c\x0bd"]


@given(texts=st.lists(st.text(), min_size=1), line_end=st.sampled_from(["\n", "\r\n", "\r"]), data=st.data())
def test_any_cut_of_the_bytes_gives_the_same_events(texts: list[str], line_end: str, data: st.DataObject) -> None:
    # A surrogate is no character: JSON spells it in ASCII.
    payloads = [json.dumps(text, ensure_ascii=True) for text in texts]
    whole = "".join(f"data: {payload}{line_end}{line_end}" for payload in payloads).encode() + b"data: next\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)))))
    chunks = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert decoded(*chunks) == payloads
