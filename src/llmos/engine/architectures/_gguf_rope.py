"""Reads rotary positions from GGUF metadata and tensors."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from llmos.core.errors import BadModelFile, UnsupportedModel
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._rope import frequency_divisors, yarn_attention_factor
from llmos.engine.formats.dequantize import dequantize
from llmos.engine.spec import DecoderSpec
from llmos.engine.tensors import RawTensor

ROPE_FACTORS = "rope_freqs.weight"
"""Llama 3's rope scaling as converters write it: the divisor of each frequency."""
SHORT_FACTORS, LONG_FACTORS = "rope_factors_short.weight", "rope_factors_long.weight"
"""Phi-3's divisors, for contexts up to the original length and for longer ones."""
ROPE_TENSORS = frozenset({ROPE_FACTORS, SHORT_FACTORS, LONG_FACTORS})
"""Tensors of a file that are read into the spec."""


def rope_from_gguf(fields: Fields, tensors: Mapping[str, RawTensor], head_dim: int) -> dict[str, Any]:
    """Return the rope fields of a spec. Raises UnsupportedModel for a scaling that the runners don't have."""
    rotary_dim = fields.integer("rope.dimension_count", head_dim, high=limits.MAX_HEAD_DIM)
    rope: dict[str, Any] = {
        "rope_theta": fields.number("rope.freq_base", _ollama_theta(fields), low=1.0, high=1e12),
        "rotary_dim": None if rotary_dim == head_dim else rotary_dim,
    }
    if LONG_FACTORS in tensors:
        fields.string("rope.scaling.type", "longrope", known=("longrope", "none", "yarn"))
        return rope | _longrope(fields, tensors)
    rope |= _scaling(fields)
    if ROPE_FACTORS in tensors:
        rope |= _llama3_scaling(tensors[ROPE_FACTORS], rotary_dim, rope)
    return rope


def _ollama_theta(fields: Fields) -> float:
    """Return the theta by the name that Ollama's converter gives it in Gemma 3."""
    return fields.number("rope.global.freq_base", 10_000.0, low=1.0, high=1e12)


def _scaling(fields: Fields) -> dict[str, Any]:
    # Older files have only a factor, which means "linear". Factors 0 and 1 mean no scaling.
    kind = fields.string("rope.scaling.type", "linear", known=("none", "linear", "yarn"))
    factor = fields.number(
        "rope.scaling.factor", fields.number("rope.scale_linear", 0.0, low=0.0, high=1e6), low=0.0, high=1e6
    )
    if kind == "none" or factor in (0.0, 1.0):
        return {}
    if kind == "linear":
        return {"rope_scaling": "linear", "rope_factor": factor}
    # Programs disagree about these variants of YaRN.
    for name, plain in {
        "attn_factor": 1.0, "yarn_attn_factor": 1.0, "yarn_ext_factor": 1.0, "yarn_log_multiplier": 0.0,
    }.items():  # fmt: skip
        if fields.number(f"rope.scaling.{name}", plain, low=-1e6, high=1e6) != plain:
            raise limits.unsupported(f"yarn rope scaling with an unusual {name}")
    return {
        "rope_scaling": "yarn",
        "rope_factor": factor,
        "rope_low_frequency_factor": fields.number("rope.scaling.yarn_beta_slow", 1.0, low=1e-6, high=1e6),
        "rope_high_frequency_factor": fields.number("rope.scaling.yarn_beta_fast", 32.0, low=1e-6, high=1e6),
        "rope_original_positions": fields.integer("rope.scaling.original_context_length", high=limits.MAX_POSITIONS),
        "rope_attention_factor": yarn_attention_factor(factor),
    }


def _longrope(fields: Fields, tensors: Mapping[str, RawTensor]) -> dict[str, Any]:
    if SHORT_FACTORS not in tensors:
        raise BadModelFile(f"The file has {LONG_FACTORS}, but not {SHORT_FACTORS}.")
    return {
        "rope_scaling": "longrope",
        "rope_original_positions": fields.integer("rope.scaling.original_context_length", high=limits.MAX_POSITIONS),
        "rope_short_factors": _factors(tensors[SHORT_FACTORS], SHORT_FACTORS),
        "rope_long_factors": _factors(tensors[LONG_FACTORS], LONG_FACTORS),
        "rope_attention_factor": fields.number("rope.scaling.attn_factor", 1.0, low=1e-6, high=1e6),
    }


def _factors(tensor: RawTensor, name: str) -> tuple[float, ...]:
    values = dequantize(tensor).astype(np.float64)
    if len(tensor.shape) != 1 or not np.isfinite(values).all() or values.min(initial=1.0) <= 0.0:
        raise BadModelFile(f"{name} must be a list of positive numbers.")
    return tuple(values.tolist())


def _llama3_scaling(factors: RawTensor, rotary_dim: int, rope: dict[str, Any]) -> dict[str, Any]:
    """Return the llama3 scaling fields from which these divisors were computed, {} if all are 1.

    A file has the divisors instead of the parameters. Every Llama 3 blends from 1 to 4 turns of 8,192 positions, so
    only the factor is unknown, which is the largest divisor. The result is then checked against all divisors.
    """
    if factors.shape != (rotary_dim // 2,):
        raise BadModelFile(f"{ROPE_FACTORS} is {list(factors.shape)}; heads of {rotary_dim} need [{rotary_dim // 2}].")
    divisors = dequantize(factors).astype(np.float64)
    if np.array_equal(divisors, np.ones_like(divisors)):
        return {}
    if rope.get("rope_scaling", "none") == "none" and np.isfinite(divisors).all() and divisors.max() > 1.0:
        scaling = {"rope_scaling": "llama3", "rope_factor": float(divisors.max())}
        candidate = DecoderSpec(
            family="", vocab_size=1, hidden_size=1, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=rotary_dim,
            intermediate_size=1, max_positions=1, **(rope | scaling | {"rotary_dim": None}),
        )  # fmt: skip
        if np.allclose(frequency_divisors(candidate), divisors, rtol=1e-4):
            return scaling
    raise UnsupportedModel(f"{ROPE_FACTORS} scales the rotary positions differently from Llama 3.")
