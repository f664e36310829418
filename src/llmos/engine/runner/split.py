"""SplitRunner: a model whose layers are on several nodes, to the engine one runner. Runs at home, and knows no network.

    step thread      begin():  home's layers --> stage 1                    finish():  head <-- the queue of results
    reader threads                               stage 1 --> stage 2 --> ... --> the queue of results

Every stage computes the same steps in the same order, so several may be under way. A stage that fails ends the replica.
"""

import queue
import socket
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from llmos.core.errors import error_of_code
from llmos.engine.messages import LoadStage
from llmos.engine.runner import Batch, Likeliest, Scores, StageLost
from llmos.engine.runner.native import NativeRunner
from llmos.engine.runner.stage import Stage, StageBatch, own_pairs
from llmos.engine.runner.stage_frames import (
    AllocateStage,
    BadFrame,
    Frame,
    FrameSocket,
    Kind,
    LowRank,
    SetAdapter,
    StageFailed,
    StageReady,
    StageRoom,
    read_rows,
    step_parts,
)

if TYPE_CHECKING:
    from llmos.engine.checkpoint.adapters import Adapter


class StageLink:
    """Home's end of the connection to a stage."""

    def __init__(self, stage: Stage, node: str, connection: socket.socket) -> None:
        self.stage, self.node = stage, node
        self._frames = FrameSocket(connection)

    @property
    def name(self) -> str:
        return f"The stage of the layers {self.stage} on {self.node}"

    def load(self, order: LoadStage) -> StageRoom:
        """Ask the stage for its room. Raises what it says is wrong, and StageLost."""
        self._send(Kind.LOAD, order)
        return self._reply().decode(Kind.ROOM, StageRoom)

    def allocate(self, order: AllocateStage) -> None:
        self._send(Kind.ALLOCATE, order)

    def wait_ready(self) -> StageReady:
        """Raises what the stage says is wrong, and StageLost."""
        return self._reply().decode(Kind.READY, StageReady)

    def step(self, step: int, batch: StageBatch, rows: object) -> None:
        """Raises StageLost."""
        try:
            self._frames.send(Kind.STEP, step, *step_parts(batch, rows))
        except OSError as error:
            raise StageLost(f"{self.name} is gone: {error}.") from None

    def set_adapter(self, index: int, adapter: "Adapter | None") -> None:
        """Raises StageLost."""
        matrices = None
        if adapter is not None:
            matrices = [_low_rank(name, adapter) for name in own_pairs(adapter, self.stage)]
        self._send(Kind.ADAPTER, SetAdapter(index, matrices))

    def receive(self) -> Frame:
        """Return the next frame. Raises StageLost where the connection has ended, or where the stage says so."""
        try:
            frame = self._frames.receive()
        except (BadFrame, OSError) as error:
            raise StageLost(f"{self.name} is gone: {error}.") from None
        if frame is None:
            raise StageLost(f"{self.name} has ended.")
        if frame.kind == Kind.FAILED:
            failed = frame.decode(Kind.FAILED, StageFailed)
            raise StageLost(f"{self.name} failed: {failed.message}", error_of_code(failed.code, failed.message))
        return frame

    def close(self) -> None:
        self._frames.close()

    def _reply(self) -> Frame:
        try:
            return self.receive()
        except StageLost as lost:
            if lost.reason is not None:
                raise error_of_code(lost.reason.code, f"{self.node}: {lost.reason.message}") from None
            raise

    def _send(self, kind: Kind, message: LoadStage | AllocateStage | SetAdapter) -> None:
        try:
            self._frames.send_message(kind, message)
        except OSError as error:
            raise StageLost(f"{self.name} is gone: {error}.") from None


@dataclass(frozen=True, slots=True)
class _Step:
    number: int
    batch: Batch
    for_stages: StageBatch


