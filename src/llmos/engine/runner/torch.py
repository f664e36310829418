"""The readable reference: the forward pass of a DecoderSpec in plain PyTorch, one line for each step of the math.

Takes the same Batch and has the same paged KV cache as the native runner, which tests compare with it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from llmos.engine.architectures import inverse_frequencies
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.runner import BLOCK_SIZE, Batch, Scores
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

if TYPE_CHECKING:
    from llmos.engine.checkpoint.adapters import Adapter

# N new tokens of the batch, R rows whose logits are wanted, Q given tokens to score, V vocabulary, H hidden
# L new tokens of one sequence, T all its tokens so far
# Q query heads, K key-value heads, D head dim, E experts, C of them chosen, P rotary pairs
# Y layers, I layer_input_size


_Rotation = tuple[Tensor, Tensor]
"""Cosine and sine for every new token and pair, [N, 1, P]."""


@dataclass(frozen=True, slots=True)
class _Sequence:
    """One sequence of the batch."""

    new: slice
    """Its rows among the batch's N."""
    positions_L: Tensor
    slots_T: Tensor
    """The slots of its positions 0 to T - 1 in the cache: block * BLOCK_SIZE + offset in the block."""
    state: int
    """Index of its state."""
    restored: int
    """Index of the snapshot with which its state begins; -1 for none."""
    snapshots: list[tuple[int, int]]
    """(number of new tokens, index): where the state behind these tokens is copied to."""


