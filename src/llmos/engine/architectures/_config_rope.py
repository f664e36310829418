"""Reads rotary positions from config.json: rope_parameters (transformers 5), or rope_theta and rope_scaling (4)."""

from typing import Any

from llmos.core.errors import BadModelFile
from llmos.engine.architectures import _limits as limits
from llmos.engine.architectures._fields import Fields
from llmos.engine.architectures._rope import longrope_attention_factor, yarn_attention_factor

THETA_RANGE = {"low": 1.0, "high": 1e12}
_FACTOR_RANGE = {"low": 1e-3, "high": 1e6}


def rope_from_config(
    fields: Fields,
    *,
    head_dim: int,
    default_theta: float = 10_000.0,
    default_share: float | None = None,
    theta_name: str = "rope_theta",
    share_name: str = "partial_rotary_factor",
) -> dict[str, Any]:
    """Return the rope fields of a spec. Raises UnsupportedModel for a scaling that the runners don't have.

    `default_share`: the share of each head that is rotated if the config doesn't say. None: the family always rotates
    whole heads.
    """
    scaling = rope_section(fields)
    theta = fields.number(theta_name, default_theta, **THETA_RANGE)
    share = fields.number(share_name, 1.0 if default_share is None else default_share, low=0.0, high=1.0)
    if scaling is not None:
        share = scaling.number("partial_rotary_factor", share, low=0.0, high=1.0)
        theta = scaling.number("rope_theta", theta, **THETA_RANGE)
    if default_share is None and share != 1.0:
        raise limits.unsupported("partial rotary positions (partial_rotary_factor)")
    rotary_dim = int(head_dim * share)
    rope = {"rope_theta": theta, "rotary_dim": None if rotary_dim == head_dim else rotary_dim}
    return rope if scaling is None else rope | scaling_from_config(fields, scaling)


def rope_section(fields: Fields) -> Fields | None:
    """Return rope_scaling or rope_parameters, whichever has values; both may have a theta.

    Raises UnsupportedModel if both have values that differ.
    """
    parameters, scaling = fields.section("rope_parameters"), fields.section("rope_scaling")
    given = [section for section in (scaling, parameters) if section is not None and section.names()]
    if len(given) == 2:
        first, second = ({name: section.get(name) for name in section.names()} for section in given)
        if first != second:
            raise limits.unsupported("both rope_parameters and rope_scaling, which differ")
    return given[0] if given else None


def layered_rope_from_config(
    fields: Fields, *, default_theta: float, default_window_theta: float | None = None
) -> tuple[dict[str, Any], float]:
    """Return the rope fields of the layers without a window, and the theta of those with one, which aren't scaled.

    transformers 5 writes rope_parameters for each kind of layer; 4 wrote rope_theta, rope_scaling and, for Gemma,
    rope_local_base_freq. `default_window_theta`: None: that of the other layers.
    """
    theta = fields.number("rope_theta", default_theta, **THETA_RANGE)
    window_theta = fields.number("rope_local_base_freq", default_window_theta or theta, **THETA_RANGE)
    rope: dict[str, Any] = {"rope_theta": theta}
    section = rope_section(fields)
    if section is None:
        return rope, window_theta
    if fields.get("rope_scaling"):
        rope["rope_theta"] = section.number("rope_theta", theta, **THETA_RANGE)
        return rope | scaling_from_config(fields, section), window_theta
    full, windowed = section.section("full_attention"), section.section("sliding_attention")
    if full is None and windowed is None:
        # Programs disagree whether such values are for the layers without a window, or for none.
        raise limits.unsupported("rope_parameters that don't say which kind of layer (full_attention …) they are for")
    if full is not None:
        rope = {"rope_theta": full.number("rope_theta", theta, **THETA_RANGE)} | scaling_from_config(fields, full)
    if windowed is not None:
        if scaling_from_config(fields, windowed):
            raise limits.unsupported("scaled rotary positions in layers with a sliding window")
        window_theta = windowed.number("rope_theta", window_theta, **THETA_RANGE)
    return rope, window_theta


