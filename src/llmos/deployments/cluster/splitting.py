"""Splits a model over nodes: which node gets which layers, from their memory as it is now. Starts nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.core.errors import BadRequest, NoNode, UnsupportedModel
from llmos.core.hardware import Hardware
from llmos.deployments.placing.split_placement import SplitPart, SplitPlacement
from llmos.engine.config import EngineConfig

if TYPE_CHECKING:
    from llmos.engine.runner.stage import Stage
    from llmos.engine.sizing.cuts import Cutter

NOT_SPLIT = "A model that makes embeddings runs on one node. Deploy it without --split."


def choose_parts(
    ref: str,
    files: Mapping[str, Path],
    config: EngineConfig,
    nodes: Mapping[str, Hardware],
    wanted: SplitPlacement,
) -> Sequence[tuple[SplitPart, int]]:
    """Return the layers of each node, home first, with the bytes that they take there.

    `nodes`: those that may be chosen, with the memory that is free. Blocking. Raises UnsupportedModel for a model that
    can't be split, BadRequest for parts that aren't its layers, and where one node has room for all of it
    and nobody wants it split anyway, NoNode where the nodes are missing, differ in their kernels, or have no room.
    """
    from llmos.engine.runner.stage import Stage, check_stages  # imports numpy
    from llmos.engine.sizing.cuts import Cutter, is_splittable
    from llmos.engine.sizing.fit import TensorTypes, megabytes
    from llmos.engine.spec import DecoderSpec

    known = TensorTypes.read(files)
    spec = known.spec
    if not is_splittable(spec) or not isinstance(spec, DecoderSpec):
        raise UnsupportedModel(NOT_SPLIT)
    for part in wanted.parts:
        if part.node not in nodes:
            there = ", ".join(nodes) or "none"
            raise NoNode(f"No connected node is {part.node}; connected: {there}. See: llmos cluster nodes")
    cutter = Cutter(spec, known.types.__getitem__, config)
    if not wanted.is_wanted_anyway:
        _refuse_needless(ref, cutter, nodes, Stage(0, spec.num_layers - 1))
    if wanted.parts:
        stages = [Stage(part.first, part.last) for part in wanted.parts]
        names = [part.node for part in wanted.parts]
        check_stages(spec, stages)
    else:
        cut = cutter.choose(list(nodes.values()))
        if cut is None:
            free = ", ".join(f"{name} {megabytes(each.available_bytes)}" for name, each in nodes.items()) or "no nodes"
            raise NoNode(f"The nodes have no room for {ref} together; free: {free}. See: llmos fit {ref} --nodes")
        names = [list(nodes)[index] for index in cut.machines]
        stages = list(cut.stages)
    _check_kernels([(name, nodes[name]) for name in names], config)
    found = []
    for name, stage in zip(names, stages, strict=True):
        need = cutter.need(stage, nodes[name])
        if need.total > nodes[name].available_bytes:
            raise NoNode(
                f"The layers {stage} of {ref} need {need.arithmetic()} on {name}, and"
                f" {megabytes(nodes[name].available_bytes)} are free there. Give it fewer layers, or --split auto."
            )
        found.append((SplitPart(name, stage.first, stage.last), need.total))
    return found


def _refuse_needless(ref: str, cutter: "Cutter", nodes: Mapping[str, Hardware], whole: "Stage") -> None:
    for name, hardware in nodes.items():
        if cutter.need(whole, hardware).total <= hardware.available_bytes:
            raise BadRequest(
                f"The node {name} alone has room for {ref}: llmos deploy {ref} --on {name}. To split it anyway, add"
                " --split-anyway.",
                param="split",
            )


def _check_kernels(nodes: Sequence[tuple[str, Hardware]], config: EngineConfig) -> None:
    """Raise NoNode unless all nodes use the same instruction set."""
    best = {name: config.isa or next(iter(hardware.isas), "") for name, hardware in nodes}
    lacking = [name for name, hardware in nodes if config.isa is not None and config.isa not in hardware.isas]
    if lacking:
        raise NoNode(f"The kernels for {config.isa} don't run on {', '.join(lacking)}. Set --option isa=… to another.")
    if len(set(best.values())) > 1:
        each = ", ".join(f"{name} {isa}" for name, isa in best.items())
        common = [isa for isa in nodes[0][1].isas if all(isa in hardware.isas for _, hardware in nodes)]
        raise NoNode(
            f"The nodes have different kernels: {each}. Name one that all have, such as: --option isa={common[0]}"
            if common
            else f"The nodes have no kernels in common: {each}."
        )
