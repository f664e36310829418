"""Rotary positions: how fast each pair of a head's values turns.

Everywhere in the engine the rotation is the half-split one of Hugging Face ("neox"): value j is paired with value
j + head_dim / 2. Checkpoints that interleave their pairs are put in order when they are loaded.
"""

import math

import numpy as np
import numpy.typing as npt

from llmos.engine.spec import DecoderSpec


def inverse_frequencies(spec: DecoderSpec) -> npt.NDArray[np.float64]:
    """Return the angle, in radians, that pair j turns with every position: float64 [head_dim / 2]."""
    return _unscaled(spec) / frequency_divisors(spec)


def frequency_divisors(spec: DecoderSpec) -> npt.NDArray[np.float64]:
    """Return by what the spec's scaling divides each frequency, float64 [head_dim / 2]; all ones without scaling."""
    frequencies = _unscaled(spec)
    if spec.rope_scaling == "none":
        return np.ones_like(frequencies)
    if spec.rope_scaling == "linear":
        return np.full_like(frequencies, spec.rope_factor)

    # Llama 3 looks at how often a pair turns within the original context. Slow pairs are slowed down further by the
    # factor, quick ones are left alone, and in between the two are blended.
    #   0 ------------- low ------------- high -------------> turns
    #     / factor       |     blended     |      unchanged
    turns = spec.rope_original_positions * frequencies / (2 * math.pi)
    low, high = spec.rope_low_frequency_factor, spec.rope_high_frequency_factor
    unchanged = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return 1.0 / ((1.0 - unchanged) / spec.rope_factor + unchanged)


def _unscaled(spec: DecoderSpec) -> npt.NDArray[np.float64]:
    return spec.rope_theta ** -(np.arange(0, spec.head_dim, 2, dtype=np.float64) / spec.head_dim)
