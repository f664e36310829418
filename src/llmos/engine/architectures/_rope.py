"""Rotary positions: how fast each pair of a head's values turns.

Everywhere in the engine the rotation is the half-split one of Hugging Face ("neox"): of the values that are rotated,
value j is paired with value j + rotary_dim / 2. Checkpoints that interleave their pairs are put in order when they are
loaded.
"""

import math

import numpy as np
import numpy.typing as npt

from llmos.engine.spec import DecoderSpec

Floats = npt.NDArray[np.float64]


def inverse_frequencies(spec: DecoderSpec) -> Floats:
    """Return the angle, in radians, that pair j turns with every position: float64 [rotations, pairs].

    The first rotation is that of most layers; the second, where there is one, that of layers with a sliding window.
    DecoderSpec.rotation_of says which layer has which. There is none with learned positions.
    """
    if spec.learned_positions:
        return np.empty((0, 0))
    rotations = [_unscaled(spec, spec.rope_theta) / frequency_divisors(spec)]
    if spec.window_rope_theta is not None:
        rotations.append(_unscaled(spec, spec.window_rope_theta))
    return np.stack(rotations)


def frequency_divisors(spec: DecoderSpec) -> Floats:
    """Return by what the spec's scaling divides each frequency, float64 [pairs]; all ones without scaling."""
    frequencies = _unscaled(spec, spec.rope_theta)
    if spec.rope_scaling == "none":
        return np.ones_like(frequencies)
    if spec.rope_scaling == "linear":
        return np.full_like(frequencies, spec.rope_factor)
    if spec.rope_scaling == "longrope":
        is_long = spec.max_positions > spec.rope_original_positions
        return np.array(spec.rope_long_factors if is_long else spec.rope_short_factors)

    # Slow pairs are slowed down further by the factor, quick ones are left alone, and in between the two are blended.
    #   0 ------------- low ------------- high -------------> turns within the original context
    #     / factor       |     blended     |      unchanged
    unchanged = _llama3_unchanged(spec, frequencies) if spec.rope_scaling == "llama3" else _yarn_unchanged(spec)
    return 1.0 / ((1.0 - unchanged) / spec.rope_factor + unchanged)


def yarn_attention_factor(factor: float, multiplier: float = 1.0) -> float:
    """YaRN (Peng et al. 2023, eq. 22): longer contexts get sharper scores."""
    return 0.1 * multiplier * math.log(factor) + 1.0 if factor > 1.0 else 1.0


def longrope_attention_factor(factor: float, original_positions: int) -> float:
    """LongRoPE's (Ding et al. 2024), as Phi-3 has it."""
    return math.sqrt(1.0 + math.log(factor) / math.log(original_positions)) if factor > 1.0 else 1.0


def _llama3_unchanged(spec: DecoderSpec, frequencies: Floats) -> Floats:
    turns = spec.rope_original_positions * frequencies / (2 * math.pi)
    low, high = spec.rope_low_frequency_factor, spec.rope_high_frequency_factor
    return np.clip((turns - low) / (high - low), 0.0, 1.0)


def _yarn_unchanged(spec: DecoderSpec) -> Floats:
    """YaRN blends by the pair's number, between the two pairs that turn as often as the bounds say."""
    rotary_dim = spec.rotary_dim or spec.head_dim

    def pair_that_turns(turns: float) -> float:
        share = spec.rope_original_positions / (turns * 2 * math.pi)
        return rotary_dim * math.log(share) / (2 * math.log(spec.rope_theta))

    first = max(math.floor(pair_that_turns(spec.rope_high_frequency_factor)), 0)
    last = min(math.ceil(pair_that_turns(spec.rope_low_frequency_factor)), rotary_dim - 1)
    pairs = np.arange(rotary_dim // 2, dtype=np.float64)
    return 1.0 - np.clip((pairs - first) / (last - first or 0.001), 0.0, 1.0)


def _unscaled(spec: DecoderSpec, theta: float) -> Floats:
    rotary_dim = spec.rotary_dim or spec.head_dim
    return theta ** -(np.arange(0, rotary_dim, 2, dtype=np.float64) / rotary_dim)
