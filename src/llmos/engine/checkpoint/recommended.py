"""The sampling parameters that a model's authors recommend in its files."""

from collections.abc import Mapping
from typing import Any

import msgspec

from llmos.core.errors import BadRequest
from llmos.engine.messages import SamplingParams
from llmos.engine.sampling_params import check_sampling

RECOMMENDABLE = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
"""The parameters that depend on the model rather than on the request."""

DEFAULTS = (*RECOMMENDABLE, "max_tokens")
"""The parameters with a default of the model's own. max_tokens: small models may write without an end."""

_COUNTS = ("top_k", "max_tokens")

_NO_LIMIT = 1 << 31


def recommended_sampling(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the valid sampling parameters among `values`, which are untrusted."""
    recommended: dict[str, float] = {}
    for name in DEFAULTS:
        value = values.get("max_new_tokens" if name == "max_tokens" else name)
        if type(value) is float or type(value) is int:
            try:
                value = int(value) if name in _COUNTS else float(value)
                check_sampling(msgspec.structs.replace(SamplingParams(), **{name: value}), _NO_LIMIT, _NO_LIMIT)
            except (BadRequest, ValueError, OverflowError):
                continue
            recommended[name] = value
    return recommended
