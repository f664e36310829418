"""A model in parts: the layers of a stage, and the tensors that they need. Knows no process and no node.

    tokens -- embedding | layers 0-3 --> layers 4-7 --> layers 8-11 --> home: final norm | head -- logits
              `----- home ---------´     stage          stage

Home is the stage of the first layers, and has all that is outside the layers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from llmos.core.errors import BadRequest, UnsupportedModel
from llmos.engine.runner import Batch
from llmos.engine.runner.packing import slot_of
from llmos.engine.spec import DecoderSpec


@dataclass(frozen=True, slots=True, order=True)
class Stage:
    """The layers from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def end(self) -> int:
        """The layer behind the last one."""
        return self.last + 1

    @property
    def is_home(self) -> bool:
        return self.first == 0

    @property
    def for_native(self) -> tuple[int, int]:
        """The argument of _native.Runner."""
        return self.first, self.end

    def __contains__(self, layer: int) -> bool:
        return self.first <= layer <= self.last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class StageBatch:
    """The parts of a Batch that are sent to a stage besides its rows: no tokens, and nothing about logits."""

    starts: npt.NDArray[np.int32]
    context_lengths: npt.NDArray[np.int32]
    block_tables: npt.NDArray[np.int32]
    wanted_rows: npt.NDArray[np.int32]
    """[W] ascending: the tokens whose rows the last stage returns, since they get logits or scores."""
    adapters: npt.NDArray[np.int32] | None = None
    states: npt.NDArray[np.int32] | None = None
    restored: npt.NDArray[np.int32] | None = None
    snapshots: npt.NDArray[np.int32] | None = None

    @classmethod
    def of(cls, batch: Batch) -> "StageBatch":
        wanted = batch.logit_rows
        if batch.scored_rows is not None:
            wanted = np.union1d(wanted, batch.scored_rows).astype(np.int32)
        return cls(
            batch.starts, batch.context_lengths, batch.block_tables, wanted,
            batch.adapters, batch.states, batch.restored, batch.snapshots,
        )  # fmt: skip


def stage_shapes(spec: DecoderSpec, stage: Stage) -> dict[str, tuple[int, ...]]:
    """Return the canonical names and shapes of a stage's tensors: its layers', and at home those outside the layers."""
    borrowed = {spec.keys_of(layer) for layer in attending_layers(spec, stage)} - set(range(stage.first, stage.end))
    return {name: shape for name, shape in spec.tensor_shapes().items() if _is_of(name, stage, borrowed)}


def attending_layers(spec: DecoderSpec, stage: Stage) -> Sequence[int]:
    """Return the stage's layers with attention."""
    return [layer for layer in range(stage.first, stage.end) if not spec.is_recurrent_layer(layer)]


def check_stages(spec: DecoderSpec, stages: Sequence[Stage]) -> None:
    """Raise UnsupportedModel for a model that can't be split, and BadRequest for stages that aren't its layers."""
    if not spec.has_head or not spec.is_causal:
        raise UnsupportedModel("A model that makes embeddings runs on one node. Deploy it without --split.")
    if len(stages) > spec.num_layers:
        raise BadRequest(f"The model has {spec.num_layers} layers, too few for {len(stages)} stages.", param="split")
    expected = 0
    for stage in stages:
        if stage.last < stage.first:
            raise BadRequest(f"The stage {stage} has no layers. Each stage has one at least.", param="split")
        if stage.first > expected:
            raise BadRequest(f"No stage has {_layers(expected, stage.first)}.", param="split")
        if stage.first < expected:
            raise BadRequest(f"Two stages have {_layers(stage.first, expected)}.", param="split")
        expected = stage.end
    if expected != spec.num_layers:
        raise BadRequest(
            f"The stages end behind layer {expected - 1}; the model's last layer is {spec.num_layers - 1}.",
            param="split",
        )


def own_pairs(pairs: Mapping[str, object], stage: Stage) -> Sequence[str]:
    """Return the names of an adapter's matrices that belong to the stage's layers."""
    return [name for name in pairs if slot_of(f"{name}.weight")[0] in stage]


def _layers(first: int, end: int) -> str:
    return f"layer {first}" if end - first == 1 else f"the layers {first} to {end - 1}"


def _is_of(name: str, stage: Stage, borrowed: set[int]) -> bool:
    layer, slot, _ = slot_of(name)
    if layer < 0:
        return stage.is_home
    # Keys of an earlier stage come as they were before their norm.
    return layer in stage or (layer in borrowed and slot == "k_norm")
