"""From a Version to its card: everything on it is measured here and now, beside the Version that it was made from.

Both are measured as they are served: with the weights and the cache as the engine has them by default. What can't be
measured is left out, and the card says why.
"""

import math
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from statistics import median

import msgspec
import numpy as np

from llmos.core.clock import utc_now
from llmos.core.errors import BadRequest, LLMOSError
from llmos.core.hardware import inspect_hardware
from llmos.core.progress import Progress, no_progress
from llmos.core.schemas.cards import Card, Comparison, LayerError, Layers, Machine, Memory, Quality, Rate, Text
from llmos.engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from llmos.engine.evaluation import predictions, text
from llmos.engine.evaluation.layers import ModelWeights, embedding_difference, layer_differences
from llmos.engine.evaluation.serving import ServedModel
from llmos.engine.runner.native import NativeRunner
from llmos.engine.sizing.workloads import Timing, Workload, random_prompts
from llmos.engine.spec import DecoderSpec
from llmos.models.cards.cards import Cards
from llmos.models.registry import Registry
from llmos.models.versions.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured. The same for all cards, so that they can be compared."""

    num_windows: int = 8
    window: int = 1024
    """Tokens of the text that follow each other; fewer where the model's context is shorter."""
    layer_texts: int = 2
    layer_tokens: int = 128
    """What goes through the layers: the beginnings of so many windows, so long."""
    repeats: int = 5
    """Of each timing; the median counts."""
    streams: int = 8
    tokens_per_stream: int = 1024


FULL = Extent()

KL_EDGES = (0.0, *(10.0**exponent for exponent in range(-6, 2)), 100.0)
"""Of the histogram of divergences: a decade each."""


class _Work:
    """How far the measuring is. One unit is about as long as one token of a prompt takes."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done, self._label = progress, total, 0, ""

    def begin(self, label: str) -> None:
        self._label = label
        self.advance(0)

    def advance(self, units: int) -> None:
        self._done = min(self._done + units, self._total)
        self._progress(self._label, self._done, self._total)


_LOAD_UNITS, _DECODE_UNITS, _LAYERS_UNITS = 1500, 16, 10
"""Of loading a model; of a token that is written; of a token that goes through the layers in numpy."""


def make_card(registry: Registry, version: Version, progress: Progress = no_progress) -> Card:
    """Measure a version against its parent and keep the card. Nothing is kept of a measuring that is interrupted.

    Raises what measure() raises.
    """
    card = measure(registry, version, parent_of(registry, version), progress)
    Cards(registry.database).put(version, card)
    return card


def parent_of(registry: Registry, version: Version) -> Version | None:
    """Return the version that this one was made from, None where there is none or it isn't here any more."""
    if version.parent is None:
        return None
    return next((other for other in registry.list() if other.digest == version.parent), None)


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
    return _Measuring(registry, version, parent, progress, extent).card()


def check_measurable(version: Version) -> None:
    """Raise BadRequest for an adapter."""
    if version.adapts is not None:
        raise BadRequest(
            f"{version.ref} is an adapter, which has no card of its own. Measure the model that it changes:"
            f" llmos card {version.model}@{version.adapts} --measure",
            param="model",
        )


