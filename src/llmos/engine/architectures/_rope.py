"""Rotary positions: the frequency at which each pair of a head's values rotates.

The whole engine uses the half-split rotation of Hugging Face ("neox"): value j of the rotated values is paired with
value j + rotary_dim / 2. Checkpoints with interleaved pairs are reordered when they are loaded.
"""

import math

import numpy as np
import numpy.typing as npt

from llmos.engine.spec import DecoderSpec

Floats = npt.NDArray[np.float64]


def inverse_frequencies(spec: DecoderSpec) -> list[Floats]:
    """Return the angle in radians by which each pair rotates per position: float64 [pairs] for each rotation.

    The first is for most layers; the second, if there is one, for layers with a sliding window, whose heads may have
    another size (see DecoderSpec.rotation_of). With learned positions there are none.
    """
    if spec.learned_positions:
        return []
    rotations = [_unscaled(spec, spec.rope_theta) / frequency_divisors(spec)]
    if spec.window_rope_theta is not None:
        rotations.append(_unscaled(spec, spec.window_rope_theta, spec.head_dim))
    return rotations


def frequency_divisors(spec: DecoderSpec) -> Floats:
    """Return the divisor of each frequency by the spec's scaling: float64 [pairs], all 1 without scaling."""
    frequencies = _unscaled(spec, spec.rope_theta)
    if spec.rope_scaling == "none":
        return np.ones_like(frequencies)
    if spec.rope_scaling == "linear":
        return np.full_like(frequencies, spec.rope_factor)
    if spec.rope_scaling == "proportional":
        return np.where(np.arange(len(frequencies)) < spec.rope_pairs, spec.rope_factor, np.inf)
    if spec.rope_scaling == "longrope":
        is_long = spec.max_positions > spec.rope_original_positions
        return np.array(spec.rope_long_factors if is_long else spec.rope_short_factors)

    # Slow pairs are slowed down by the factor, fast pairs are unchanged, and in between the two are blended.
    #   0 ------------- low ------------- high -------------> turns within the original context
    #     / factor       |     blended     |      unchanged
    unchanged = _llama3_unchanged(spec, frequencies) if spec.rope_scaling == "llama3" else _yarn_unchanged(spec)
    return 1.0 / ((1.0 - unchanged) / spec.rope_factor + unchanged)


def yarn_attention_factor(factor: float, multiplier: float = 1.0) -> float:
    """Return the attention factor of YaRN (Peng et al. 2023, eq. 22): longer contexts get sharper scores."""
    return 0.1 * multiplier * math.log(factor) + 1.0 if factor > 1.0 else 1.0


def longrope_attention_factor(factor: float, original_positions: int) -> float:
    """Return the attention factor of LongRoPE (Ding et al. 2024) as in Phi-3."""
    return math.sqrt(1.0 + math.log(factor) / math.log(original_positions)) if factor > 1.0 else 1.0


def _llama3_unchanged(spec: DecoderSpec, frequencies: Floats) -> Floats:
    turns = spec.rope_original_positions * frequencies / (2 * math.pi)
    low, high = spec.rope_low_frequency_factor, spec.rope_high_frequency_factor
    return np.clip((turns - low) / (high - low), 0.0, 1.0)


def _yarn_unchanged(spec: DecoderSpec) -> Floats:
    """Return the unchanged share of each pair. YaRN blends linearly between the two pairs at the bounds."""
    rotary_dim = spec.rotary_dim or spec.full_head_dim or spec.head_dim

    def pair_that_turns(turns: float) -> float:
        share = spec.rope_original_positions / (turns * 2 * math.pi)
        return rotary_dim * math.log(share) / (2 * math.log(spec.rope_theta))

    first = pair_that_turns(spec.rope_high_frequency_factor)
    last = pair_that_turns(spec.rope_low_frequency_factor)
    if spec.rope_truncates:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, rotary_dim - 1)
    pairs = np.arange(rotary_dim // 2, dtype=np.float64)
    return 1.0 - np.clip((pairs - first) / (last - first or 0.001), 0.0, 1.0)


def _unscaled(spec: DecoderSpec, theta: float, head_dim: int | None = None) -> Floats:
    """`head_dim`: of the layers that rotate like this. None: that of the layers without a window."""
    rotary_dim = spec.rotary_dim or head_dim or spec.full_head_dim or spec.head_dim
    return theta ** -(np.arange(0, rotary_dim, 2, dtype=np.float64) / rotary_dim)
