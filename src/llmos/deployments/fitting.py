"""Fitting: whether a model fits this machine, what would fit instead, and how fast it will be. Loads no model.

The arithmetic is engine/sizing's; this adds the stored Versions that would fit, and the commands.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from llmos.core.config import Settings
from llmos.core.hardware import Hardware
from llmos.core.schemas.fit import FitBytes, FitChoice, FitDescription, FitSpeed
from llmos.engine.config import EngineConfig
from llmos.engine.encoder_spec import EncoderSpec, task_of_spec
from llmos.engine.runner import BLOCK_SIZE
from llmos.engine.sizing.fit import Fit, MemoryPlanner, TensorTypes
from llmos.engine.sizing.machine import MachineProfile, load_profile
from llmos.engine.sizing.speed import Speed, SpeedModel
from llmos.engine.spec import DecoderSpec
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version

PROMPT_TOKENS, OUTPUT_TOKENS = 512, 128
"""The lengths that the speed is calculated for, if the context has room for them."""


_MAX_KNOWN = 256
_known: dict[str, TensorTypes] = {}
"""The descriptions of Versions that were asked about, by their digests."""


@dataclass(frozen=True, slots=True)
class ModelToFit:
    """A model that somebody asks about."""

    name: str
    """As it was asked for."""
    registry: Registry
    version: Version | None
    """None for files that aren't stored, and for a model of the catalog that wasn't pulled."""
    files: Mapping[str, Path]
    """Empty for a model of the catalog that wasn't pulled."""

    @property
    def ref(self) -> str:
        return self.name if self.version is None else self.version.ref


