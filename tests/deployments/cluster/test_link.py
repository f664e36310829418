"""Link: what is one connection's, and where it ends being messages."""

import asyncio
from unittest.mock import Mock

import pytest

from llmos.deployments.cluster.link import Link
from llmos.deployments.cluster.messages import Attached, Leave, ToNode
from llmos.engine.replica.framing import FrameWriter


class Received(asyncio.Protocol):
    """Keeps what arrives."""

    def __init__(self):
        self.data = b""

    def data_received(self, data):
        self.data += data


class Transport(asyncio.Transport):
    """A connection that goes nowhere."""

    def get_extra_info(self, name, default=None):
        return Mock() if name == "socket" else default

    def set_protocol(self, protocol):
        pass

    def is_closing(self):
        return False


@pytest.mark.parametrize("cut", [0, 1, 5, 20])
def test_frames_behind_the_last_message_are_the_next_protocols(cut):
    """They may come in the same packet, or while nobody has taken the connection over."""

    async def body():
        link, received = Link(ToNode, last=Attached), Received()
        link.connection_made(Transport())
        frame = bytes(FrameWriter().pack(Attached()))
        packets = frame + b"frames of a worker"
        link.data_received(packets[: len(frame) + cut])
        link.data_received(packets[len(frame) + cut :])
        assert await link.receive() == Attached()
        link.hand_over(received)
        assert received.data == b"frames of a worker"

    asyncio.run(body())


def test_messages_come_in_order_however_they_are_cut():
    async def body():
        link = Link(ToNode)
        link.connection_made(Transport())
        for byte in bytes(FrameWriter().pack(Attached()) + FrameWriter().pack(Leave())):
            link.data_received(bytes([byte]))
        assert [await link.receive(), await link.receive()] == [Attached(), Leave()]

    asyncio.run(body())
