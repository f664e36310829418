"""Measures quality: the perplexity on a text, the agreement with a reference, and the error of each layer."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from llmos.core.schemas.cards import Comparison, LayerError, Layers, Quality
from llmos.engine.checkpoint.checkpoint import Checkpoint
from llmos.engine.evaluation import predictions
from llmos.engine.evaluation.layers import ModelWeights, embedding_difference, layer_differences
from llmos.engine.spec import DecoderSpec

KL_EDGES = (0.0, *(10.0**exponent for exponent in range(-6, 2)), 100.0)
"""The edges of the histogram of KL divergences, in nats: one bin for each power of ten."""


def quality_of(found: predictions.Predictions) -> Quality | None:
    """Return the perplexity, or None where it is not finite."""
    value, standard_error = predictions.perplexity(found.losses_N)
    return Quality(perplexity=value, standard_error=standard_error) if math.isfinite(value) else None


def compare(found: predictions.Predictions) -> Comparison | None:
    """Return the comparison with the reference's predictions, or None where it is not finite."""
    assert found.reference_N is not None
    assert found.same_N is not None
    assert found.divergences_N is not None
    increase = predictions.increase(found.losses_N, found.reference_N)
    perplexity, _ = predictions.perplexity(found.reference_N)
    if not math.isfinite(increase.share + perplexity + float(found.divergences_N.sum())):
        return None
    counts, _ = np.histogram(np.minimum(found.divergences_N, KL_EDGES[-1]), KL_EDGES)
    return Comparison(
        perplexity=perplexity,
        perplexity_increase=increase.share,
        standard_error=increase.standard_error,
        greedy_agreement=float(found.same_N.mean()),
        kl_mean=float(found.divergences_N.mean()),
        kl_p99=float(np.quantile(found.divergences_N, 0.99)),
        kl_edges=KL_EDGES,
        kl_counts=tuple(counts.tolist()),
    )


def compare_layers(
    model: Checkpoint, reference: Checkpoint, tokens_SL: npt.NDArray[np.int32], advance: Callable[[float], None]
) -> Layers:
    """Return the error of each layer against the reference's on these sequences of tokens.

    `advance` is called with the share of the work done since the last call. Raises ValueError, with the reason, where
    the layers can't be compared.
    """
    assert isinstance(model.spec, DecoderSpec)
    assert isinstance(reference.spec, DecoderSpec)
    mine, theirs = ModelWeights(model.spec, model.tensors), ModelWeights(reference.spec, reference.tensors)
    share = 1 / (model.spec.num_layers + reference.spec.num_layers)
    differences = layer_differences(mine, theirs, tokens_SL, advance=lambda: advance(share))
    kept = {each.reference_layer for each in differences}
    return Layers(
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
        parent_layers=reference.spec.num_layers,
        left_out=tuple(i for i in range(reference.spec.num_layers) if i not in kept),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
