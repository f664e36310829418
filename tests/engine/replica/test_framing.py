"""Frames are decoded correctly however the stream is cut."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.engine.messages import Command, Event, Frame
from llmos.engine.replica.framing import FrameReader, FrameWriter
from support.frames import COMMANDS, EVENTS


@settings(deadline=None)
@given(cuts=st.lists(st.integers(0, 2000)), kind=st.sampled_from(["commands", "events"]))
def test_messages_survive_any_cut(cuts, kind):
    messages, expected = (COMMANDS, Command) if kind == "commands" else ([Frame(EVENTS)], Frame)
    reader = FrameReader(expected)
    data = b"".join(FrameWriter().pack(message) for message in messages)
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    read = [m for start, end in pairwise(borders) for m in reader.feed(data[start:end])]
    assert read == messages


def test_an_invalid_message_is_an_error():
    with pytest.raises(msgspec.DecodeError):
        list(FrameReader[Event](Event).feed(b"\0\0\0\1\x01"))


@pytest.mark.parametrize(
    "message", [b"\x83\xa1\x9b", b"\x91" * 5000 + b"\xc0", b"\xd9\x02\xff\xff"], ids=["no text", "nested", "no UTF-8"]
)
def test_a_malformed_message_is_one_kind_of_error(message):
    with pytest.raises(msgspec.DecodeError):
        list(FrameReader[Frame](Frame).feed(len(message).to_bytes(4, "big") + message))


def test_a_frame_that_claims_gigabytes_is_refused_at_once():
    with pytest.raises(msgspec.DecodeError, match="claims 4,294,967,295 bytes"):
        list(FrameReader[Frame](Frame).feed(b"\xff\xff\xff\xff"))