def scaling_from_config(fields: Fields, scaling: Fields) -> dict[str, Any]:
    """Return the scaling fields of a spec for a section "rope_scaling" or "rope_parameters"."""
    # The key was "type" until transformers 4.43, and longrope "su" before that.
    known = ("default", "linear", "dynamic", "llama3", "yarn", "longrope", "su")
    kind = scaling.string("rope_type", scaling.string("type", "default"), known=known)
    if kind == "linear":
        return {"rope_scaling": kind, "rope_factor": scaling.number("factor", low=1.0, high=1e6)}
    if kind == "llama3":
        return {
            "rope_scaling": kind,
            "rope_factor": scaling.number("factor", low=1.0, high=1e6),
            "rope_low_frequency_factor": scaling.number("low_freq_factor", low=1e-6, high=1e6),
            "rope_high_frequency_factor": scaling.number("high_freq_factor", low=1e-6, high=1e6),
            "rope_original_positions": scaling.integer("original_max_position_embeddings", high=limits.MAX_POSITIONS),
        }
    if kind == "yarn":
        return _yarn(fields, scaling)
    if kind in ("longrope", "su"):
        return _longrope(fields, scaling)
    if kind == "dynamic":
        _check_dynamic(fields, scaling)
    return {}


def _check_dynamic(fields: Fields, scaling: Fields) -> None:
    """Raise UnsupportedModel if dynamic NTK scaling changes positions within the model's context.

    It scales texts that are longer than max_position_embeddings, which is the longest text that this engine takes.
    """
    scaling.number("factor", low=1.0, high=1e6)
    positions = fields.integer("max_position_embeddings", high=limits.MAX_POSITIONS)
    if _original_positions(fields, scaling) != positions:
        raise limits.unsupported("dynamic rope scaling with other original positions than max_position_embeddings")


def _yarn(fields: Fields, scaling: Fields) -> dict[str, Any]:
    factor = scaling.number("factor", low=1.0, high=1e6)
    attention_factor = yarn_attention_factor(factor)
    over, under = (scaling.number(name, 0.0, low=0.0, high=1e6) for name in ("mscale", "mscale_all_dim"))
    if over and under:
        attention_factor = yarn_attention_factor(factor, over) / yarn_attention_factor(factor, under)
    return {
        "rope_scaling": "yarn",
        "rope_factor": factor,
        "rope_truncates": scaling.flag("truncate", True),
        "rope_low_frequency_factor": scaling.number("beta_slow", 1.0, low=1e-6, high=1e6),
        "rope_high_frequency_factor": scaling.number("beta_fast", 32.0, low=1e-6, high=1e6),
        "rope_original_positions": _original_positions(fields, scaling),
        "rope_attention_factor": scaling.number("attention_factor", attention_factor, low=1e-6, high=1e6),
    }


def _longrope(fields: Fields, scaling: Fields) -> dict[str, Any]:
    original = _original_positions(fields, scaling)
    # Phi-3 gives the extended context length instead of the factor.
    max_positions = fields.integer("max_position_embeddings", high=limits.MAX_POSITIONS)
    attention_factor = scaling.optional_number("attention_factor", low=1e-6, high=1e6)
    if attention_factor is None:
        factor = scaling.number("factor", max_positions / original, **_FACTOR_RANGE)
        if original == 1 and factor > 1.0:
            raise BadModelFile("config.json: a longrope scaling of 1 original position must have an attention_factor.")
        attention_factor = longrope_attention_factor(factor, original)
    return {
        "rope_scaling": "longrope",
        "rope_original_positions": original,
        "rope_short_factors": scaling.numbers("short_factor", max_length=limits.MAX_HEAD_DIM, **_FACTOR_RANGE),
        "rope_long_factors": scaling.numbers("long_factor", max_length=limits.MAX_HEAD_DIM, **_FACTOR_RANGE),
        "rope_attention_factor": attention_factor,
    }


def _original_positions(fields: Fields, scaling: Fields) -> int:
    """Return the original context length: in the scaling, outside of it (Phi-3), or the context length itself."""
    positions = {"high": limits.MAX_POSITIONS}
    extended = fields.integer("max_position_embeddings", **positions)
    outside = fields.integer("original_max_position_embeddings", extended, **positions)
    return scaling.integer("original_max_position_embeddings", outside, **positions)