@dataclass(frozen=True, slots=True)
class Fitting:
    """A model with the memory that it needs."""

    model: ModelToFit
    planner: MemoryPlanner
    fit: Fit

    @classmethod
    def of(
        cls, model: ModelToFit, settings: Settings, *, context: int | None = None, streams: int | None = None
    ) -> "Fitting":
        """Raises what MemoryPlanner.fit() raises."""
        planner = _planner(model.version, model.files, EngineConfig.from_options(settings.engine_options))
        return cls(model, planner, planner.fit(context=context, streams=streams))

    @property
    def task(self) -> str:
        return task_of_spec(self.planner.spec)

    @property
    def bytes_per_token(self) -> int:
        return round(self.planner.block_bytes / BLOCK_SIZE) if self.fit.num_blocks else 0

    @property
    def options(self) -> Mapping[str, int]:
        """The options of a deployment with this context and these streams."""
        fit = self.fit
        if not fit.fits or not fit.num_blocks:
            return {}
        return {
            "kv_bytes": fit.need.kv,
            **({"snapshot_bytes": fit.num_snapshots * self.planner.state_bytes} if fit.need.states else {}),
            "max_sequences": min(fit.streams, self.planner.config.max_batched_tokens),
            "context_length": fit.context,
        }

    def choices(self) -> Iterator[FitChoice]:
        """Yield what would fit, the nearest first, each with the command for it; nothing if the model fits."""
        if not self.fit.fits:
            yield from self._choices()

    def _choices(self) -> Iterator[FitChoice]:
        fitted, planner = self.fit, self.planner
        name, config = shlex.quote(self.model.name), planner.config
        fewer, shorter = planner.with_fewer_streams(fitted), planner.with_shorter_context(fitted)
        if fewer is None and shorter is None:
            shorter = planner.with_shorter_context(planner.at(fitted.context, 1))
        for less in filter(None, (fewer, shorter)):
            yield _choice(
                render_streams(less), less, f"llmos fit {name} --context {less.context} --streams {less.streams}"
            )
        if config.kv_dtype != "int8":
            small = MemoryPlanner(planner.spec, planner.dtypes, replace(config, kv_dtype="int8"), planner.hardware)
            fit = small.at(fitted.context, fitted.streams)
            if fit.fits:
                yield _choice("a KV cache of 8 bits", fit, f"LLMOS_KV_DTYPE=int8 llmos fit {name}")
        for other in self._relatives():
            related = _planner(other, self.model.registry.files(other), config, planner.hardware)
            fit = related.at(fitted.context, fitted.streams)
            if fit.fits and fit.need.weights < fitted.need.weights:
                yield _choice(f"{other.ref}, which is stored", fit, f"llmos serve {other.ref}")
        quantized = planner.in_4_bits(fitted)
        if quantized is not None and quantized.fits:
            is_calibrated = isinstance(planner.spec, DecoderSpec) and not planner.spec.num_experts
            scheme = "gptq" if is_calibrated else "q4_1"
            command = f"llmos quantize {name} --scheme {scheme}"
            if self.model.version is None:
                command = f"llmos import {name} --name NAME && llmos quantize NAME --scheme {scheme}"
            yield _choice("the model with 4 bits per weight", quantized, command)

    def _relatives(self) -> Iterator[Version]:
        """Yield the stored versions that were made from the same model."""
        if (version := self.model.version) is None:
            return
        family = {version.digest, version.parent} - {None}
        for other in self.model.registry.list():
            is_related = other.model == version.model or {other.digest, other.parent} & family
            if is_related and other.adapts is None and other.digest != version.digest:
                yield other

    def known_machine(self, settings: Settings) -> MachineProfile | None:
        """Return what was measured of this machine's speed for this model's settings, if anything was."""
        planner = self.planner
        return load_profile(profile_path(settings), threads=planner.threads, isa=planner.config.isa)

    def speeds(self, machine: MachineProfile) -> Sequence[Speed]:
        """Return the speed of one stream and of all streams; none for an encoder, which doesn't decode."""
        planner, fit = self.planner, self.fit
        if isinstance(planner.spec, EncoderSpec):
            return []
        speed_model = SpeedModel(planner.spec, planner.plan, planner.config, machine)
        output = max(1, min(OUTPUT_TOKENS, fit.context // 2))
        prompt = max(1, min(PROMPT_TOKENS, fit.context - output))
        counts = dict.fromkeys((1, min(fit.streams, planner.config.max_sequences)))
        return [speed_model.speed(prompt=prompt, output=output, streams=count) for count in counts]

    def describe(self, machine: MachineProfile | None) -> FitDescription:
        """`machine`: its measured speed; None if it isn't known."""
        fit = self.fit
        speeds = [] if machine is None else self.speeds(machine)
        return FitDescription(
            model=self.model.ref,
            task=self.task,
            fits=fit.fits,
            sentence=fit.sentence,
            context=fit.context,
            streams=fit.streams,
            bytes=FitBytes(**asdict(fit.need), total=fit.need.total, available=fit.available),
            bytes_per_token=self.bytes_per_token,
            bytes_per_stream=self.bytes_per_token * fit.context + self.planner.state_bytes,
            choices=list(self.choices()),
            options=dict(self.options),
            speed=[FitSpeed(**asdict(each), first_token_seconds=each.first_token_seconds) for each in speeds],
        )


def profile_path(settings: Settings) -> Path:
    """Return where the measured speed of this machine is kept."""
    return settings.home / "machine.json"


def stored_model(registry: Registry, version: Version, name: str) -> ModelToFit:
    """Return a stored Version to fit. Raises UnsupportedModel for one that this engine can't run."""
    registry.check_runs(version)
    loadable = registry.loadable(version)
    return ModelToFit(name, registry, loadable.version, loadable.files)


def _planner(
    version: Version | None, files: Mapping[str, Path], config: EngineConfig, hardware: Hardware | None = None
) -> MemoryPlanner:
    """Raises what open_checkpoint() raises. The header of a GGUF file has the whole vocabulary, which takes long to
    read; a Version never changes."""
    known = None if version is None else _known.get(version.digest)
    if known is None:
        known = TensorTypes.read(files)
        if version is not None:
            if len(_known) >= _MAX_KNOWN:
                _known.clear()
            _known[version.digest] = known
    return MemoryPlanner.from_types(known, config, hardware)


def render_streams(fit: Fit) -> str:
    return f"{fit.streams} {'stream' if fit.streams == 1 else 'streams'} of {fit.context:,} tokens"


def _choice(what: str, fit: Fit, command: str) -> FitChoice:
    return FitChoice(what=what, bytes=fit.need.total, command=command)
