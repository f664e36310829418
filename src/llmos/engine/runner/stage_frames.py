"""The frames between home and a stage: binary headers, and arrays as they lie in memory. A step is not parsed.

    frame    kind (1 byte), 3 zeros, length of the payload (4 bytes), step (8 bytes), payload; all little-endian
    STEP     eight counts of 4 bytes, the arrays of a StageBatch, then the rows of the stage before
    ROWS     the stage's rows: of the last stage, only those that are wanted

The other kinds have msgpack as their payload; they are sent only while a model or an adapter is loaded, or at an error.
"""

import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from llmos.engine.runner.native import Rows
from llmos.engine.runner.stage import StageBatch

HEADER = struct.Struct("<B3xIQ")
_COUNTS = struct.Struct("<8i")

MAX_PAYLOAD_BYTES = 1 << 30
"""Longer frames are refused: no step comes near, and a broken peer must not fill the memory."""


class Kind(IntEnum):
    LOAD = 1
    ROOM = 2
    ALLOCATE = 3
    READY = 4
    ADAPTER = 5
    STEP = 6
    ROWS = 7
    FAILED = 8


class BadFrame(Exception):
    """The peer sent data that isn't a frame, or an unexpected frame. The message names it."""


class StageRoom(msgspec.Struct, frozen=True, kw_only=True):
    """The blocks, states and snapshots that a stage has memory for. All stages use the minimum over the stages."""

    num_blocks: int
    num_states: int
    num_snapshots: int
    isas: list[str]
    """The instruction sets that its kernels can use."""


class AllocateStage(msgspec.Struct, frozen=True, kw_only=True):
    """Load the weights now. Reply: StageReady, or StageFailed."""

    num_blocks: int
    num_states: int
    num_snapshots: int
    context_length: int
    isa: str


class StageReady(msgspec.Struct, frozen=True, kw_only=True):
    weight_bytes: int
    kv_bytes: int
    threads: int
    shares_weights: bool


class StageFailed(msgspec.Struct, frozen=True):
    """The stage can't go on, and its process ends."""

    code: str
    message: str


class LowRank(msgspec.Struct, frozen=True, array_like=True):
    """A matrix's part of an adapter: float32, row-major."""

    name: str
    rank: int
    down: bytes
    up: bytes
    gain: bytes | None


