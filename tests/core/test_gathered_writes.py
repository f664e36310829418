"""GatheringTransport: one call of the system for what is written in one pass of the event loop."""

import asyncio

from llmos.core.gathered_writes import _MAX_GATHERED_BYTES, GatheringTransport


class SentPieces(asyncio.Transport):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.sent, self.has_closed = [], False

    def write(self, data):
        self.sent.append(bytes(data))

    def is_closing(self):
        return self.has_closed

    def close(self):
        self.has_closed = True

    abort = close

    def get_write_buffer_size(self):
        return 0


def run(write):
    """Return what was sent at the end of the pass in which `write` was called with a transport."""

    async def in_loop():
        inner = SentPieces()
        write(GatheringTransport(inner), inner)
        await asyncio.sleep(0)
        return inner

    return asyncio.run(in_loop())


def test_the_pieces_of_a_pass_are_sent_together_and_in_order():
    def write(transport, inner):
        for piece in (b"head ", bytearray(b"body "), b"end"):
            transport.write(piece)
        assert inner.sent == []
        assert transport.get_write_buffer_size() == 13

    assert run(write).sent == [b"head body end"]


def test_close_sends_what_waits_first_and_abort_drops_it():
    def close(transport, inner):
        transport.write(b"last")
        transport.close()
        assert inner.sent == [b"last"]

    def abort(transport, inner):
        transport.write(b"last")
        transport.abort()

    assert run(close).sent == [b"last"]
    assert run(abort).sent == []


def test_a_writer_who_never_waits_gathers_no_more_than_a_limit():
    def write(transport, inner):
        for _ in range(20):
            transport.write(bytes(_MAX_GATHERED_BYTES // 4))
            assert transport.get_write_buffer_size() <= _MAX_GATHERED_BYTES

    assert len(run(write).sent) == 4
