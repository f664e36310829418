"""Measures the card of a version: its quality, memory and speed on this machine, compared with its parent.

Both are measured as they are served, with the engine's default weights and cache. Metrics that can't be measured are
left out, and the card gives the reason.
"""

from contextlib import ExitStack
from importlib.metadata import version as installed_version

import msgspec
import numpy as np

from llmos.core.clock import utc_now
from llmos.core.errors import BadRequest, LLMOSError
from llmos.core.hardware import inspect_hardware
from llmos.core.progress import Progress, no_progress
from llmos.core.schemas.cards import Card, Machine, Text
from llmos.engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from llmos.engine.evaluation import predictions, text
from llmos.engine.evaluation.serving import ServedModel
from llmos.engine.runner.native import NativeRunner
from llmos.engine.spec import DecoderSpec
from llmos.models.cards.cards import Cards
from llmos.models.cards.extent import FULL, LOAD_UNITS, Extent, WorkMeter, timed_workloads
from llmos.models.cards.quality import compare, compare_layers, quality_of
from llmos.models.cards.serving import measure_memory, measure_rate
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version

_MEASURED_FIELDS = ("quality", "comparison", "memory", "prefill", "decode", "layers")


def make_card(registry: Registry, version: Version, progress: Progress = no_progress) -> Card:
    """Measure a version against its parent and store the card. An interrupted measurement stores nothing.

    Raises what measure() raises.
    """
    card = measure(registry, version, parent_of(registry, version), progress)
    Cards(registry.database).put(version, card)
    return card


def parent_of(registry: Registry, version: Version) -> Version | None:
    """Return the version that this one was made from, or None where there is none or it was removed."""
    if version.parent is None:
        return None
    # The same bytes may have several names: the one that it was made from comes first.
    named = sorted(registry.list(), key=lambda other: other.ref != version.parent_ref)
    return next((other for other in named if other.digest == version.parent), None)


def measure(
    registry: Registry,
    version: Version,
    parent: Version | None,
    progress: Progress = no_progress,
    *,
    extent: Extent = FULL,
) -> Card:
    """Return the version's card, which compares it with `parent`.

    Raises BadRequest for an adapter, BadModelFile or UnsupportedModel for a model that can't be loaded at all.
    """
    check_measurable(version)
    return _Measurement(registry, version, parent, progress, extent).card()


def check_measurable(version: Version) -> None:
    """Raise BadRequest for an adapter."""
    if version.adapts is not None:
        raise BadRequest(
            f"{version.ref} is an adapter and has no card of its own. Measure the version that it adapts:"
            f" llmos card {version.model}@{version.adapts} --measure",
            param="model",
        )