class SetAdapter(msgspec.Struct, frozen=True):
    """Replace the adapter at an index. There is no reply: the next step needs it, and comes behind it."""

    index: int
    matrices: list[LowRank] | None
    """None removes it."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Frame:
    kind: int
    step: int
    payload: memoryview

    def decode(self, kind: Kind, type: type[T]) -> T:
        """Return the message of a frame that must be of this kind. Raises BadFrame."""
        if self.kind != kind:
            raise BadFrame(f"it sent a frame of the kind {self.kind} instead of {kind.name}")
        try:
            return msgspec.msgpack.decode(self.payload, type=type)
        except msgspec.DecodeError as error:
            raise BadFrame(f"it sent a damaged {kind.name}: {error}") from None


class FrameSocket:
    """A stream socket. Any thread may send, and one receives."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._header = bytearray(HEADER.size)
        self._sending = threading.Lock()

    def send(self, kind: Kind, step: int, *parts: Any) -> None:
        """Send a frame whose payload is these buffers, one after another. Raises OSError."""
        views = [memoryview(part).cast("B") for part in parts if memoryview(part).nbytes]
        header = HEADER.pack(kind, sum(view.nbytes for view in views), step)
        left: list[Any] = [header, *views]
        with self._sending:
            while left:
                num_sent = self._connection.sendmsg(left)
                while left and num_sent >= len(left[0]):
                    num_sent -= len(left.pop(0))
                if num_sent:
                    left[0] = memoryview(left[0])[num_sent:]

    def send_message(self, kind: Kind, message: msgspec.Struct) -> None:
        self.send(kind, 0, msgspec.msgpack.encode(message))

    def receive(self) -> Frame | None:
        """Return the next frame, None where the connection has ended. Raises BadFrame, OSError."""
        if not self._fill(memoryview(self._header), may_end=True):
            return None
        kind, num_bytes, step = HEADER.unpack(self._header)
        if num_bytes > MAX_PAYLOAD_BYTES or kind not in Kind._value2member_map_:
            raise BadFrame("it sent what is no frame")
        payload = np.empty(num_bytes, np.uint8).data if num_bytes else memoryview(b"")
        self._fill(payload, may_end=False)
        return Frame(kind, step, payload)

    def close(self) -> None:
        """End the connection, which wakes a thread that waits in receive()."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _fill(self, view: memoryview, *, may_end: bool) -> bool:
        done = 0
        while done < view.nbytes:
            num_received = self._connection.recv_into(view[done:])
            if not num_received:
                if may_end and not done:
                    return False
                raise ConnectionResetError("the connection has ended within a frame")
            done += num_received
        return True


def step_parts(batch: StageBatch, rows: Any) -> list[Any]:
    """Return the payload of a STEP. `rows`: float32, [N, row size], or the payload of the stage before."""
    num_snapshots = -1 if batch.snapshots is None else len(batch.snapshots)
    num_sequences, width = batch.block_tables.shape
    optional = [batch.adapters, batch.states, batch.restored]
    counts = _COUNTS.pack(
        int(batch.starts[-1]), num_sequences, width, len(batch.wanted_rows), *(array is not None for array in optional),
        num_snapshots,
    )  # fmt: skip
    arrays: Sequence[npt.NDArray[np.int32] | None] = [
        batch.starts, batch.context_lengths, batch.block_tables, batch.wanted_rows, *optional, batch.snapshots
    ]  # fmt: skip
    return [counts, *(np.ascontiguousarray(array) for array in arrays if array is not None), rows]


def read_step(payload: memoryview, row_size: int) -> tuple[StageBatch, Rows]:
    """Return the batch and the rows of a STEP. Raises BadFrame."""
    if len(payload) < _COUNTS.size:
        raise BadFrame("it sent a step that is cut short")
    counts = _COUNTS.unpack_from(payload)
    num_tokens, num_sequences, width, num_wanted, has_adapters, has_states, has_restored, num_snapshots = counts
    if min(counts[:7]) < 0 or num_snapshots < -1:
        raise BadFrame("it sent a step with negative counts")
    position = _COUNTS.size

    def take(*shape: int, is_there: int = 1) -> npt.NDArray[np.int32] | None:
        nonlocal position
        if not is_there:
            return None
        count = int(np.prod(shape))
        if position + 4 * count > len(payload):
            raise BadFrame("it sent a step that is cut short")
        array = np.frombuffer(payload, np.int32, count, position).reshape(shape)
        position += 4 * count
        return array

    starts, context_lengths = take(num_sequences + 1), take(num_sequences)
    tables, wanted = take(num_sequences, width), take(num_wanted)
    assert starts is not None
    assert context_lengths is not None
    assert tables is not None
    assert wanted is not None
    adapters, states = take(num_sequences, is_there=has_adapters), take(num_sequences, is_there=has_states)
    restored = take(num_sequences, is_there=has_restored)
    snapshots = take(num_snapshots, 3, is_there=num_snapshots >= 0)
    rows = read_rows(payload[position:], num_tokens, row_size)
    return StageBatch(starts, context_lengths, tables, wanted, adapters, states, restored, snapshots), rows


def read_rows(payload: memoryview, num_rows: int, row_size: int) -> Rows:
    """Return rows of a known number and size. Raises BadFrame for another."""
    if len(payload) != 4 * num_rows * row_size:
        raise BadFrame(f"it sent {len(payload):,} bytes for {num_rows:,} rows of {row_size:,} floats")
    return np.frombuffer(payload, np.float32).reshape(num_rows, row_size)