class TorchRunner:
    """Runs a DecoderSpec in `dtype`, with dequantized weights."""

    def __init__(
        self,
        spec: DecoderSpec,
        tensors: Mapping[str, RawTensor],
        *,
        num_blocks: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.spec, self.num_blocks, self.num_states, self.num_snapshots = spec, num_blocks, num_blocks, num_blocks
        self._weights = {name: torch.from_numpy(dequantize(tensors[name])).to(dtype) for name in spec.tensor_shapes()}
        self._dtype = dtype
        self._adapters: dict[int, dict[str, tuple[Tensor, Tensor, Tensor | None]]] = {}
        self._adapted: list[tuple[int, slice]] = []
        """(adapter index, rows) of the batch's sequences that have an adapter."""
        self._angles = [torch.from_numpy(angles_P) for angles_P in inverse_frequencies(spec)]
        shapes = {
            i: (num_blocks * BLOCK_SIZE, spec.kv_heads_of(i), spec.head_dim_of(i))
            for i in range(spec.num_layers)
            if spec.has_keys(i)
        }
        self._keys = {i: torch.zeros(shape, dtype=dtype) for i, shape in shapes.items()}
        self._values = {i: torch.zeros(shape, dtype=dtype) for i, shape in shapes.items()}
        self._states: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        """(layer, index of a state or snapshot) -> last inputs of the convolution [conv_size - 1, C], state [V, D, E]
        """
        self._scores: Scores | None = None

    @torch.inference_mode()  # type: ignore[untyped-decorator, unused-ignore]  # `make check` has no torch
    def forward(self, batch: Batch) -> npt.NDArray[np.float32]:
        """Write the batch into the KV cache and return logits_RV. The array is valid until the next call."""
        sequences = self._sequences(batch)
        indices = batch.adapters.tolist() if batch.adapters is not None else []
        self._adapted = [(index, each.new) for index, each in zip(indices, sequences, strict=False) if index >= 0]
        positions_N = torch.cat([sequence.positions_L for sequence in sequences])
        rotations = self._rotations(positions_N)

        x_NH = self._weights["embed.weight"][_indices(batch.tokens)] * self.spec.embedding_multiplier
        if self.spec.learned_positions:
            x_NH = x_NH + self._weights["positions.weight"][positions_N]
        if self.spec.token_type:
            x_NH = x_NH + self._weights["types.weight"]
        if self.spec.embed_norm:
            x_NH = self._norm("embed_norm", x_NH)
        inputs_NYI = self._layer_inputs(batch, x_NH) if self.spec.layer_input_size else None
        streams = self._begin_streams(x_NH) if self.spec.residual_streams > 1 else []
        for i in range(self.spec.num_layers):
            if streams:
                streams = self._predict_streams(i, streams)
                streams = self._correct_streams(i, streams, self._layer(i, streams[0], rotations, sequences))
                x_NH = streams[0] * self._weights[f"layers.{i}.stream_scale.weight"]
            else:
                x_NH = self._layer(i, x_NH, rotations, sequences)
            if inputs_NYI is not None:
                added_NH = self._from_layer_input(i, x_NH, inputs_NYI[:, i])
                x_NH, streams = x_NH + added_NH, [*streams[:1], *(each_NH + added_NH for each_NH in streams[1:])]
            if self.spec.scales_layers:
                x_NH = x_NH * self._weights[f"layers.{i}.scale.weight"]
        if streams:
            x_NH = self._end_streams(streams)
        self._scores = None
        if batch.scored_rows is not None and batch.scored_tokens is not None:
            logits_QV = self._logits(x_NH[_indices(batch.scored_rows)])
            self._scores = _scores(logits_QV, _indices(batch.scored_tokens), batch.num_top)
        return np.asarray(self._logits(x_NH[_indices(batch.logit_rows)]).numpy())

    def _logits(self, x_RH: Tensor) -> Tensor:
        """Return the logits of these rows, or the normalized rows of a model without a head."""
        if not self.spec.norms_residual:
            x_RH = self._norm("final_norm", x_RH)
        if not self.spec.has_head:
            return x_RH.float()
        logits_RV = self._linear("embed" if self.spec.tied_head else "head", x_RH)
        if self.spec.tied_head and self.spec.head_bias:
            logits_RV = logits_RV + self._weights["head.bias"]
        logits_RV = logits_RV * self.spec.logit_multiplier
        return _softcap(logits_RV, self.spec.logit_softcap).float()

    def set_adapter(self, index: int, adapter: "Adapter | None") -> None:
        """Replace the adapter at an index; None removes it."""
        self._adapters[index] = {
            name: (
                torch.from_numpy(each.down).to(self._dtype),
                torch.from_numpy(each.up).to(self._dtype),
                None if each.gain is None else torch.from_numpy(each.gain).to(self._dtype),
            )
            for name, each in (adapter or {}).items()
        }

    def likeliest(self) -> None:
        """Return None: the reference leaves this to the sampler."""

    def scores(self) -> Scores | None:
        """Return the scores of the last step's scored rows; None if it had none."""
        return self._scores

    def _sequences(self, batch: Batch) -> list[_Sequence]:
        sequences = []
        for s, num_cached in enumerate(batch.context_lengths.tolist()):
            start, end = batch.starts[s : s + 2].tolist()
            positions_T = np.arange(num_cached + end - start)
            slots_T = batch.block_tables[s][positions_T // BLOCK_SIZE] * BLOCK_SIZE + positions_T % BLOCK_SIZE
            positions_L = positions_T[num_cached:]
            state = s if batch.states is None else int(batch.states[s])
            restored = -1 if batch.restored is None else int(batch.restored[s])
            copies = [] if batch.snapshots is None else batch.snapshots.tolist()
            snapshots = [(count, index) for of, count, index in copies if of == s]
            sequences.append(
                _Sequence(slice(start, end), _indices(positions_L), _indices(slots_T), state, restored, snapshots)
            )
        return sequences

    def _layer(self, i: int, x_NH: Tensor, rotations: list[_Rotation], sequences: list[_Sequence]) -> Tensor:
        is_first = i == 0 and self.spec.skips_first_norm
        y_NH = x_NH if is_first else self._pre_norm(f"layers.{i}.attn_norm", x_NH)
        if self.spec.is_recurrent_layer(i):
            attended_NH = self._recurrent(i, y_NH, sequences)
        else:
            attended_NH = self._attention(i, y_NH, rotations, sequences)
        attended_NH = self._post_norm(f"layers.{i}.attn_post_norm", attended_NH) * self.spec.residual_multiplier
        if self.spec.norms_residual:
            x_NH = self._norm(f"layers.{i}.attn_post_norm", x_NH + attended_NH)
            return self._norm(f"layers.{i}.mlp_post_norm", x_NH + self._feed_forward(i, x_NH, x_NH))
        if self.spec.laurel_size:
            attended_NH = self._with_laurel(i, x_NH + attended_NH, y_NH) - x_NH
        read_NH = x_NH if self.spec.parallel_residual else x_NH + attended_NH
        inner_NH = self._feed_forward(i, self._pre_norm(f"layers.{i}.mlp_norm", read_NH), read_NH)
        inner_NH = self._post_norm(f"layers.{i}.mlp_post_norm", inner_NH) * self.spec.residual_multiplier
        return x_NH + attended_NH + inner_NH

    def _begin_streams(self, x_NH: Tensor) -> list[Tensor]:
        others = [self._linear(f"stream_projection.{n}", x_NH) for n in range(self.spec.residual_streams - 1)]
        return [x_NH, *(_with_magnitude_of(x_NH, each_NH) for each_NH in others)]

    def _end_streams(self, streams: list[Tensor]) -> Tensor:
        first_NH, *others = streams
        outputs = [self._linear(f"stream_output.{n}", each_NH) for n, each_NH in enumerate(others)]
        return torch.stack([first_NH, *(_with_magnitude_of(first_NH, each_NH) for each_NH in outputs)]).mean(0)

    def _stream_modes(self, i: int, x_NH: Tensor) -> Tensor:
        router_SH = self._weights[f"layers.{i}.stream_router.weight"].view(-1, self.spec.hidden_size)
        normed_NH = self._norm(f"layers.{i}.stream_router_norm", x_NH) / self.spec.hidden_size
        return torch.tanh(normed_NH @ router_SH.T)

    def _predict_streams(self, i: int, streams: list[Tensor]) -> list[Tensor]:
        count = len(streams)
        modes_NS = self._stream_modes(i, streams[0])
        factors_N = modes_NS @ self._weights[f"layers.{i}.stream_predict.weight"].view(-1, count).T
        factors_NSS = factors_N.view(-1, count, count)
        stacked_NSH = torch.stack(streams, dim=1)
        return list((stacked_NSH + factors_NSS @ stacked_NSH).unbind(1))

    def _correct_streams(self, i: int, predicted: list[Tensor], x_NH: Tensor) -> list[Tensor]:
        weights_SS = self._weights[f"layers.{i}.stream_correct.weight"].view(len(predicted), -1)
        factors_NS = self._stream_modes(i, x_NH) @ weights_SS.T + 1
        innovation_NH = x_NH - predicted[0]
        return [each_NH + innovation_NH * factors_NS[:, s, None] for s, each_NH in enumerate(predicted)]

    def _with_laurel(self, i: int, x_NH: Tensor, y_NH: Tensor) -> Tensor:
        """Return the residual stream after attention, with the product of low rank of attention's input."""
        low_rank_NH = self._linear(f"layers.{i}.laurel_up", self._linear(f"layers.{i}.laurel_down", y_NH))
        sum_NH: Tensor = (x_NH + y_NH + self._norm(f"layers.{i}.laurel_norm", low_rank_NH)) * math.sqrt(0.5)
        return sum_NH

    def _layer_inputs(self, batch: Batch, x_NH: Tensor) -> Tensor:
        """Return what each layer gets of each token, [N, Y, I]."""
        spec, shape = self.spec, (len(x_NH), self.spec.num_layers, self.spec.layer_input_size)
        projected_NYI = (self._linear("layer_embed_projection", x_NH) * spec.hidden_size**-0.5).view(shape)
        rows_N = _indices(np.where(batch.tokens < spec.layer_input_vocab, batch.tokens, 0))
        embedded_NYI = self._weights["layer_embed.weight"][rows_N].view(shape) * spec.layer_input_size**0.5
        inputs_NYI: Tensor = (self._norm("layer_embed_norm", projected_NYI) + embedded_NYI) * math.sqrt(0.5)
        return inputs_NYI

    def _from_layer_input(self, i: int, x_NH: Tensor, input_NI: Tensor) -> Tensor:
        gated_NI = self._activate(self._linear(f"layers.{i}.input_gate", x_NH)) * input_NI
        return self._norm(f"layers.{i}.input_norm", self._linear(f"layers.{i}.input_projection", gated_NI))

    def _attention(self, i: int, x_NH: Tensor, rotations: list[_Rotation], sequences: list[_Sequence]) -> Tensor:
        layer, spec = f"layers.{i}", self.spec
        q_NQD = self._at_positions(i, f"{layer}.q_norm", self._heads(i, f"{layer}.q", x_NH), rotations)
        kept, outputs = spec.keys_of(i), []
        keys, values = self._keys[kept], self._values[kept]
        if spec.has_keys(i):
            unrotated_NKD = self._heads(i, f"{layer}.k", x_NH)
            k_NKD = self._at_positions(i, f"{layer}.k_norm", unrotated_NKD, rotations)
            v_NKD = self._heads(i, f"{layer}.v", x_NH) if spec.has_values(i) else unrotated_NKD
            v_NKD = _normed(v_NKD, spec.norm_eps) if spec.norms_values else v_NKD
            for sequence in sequences:
                slots_L = sequence.slots_T[sequence.positions_L]
                keys[slots_L], values[slots_L] = k_NKD[sequence.new], v_NKD[sequence.new]
        for sequence in sequences:
            k_TKD, v_TKD = keys[sequence.slots_T], values[sequence.slots_T]
            outputs.append(self._attend(i, q_NQD[sequence.new], k_TKD, v_TKD, sequence.positions_L))
        attended_NX = torch.cat(outputs).flatten(1)
        if self.spec.attention_gate:
            attended_NX = attended_NX * self._linear(f"{layer}.q_gate", x_NH).sigmoid()
        return self._linear(f"{layer}.o", attended_NX)

    def _heads(self, i: int, name: str, x_NH: Tensor) -> Tensor:
        return self._linear(name, x_NH).view(len(x_NH), -1, self.spec.head_dim_of(i))

    def _at_positions(self, i: int, norm: str, x_NXD: Tensor, rotations: list[_Rotation]) -> Tensor:
        """Return queries or keys, normalized and rotated as the spec says."""
        has_norm, rotation = self.spec.qk_norm is not None, self.spec.rotation_of(i)
        if has_norm and not self.spec.norms_rotated_heads:
            x_NXD = self._norm_heads(norm, x_NXD)
        if rotation is not None:
            x_NXD = _rotate(x_NXD, rotations[rotation])
        return self._norm_heads(norm, x_NXD) if has_norm and self.spec.norms_rotated_heads else x_NXD

    def _recurrent(self, i: int, y_NH: Tensor, sequences: list[_Sequence]) -> Tensor:
        layer, spec = f"layers.{i}", self.spec
        mix_NC, gate_NX = self._linear(f"{layer}.mix", y_NH), self._linear(f"{layer}.mix_gate", y_NH)
        if spec.recurrence == "conv":
            mix_NC = mix_NC * self._linear(f"{layer}.mix_in", y_NH)
        outputs = []
        for sequence in sequences:
            conv_LC, state_VDE = self._state(i, sequence)
            for new, index in _parts(sequence):
                mixed_LC, conv_LC = self._convolve(layer, mix_NC[new], conv_LC)
                if spec.recurrence == "conv":
                    outputs.append(gate_NX[new] * mixed_LC)
                else:
                    recurred_LX, state_VDE = self._recur(layer, y_NH[new], F.silu(mixed_LC), state_VDE)
                    outputs.append(self._gated_norm(f"{layer}.mix_norm", recurred_LX, F.silu(gate_NX[new])))
                self._states[i, index] = conv_LC, state_VDE
            self._states[i, sequence.state] = conv_LC, state_VDE
        return self._linear(f"{layer}.o", torch.cat(outputs))

    def _state(self, i: int, sequence: _Sequence) -> tuple[Tensor, Tensor]:
        spec = self.spec
        if int(sequence.positions_L[0]):
            return self._states[i, sequence.state if sequence.restored < 0 else sequence.restored]
        conv_LC = torch.zeros(spec.conv_size - 1, spec.conv_channels, dtype=self._dtype)
        shape = spec.recurrent_heads, spec.recurrent_key_size, spec.recurrent_value_size
        return conv_LC, torch.zeros(shape, dtype=self._dtype)

    def _convolve(self, layer: str, x_LC: Tensor, before_LC: Tensor) -> tuple[Tensor, Tensor]:
        """Return the convolution, and the inputs to keep for the next tokens."""
        all_LC = torch.cat([before_LC, x_LC])
        weight_C1K = self._weights[f"{layer}.conv.weight"].view(self.spec.conv_channels, 1, -1)
        bias = self._weights.get(f"{layer}.conv.bias")
        out_LC = F.conv1d(all_LC.T[None], weight_C1K, bias, groups=self.spec.conv_channels)[0].T
        return out_LC, all_LC[len(x_LC) :]

    def _recur(self, layer: str, y_LH: Tensor, mixed_LC: Tensor, state_VDE: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of the recurrence, all heads together, and the state after the last token."""
        spec, length = self.spec, len(y_LH)
        keys = spec.recurrent_key_heads * spec.recurrent_key_size
        is_delta = spec.recurrence == "delta"
        sizes = [keys, keys, spec.recurrent_size] if is_delta else [spec.recurrent_size, keys, keys]
        parts = torch.split(mixed_LC, sizes, dim=1)
        q_LX, k_LX, v_LX = parts if is_delta else reversed(parts)
        v_LVE = v_LX.view(length, spec.recurrent_heads, -1)
        q_LVD, k_LVD = (self._for_each_head(x.view(length, spec.recurrent_key_heads, -1)) for x in (q_LX, k_LX))
        step_LV = F.softplus(self._linear(f"{layer}.step", y_LH))
        if is_delta:
            q_LVD, k_LVD = (x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6) for x in (q_LVD, k_LVD))
            q_LVD = q_LVD * spec.recurrent_key_size**-0.5
            beta_LV1 = self._linear(f"{layer}.beta", y_LH).sigmoid()[..., None]
        else:
            step_LV = step_LV.clamp(*spec.step_limits)
        decay_LV = torch.exp(self._weights[f"{layer}.decay.weight"] * step_LV)
        outputs = []
        for t in range(length):
            state_VDE = state_VDE * decay_LV[t, :, None, None]
            if is_delta:
                update_VE = beta_LV1[t] * (v_LVE[t] - torch.einsum("vd,vde->ve", k_LVD[t], state_VDE))
            else:
                update_VE = step_LV[t, :, None] * v_LVE[t]
            state_VDE = state_VDE + k_LVD[t, :, :, None] * update_VE[:, None]
            outputs.append(torch.einsum("vd,vde->ve", q_LVD[t], state_VDE))
        recurred_LVE = torch.stack(outputs)
        if not is_delta:
            recurred_LVE = recurred_LVE + self._weights[f"{layer}.skip.weight"][:, None] * v_LVE
        return recurred_LVE.flatten(1), state_VDE

    def _for_each_head(self, keys_LKD: Tensor) -> Tensor:
        """Repeat the keys or queries of the key heads for the heads that they serve."""
        group = self.spec.recurrent_heads // self.spec.recurrent_key_heads
        if self.spec.tiles_key_heads:
            return keys_LKD.repeat(1, group, 1)
        return keys_LKD.repeat_interleave(group, 1)

    def _gated_norm(self, name: str, x_LX: Tensor, gate_LX: Tensor) -> Tensor:
        """Delta: norm each head, then gate. Mamba: gate, then norm each group of heads that has its own key."""
        if self.spec.recurrence == "delta":
            heads_LVE = x_LX.view(len(x_LX), self.spec.recurrent_heads, -1)
            return self._norm(name, heads_LVE).flatten(1) * gate_LX
        groups_LGX = (x_LX * gate_LX).view(len(x_LX), self.spec.recurrent_key_heads, -1)
        squares_LG1 = groups_LGX.float().square().mean(-1, keepdim=True)
        normed_LX = (groups_LGX * torch.rsqrt(squares_LG1 + self.spec.norm_eps)).flatten(1)
        return normed_LX * self._weights[f"{name}.weight"]

    def _attend(self, i: int, q_LQD: Tensor, k_TKD: Tensor, v_TKD: Tensor, positions_L: Tensor) -> Tensor:
        """Return every new token's attention output: the mean of the values, weighted by the softmax of the scores."""
        # Each key-value head serves a group of adjacent query heads.
        q_LQD = q_LQD * self._query_scale(positions_L)
        group = self.spec.num_heads // k_TKD.shape[1]
        k_TQD, v_TQD = k_TKD.repeat_interleave(group, dim=1), v_TKD.repeat_interleave(group, dim=1)
        scores_QLT = torch.einsum("lqd,tqd->qlt", q_LQD, k_TQD) * self.spec.score_scale
        scores_QLT = _softcap(scores_QLT, self.spec.attention_softcap)

        distance_LT = positions_L[:, None] - torch.arange(len(k_TKD))
        hidden_LT, window = (distance_LT < 0) & self.spec.is_causal, self.spec.window_of(i)
        if window is not None:
            hidden_LT |= distance_LT.abs() >= window
        scores_QLT = scores_QLT.masked_fill(hidden_LT, -torch.inf)
        if self.spec.attention_sinks:
            sinks_QL1 = self._weights[f"layers.{i}.sinks.weight"][:, None, None].expand(*scores_QLT.shape[:2], 1)
            weights_QLT = torch.cat([scores_QLT, sinks_QL1], -1).softmax(-1, dtype=torch.float32)[..., :-1]
        else:
            weights_QLT = scores_QLT.softmax(-1, dtype=torch.float32)
        return torch.einsum("qlt,tqd->lqd", weights_QLT.to(v_TQD.dtype), v_TQD)

    def _query_scale(self, positions_L: Tensor) -> Tensor:
        steps_L11 = positions_L[:, None, None] // self.spec.query_growth_positions
        return (1 + self.spec.query_growth * torch.log1p(steps_L11.double())).to(self._dtype)

    def _feed_forward(self, i: int, x_NH: Tensor, unnormed_NH: Tensor) -> Tensor:
        layer = f"layers.{i}"
        if not self.spec.has_experts(i):
            return self._inner(layer, "", x_NH, self.spec.gate_cutoff_of(i))
        if not self.spec.norms_experts:
            return self._experts(i, x_NH, x_NH)
        routed_NH = self._norm(f"{layer}.router_norm", unnormed_NH) * self.spec.hidden_size**-0.5
        experts_NH = self._experts(i, self._norm(f"{layer}.experts_norm", unnormed_NH), routed_NH)
        shared_NH = self._norm(f"{layer}.shared_post_norm", self._inner(layer, "", x_NH))
        return shared_NH + self._norm(f"{layer}.experts_post_norm", experts_NH)

    def _experts(self, i: int, x_NH: Tensor, routed_NH: Tensor) -> Tensor:
        """Return the weighted sum of each token's experts, added up in the order of the experts, and of the shared one.

        `routed_NH`: what the router reads.
        """
        logits_NE = self._linear(f"layers.{i}.router", routed_NH).float()
        scores_NE = logits_NE.softmax(-1) if self.spec.router_score == "softmax" else logits_NE.sigmoid()
        chosen_NC = self._choose(i, scores_NE)
        weights_NC = scores_NE.gather(1, chosen_NC)
        if self.spec.normalizes_experts:
            weights_NC = weights_NC / weights_NC.sum(-1, keepdim=True)
        weights_NC = weights_NC * self.spec.expert_multiplier
        if self.spec.norms_experts:
            weights_NC = weights_NC * self._weights[f"layers.{i}.expert_scale.weight"][chosen_NC]
        output_NH = torch.zeros_like(x_NH)
        for expert in sorted(set(chosen_NC.flatten().tolist())):
            rows, ranks = (chosen_NC == expert).nonzero(as_tuple=True)
            output = self._inner(f"layers.{i}", f".{expert}", x_NH[rows])
            output_NH[rows] += output * weights_NC[rows, ranks, None].to(output.dtype)
        if self.spec.shared_expert_size and not self.spec.norms_experts:
            shared_NH = self._inner(f"layers.{i}", "", x_NH)
            if self.spec.gates_shared_expert:
                shared_NH = shared_NH * (x_NH @ self._weights[f"layers.{i}.shared_router.weight"]).sigmoid()[:, None]
            output_NH = output_NH + shared_NH
        return output_NH

    def _choose(self, i: int, scores_NE: Tensor) -> Tensor:
        """Return the experts of each token."""
        if self.spec.corrects_router:
            scores_NE = scores_NE + self._weights[f"layers.{i}.router_correction.weight"]
        if self.spec.expert_groups > 1:
            scores_NGE = scores_NE.view(len(scores_NE), self.spec.expert_groups, -1)
            best_NG = scores_NGE.topk(2).values.sum(-1)
            chosen_NG = best_NG.topk(self.spec.chosen_groups).indices
            hidden_NG = torch.ones_like(best_NG, dtype=torch.bool).scatter(1, chosen_NG, False)
            scores_NE = scores_NGE.masked_fill(hidden_NG[..., None], -torch.inf).flatten(1)
        return scores_NE.topk(self.spec.experts_per_token).indices

    def _inner(self, layer: str, expert: str, x: Tensor, cutoff: float = -math.inf) -> Tensor:
        up = self._linear(f"{layer}.up{expert}", x)
        if self.spec.activation == "clamped_swiglu":
            gate = self._linear(f"{layer}.gate{expert}", x).clamp(max=7.0)
            return self._linear(f"{layer}.down{expert}", (up.clamp(-7.0, 7.0) + 1) * gate * torch.sigmoid(1.702 * gate))
        if not self.spec.gated:
            return self._linear(f"{layer}.down{expert}", self._activate(up))
        gate = self._linear(f"{layer}.gate{expert}", x)
        if cutoff > -math.inf:
            gate = F.relu(gate - gate.mean(-1, keepdim=True) - cutoff * gate.std(-1, keepdim=True, unbiased=False))
        return self._linear(f"{layer}.down{expert}", self._activate(gate) * up)

    def _activate(self, x: Tensor) -> Tensor:
        if self.spec.activation == "silu":
            return F.silu(x)
        if self.spec.activation == "relu2":
            return F.relu(x).square()
        return F.gelu(x, approximate="none" if self.spec.activation == "gelu" else "tanh")

    def _linear(self, name: str, x: Tensor) -> Tensor:
        bias = self._weights.get(f"{name}.bias")
        y = F.linear(x, self._weights[f"{name}.weight"], bias)
        for index, rows in self._adapted:
            if (parts := self._adapters[index].get(name)) is not None:
                down, up, gain = parts
                if gain is not None:
                    y[rows] = gain * y[rows] + ((1 - gain) * bias if bias is not None else 0)
                y[rows] += x[rows] @ down.T @ up.T
        return y

    def _pre_norm(self, name: str, x_NH: Tensor) -> Tensor:
        return self._norm(name, x_NH) if self.spec.pre_norm else x_NH

    def _post_norm(self, name: str, x_NH: Tensor) -> Tensor:
        return self._norm(name, x_NH) if self.spec.post_norm else x_NH

    def _norm_heads(self, name: str, x_NXD: Tensor) -> Tensor:
        if self.spec.qk_norm == "whole":
            return self._norm(name, x_NXD.flatten(1)).view(x_NXD.shape)
        if self.spec.qk_norm == "each_head":
            return torch.stack([self._norm(f"{name}.{n}", x_NXD[:, n]) for n in range(x_NXD.shape[1])], dim=1)
        return self._norm(name, x_NXD)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        """Normalize the last axis, computed in float32."""
        weight, bias, wide = self._weights[f"{name}.weight"], self._weights.get(f"{name}.bias"), x.float()
        if self.spec.norm == "layernorm":
            wide = wide - wide.mean(-1, keepdim=True)
        x = _normed(wide, self.spec.norm_eps).to(x.dtype) * weight
        return x if bias is None else x + bias

    def _rotations(self, positions_N: Tensor) -> list[_Rotation]:
        """Return cosine and sine of the rotation angle of each position and pair, [N, 1, P], for each rotation."""
        rotations = []
        for index, angles_P in enumerate(self._angles):
            angles_N1P = positions_N[:, None, None] * angles_P
            # Only the first rotation is scaled (see DecoderSpec.window_rope_theta).
            factor = 1.0 if index else self.spec.rope_attention_factor
            rotations.append(((angles_N1P.cos() * factor).to(self._dtype), (angles_N1P.sin() * factor).to(self._dtype)))
        return rotations


def _parts(sequence: _Sequence) -> Iterator[tuple[slice, int]]:
    """Yield the sequence's rows in parts, each with the index at which the state behind it is kept."""
    start = sequence.new.start
    for count, index in [*sequence.snapshots, (sequence.new.stop - start, sequence.state)]:
        if sequence.new.start + count > start:
            yield slice(start, sequence.new.start + count), index
        start = sequence.new.start + count


def _rotate(x_NXD: Tensor, rotation: _Rotation) -> Tensor:
    """Rotate each pair (j, j + P) of a head by its position's angle; values behind the pairs are unchanged."""
    cos_N1P, sin_N1P = rotation
    a_NXP, b_NXP, rest = x_NXD.tensor_split([cos_N1P.shape[-1], 2 * cos_N1P.shape[-1]], dim=-1)
    return torch.cat([a_NXP * cos_N1P - b_NXP * sin_N1P, b_NXP * cos_N1P + a_NXP * sin_N1P, rest], dim=-1)


def _normed(x: Tensor, eps: float) -> Tensor:
    """Return the RMS norm of the last axis, computed in float32, without weights."""
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)).to(x.dtype)


def _with_magnitude_of(target: Tensor, x: Tensor) -> Tensor:
    """Return x, scaled so that each row has the root mean square of the target's."""
    square, own = (each.square().mean(-1, keepdim=True) for each in (target, x))
    return x * (square / own.clamp(min=1e-5)).sqrt()


def _softcap(x: Tensor, cap: float | None) -> Tensor:
    return x if cap is None else cap * torch.tanh(x / cap)


def _scores(logits_QV: Tensor, tokens_Q: Tensor, num_top: int) -> Scores:
    """Return what the logits say of each row's token, in double precision."""
    logprobs_QV = logits_QV.double().log_softmax(-1)
    own_Q1 = logits_QV.gather(1, tokens_Q[:, None])
    ids_V = torch.arange(logits_QV.shape[1])
    before_QV = (logits_QV > own_Q1) | ((logits_QV == own_Q1) & (ids_V < tokens_Q[:, None]))
    # A stable sort keeps the lowest of equally likely tokens first.
    top_QK = logits_QV.sort(dim=-1, descending=True, stable=True).indices[:, :num_top]
    is_broken_Q = ~logits_QV.isfinite().all(-1)
    logprobs_Q = logprobs_QV.gather(1, tokens_Q[:, None])[:, 0].masked_fill(is_broken_Q, torch.nan)
    entropies_Q = -(logprobs_QV.exp() * logprobs_QV).sum(-1).masked_fill(is_broken_Q, torch.nan)
    top_logprobs_QK = logprobs_QV.gather(1, top_QK).masked_fill(is_broken_Q[:, None], torch.nan)
    return Scores(
        logprobs_Q.float().numpy(),
        (before_QV.sum(-1) + 1).masked_fill(is_broken_Q, 0).int().numpy(),
        entropies_Q.float().numpy(),
        top_QK.masked_fill(is_broken_Q[:, None], -1).int().numpy(),
        top_logprobs_QK.float().numpy(),
    )


def _indices(array: npt.NDArray[np.integer]) -> Tensor:
    return torch.from_numpy(array.astype(np.int64))