class _Measuring:
    def __init__(
        self, registry: Registry, version: Version, parent: Version | None, progress: Progress, extent: Extent
    ) -> None:
        self._registry, self._version, self._parent, self._extent = registry, version, parent, extent
        self._hardware = inspect_hardware()
        self._threads = self._hardware.num_cores
        self._lacking: dict[str, str] = {}
        self._model = open_checkpoint(registry.files(version))
        self._reference = self._open_reference()
        self._work = _Work(progress, self._units())

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
            for part in (self._predictions, self._layers, self._serving):
                card = part(spec, card)
        else:
            self._lack("It turns texts into vectors and writes none.", *_MEASURED)
        return msgspec.structs.replace(card, not_measured=self._lacking)

    def _open_reference(self) -> Checkpoint | None:
        """Return the parent where the version can be compared with it; note why not where it can't."""
        reason = None
        if self._parent is None and self._version.parent is None:
            reason = f"{self._version.ref} wasn't made from another version."
        elif self._parent is None:
            reason = f"What it was made from, {self._version.parent}, isn't here any more."
        else:
            try:
                reference = open_checkpoint(self._registry.files(self._parent))
            except LLMOSError as error:
                reason = f"{self._parent.ref} can't be loaded: {error.message}"
            else:
                reason = self._apart(reference)
                if reason is None:
                    return reference
        self._lack(reason, "comparison", "layers")
        return None

    def _apart(self, reference: Checkpoint) -> str | None:
        """Return why the two can't be compared."""
        assert self._parent is not None
        mine, theirs = self._model.spec, reference.spec
        if not isinstance(theirs, DecoderSpec) or mine.vocab_size != theirs.vocab_size:
            return f"{self._parent.ref} doesn't predict the same tokens."
        needed = int(1.25 * (self._version.size + self._parent.size)) + (1 << 28)
        if needed > self._hardware.available_bytes:
            return (
                f"Both models at once take {needed:,} bytes of memory, and {self._hardware.available_bytes:,} are free."
            )
        return None

    def _units(self) -> int:
        spec, extent, models = self._model.spec, self._extent, 1 if self._reference is None else 2
        if not isinstance(spec, DecoderSpec):
            return 1
        context = min(extent.tokens_per_stream, spec.max_positions)
        predicted = extent.num_windows * (min(extent.window, spec.max_positions) - 1)
        layers = 0 if self._reference is None else self._layer_units(spec)
        timed = (1 + extent.repeats) * sum(_units_of(each) for each in _timed(context))
        return models * (predicted + layers + 2 * _LOAD_UNITS + _units_of(_weighed(extent, context)) + timed)

    def _layer_units(self, spec: DecoderSpec) -> int:
        """Of all layers of one model."""
        return self._extent.layer_texts * min(self._extent.layer_tokens, spec.max_positions) * _LAYERS_UNITS

    def _lack(self, reason: str, *fields: str) -> None:
        for field in fields:
            self._lacking.setdefault(field, reason)

    # Quality

    def _predictions(self, spec: DecoderSpec, card: Card) -> Card:
        extent, window = self._extent, min(self._extent.window, spec.max_positions)
        self._work.begin("Loading")
        try:
            windows_WL = text.cut_windows(self._model.tokenizer, extent.num_windows, window)
            if self._reference is not None:
                theirs_WL = text.cut_windows(self._reference.tokenizer, extent.num_windows, window)
                if not np.array_equal(windows_WL, theirs_WL):
                    self._lack(f"{card.parent} cuts texts into other tokens.", "comparison", "layers")
                    self._reference = None
            runner = self._runner(self._model, window)
            reference = None if self._reference is None else self._runner(self._reference, window)
        except LLMOSError as error:
            self._lack(error.message, "quality", "comparison")
            return card
        self._work.begin("Predicting a text")
        found = predictions.predict(runner, windows_WL, reference, threads=self._threads, advance=self._work.advance)
        card = msgspec.structs.replace(
            card,
            machine=msgspec.structs.replace(card.machine, isa=runner.isa),
            text=Text(name=text.NAME, num_tokens=len(found.losses_N), window=window),
        )
        value, uncertainty = predictions.perplexity(found.losses_N)
        if not math.isfinite(value):
            self._lack("What it makes of a text is no number.", "quality", "comparison")
            return card
        card = msgspec.structs.replace(card, quality=Quality(perplexity=value, standard_error=uncertainty))
        return card if reference is None else msgspec.structs.replace(card, comparison=self._comparison(found))

    def _comparison(self, found: predictions.Predictions) -> Comparison | None:
        assert found.reference_N is not None
        assert found.same_N is not None
        assert found.divergences_N is not None
        more = predictions.increase(found.losses_N, found.reference_N)
        perplexity, _ = predictions.perplexity(found.reference_N)
        if not math.isfinite(more.share + perplexity + float(found.divergences_N.sum())):
            self._lack("What its parent makes of a text is no number.", "comparison")
            return None
        counts, _ = np.histogram(np.minimum(found.divergences_N, KL_EDGES[-1]), KL_EDGES)
        return Comparison(
            perplexity=perplexity,
            perplexity_increase=more.share,
            standard_error=more.standard_error,
            greedy_agreement=float(found.same_N.mean()),
            kl_mean=float(found.divergences_N.mean()),
            kl_p99=float(np.quantile(found.divergences_N, 0.99)),
            kl_edges=KL_EDGES,
            kl_counts=tuple(counts.tolist()),
        )

    def _runner(self, checkpoint: Checkpoint, window: int) -> NativeRunner:
        assert isinstance(checkpoint.spec, DecoderSpec)
        runner = NativeRunner(
            checkpoint.spec, checkpoint.tensors, num_blocks=predictions.num_blocks(window), threads=self._threads
        )
        self._work.advance(_LOAD_UNITS)
        return runner

    # Layers

    def _layers(self, spec: DecoderSpec, card: Card) -> Card:
        if self._reference is None or not isinstance(self._reference.spec, DecoderSpec):
            return card
        extent = self._extent
        self._work.begin("Comparing layers")
        count = min(extent.layer_tokens, spec.max_positions)
        tokens_SL = text.cut_windows(self._model.tokenizer, extent.layer_texts, count)
        mine, theirs = (
            ModelWeights(spec, self._model.tensors),
            ModelWeights(self._reference.spec, self._reference.tensors),
        )
        units = 2 * self._layer_units(spec) // (spec.num_layers + theirs.spec.num_layers)
        try:
            differences = layer_differences(mine, theirs, tokens_SL, advance=lambda: self._work.advance(units))
        except ValueError as error:
            self._lack(f"It has no layers to compare with {card.parent}'s: {error}.", "layers")
            return card
        left = {each.reference_layer for each in differences}
        return msgspec.structs.replace(
            card,
            layers=Layers(
                errors=tuple(
                    LayerError(
                        layer=each.layer,
                        parent_layer=each.reference_layer,
                        weights=_finite(each.weights),
                        hidden=_finite(each.hidden),
                    )
                    for each in differences
                ),
                embedding=_finite(embedding_difference(mine, theirs)),
                parent_layers=theirs.spec.num_layers,
                left_out=tuple(i for i in range(theirs.spec.num_layers) if i not in left),
            ),
        )

    # Memory and speed

    def _serving(self, spec: DecoderSpec, card: Card) -> Card:
        try:
            return self._served(spec, card)
        except LLMOSError as error:
            self._lack(error.message, "memory", "prefill", "decode")
            return card

    def _served(self, spec: DecoderSpec, card: Card) -> Card:
        context = min(self._extent.tokens_per_stream, spec.max_positions)
        versions = [self._version, *([self._parent] if self._parent and self._reference else [])]
        with ExitStack() as stack:
            self._work.begin("Starting to serve")
            served = []
            for version in versions:
                starting = ServedModel(
                    self._registry.files(version),
                    threads=self._threads,
                    streams=self._extent.streams,
                    tokens_per_stream=context,
                )
                served.append(stack.enter_context(starting))
                self._work.advance(_LOAD_UNITS)
            self._work.begin("Weighing")
            memory = [self._weigh(each, context) for each in served]
            rates = [self._time(workload, served) for workload in _timed(context)]
        return msgspec.structs.replace(
            card,
            memory=memory[0],
            parent_memory=memory[1] if len(memory) > 1 else None,
            prefill=rates[0],
            decode=rates[1],
        )

    def _weigh(self, served: ServedModel, context: int) -> Memory:
        served.reset_peak()
        workload = _weighed(self._extent, context)
        _run(workload, served, seed=0)
        self._work.advance(_units_of(workload))
        peak = served.peak()
        return Memory(
            resident_bytes=peak,
            weight_bytes=served.facts.weight_bytes,
            kv_bytes=served.facts.kv_bytes,
            streams=self._extent.streams,
            tokens_per_stream=context,
        )

    def _time(self, workload: Workload, served: list[ServedModel]) -> Rate:
        """Time all that are served, one right after the other, the first of a round being another one each time."""
        self._work.begin(f"Timing {workload.name}")
        runs: list[list[float]] = [[] for _ in served]
        for repeat in range(-1, self._extent.repeats):  # the first is to warm up
            order = list(range(len(served)))
            for i in order[::-1] if repeat % 2 else order:
                rate = workload.tokens_per_second(_run(workload, served[i], seed=100 + repeat))
                if repeat >= 0:
                    runs[i].append(rate)
                self._work.advance(_units_of(workload))
        mine, theirs = runs[0], runs[1] if len(runs) > 1 else []
        return Rate(
            num_tokens=workload.prompt_length if workload.num_output_tokens == 1 else workload.num_output_tokens,
            tokens_per_second=median(mine),
            runs=tuple(mine),
            parent_tokens_per_second=median(theirs) if theirs else None,
            parent_runs=tuple(theirs),
            ratio=median(a / b for a, b in zip(mine, theirs, strict=True)) if theirs else None,
        )


_MEASURED = ("quality", "comparison", "memory", "prefill", "decode", "layers")


def _timed(context: int) -> tuple[Workload, Workload]:
    """Return the two timings, as long as the context has room for."""
    length = min(512, context - 1)
    return Workload("prefill", 1, length, 1), Workload("decode", 1, min(32, context // 4), min(128, context // 2))


def _weighed(extent: Extent, context: int) -> Workload:
    return Workload("streams", extent.streams, min(32, context // 4), min(64, context // 2))


def _units_of(workload: Workload) -> int:
    return workload.num_prompts * workload.prompt_length + workload.num_output_tokens * _DECODE_UNITS


def _run(workload: Workload, served: ServedModel, *, seed: int) -> Timing:
    prompts = random_prompts(workload.num_prompts, workload.prompt_length, seed, served.facts.vocab_size)
    return served.run(prompts, workload.num_output_tokens)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
