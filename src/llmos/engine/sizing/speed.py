"""How fast a decoder will be on a machine that was measured: what a step costs, added up from what is in it."""

from collections import Counter
from dataclasses import dataclass

from llmos.engine.config import EngineConfig
from llmos.engine.runner.packing import Packing, Plan, slot_of
from llmos.engine.sizing.machine import Machine
from llmos.engine.spec import DecoderSpec

STEP_SECONDS = 0.6e-3
"""What a step costs outside of the forward pass: schedule, sample, settle, and tell the server, which needs a core for
a moment, too. Measured on an AMD EPYC of 2023; little beside the forward pass of any model but the smallest."""
SEQUENCE_SECONDS = 80e-6
"""The same, for each sequence in it."""
REQUEST_SECONDS = 5e-3
"""From a request to its first step, which has to wake the replica and its threads, and from its end to who waits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Without speculation, which makes answers faster that repeat what was said."""

    prompt: int
    """Tokens that each stream brings."""
    output: int
    """Tokens that each is answered with."""
    streams: int
    prefill_tokens_per_second: float
    """Of one prompt alone."""
    decode_tokens_per_second: float
    """Of all streams together, while all of them decode."""

    @property
    def first_token_seconds(self) -> float:
        """Of one prompt alone."""
        return self.prompt / self.prefill_tokens_per_second


class Pacing:
    """What steps of one model cost on one machine."""

    def __init__(self, spec: DecoderSpec, plan: Plan, config: EngineConfig, machine: Machine) -> None:
        self._spec, self._config, self._machine = spec, config, machine
        self._attention = machine.attention[config.kv_dtype]
        self._bytes = plan.num_bytes
        self._layers: Counter[Packing] = Counter()
        self._experts: Counter[Packing] = Counter()
        self._head: Counter[Packing] = Counter()
        for each in plan.placements:
            layer, slot, number = slot_of(each.tensor)
            values = each.rows * each.columns
            if number >= 0:
                self._experts[each.packing] += values
            elif layer >= 0:
                self._layers[each.packing] += values
            elif slot == "head" or (slot == "embed" and spec.tied_head):
                self._head[each.packing] += values

    def speed(self, *, prompt: int, output: int, streams: int) -> Speed:
        """Predict it for streams that bring prompts of this length, and are answered with so many tokens each."""
        decode = self.decode_seconds(streams, prompt + output / 2)
        return Speed(
            prompt=prompt,
            output=output,
            streams=streams,
            prefill_tokens_per_second=prompt / self.prefill_seconds(prompt),
            decode_tokens_per_second=streams / decode,
        )

    def decode_seconds(self, streams: int, context: float) -> float:
        """Return what a step costs in which so many streams get a token, after this many before it."""
        attended = sum(min(context, self._spec.window_of(i) or context) for i in range(self._spec.num_layers))
        attention = streams * attended * self._attention.decoding(self._spec, streams, self._machine.threads)
        return self._around(streams, streams, prefill=False) + attention + streams * SEQUENCE_SECONDS

    def prefill_seconds(self, prompt: int) -> float:
        """Return what a prompt costs that nobody else's tokens go beside."""
        spec, seconds = self._spec, REQUEST_SECONDS
        for first in range(0, prompt, self._config.max_batched_tokens):
            rows = min(self._config.max_batched_tokens, prompt - first)
            before = first + rows / 2
            attended = sum(min(before, spec.window_of(i) or before) for i in range(spec.num_layers))
            attention = rows * attended * spec.attention_size * self._attention.prefilling
            seconds += self._around(rows, int(first + rows == prompt), prefill=True) + attention + SEQUENCE_SECONDS
        return seconds

    def _around(self, rows: int, num_logits: int, *, prefill: bool) -> float:
        """Return what a step costs but for its attention."""
        spec, machine = self._spec, self._machine
        seconds = STEP_SECONDS + self._matrices(self._layers, rows) + self._matrices(self._head, num_logits)
        if spec.num_experts:
            # Of the experts, those that some row takes are read, each for its share of the rows.
            share = spec.experts_per_token / spec.num_experts
            taken = 1 - (1 - share) ** rows
            seconds += taken * self._matrices(self._experts, max(1.0, rows * share / taken))
        columns = spec.hidden_size + (spec.intermediate_size or spec.expert_size * spec.experts_per_token)
        return seconds + spec.num_layers * machine.layer_seconds(columns, rows, prefill=prefill)

    def _matrices(self, values: Counter[Packing], rows: float) -> float:
        if not rows:
            return 0.0
        return sum(self._machine.matrix_seconds(packing, count, rows, self._bytes) for packing, count in values.items())
