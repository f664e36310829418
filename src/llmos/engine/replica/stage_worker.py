"""The process of a stage: python -m llmos.engine --stage --fd N. It takes rows and gives rows, one step after another.

It knows no token and no request. It ends with the connection to home, and idle it waits for the next frame.
"""

import logging
import socket
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llmos.core.errors import LLMOSError
from llmos.core.progress import no_progress
from llmos.engine.checkpoint.adapters import LowRankUpdate
from llmos.engine.checkpoint.checkpoint import open_checkpoint
from llmos.engine.config import EngineConfig
from llmos.engine.loading import packed_folder
from llmos.engine.messages import LoadStage
from llmos.engine.runner.native import NativeRunner
from llmos.engine.runner.packing import pack
from llmos.engine.runner.stage import Stage
from llmos.engine.runner.stage_frames import (
    AllocateStage,
    BadFrame,
    FrameSocket,
    Kind,
    LowRank,
    SetAdapter,
    StageFailed,
    StageReady,
    read_step,
)
from llmos.engine.stages import make_stage, room_for

logger = logging.getLogger(__name__)


def main(connection: socket.socket) -> int:
    """Serve a stage until home closes the connection; return the exit status."""
    frames = FrameSocket(connection)
    try:
        if (runner := _load(frames)) is None:
            return 0
        _serve(frames, runner)
    except LLMOSError as error:
        return _fail(frames, StageFailed(error.code, error.message))
    except OSError:
        return 0  # Home has ended.
    except Exception as error:
        logger.exception("A stage failed.")
        return _fail(frames, StageFailed(LLMOSError.code, f"{type(error).__name__}: {error}"))
    return 0


def _load(frames: FrameSocket) -> NativeRunner | None:
    """Load what home says, in its two steps. Returns None where it ends before."""
    if (frame := frames.receive()) is None:
        return None
    order = frame.decode(Kind.LOAD, LoadStage)
    files = {name: Path(path) for name, path in order.files.items()}
    config, stage = EngineConfig.from_options(order.config), Stage(order.first, order.last)
    checkpoint = open_checkpoint(files)
    frames.send_message(Kind.ROOM, room_for(checkpoint, config, stage))
    if (frame := frames.receive()) is None:
        return None
    folder = packed_folder(files, config, no_progress)
    packer = folder.pack if folder is not None else partial(pack, progress=no_progress)
    runner, threads = make_stage(checkpoint, config, packer, stage, frame.decode(Kind.ALLOCATE, AllocateStage))
    ready = StageReady(
        weight_bytes=runner.weight_bytes,
        kv_bytes=runner.kv_bytes,
        threads=threads,
        shares_weights=folder is not None and folder.is_shared,
    )
    frames.send_message(Kind.READY, ready)
    return runner


def _serve(frames: FrameSocket, runner: NativeRunner) -> None:
    assert runner.stage is not None
    row_size = runner.row_size(runner.stage.first)
    while (frame := frames.receive()) is not None:
        if frame.kind == Kind.STEP:
            batch, rows = read_step(frame.payload, row_size)
            frames.send(Kind.ROWS, frame.step, runner.advance(batch, rows=rows))
        elif frame.kind == Kind.ADAPTER:
            change = frame.decode(Kind.ADAPTER, SetAdapter)
            matrices = change.matrices
            runner.set_adapter(
                change.index, None if matrices is None else {each.name: _update(each) for each in matrices}
            )
        else:
            raise BadFrame(f"home sent a frame of the kind {frame.kind}")


def _update(each: LowRank) -> LowRankUpdate:
    def floats(data: bytes, *shape: int) -> npt.NDArray[np.float32]:
        return np.frombuffer(data, np.float32).reshape(shape)

    gain = None if each.gain is None else floats(each.gain, -1)
    return LowRankUpdate(floats(each.down, each.rank, -1), floats(each.up, -1, each.rank), gain)


def _fail(frames: FrameSocket, failed: StageFailed) -> int:
    sys.stderr.write(f"{failed.message}\n")
    with suppress(OSError):
        frames.send_message(Kind.FAILED, failed)
    return 1
