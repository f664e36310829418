"""Fits a model to several nodes: which layers would lie where. Starts nothing."""

import shlex
from collections.abc import Mapping

from llmos.core.errors import UnsupportedModel
from llmos.core.hardware import Hardware
from llmos.core.schemas.fit import FitStage, SplitFitDescription
from llmos.deployments.fitting import ModelToFit
from llmos.engine.config import EngineConfig
from llmos.engine.runner.stage import Stage
from llmos.engine.sizing.cuts import Cutter
from llmos.engine.sizing.fit import TensorTypes
from llmos.engine.spec import DecoderSpec


def fit_split(model: ModelToFit, config: EngineConfig, nodes: Mapping[str, Hardware]) -> SplitFitDescription:
    """Return how the model would be split over these nodes now.

    Raises UnsupportedModel for a model that can't be split, and what open_checkpoint() raises.
    """
    known = TensorTypes.read(model.files)
    spec = known.spec
    if not isinstance(spec, DecoderSpec) or not spec.has_head:
        raise UnsupportedModel("A model that makes embeddings runs on one node. Fit it without --nodes.", param="model")
    cutter = Cutter(spec, known.types.__getitem__, config)
    whole = Stage(0, spec.num_layers - 1)
    alone = [name for name, each in nodes.items() if cutter.need(whole, each).total <= each.available_bytes]
    cut = cutter.choose(list(nodes.values()))
    if cut is None:
        return SplitFitDescription(model=model.ref, alone=alone)
    names = [list(nodes)[index] for index in cut.machines]
    stages = [
        FitStage(
            node=name,
            first=stage.first,
            last=stage.last,
            bytes=cutter.need(stage, nodes[name]).total,
            available=nodes[name].available_bytes,
            share=round(share, 3),
        )
        for name, stage, share in zip(names, cut.stages, cut.shares, strict=True)
    ]
    parts = ",".join(f"{each.node}:{each.first}-{each.last}" for each in stages)
    anyway = " --split-anyway" if alone else ""
    command = f"llmos deploy {shlex.quote(model.name)} --split {parts}{anyway}"
    return SplitFitDescription(model=model.ref, fits=True, stages=stages, alone=alone, command=command)