class SplitRunner:
    """See Runner. Each begin() is answered by one finish(), in the same order; both belong to one thread."""

    def __init__(self, home: NativeRunner, links: Sequence[StageLink], ready: Sequence[StageReady]) -> None:
        """`links`: to stages that are ready, in the order of their layers."""
        self.spec, self.num_blocks = home.spec, home.num_blocks
        self.num_states, self.num_snapshots = home.num_states, home.num_snapshots
        self.pool, self.isa = home.pool, home.isa
        self.weight_bytes = home.weight_bytes + sum(each.weight_bytes for each in ready)
        self.kv_bytes = home.kv_bytes + sum(each.kv_bytes for each in ready)
        self._home, self._links = home, links
        self.max_under_way = 1 + len(links)
        """Steps that keep all stages busy at once."""
        self._num_steps = 0
        self._under_way: deque[_Step] = deque()
        self._steps_at: list[queue.SimpleQueue[_Step]] = [queue.SimpleQueue() for _ in links]
        """The steps that each stage will answer, in order."""
        self._results: queue.SimpleQueue[npt.NDArray[np.float32] | StageLost] = queue.SimpleQueue()
        for index in range(len(links)):
            name = f"stage {links[index].stage}"
            threading.Thread(target=self._relay, args=(index,), name=name, daemon=True).start()

    def forward(self, batch: Batch) -> npt.NDArray[np.float32]:
        self.begin(batch)
        return self.finish()

    def begin(self, batch: Batch) -> None:
        """Start a step. Raises SequencesRefused as forward() does, and StageLost."""
        for_stages = StageBatch.of(batch)
        rows = self._home.advance(for_stages, tokens=batch.tokens)
        self._num_steps += 1
        step = _Step(self._num_steps, batch, for_stages)
        self._under_way.append(step)
        self._pass_on(0, step, rows)

    def finish(self) -> npt.NDArray[np.float32]:
        """Return logits_RV of the oldest step under way, valid until the next call. Raises StageLost."""
        step = self._under_way.popleft()
        rows = self._results.get()
        if isinstance(rows, StageLost):
            raise rows
        return self._home.finish(rows, step.batch)

    def set_adapter(self, index: int, adapter: "Adapter | None") -> None:
        """Raises StageLost."""
        self._home.set_adapter(index, adapter)
        for link in self._links:
            link.set_adapter(index, adapter)

    def likeliest(self) -> Likeliest:
        return self._home.likeliest()

    def scores(self) -> Scores | None:
        return self._home.scores()

    def close(self) -> None:
        """End all stages."""
        for link in self._links:
            link.close()

    def _pass_on(self, index: int, step: _Step, rows: object) -> None:
        self._steps_at[index].put(step)
        self._links[index].step(step.number, step.for_stages, rows)

    def _relay(self, index: int) -> None:
        """Give what a stage computes to the next one, until it is lost."""
        link, is_last = self._links[index], index == len(self._links) - 1
        row_size = self._home.row_size(link.stage.end)
        try:
            while True:
                frame = link.receive()
                step = self._next_step(index, frame)
                count = len(step.for_stages.wanted_rows if is_last else step.batch.tokens)
                try:
                    rows = read_rows(frame.payload, count, row_size)
                except BadFrame as error:
                    raise StageLost(f"{link.name} can't be right: {error}.") from None
                if is_last:
                    self._results.put(rows)
                else:
                    self._pass_on(index + 1, step, rows)
        except StageLost as lost:
            self._results.put(lost)

    def _next_step(self, index: int, frame: Frame) -> _Step:
        link = self._links[index]
        try:
            step = self._steps_at[index].get_nowait()
        except queue.Empty:
            raise StageLost(f"{link.name} can't be right: it sent rows that nobody asked for.") from None
        if frame.kind != Kind.ROWS or frame.step != step.number:
            raise StageLost(f"{link.name} can't be right: it sent step {frame.step} instead of {step.number}.")
        return step


def _low_rank(name: str, adapter: "Adapter") -> LowRank:
    each = adapter[name]
    gain = None if each.gain is None else each.gain.tobytes()
    return LowRank(name, len(each.down), each.down.tobytes(), each.up.tobytes(), gain)