class _Measurement:
    """One measurement of a version."""

    def __init__(
        self, registry: Registry, version: Version, parent: Version | None, progress: Progress, extent: Extent
    ) -> None:
        self._registry, self._version, self._parent, self._extent = registry, version, parent, extent
        self._hardware = inspect_hardware()
        self._threads = self._hardware.num_cores
        self._not_measured: dict[str, str] = {}
        self._model = open_checkpoint(registry.files(version))
        self._reference = self._open_reference()
        """The parent's checkpoint, or None where the version can't be compared with it."""
        num_units = 1
        if isinstance(self._model.spec, DecoderSpec):
            num_units = extent.total_units(self._model.spec.max_positions, has_reference=self._reference is not None)
        self._meter = WorkMeter(progress, num_units)

    def card(self) -> Card:
        spec = self._model.spec
        card = Card(
            version=self._version.ref,
            digest=self._version.digest,
            parent=self._parent.ref if self._parent else None,
            parent_digest=self._parent.digest if self._parent else None,
            recipe=dict(self._version.recipe) if self._version.recipe is not None else None,
            measured_at=utc_now(),
            llmos=installed_version("llmos"),
            machine=Machine(
                cpu=self._hardware.cpu,
                isa=self._hardware.isas[0],
                threads=self._threads,
                memory_bytes=self._hardware.memory_bytes,
            ),
            size_bytes=self._version.size,
            parent_size_bytes=self._parent.size if self._parent else None,
            parameters=self._version.parameters,
            parent_parameters=self._parent.parameters if self._parent else None,
            quantization=self._version.quantization,
        )
        if isinstance(spec, DecoderSpec):
            for add in (self._add_quality, self._add_layers, self._add_serving):
                card = add(spec, card)
        else:
            self._skip("It is an encoder and generates no text.", *_MEASURED_FIELDS)
        return msgspec.structs.replace(card, not_measured=self._not_measured)

    def _open_reference(self) -> Checkpoint | None:
        reason = None
        if self._parent is None and self._version.parent is None:
            reason = f"{self._version.ref} wasn't made from another version."
        elif self._parent is None:
            reason = f"Its parent, {self._version.parent}, isn't on this machine."
        else:
            try:
                reference = open_checkpoint(self._registry.files(self._parent))
            except LLMOSError as error:
                reason = f"{self._parent.ref} can't be loaded: {error.message}"
            else:
                reason = self._incomparable_reason(reference)
                if reason is None:
                    return reference
        self._skip(reason, "comparison", "layers")
        return None

    def _incomparable_reason(self, reference: Checkpoint) -> str | None:
        assert self._parent is not None
        mine, theirs = self._model.spec, reference.spec
        if not isinstance(theirs, DecoderSpec) or mine.vocab_size != theirs.vocab_size:
            return f"{self._parent.ref} has another vocabulary."
        needed = int(1.25 * (self._version.size + self._parent.size)) + (1 << 28)
        if needed > self._hardware.available_bytes:
            available = self._hardware.available_bytes
            return f"Both models together need {needed:,} bytes of memory, and {available:,} are free."
        return None

    def _skip(self, reason: str, *fields: str) -> None:
        """Record the reason why fields of the card stay empty. The first reason for a field is kept."""
        for field in fields:
            self._not_measured.setdefault(field, reason)

    def _add_quality(self, spec: DecoderSpec, card: Card) -> Card:
        extent, window = self._extent, min(self._extent.window, spec.max_positions)
        self._meter.begin("Loading")
        try:
            windows_WL = text.cut_windows(self._model.tokenizer, extent.num_windows, window)
            if self._reference is not None:
                reference_WL = text.cut_windows(self._reference.tokenizer, extent.num_windows, window)
                if not np.array_equal(windows_WL, reference_WL):
                    self._skip(f"{card.parent} tokenizes the text differently.", "comparison", "layers")
                    self._reference = None
            runner = self._open_runner(self._model, window)
            reference = None if self._reference is None else self._open_runner(self._reference, window)
        except LLMOSError as error:
            self._skip(error.message, "quality", "comparison")
            return card
        self._meter.begin("Predicting a text")
        found = predictions.predict(runner, windows_WL, reference, threads=self._threads, advance=self._meter.advance)
        quality, comparison = quality_of(found), None
        if quality is None:
            self._skip("Its predictions of the text are not finite numbers.", "quality", "comparison")
        elif reference is not None:
            comparison = compare(found)
            if comparison is None:
                self._skip("Its parent's predictions of the text are not finite numbers.", "comparison")
        return msgspec.structs.replace(
            card,
            machine=msgspec.structs.replace(card.machine, isa=runner.isa),
            text=Text(name=text.NAME, num_tokens=len(found.losses_N), window=window),
            quality=quality,
            comparison=comparison,
        )

    def _open_runner(self, checkpoint: Checkpoint, window: int) -> NativeRunner:
        assert isinstance(checkpoint.spec, DecoderSpec)
        runner = NativeRunner(
            checkpoint.spec, checkpoint.tensors, num_blocks=predictions.num_blocks(window), threads=self._threads
        )
        self._meter.advance(LOAD_UNITS)
        return runner

    def _add_layers(self, spec: DecoderSpec, card: Card) -> Card:
        if self._reference is None or not isinstance(self._reference.spec, DecoderSpec):
            return card
        extent = self._extent
        self._meter.begin("Comparing layers")
        num_tokens = min(extent.layer_tokens, spec.max_positions)
        tokens_SL = text.cut_windows(self._model.tokenizer, extent.layer_texts, num_tokens)
        num_units = 2 * extent.layer_units(spec.max_positions)
        try:
            layers = compare_layers(
                self._model, self._reference, tokens_SL, lambda share: self._meter.advance(int(share * num_units))
            )
        except ValueError as error:
            self._skip(f"Its layers can't be compared with those of {card.parent}: {error}.", "layers")
            return card
        return msgspec.structs.replace(card, layers=layers)

    def _add_serving(self, spec: DecoderSpec, card: Card) -> Card:
        try:
            return self._measure_serving(spec, card)
        except LLMOSError as error:
            self._skip(error.message, "memory", "prefill", "decode")
            return card

    def _measure_serving(self, spec: DecoderSpec, card: Card) -> Card:
        extent, context = self._extent, self._extent.context(spec.max_positions)
        versions = [self._version, *([self._parent] if self._parent and self._reference else [])]
        with ExitStack() as stack:
            self._meter.begin("Starting to serve")
            served = []
            for version in versions:
                starting = ServedModel(
                    self._registry.files(version),
                    threads=self._threads,
                    streams=extent.streams,
                    tokens_per_stream=context,
                )
                served.append(stack.enter_context(starting))
                self._meter.advance(LOAD_UNITS)
            self._meter.begin("Measuring memory")
            memory = [measure_memory(each, extent, context, self._meter) for each in served]
            prefill, decode = (
                measure_rate(workload, served, extent.repeats, self._meter) for workload in timed_workloads(context)
            )
        return msgspec.structs.replace(
            card,
            memory=memory[0],
            parent_memory=memory[1] if len(memory) > 1 else None,
            prefill=prefill,
            decode=decode,
        )
