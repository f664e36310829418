"""Loads a model in stages: a stage on its node, and at home the runner that has all of them."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from llmos.core.errors import UnsupportedModel
from llmos.core.hardware import inspect_hardware
from llmos.engine import _native
from llmos.engine.checkpoint.checkpoint import Checkpoint
from llmos.engine.config import EngineConfig
from llmos.engine.encoder_spec import EncoderSpec
from llmos.engine.messages import LoadStage
from llmos.engine.runner import BLOCK_SIZE
from llmos.engine.runner.native import NativeRunner, Packer
from llmos.engine.runner.split import SplitRunner, StageLink
from llmos.engine.runner.stage import Stage, check_stages
from llmos.engine.runner.stage_frames import AllocateStage, StageRoom
from llmos.engine.sizing.fit import MemoryPlanner
from llmos.engine.spec import DecoderSpec


@dataclass(frozen=True, slots=True)
class StageOrder:
    """A stage of a split model, behind a connected socket."""

    connection: socket.socket
    load: LoadStage

    @property
    def stage(self) -> Stage:
        return Stage(self.load.first, self.load.last)


def make_stage(
    checkpoint: Checkpoint, config: EngineConfig, packer: Packer, stage: Stage, order: AllocateStage
) -> tuple[NativeRunner, int]:
    """Return a runner of a stage's layers with their weights packed, and its number of threads."""
    assert isinstance(checkpoint.spec, DecoderSpec), "checked by check_stages()"
    planner = MemoryPlanner.from_checkpoint(checkpoint, config, inspect_hardware(), stage)
    runner = NativeRunner(
        checkpoint.spec.for_context_length(order.context_length),
        checkpoint.tensors,
        num_blocks=order.num_blocks,
        threads=planner.threads,
        isa=order.isa,
        weights=config.weights,
        kv_dtype=config.kv_dtype,
        packer=packer,
        num_states=order.num_states,
        num_snapshots=order.num_snapshots,
        stage=stage,
    )
    return runner, planner.threads


def room_for(checkpoint: Checkpoint, config: EngineConfig, stage: Stage) -> StageRoom:
    """Return what this machine has memory for beside a stage's weights. Raises what default_blocks() raises."""
    planner = MemoryPlanner.from_checkpoint(checkpoint, config, inspect_hardware(), stage)
    num_blocks, num_states = planner.default_blocks(), planner.default_states()
    return StageRoom(
        num_blocks=num_blocks,
        num_states=num_states,
        num_snapshots=planner.default_snapshots(num_blocks, num_states),
        isas=_native.available_isas(),
    )


def make_split_runner(
    checkpoint: Checkpoint, config: EngineConfig, packer: Packer, stages: Sequence[StageOrder]
) -> tuple[SplitRunner, int]:
    """Load all stages at once, and the layers before them here. Raises what load() raises."""
    spec, home = checkpoint.spec, Stage(0, stages[0].stage.first - 1)
    links = [StageLink(each.stage, each.load.node, each.connection) for each in stages]
    try:
        if isinstance(spec, EncoderSpec):
            raise UnsupportedModel("A model that makes embeddings runs on one node. Deploy it without --split.")
        check_stages(spec, [home, *(each.stage for each in stages)])
        rooms = [link.load(each.load) for link, each in zip(links, stages, strict=True)]
        order = _common_order(spec, config, [room_for(checkpoint, config, home), *rooms])
        for link, room in zip(links, rooms, strict=True):
            if order.isa not in room.isas:
                raise UnsupportedModel(
                    f"{link.node} has no kernels for {order.isa}; it has {', '.join(room.isas)}. Set LLMOS_ISA to one"
                    " that all nodes have."
                )
            link.allocate(order)
        runner, threads = make_stage(checkpoint, config, packer, home, order)
        return SplitRunner(runner, links, [link.wait_ready() for link in links]), threads
    except BaseException:
        for link in links:
            link.close()
        raise


def _common_order(spec: DecoderSpec, config: EngineConfig, rooms: Sequence[StageRoom]) -> AllocateStage:
    """Return what all stages have room for."""
    num_blocks = min(room.num_blocks for room in rooms)
    return AllocateStage(
        num_blocks=num_blocks,
        num_states=min(room.num_states for room in rooms),
        num_snapshots=min(room.num_snapshots for room in rooms) if spec.is_recurrent else 0,
        context_length=min(config.context_length or spec.max_positions, num_blocks * BLOCK_SIZE),
        isa=config.isa or rooms[0].isas[0],
    )
