"""Predicts how fast a decoder runs on a measured machine, by adding up the costs of a step's parts."""

from collections import Counter
from dataclasses import dataclass

from llmos.engine.config import EngineConfig
from llmos.engine.runner.packing import Packing, Plan, slot_of
from llmos.engine.sizing.machine import MachineProfile
from llmos.engine.spec import DecoderSpec

STEP_SECONDS = 0.6e-3
"""Time of a step outside of the forward pass: schedule, sample, postprocess, and send the events to the server, which
needs a core for a moment, too. Measured on an AMD EPYC of 2023; small beside the forward pass of any model but the
smallest."""
SEQUENCE_SECONDS = 80e-6
"""The same, for each sequence in the step."""
REQUEST_SECONDS = 5e-3
"""Time from a request to its first step, which wakes the replica and its threads, and from its last step to its client.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Predicted speed without speculative decoding, which makes answers faster that repeat earlier text."""

    prompt: int
    """Prompt tokens of each stream."""
    output: int
    """Output tokens of each stream."""
    streams: int
    prefill_tokens_per_second: float
    """Speed of one prompt alone."""
    decode_tokens_per_second: float
    """Speed of all streams together, while all of them decode."""

    @property
    def first_token_seconds(self) -> float:
        """Time to the first token of one prompt alone."""
        return self.prompt / self.prefill_tokens_per_second


class SpeedModel:
    """Predicts the time of one model's steps on one machine."""

    def __init__(self, spec: DecoderSpec, plan: Plan, config: EngineConfig, machine: MachineProfile) -> None:
        self._spec, self._config, self._machine = spec, config, machine
        self._attention = machine.attention[config.kv_dtype]
        self._bytes = plan.num_bytes
        self._layers: Counter[Packing] = Counter()
        self._experts: Counter[Packing] = Counter()
        self._head: Counter[Packing] = Counter()
        for each in plan.placements:
            layer, slot, index = slot_of(each.tensor)
            values = each.rows * each.columns
            if index >= 0 and layer >= 0:
                self._experts[each.packing] += values
            elif layer >= 0 or slot in ("layer_embed_projection", "stream_projection", "stream_output"):
                self._layers[each.packing] += values
            elif slot == "head" or (slot == "embed" and spec.tied_head):
                self._head[each.packing] += values

    def speed(self, *, prompt: int, output: int, streams: int) -> Speed:
        """Predict the speed of `streams` requests of `prompt` and `output` tokens each."""
        decode = self.decode_seconds(streams, prompt + output / 2)
        return Speed(
            prompt=prompt,
            output=output,
            streams=streams,
            prefill_tokens_per_second=prompt / self.prefill_seconds(prompt),
            decode_tokens_per_second=streams / decode,
        )

    def decode_seconds(self, streams: int, context: float) -> float:
        """Return the time of a step in which each of `streams` decodes one token behind `context` others."""
        attended = self._attended(context)
        attention = streams * attended * self._attention.decoding(self._spec, streams, self._machine.threads)
        return self._step_seconds(streams, streams, prefill=False) + attention + streams * SEQUENCE_SECONDS

    def prefill_seconds(self, prompt: int) -> float:
        """Return the time to the first token of a prompt that is alone in its batches."""
        spec, seconds = self._spec, REQUEST_SECONDS
        for first in range(0, prompt, self._config.max_batched_tokens):
            rows = min(self._config.max_batched_tokens, prompt - first)
            before = first + rows / 2
            attended = self._attended(before)
            attention = rows * attended * spec.attention_size * self._attention.prefilling
            seconds += (
                self._step_seconds(rows, int(first + rows == prompt), prefill=True) + attention + SEQUENCE_SECONDS
            )
        return seconds

    def _attended(self, context: float) -> float:
        """Return the positions that a row attends to, in all layers together. Those of layers with smaller heads than
        others count for less."""
        spec = self._spec
        sizes = [spec.head_dim_of(i) for i in range(spec.num_layers)]
        positions = [min(context, spec.window_of(i) or context) for i in range(spec.num_layers)]
        return sum(size / max(sizes) * count for size, count in zip(sizes, positions, strict=True))

    def _step_seconds(self, rows: int, num_logits: int, *, prefill: bool) -> float:
        """Return the time of a step without its attention."""
        spec, machine = self._spec, self._machine
        seconds = STEP_SECONDS + self._matrix_seconds(self._layers, rows) + self._matrix_seconds(self._head, num_logits)
        if spec.num_experts:
            # Expected share of the experts that at least one row is routed to, and rows of each of these.
            share = spec.experts_per_token / spec.num_experts
            taken = 1 - (1 - share) ** rows
            seconds += taken * self._matrix_seconds(self._experts, max(1.0, rows * share / taken))
        columns = spec.hidden_size + (spec.intermediate_size or spec.expert_size * spec.experts_per_token)
        return seconds + spec.num_layers * machine.layer_seconds(columns, rows, prefill=prefill)

    def _matrix_seconds(self, values: Counter[Packing], rows: float) -> float:
        if not rows:
            return 0.0
        return sum(self._machine.matrix_seconds(packing, count, rows, self._bytes) for packing, count in values.items())
